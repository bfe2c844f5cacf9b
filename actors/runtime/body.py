"""What an actor does with its mailbox's entries, whoever hosts it: a thread, or a simulator.

Feeds a core, sends what the core returned, logs. A handler that raises does not end the actor: whoever
waits for its answer would wait for ever. The message is dropped, answered with `MessageRejected` where it
can be, logged, and the scheduler is told, which ends the job.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from typing import Protocol

from actors.runtime.clock import Clock
from actors.runtime.core import Core
from actors.runtime.logger import actor_logger
from actors.runtime.router import Router
from messages._base import SCHEDULER, TELEMETRY, ActorName, Message, MessageRejected, Outgoing, Query
from messages.supervision import (
    ActorRestarted,
    ActorSnapshot,
    CrashActor,
    DeadlineReached,
    GetSnapshot,
    HandlerFailed,
    MailboxSnapshot,
)
from messages.telemetry import LogEntry, RecordLog

_FLUSH_AT = 256
"""Messages held for sending at most: a mailbox that never runs empty must not hold work back."""


class Mailbox(Protocol):
    """What a body needs of the mailbox that its host reads for it."""

    deadline: float | None
    """When to hand the actor a `DeadlineReached`, in the clock's monotonic seconds."""

    @property
    def depth(self) -> int:
        """How many entries wait."""
        ...

    def empty(self) -> bool:
        """Return whether no entry waits."""
        ...

    def oldest_age(self) -> float:
        """Return how long the oldest entry has waited, in seconds; 0.0 when none does."""
        ...


class ActorBody:
    """Everything about an actor but its thread. Its host calls one method at a time.

    `start` comes first, `take` for each entry of the mailbox, `stop` last.
    """

    def __init__(
        self,
        name: ActorName,
        core: Core,
        router: Router,
        clock: Clock,
        inbox: Mailbox,
        rebuild: Callable[[Core], Core] | None = None,
    ) -> None:
        self._rebuild = rebuild
        self.name = name
        self.core = core
        self.clock = clock
        self.inbox = inbox
        self._router = router
        self._outgoing: dict[ActorName, list[Message]] = {}
        self._held = 0
        self._handled = 0
        self._idle_fails = False
        self._entries: list[LogEntry] = []
        self.log = actor_logger(name, now=clock.now, keep=self._entries.append)

    # -- the host's side -------------------------------------------------------------------------

    def start(self) -> None:
        """Say that the actor runs."""
        self.log.debug("actor_started", generation=self.core.generation)
        self._settle()

    def stop(self) -> None:
        """Send what was held back, and let the core go of what it holds."""
        self.log.debug("actor_stopped", handled=self._handled, mailbox_depth=self.inbox.depth)
        self._settle()
        try:
            self.send(self.core.close(now=self.clock.now()))
        except BaseException as error:  # noqa: BLE001 - what is held back must still be sent
            self._contain("close", error)
        self._flush()

    def take(self, entry: Message | list[Message]) -> None:
        """Take a mailbox entry: one message, or several that were sent together."""
        if isinstance(entry, list):
            for part in entry:
                self._take(part)
        else:
            self._take(entry)
        # Settled before an early flush too: what a core batches must not be overtaken by what it sends.
        if self._held >= _FLUSH_AT or self.inbox.empty():
            self._settle()

    # -- one message -----------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        self._handled += 1
        try:
            if type(message) in self.core.accepts:
                self.send(self.core.handle(message, now=self.clock.now()))
            elif isinstance(message, GetSnapshot):
                self._answer_snapshot(message)
            elif isinstance(message, CrashActor) and self._rebuild is not None:
                self._begin_anew(self._rebuild)
            elif not isinstance(message, DeadlineReached):
                kind = type(message).__name__
                self._reject(message, "unknown_message", f"{self.name} does not handle {kind}")
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, the actor lives
            self._reject(message, "handler_error", self._contain(type(message).__name__, error))

    def _begin_anew(self, rebuild: Callable[[Core], Core]) -> None:
        """Lose the core and go on with a new one, of the next generation.

        What the lost one had handled is sent first: a crash falls between two messages. The mailbox is
        the actor's address and outlives it.
        """
        self._settle()
        self.log.error("actor_crashed", generation=self.core.generation)
        self.core = rebuild(self.core)
        self.log.warning("actor_restarted", generation=self.core.generation)
        if self.name != SCHEDULER:
            self.send([Outgoing(SCHEDULER, ActorRestarted(self.name, self.core.generation))])

    def _settle(self) -> None:
        deadline = None
        try:
            self.send(self.core.idle(now=self.clock.now()))
            deadline = self.core.next_deadline()
        except BaseException as error:  # noqa: BLE001 - as above
            # Told once: the scheduler would else be told after each message that tells it.
            if not self._idle_fails:
                self._idle_fails = True
                self._contain("idle", error)
        else:
            self._idle_fails = False
        self.inbox.deadline = None if deadline is None else self.clock.to_monotonic(deadline)
        self._flush()

    def _contain(self, step: str, error: BaseException) -> str:
        """Log that a step raised, tell the scheduler, and return the exception's type and place."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown place"
        found = f"{type(error).__name__} at {place}"
        self.log.error("handler_failed", message_type=step, error=found)
        if step != HandlerFailed.__name__:  # the scheduler failed on being told: telling it again is no use
            self.send([Outgoing(SCHEDULER, HandlerFailed(self.name, step, found))])
        return found

    def _reject(self, message: Message, reason: str, detail: str) -> None:
        kind = type(message).__name__
        self.log.warning("message_rejected", message_type=kind, reason=reason)
        if isinstance(message, Query) and message.reply_to:
            rejected = MessageRejected(actor=self.name, message_type=kind, reason=reason, detail=detail)
            self.send([Outgoing(message.reply_to, rejected)])

    def _answer_snapshot(self, query: GetSnapshot) -> None:
        if query.reply_to:
            self.send([Outgoing(query.reply_to, self._snapshot())])

    def _snapshot(self) -> ActorSnapshot:
        now = self.clock.now()
        return ActorSnapshot(
            actor=self.name,
            generation=self.core.generation,
            captured_at=now,
            mailbox=MailboxSnapshot(self.inbox.depth, self.inbox.oldest_age(), self._handled),
            dead_letters=self._router.dead_letters.total(),
            state=self.core.snapshot(now=now),
        )

    # -- sending -----------------------------------------------------------------------------------

    def send(self, outgoing: list[Outgoing]) -> None:
        """Hold messages for the next flush, per destination, in order. A core's log lines are logged."""
        for item in outgoing:
            message = item.message
            if type(message) is RecordLog:
                for entry in message.entries:
                    getattr(self.log, entry.level)(entry.event, **entry.fields)
                continue
            self._outgoing.setdefault(item.to, []).append(message)
            self._held += 1

    def _flush(self) -> None:
        self._send_held()
        if self._outgoing:  # something could not be sent, and that has to be said
            self._send_held()

    def _send_held(self) -> None:
        # Telemetry first: an event must reach it before anything that another actor does because of
        # the messages sent with it. That makes the order of its streams causal.
        if self._entries:
            entries, self._entries[:] = RecordLog(self._entries.copy()), []
            if RecordLog in self.core.accepts:  # telemetry's own lines need no message
                self._try("RecordLog", lambda: self.core.handle(entries, now=self.clock.now()))
            else:
                self._outgoing.setdefault(TELEMETRY, []).append(entries)
        if not self._outgoing:
            return
        outgoing, self._outgoing, self._held = self._outgoing, {}, 0
        facts = outgoing.pop(TELEMETRY, None)
        if facts:
            self._try("send", lambda: self._router.send(self.name, TELEMETRY, facts))
        for to, messages in outgoing.items():
            self._try("send", partial(self._router.send, self.name, to, messages))

    def _try(self, step: str, action: Callable[[], object]) -> None:
        """Do what may fail for reasons of its own: a message that cannot be encoded, a tap that raises."""
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - one message must not take the others with it
            self._contain(step, error)
