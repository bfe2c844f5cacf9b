"""Mailboxes without threads: the actors' own, and that of the worker, which has an event loop."""

from __future__ import annotations

from collections import deque


class SimulatedInbox:
    """Entries in the order of their arrival; the stage hands them out."""

    def __init__(self, clock):
        self._clock = clock
        self._entries = deque()
        self.deadline = None

    def put(self, messages):
        self._entries.append((self._clock.time, messages))

    def put_first(self, messages):
        self._entries.appendleft((self._clock.time, messages))

    def get(self):
        return self._entries.popleft()[1]

    def empty(self):
        return not self._entries

    @property
    def depth(self):
        return len(self._entries)

    def oldest_age(self):
        return self._clock.time - self._entries[0][0] if self._entries else 0.0

    def is_due(self):
        return self.deadline is not None and self.deadline <= self._clock.time

    def clear(self):
        self._entries.clear()


class SimulatedLoopInbox(SimulatedInbox):
    """The worker's: its loop gets a turn after each entry, as on the worker's thread."""

    def __init__(self, clock, loop):
        super().__init__(clock)
        self.loop = loop
        self.turn_due = False
        self.attention = False

    def request_turn(self):
        self.turn_due = True

    def attend(self):
        self.attention = True

    def run(self, ending, seconds):
        self.loop.run_until(ending, seconds)
