"""Mailboxes without threads: the actors' own, and that of the worker, which has an event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from typing import Any

from bench.virtual.clock import VirtualClock
from bench.virtual.event_loop import VirtualLoop
from messages import Message


class VirtualInbox:
    """Entries in the order of their arrival; the stage hands them out."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.entries: deque[tuple[float, list[Message]]] = deque()
        self.deadline: float | None = None

    def put(self, messages: list[Message]) -> bool:
        """Take an entry, behind all others."""
        self.entries.append((self._clock.time, messages))
        return True

    def put_first(self, messages: list[Message]) -> None:
        """Take an entry, before all others."""
        self.entries.appendleft((self._clock.time, messages))

    def get(self) -> list[Message]:
        """Return the first entry, and forget it."""
        return self.entries.popleft()[1]

    def empty(self) -> bool:
        """Return whether no entry waits."""
        return not self.entries

    @property
    def depth(self) -> int:
        """How many entries wait."""
        return len(self.entries)

    def oldest_age(self) -> float:
        """Return how long the oldest entry has waited, in seconds; 0.0 when none does."""
        return self._clock.time - self.entries[0][0] if self.entries else 0.0


class VirtualLoopInbox(VirtualInbox):
    """The worker's: its loop gets a turn after each entry, as on the worker's thread."""

    def __init__(self, clock: VirtualClock, loop: VirtualLoop) -> None:
        super().__init__(clock)
        self.loop = loop
        self.turn_due = False
        self.attention = False

    def request_turn(self) -> None:
        """Let the loop have a turn before the next entry."""
        self.turn_due = True

    def attend(self) -> None:
        """Let the actor be called after this turn."""
        self.attention = True

    def run(self, ending: Coroutine[Any, Any, Any], seconds: float) -> None:
        """Run the loop until `ending` has ended, or for some seconds."""
        self.loop.run_until(ending, seconds)
