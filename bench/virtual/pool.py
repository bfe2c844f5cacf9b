"""A pool of threads without threads: plain user functions begin and end when the stage says so."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from actors.worker.threads import Call, Done
from bench.virtual.clock import VirtualClock

_asked: list[float] = []


def takes(seconds: float) -> None:
    """Called by a user's plain function: say that it takes so long; `math.inf` never comes back."""
    _asked.append(seconds)


class _Running(NamedTuple):
    until: float
    value: Any
    error: BaseException | None


class VirtualPool:
    """The pool's promises: so many calls at once, first come first served, the end told on the loop."""

    def __init__(self, size: int, done: Done, clock: VirtualClock) -> None:
        self._size = size
        self._done = done
        self._clock = clock
        self._queued: dict[int, Call] = {}
        self._running: dict[int, _Running] = {}
        self.abandoned = 0

    @property
    def busy(self) -> int:
        """How many calls run that are still wanted."""
        return len(self._running)

    def submit(self, key: int, call: Call) -> None:
        """Run `call` when the stage says so."""
        self._queued[key] = call

    def abandon(self, key: int) -> bool:
        """Give up on a call; return whether it has begun. One that has is never heard of again."""
        self._queued.pop(key, None)
        if self._running.pop(key, None) is None:
            return False
        self.abandoned += 1
        return True

    def close(self) -> None:
        """Do nothing. As with threads, what is queued before the close is still taken."""

    # -- what the stage calls ------------------------------------------------------------------------

    @property
    def can_begin(self) -> bool:
        """Whether a call waits and has a place."""
        return bool(self._queued) and len(self._running) < self._size

    def begin(self) -> None:
        """Run the call that waits longest; its end is told once its time has passed."""
        key = next(iter(self._queued))
        call = self._queued.pop(key)
        _asked.clear()
        value, error = None, None
        try:
            value = call()
        except BaseException as raised:  # noqa: BLE001 - user code may raise anything at all
            error = raised
        self._running[key] = _Running(self._clock.time + math.fsum(_asked), value, error)

    def ended(self) -> list[int]:
        """Return the calls whose time has passed."""
        return [key for key, running in self._running.items() if running.until <= self._clock.time]

    def next_end(self) -> float | None:
        """Return when the next running call ends; None where none ever does."""
        ends = [running.until for running in self._running.values() if running.until != math.inf]
        return min(ends, default=None)

    def end(self, key: int) -> None:
        """Tell a call's end."""
        _, value, error = self._running.pop(key)
        self._done(key, value, error)
