"""Who waits for a request lease, and who is next.

Weighted fair across groups, oldest first inside a group and between equal weights (A7). One queue per
route; routes of one pool share its virtual time, so that the pool can choose fairly among those of them
that have room. O(log groups) for everything.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Any

from messages.request_admission import AcquireRequestLease


class Waiter:
    """One attempt that waits."""

    __slots__ = ("asked_at", "closed_before", "deadline", "gone", "message")

    def __init__(self, message: AcquireRequestLease, asked_at: float) -> None:
        self.message = message
        self.asked_at = asked_at
        timeout = message.item.queue_wait_timeout
        self.deadline = None if timeout is None else asked_at + timeout
        self.gone = False
        self.closed_before: tuple[Any, ...] = ()
        """What had stood in the way of each of its resources when it began to wait."""


class _Group:
    __slots__ = ("step", "tag", "waiting")

    def __init__(self, weight: float, tag: float) -> None:
        self.step = 1.0 / weight
        self.tag = tag
        self.waiting: deque[Waiter] = deque()


class WaiterQueue:
    """The waiters of one route. `len` counts those that still wait."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._groups: dict[str, _Group] = {}
        self._order: list[tuple[float, float, int, str]] = []
        self._idle_tags: dict[str, float] = {}
        self._waiting = 0
        self._gone = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, waiter: Waiter) -> None:
        """Append a waiter to its group."""
        spec = waiter.message.item.group
        group = self._groups.get(spec.key)
        if group is None:
            tag = max(self._idle_tags.pop(spec.key, 0.0), self._clock.now)
            group = self._groups[spec.key] = _Group(spec.weight, tag)
        group.waiting.append(waiter)
        self._waiting += 1
        if len(group.waiting) == 1:
            self._enter(spec.key, group)

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter out that gave up. Its place is skipped when its turn comes.

        Places of the gone are cleared before they outnumber those who wait: a resource that serves
        nobody for long keeps none of them.
        """
        waiter.gone = True
        self._waiting -= 1
        self._gone += 1
        if self._gone > self._waiting + 16:
            self._clear_gone()

    def peek(self) -> tuple[float, float, int] | None:
        """Return the place of the next waiter in the pool's order, None when nobody waits."""
        while self._order:
            tag, asked_at, serial, key = self._order[0]
            group = self._groups[key]
            if not group.waiting[0].gone:
                return tag, asked_at, serial
            heappop(self._order)
            group.waiting.popleft()
            self._gone -= 1
            self._reenter(key, group)
        return None

    def first(self) -> Waiter:
        """Return the next waiter. Call after a `peek` that found one."""
        return self._groups[self._order[0][3]].waiting[0]

    def keep_time_by(self, clock: VirtualClock) -> None:
        """Go on under another virtual time, which is at least as late as the present one."""
        self._clock = clock

    def pop(self) -> Waiter:
        """Remove and return the next waiter; its group moves on. Call after a `peek` that found one."""
        tag, _, _, key = heappop(self._order)
        group = self._groups[key]
        waiter = group.waiting.popleft()
        self._waiting -= 1
        self._clock.now = max(self._clock.now, tag)
        group.tag = tag + group.step
        self._reenter(key, group)
        return waiter

    def waiters(self) -> list[Waiter]:
        """Return everybody who waits, in no particular order."""
        return [waiter for group in self._groups.values() for waiter in group.waiting if not waiter.gone]

    def _enter(self, key: str, group: _Group) -> None:
        head = group.waiting[0]
        heappush(self._order, (group.tag, head.asked_at, self._clock.next_serial(), key))

    def _reenter(self, key: str, group: _Group) -> None:
        if group.waiting:
            self._enter(key, group)
            return
        del self._groups[key]
        # One that runs dry and comes back at once is no earlier for it: it has had its turn.
        now = self._clock.now
        if group.tag > now:
            self._idle_tags[key] = group.tag
            if len(self._idle_tags) > 2 * len(self._groups) + 16:
                self._idle_tags = {name: tag for name, tag in self._idle_tags.items() if tag > now}

    def _clear_gone(self) -> None:
        self._order.clear()
        self._gone = 0
        for key, group in list(self._groups.items()):
            group.waiting = deque(waiter for waiter in group.waiting if not waiter.gone)
            self._reenter(key, group)


class VirtualClock:
    """The virtual time that the routes of one pool share."""

    def __init__(self) -> None:
        self.now = 0.0
        self._serial = 0

    def next_serial(self) -> int:
        """Return a number that breaks ties in order of arrival."""
        self._serial += 1
        return self._serial
