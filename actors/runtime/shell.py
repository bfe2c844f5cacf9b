"""The one Pykka actor class: feeds a core from its mailbox, sends what the core returned, logs.

Runs in the actor's own thread, except `__init__`. A handler that raises does not end the actor: Pykka
would stop it, and whoever waits for its answer would wait for ever. The message is dropped, answered
with `MessageRejected` where it can be, logged, and the scheduler is told, which ends the job.
"""

from __future__ import annotations

import traceback
from typing import Any

import pykka

from actors.runtime.clock import RunClock
from actors.runtime.core import Core
from actors.runtime.inbox import Inbox
from actors.runtime.logger import actor_logger
from actors.runtime.router import Router
from messages._base import SCHEDULER, TELEMETRY, ActorName, Message, MessageRejected, Outgoing, Query
from messages.supervision import (
    ActorSnapshot,
    DeadlineReached,
    GetSnapshot,
    HandlerFailed,
    MailboxSnapshot,
)
from messages.telemetry import LogEntry, RecordLog

_FLUSH_AT = 256
"""Messages held for sending at most: a mailbox that never runs empty must not hold work back."""


class ActorShell(pykka.ThreadingActor):
    """Owns an actor's thread and mailbox; everything the actor decides is in its core."""

    use_daemon_thread = True

    def __init__(self, name: ActorName, core: Core, router: Router, clock: RunClock) -> None:
        super().__init__()
        self.name = name
        self.core = core
        self.clock = clock
        self._router = router
        self._outgoing: dict[ActorName, list[Message]] = {}
        self._held = 0
        self._handled = 0
        self._entries: list[LogEntry] = []
        self.log = actor_logger(name, now=clock.now, keep=self._entries.append)

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @property
    def inbox(self) -> Inbox:
        """The mailbox, with its own type."""
        assert isinstance(self.actor_inbox, Inbox)
        return self.actor_inbox

    # -- Pykka's hooks ---------------------------------------------------------------------------

    def on_start(self) -> None:
        """Say that the actor runs."""
        self.log.debug("actor_started", generation=self.core.generation)
        self._settle()

    def on_stop(self) -> None:
        """Send what was held back, and let the core go of what it holds."""
        self.log.debug("actor_stopped", handled=self._handled, mailbox_depth=self.inbox.depth)
        self._settle()
        self.send(self.core.close(now=self.clock.now()))
        self._flush()

    def on_receive(self, message: Any) -> None:
        """Take a mailbox entry: one message, or several that were sent together."""
        if isinstance(message, list):
            for part in message:
                self._take(part)
        else:
            self._take(message)
        # Settled before an early flush too: what a core batches must not be overtaken by what it sends.
        if self._held >= _FLUSH_AT or self.inbox.empty():
            self._settle()

    # -- one message -----------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        self._handled += 1
        if type(message) in self.core.accepts:
            try:
                self.send(self.core.handle(message, now=self.clock.now()))
            except Exception as error:  # noqa: BLE001 - whatever a handler raises, the actor lives
                self._contain(message, error)
        elif isinstance(message, GetSnapshot):
            self._answer_snapshot(message)
        elif not isinstance(message, DeadlineReached):
            self._reject(message, "unknown_message", f"{self.name} does not handle {type(message).__name__}")

    def _settle(self) -> None:
        try:
            self.send(self.core.idle(now=self.clock.now()))
            deadline = self.core.next_deadline()
        except Exception as error:  # noqa: BLE001 - as above
            self._contain(DeadlineReached(), error)
            deadline = None
        self.inbox.deadline = None if deadline is None else self.clock.to_monotonic(deadline)
        self._flush()

    def _contain(self, message: Message, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown place"
        found = f"{type(error).__name__} at {place}"
        self.log.error("handler_failed", message_type=type(message).__name__, error=found)
        self._reject(message, "handler_error", found)
        self.send([Outgoing(SCHEDULER, HandlerFailed(self.name, type(message).__name__, found))])

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
        # Telemetry first: an event must reach it before anything that another actor does because of
        # the messages sent with it. That makes the order of its streams causal.
        if self._entries:
            entries, self._entries[:] = RecordLog(self._entries.copy()), []
            if RecordLog in self.core.accepts:  # telemetry's own lines need no message
                self.core.handle(entries, now=self.clock.now())
            else:
                self._outgoing.setdefault(TELEMETRY, []).append(entries)
        if not self._outgoing:
            return
        outgoing, self._outgoing, self._held = self._outgoing, {}, 0
        facts = outgoing.pop(TELEMETRY, None)
        if facts:
            self._router.send(self.name, TELEMETRY, facts)
        for to, messages in outgoing.items():
            self._router.send(self.name, to, messages)
