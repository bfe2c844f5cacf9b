"""A mailbox whose waiting is an asyncio loop: the worker's thread runs coroutines while no message comes."""

from __future__ import annotations

import asyncio
from typing import Any

from pykka._envelope import Envelope

from actors.runtime.inbox import Inbox
from messages.supervision import DeadlineReached


class LoopInbox(Inbox):
    """Only the actor's thread may call `get`, `request_turn` and `attend`."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self._turn_due = False
        self._attention = False

    def request_turn(self) -> None:
        """Let the loop run once before the next message: there is new work on it."""
        self._turn_due = True

    def attend(self) -> None:
        """Called on the loop: hand control to the actor at the end of this turn, to send what is held."""
        if not self._attention:
            self._attention = True
            self.loop.stop()

    def get(self) -> Envelope[Any]:
        """Return the next message; a `DeadlineReached` also when the loop asked for attention."""
        if self._turn_due and self._messages:
            # Messages may come without a pause: work on the loop must not wait for one.
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
        self._turn_due = False
        if self._attention:
            self._attention = False
            return Envelope(DeadlineReached())
        return super().get()

    def _sleep(self, timeout: float | None) -> None:
        alarm = None if timeout is None else self.loop.call_later(timeout, self.loop.stop)
        self.loop.run_forever()
        if alarm is not None:
            alarm.cancel()
        if self._attention:
            self._attention = False
            self.deadline = 0.0  # due: the actor gets a `DeadlineReached` next

    def _wake_up(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self.loop.stop)
        except RuntimeError:  # the loop is closed: the actor has stopped and reads no more
            return
