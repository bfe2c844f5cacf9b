"""Who waits for a request lease, and who is next.

Weighted fair across groups, oldest first inside a group and between equal weights (A7). One queue per
resource; resources of one endpoint share its virtual time, so that the endpoint can choose fairly among
those of its resources that have room. O(log groups) for everything.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

from messages.request_admission import AcquireRequestLease


class Waiter:
    """One attempt that waits."""

    __slots__ = ("asked_at", "deadline", "gone", "message")

    def __init__(self, message: AcquireRequestLease, asked_at: float) -> None:
        self.message = message
        self.asked_at = asked_at
        timeout = message.item.queue_wait_timeout
        self.deadline = None if timeout is None else asked_at + timeout
        self.gone = False


class _Group:
    __slots__ = ("step", "tag", "waiting")

    def __init__(self, weight: float, tag: float) -> None:
        self.step = 1.0 / weight
        self.tag = tag
        self.waiting: deque[Waiter] = deque()


class WaiterQueue:
    """The waiters of one resource. `len` counts those that still wait."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._groups: dict[str, _Group] = {}
        self._order: list[tuple[float, float, int, str]] = []
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, waiter: Waiter) -> None:
        """Append a waiter to its group."""
        spec = waiter.message.item.group
        group = self._groups.get(spec.key)
        if group is None:
            group = self._groups[spec.key] = _Group(spec.weight, self._clock.now)
        group.waiting.append(waiter)
        self._waiting += 1
        if len(group.waiting) == 1:
            self._enter(spec.key, group)

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter out that gave up. Its place is skipped when its turn comes."""
        waiter.gone = True
        self._waiting -= 1

    def peek(self) -> tuple[float, float, int] | None:
        """Return the place of the next waiter in the endpoint's order, None when nobody waits."""
        while self._order:
            tag, asked_at, serial, key = self._order[0]
            group = self._groups[key]
            if not group.waiting[0].gone:
                return tag, asked_at, serial
            heappop(self._order)
            group.waiting.popleft()
            self._reenter(key, group)
        return None

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
        else:
            del self._groups[key]


class VirtualClock:
    """The virtual time that the resources of one endpoint share."""

    def __init__(self) -> None:
        self.now = 0.0
        self._serial = 0

    def next_serial(self) -> int:
        """Return a number that breaks ties in order of arrival."""
        self._serial += 1
        return self._serial
