"""An actor around a core that does what a test says, and the mailboxes around it."""

from __future__ import annotations

import queue
import time

from actors.runtime.clock import RunClock
from actors.runtime.router import Router
from actors.runtime.shell import ActorShell
from messages._base import SCHEDULER, TELEMETRY, WORKER, Message, Outgoing, Query
from messages.worker import WorkerSnapshot

NAME = WORKER
EMPTY = WorkerSnapshot(None, 0, 0, 0, 0, 0)


class Do(Query, frozen=True):
    """Tells the scripted core to do what `step` is called."""

    step: str
    value: int = 0


class Told(Message, frozen=True):
    """What a scripted core sends."""

    value: int


class ScriptedCore:
    """Does the named step for each `Do`; `idle_with` is what it holds back until it is idle."""

    generation = 1

    def __init__(self, accepts=(Do,), **steps):
        self.accepts = frozenset(accepts)
        self.steps = steps
        self.seen = []
        self.idle_with = []
        self.idle_calls = 0
        self.on_idle = None
        self.on_snapshot = None
        self.on_close = None
        self.deadline = None

    def handle(self, message, *, now):
        self.seen.append(message)
        if isinstance(message, Do):
            return self.steps[message.step](message) or []
        return []

    def idle(self, *, now):
        self.idle_calls += 1
        if self.on_idle is not None:
            self.on_idle()
        held, self.idle_with = self.idle_with, []
        return held

    def next_deadline(self):
        return self.deadline

    def close(self, *, now):
        if self.on_close is not None:
            self.on_close()
        return []

    def snapshot(self, *, now):
        if self.on_snapshot is not None:
            self.on_snapshot()
        return EMPTY


class Mailbox:
    """An address that keeps its deliveries: each a list of messages that came as one entry."""

    def __init__(self, router, name, on_delivery=None):
        self.deliveries = queue.SimpleQueue()
        self._on_delivery = on_delivery
        router.register(name, self._take)

    def _take(self, messages):
        if self._on_delivery is not None:
            self._on_delivery(messages)
        self.deliveries.put(messages)
        return True

    def next(self, kind=Message, timeout=5.0):
        """Return the next delivery that holds a message of `kind`."""
        until = time.monotonic() + timeout
        while True:
            messages = self.deliveries.get(timeout=max(0.0, until - time.monotonic()))
            found = [message for message in messages if isinstance(message, kind)]
            if found:
                return found

    def drain(self):
        """Return every message that has come and was not read."""
        found = []
        while not self.deliveries.empty():
            found += self.deliveries.get()
        return found


class Stage:
    """A router, one scripted actor on it, and mailboxes for everybody whom it may speak to."""

    def __init__(self, core, *, serialize=False):
        self.core = core
        self.router = Router(serialize=serialize)
        self.order = []
        self.telemetry = Mailbox(self.router, TELEMETRY, lambda messages: self.order.append(TELEMETRY))
        self.scheduler = Mailbox(self.router, SCHEDULER, lambda messages: self.order.append(SCHEDULER))
        self.client = Mailbox(self.router, "client", lambda messages: self.order.append("client"))
        self.ref = ActorShell.start(NAME, core, self.router, RunClock())
        self.inbox = self.ref.actor_inbox
        self.router.register(NAME, self._deliver)

    def _deliver(self, messages):
        self.ref.tell(messages)
        return True

    def tell(self, *messages):
        """Put messages into the actor's mailbox as one entry."""
        self.router.send("client", NAME, list(messages))

    def stop(self):
        """Stop the actor if it lives; return whether it did."""
        return self.ref.is_alive() and self.ref.stop(timeout=5.0)


def told(value, to="client"):
    """Return a message of a scripted core on its way to `to`."""
    return Outgoing(to, Told(value))
