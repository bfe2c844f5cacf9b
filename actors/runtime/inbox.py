"""An actor's mailbox: messages in order, one deadline, and how long the oldest has waited.

Pykka lets an actor class bring its own inbox. This one wakes its actor at a deadline too, so that
cooldowns and timeouts need neither a thread nor polling, and it can say how deep and how old it is.

Waking a sleeping actor costs more than reading a small message. So a message may be put without hurry: where
one was read last, others are likely to follow, and the actor naps for a moment, in which they do not wake it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from typing import Any

from pykka._envelope import Envelope

from messages.supervision import DeadlineReached

_LONGEST_SLEEP = 3600.0
"""Seconds after which a sleeper looks at its deadline anew; longer timeouts are refused by the platform."""

_NAP_SECONDS = 0.005
"""How long a message that is in no hurry may wait for an actor that naps."""


class Inbox:
    """Any thread puts; only the actor's own thread gets."""

    def __init__(self) -> None:
        self._messages: deque[tuple[float, Envelope[Any]]] = deque()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._sleeping = False
        self._napping = False
        self._nap_due = False
        self.reader = 0
        """The thread that reads this mailbox; 0 before the first read."""
        self.deadline: float | None = None
        """When to hand the actor a `DeadlineReached`, in `time.monotonic` seconds."""

    def put(self, envelope: Envelope[Any], /) -> None:
        """Append a message and wake the actor if it sleeps."""
        self._messages.append((time.monotonic(), envelope))
        # Two senders may both see the flag: the spare wake-up makes `get` look once more, no harm.
        if self._sleeping:
            self._sleeping = False
            self._wake_up()

    def put_unhurried(self, envelope: Envelope[Any], /) -> None:
        """Append a message and wake the actor if it sleeps, unless it naps: then it looks soon."""
        self._nap_due = True
        self._messages.append((time.monotonic(), envelope))  # before the look: whose nap is over sees it
        if self._sleeping and not self._napping:
            self._sleeping = False
            self._wake_up()

    def get(self) -> Envelope[Any]:
        """Return the next message, or a `DeadlineReached` once the deadline has come."""
        self.reader = threading.get_ident()
        while True:
            timeout = None
            if self.deadline is not None:
                timeout = self.deadline - time.monotonic()
                if timeout <= 0:
                    self.deadline = None
                    return Envelope(DeadlineReached())
                timeout = min(timeout, _LONGEST_SLEEP)
            if self._messages:
                return self._messages.popleft()[1]
            self._napping, self._nap_due = self._nap_due, False
            if self._napping:
                timeout = _NAP_SECONDS if timeout is None else min(timeout, _NAP_SECONDS)
            self._sleeping = True
            if not self._messages:  # a message put before the flag was up has woken nobody
                self._sleep(timeout)
            self._sleeping = self._napping = False

    def empty(self) -> bool:
        """Return whether no message waits."""
        return not self._messages

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return len(self._messages)

    def oldest_put_at(self) -> float | None:
        """Return when the oldest message was put, in `time.monotonic` seconds; None when none waits."""
        try:
            return self._messages[0][0]
        except IndexError:
            return None

    def oldest_age(self) -> float:
        """Return how long the oldest message has waited, in seconds; 0.0 when none does."""
        put_at = self.oldest_put_at()
        return 0.0 if put_at is None else time.monotonic() - put_at

    def _sleep(self, timeout: float | None) -> None:
        try:
            self._wake.get(timeout=timeout)
        except queue.Empty:
            return

    def _wake_up(self) -> None:
        self._wake.put(None)
