"""Mailboxes without threads: the actors' own, and that of the worker, which has an event loop."""

from __future__ import annotations

from collections import deque


class SimulatedInbox:
    """Entries in the order of their arrival; the stage hands them out."""

    def __init__(self, clock):
        self._clock = clock
        self.entries = deque()
        self.deadline = None

    def put(self, messages):
        self.entries.append((self._clock.time, messages))

    def put_first(self, messages):
        self.entries.appendleft((self._clock.time, messages))

    def get(self):
        return self.entries.popleft()[1]

    def empty(self):
        return not self.entries

    @property
    def depth(self):
        return len(self.entries)

    def oldest_age(self):
        return self._clock.time - self.entries[0][0] if self.entries else 0.0

    def clear(self):
        self.entries.clear()


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
