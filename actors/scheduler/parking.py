"""Groups that the policy refused, kept out of the way until its answer may have changed.

Judging every refused group again on every pass would make a dispatch cost as much as there are groups.
A refusal says when it may change (`Recheck`); what it says is filed here so that finding the groups to
judge again costs a look per resource vector, and no more per group than those that are found. Groups that
give way to others (A12) are kept apart: their turn comes when none of the others can go.
"""

from __future__ import annotations

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


class Contest(NamedTuple):
    """What groups compete for, and whether only those do that are under no pressure (A12)."""

    resource: SchedulerResourceKey
    among_unpressed: bool


class _Lane:
    """The parked groups whose next task has one vector, filed by what they wait for."""

    __slots__ = ("always", "names", "thresholds")

    def __init__(self) -> None:
        self.names: dict[GroupName, None] = {}
        self.always: dict[GroupName, None] = {}
        self.thresholds: dict[Contest, list[tuple[float, int, GroupName]]] = {}


class Parking:
    """Keeps the queue's parked groups, and why each of them is."""

    def __init__(self, queue: FairTaskQueue) -> None:
        self.yielding: dict[GroupName, TaskAdmissionPolicyDecision] = {}
        """The groups that give way to others, as each was refused."""
        self.version = 0
        """Grows whenever a group is parked or unparked."""
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

    def available_after(self) -> float | None:
        """Return the earliest time at which a refusal said that it may change."""
        yielding = (decision.available_after for decision in self.yielding.values())
        times = (*self._timed.values(), *(time for time in yielding if time is not None))
        return min(times, default=None)

    def wake_at(self, *, later_than: float) -> float | None:
        """Return the earliest time, later than that, at which a group is to be judged again.

        A group that gives way is not: it is a message that says when its resource is free of pressure.
        """
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
        self.version += 1
        self._serial += 1
        request = head.resource_request
        self._parked[name] = _Parked(decision, request, self._serial)
        self._reasons[decision.reason or "policy_denial"] += 1
        lane = self._lanes.setdefault(request, _Lane())
        lane.names[name] = None
        self._queue.park(name)
        recheck = decision.recheck
        if recheck is not None and recheck.yielding:
            self.yielding[name] = decision
            return
        if decision.available_after is not None:
            self._timed[name] = decision.available_after
        if recheck is None:
            lane.always[name] = None
        elif recheck.weight_below > 0.0:
            heap = lane.thresholds.setdefault(Contest(recheck.resource, recheck.among_unpressed), [])
            heappush(heap, (-recheck.weight_below, self._serial, name))

    def unpark(self, name: GroupName) -> None:
        """Let a group be selected again, if it was parked."""
        parked = self._parked.pop(name, None)
        if parked is None:
            return
        self.version += 1
        self._reasons[parked.decision.reason or "policy_denial"] -= 1
        self._timed.pop(name, None)
        self.yielding.pop(name, None)
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

    def unpark_yielding(self, may_go: Callable[[SchedulerResourceRequest], bool]) -> bool:
        """Let the groups that give way be selected again whose vector `may_go`; return whether any was."""
        found = [name for name in self.yielding if may_go(self._parked[name].request)]
        for name in found:
            self.unpark(name)
        return bool(found)

    def to_judge(
        self,
        fits: Callable[[SchedulerResourceRequest], bool],
        competing: Callable[[Contest], float],
        now: float,
        *,
        judged: Collection[GroupName] = (),
    ) -> list[GroupName]:
        """Return the groups whose refusal may no longer hold, now that this fits and so much competes.

        A group whose vector no other group has may have been left alone by its peers. Where several have
        the same, each of them is pressed by the others, and only a threshold can have been passed. Groups
        that were `judged` in this pass already are left, as they are, for the next one; those that give way
        are `unpark_yielding`'s.
        """
        found = [name for name, time in self._timed.items() if time <= now]
        groups = {head.request: head.groups for head in self._queue.pressure().heads}
        for request, lane in self._lanes.items():
            if not fits(request):
                continue
            if groups.get(request, 0) <= 1:
                found += (name for name in lane.names if name not in self.yielding)
                continue
            found += lane.always
            for contest, heap in lane.thresholds.items():
                weight = competing(contest)
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
