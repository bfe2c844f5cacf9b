"""Groups that the policy refused, kept out of the way until its answer may have changed.

Judging every refused group again on every pass would make a dispatch cost as much as there are groups.
A refusal says when it may change (`Recheck`); what it says is filed here so that finding the groups to
judge again costs a look per resource vector, and no more per group than those that are found.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from heapq import heappop, heappush
from typing import NamedTuple

from actors.scheduler.fair_queue import FairTaskQueue
from messages.task_admission import TaskAdmissionDenialReason, TaskAdmissionPolicyDecision
from messages.tasks import GroupName, SchedulerResourceKey, SchedulerResourceRequest


class _Parked(NamedTuple):
    """A refusal, the resource vector of the task that it was about, and which of the group's it is."""

    decision: TaskAdmissionPolicyDecision
    request: SchedulerResourceRequest
    serial: int


class _Lane:
    """The parked groups whose next task has one vector, filed by what they wait for."""

    __slots__ = ("always", "names", "thresholds")

    def __init__(self) -> None:
        self.names: dict[GroupName, None] = {}
        self.always: dict[GroupName, None] = {}
        self.thresholds: dict[SchedulerResourceKey, list[tuple[float, int, GroupName]]] = {}


class Parking:
    """Keeps the queue's parked groups, and why each of them is."""

    def __init__(self, queue: FairTaskQueue) -> None:
        self._queue = queue
        self._parked: dict[GroupName, _Parked] = {}
        self._reasons: Counter[TaskAdmissionDenialReason] = Counter()
        self._timed: dict[GroupName, float] = {}
        self._lanes: dict[SchedulerResourceRequest, _Lane] = {}
        self._serial = 0

    def __bool__(self) -> bool:
        """Return whether any group is parked."""
        return bool(self._parked)

    @property
    def reasons(self) -> dict[TaskAdmissionDenialReason, int]:
        """How many groups are parked for each reason."""
        return +self._reasons

    def available_after(self, *, later_than: float = -math.inf) -> float | None:
        """Return the earliest time, later than that, at which a refusal said that it may change."""
        return min((time for time in self._timed.values() if time > later_than), default=None)

    def parked_with(self, request: SchedulerResourceRequest) -> int:
        """Return how many groups with this vector are parked."""
        lane = self._lanes.get(request)
        return len(lane.names) if lane is not None else 0

    def park(self, name: GroupName, decision: TaskAdmissionPolicyDecision) -> None:
        """Look past a group until `unpark`, or until `to_judge` names it."""
        head = self._queue.head_of(name)
        if head is None:
            return  # nothing of it is queued any more; when there is, it is judged anew
        self.unpark(name)
        self._serial += 1
        request = head.resource_request
        self._parked[name] = _Parked(decision, request, self._serial)
        self._reasons[decision.reason or "policy_denial"] += 1
        if decision.available_after is not None:
            self._timed[name] = decision.available_after
        lane = self._lanes.setdefault(request, _Lane())
        lane.names[name] = None
        recheck = decision.recheck
        if recheck is None:
            lane.always[name] = None
        elif recheck.weight_below > 0.0:
            heap = lane.thresholds.setdefault(recheck.resource, [])
            heappush(heap, (-recheck.weight_below, self._serial, name))
        self._queue.park(name)

    def unpark(self, name: GroupName) -> None:
        """Let a group be selected again, if it was parked."""
        parked = self._parked.pop(name, None)
        if parked is None:
            return
        self._reasons[parked.decision.reason or "policy_denial"] -= 1
        self._timed.pop(name, None)
        lane = self._lanes[parked.request]
        del lane.names[name]
        lane.always.pop(name, None)
        if not lane.names:
            del self._lanes[parked.request]
        self._queue.unpark(name)

    def unpark_all(self) -> None:
        """Let every group be selected again."""
        for name in list(self._parked):
            self.unpark(name)

    def to_judge(
        self,
        fits: Callable[[SchedulerResourceRequest], bool],
        competing: Callable[[SchedulerResourceKey], float],
        now: float,
        *,
        judged: Collection[GroupName] = (),
    ) -> list[GroupName]:
        """Return the groups whose refusal may no longer hold, now that this fits and so much competes.

        A group whose vector no other group has may have been left alone by its peers. Where several have
        the same, each of them is pressed by the others, and only a threshold can have been passed. Groups
        that were `judged` in this pass already are left, as they are, for the next one.
        """
        found = [name for name, time in self._timed.items() if time <= now]
        groups = {head.request: head.groups for head in self._queue.pressure().heads}
        for request, lane in self._lanes.items():
            if not fits(request):
                continue
            if groups.get(request, 0) <= 1:
                found += lane.names
                continue
            found += lane.always
            for resource, heap in lane.thresholds.items():
                weight = competing(resource)
                later: list[tuple[float, int, GroupName]] = []
                while heap and -heap[0][0] > weight:
                    entry = heappop(heap)
                    _, serial, name = entry
                    parked = self._parked.get(name)
                    if parked is None or parked.serial != serial:
                        continue
                    if name in judged:
                        later.append(entry)  # the only thing that will wake it (T13)
                    else:
                        found.append(name)
                for entry in later:
                    heappush(heap, entry)
        return [name for name in found if name not in judged]
