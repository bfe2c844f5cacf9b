"""A pool of threads without threads: plain user functions begin and end when the stage says so."""

from __future__ import annotations

import math

_asked = []


def takes(seconds):
    """Called by a user's function of a world: say that it takes so long; `math.inf` never comes back."""
    _asked.append(seconds)


class SimulatedPool:
    """The pool's promises: so many calls at once, first come first served, the end told on the loop."""

    def __init__(self, size, done, clock):
        self._size = size
        self._done = done
        self._clock = clock
        self._queued = {}
        self._running = {}
        self._left_behind = {}
        self._closed = False

    @property
    def busy(self):
        return len(self._running)

    @property
    def abandoned(self):
        return len(self._left_behind)

    def submit(self, key, call):
        self._queued[key] = call

    def abandon(self, key):
        self._queued.pop(key, None)
        if key not in self._running:
            return False
        self._left_behind[key] = self._running.pop(key)
        return True

    def close(self):
        # As threads do: what is queued before the close is still taken.
        self._closed = True

    # -- what the stage calls ------------------------------------------------------------------------

    @property
    def can_begin(self):
        return bool(self._queued) and len(self._running) < self._size

    def begin(self):
        """Run the call that waits longest; its end is told once its time has passed."""
        key = next(iter(self._queued))
        call = self._queued.pop(key)
        _asked.clear()
        value, error = None, None
        try:
            value = call()
        except BaseException as raised:  # noqa: BLE001 - user code may raise anything at all
            error = raised
        seconds = math.fsum(_asked)
        self._running[key] = (self._clock.time + seconds, value, error)

    def ended(self):
        """Return the calls whose time has passed."""
        return [key for key, (until, _, _) in self._running.items() if until <= self._clock.time]

    def next_end(self):
        """Return when the next running call ends; None where none ever does."""
        ends = [until for until, _, _ in self._running.values() if until != math.inf]
        return min(ends, default=None)

    def end(self, key):
        _, value, error = self._running.pop(key)
        self._done(key, value, error)
