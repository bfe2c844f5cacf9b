"""A mailbox whose waiting is an asyncio loop: the worker's thread runs coroutines while no message comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from pykka._envelope import Envelope

from actors.runtime.inbox import Inbox
from messages.supervision import DeadlineReached

_logger = logging.getLogger("leasehold.worker")


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

    def run(self, ending: Coroutine[Any, Any, Any], seconds: float) -> None:
        """Run the loop until `ending` has ended, or for some seconds. For an actor that stops.

        Nobody attends to anything from then on. What `ending` raises is not told.
        """
        self._attention = True  # so that `attend` no longer stops the loop
        last = self.loop.create_task(ending)
        last.add_done_callback(lambda _task: self.loop.stop())
        until = self.loop.time() + seconds
        alarm = self.loop.call_at(until, self.loop.stop)
        while not last.done() and self.loop.time() < until:
            self._run_loop()  # again where something else had stopped it
        alarm.cancel()
        last.cancel()

    def get(self) -> Envelope[Any]:
        """Return the next message; a `DeadlineReached` also when the loop asked for attention."""
        if self._turn_due and self._messages:
            # Messages may come without a pause: work on the loop must not wait for one.
            self.loop.call_soon(self.loop.stop)
            self._run_loop()
        self._turn_due = False
        if self._attention:
            self._attention = False
            return Envelope(DeadlineReached())
        return super().get()

    def _sleep(self, timeout: float | None) -> None:
        alarm = None if timeout is None else self.loop.call_later(timeout, self.loop.stop)
        self._run_loop()
        if alarm is not None:
            alarm.cancel()
        if self._attention:
            self._attention = False
            self.deadline = 0.0  # due: the actor gets a `DeadlineReached` next

    def _run_loop(self) -> None:
        try:
            self.loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - the actor's thread must outlive what users start
            # asyncio lets a SystemExit or KeyboardInterrupt of a task out of the loop; the task has it too.
            # Its name alone is told: its text may hold row data.
            name = type(error).__name__
            _logger.error("a user's task or callback raised %s on the event loop", name)  # noqa: TRY400 - as above

    def _wake_up(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self.loop.stop)
        except RuntimeError:  # the loop is closed: the actor has stopped and reads no more
            return
