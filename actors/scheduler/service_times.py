"""What a task of each group takes, in lease-seconds: foreseen from the group's own past, then as it was.

A task is charged when it is dispatched with what the group's tasks have taken lately. While it runs longer
than that it is charged on, so that a group whose tasks have become slow is found out before the first of them
ends. When its lease comes back, what it really held it for counts, and nothing else. Time comes in with the
messages; all of this is forgotten with the scheduler, and learnt anew by the next job's.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from actors.scheduler.fair_groups import TaskCost
from messages.task_admission import TaskLease, TaskLeaseRelease
from messages.tasks import GroupName, TaskGroupSpec, TaskOutcomeKind

LEAST_SECONDS = 0.0001
"""What the quickest task is charged: work that takes no time at all must not go first for ever."""

RECENT = 16
"""A group's expectation is the mean of all its tasks at first; later the latest has this part in it."""

MOST_IN_A_ROW = 16
"""How many tasks a group may have beyond its share before another has its turn."""

_TELLING: frozenset[TaskOutcomeKind] = frozenset({"success", "retryable_failure", "non_retryable_failure"})
"""How a task ends that was let run for as long as it takes."""


class _Past:
    """What is known of one group. `price` is what the queue counts its tasks for at present."""

    __slots__ = ("mean", "out", "price", "seen", "spec")

    def __init__(self, spec: TaskGroupSpec) -> None:
        self.spec = spec
        self.mean = 0.0
        self.seen = 0
        self.out = 0
        self.price = 0.0


class _Running:
    """One task under its lease: since when, and what it is charged with so far."""

    __slots__ = ("charged", "past", "since")

    def __init__(self, past: _Past, since: float) -> None:
        self.past = past
        self.since = since
        self.charged = past.price


class ServiceTimes:
    """The costs of the ready queue's tasks where groups share time and not turns. O(log running) a task."""

    def __init__(self) -> None:
        self._groups: dict[GroupName, _Past] = {}
        self._running: dict[int, _Running] = {}
        self._overdue: list[tuple[float, int]] = []
        self._changed: dict[GroupName, None] = {}
        self._longest: list[tuple[float, GroupName]] = []
        self._sum_of_means = 0.0
        self._known = 0

    # -- the queue's side ----------------------------------------------------------------------------

    def of(self, group: TaskGroupSpec) -> TaskCost:
        """Return a task's expected lease-seconds. A group without a past is taken for an average one.

        Before the virtual time it may stand by a task for each that it has out, any of which may end sooner
        than expected, and one more. It keeps its turn until it has had as much as one of the longest tasks
        takes: a place that is left to short work is free again when those beside it are, and the run does not
        end with each at another time. That are `MOST_IN_A_ROW` at most, however long the others' tasks are.
        """
        past = self._groups.get(group.name)
        if past is None:
            past = self._groups[group.name] = _Past(group)
        price = past.price = self.expected(group.name)
        heappush(self._longest, (-price, group.name))
        stay = min(self._longest_price() - price, price * (MOST_IN_A_ROW - 1))
        return TaskCost(price, price * (past.out + 1), stay)

    def expected(self, name: GroupName) -> float:
        """Return what a group's next task is expected to take, seconds."""
        past = self._groups.get(name)
        if past is not None and past.seen:
            return max(past.mean, LEAST_SECONDS)
        return max(self._sum_of_means / self._known, LEAST_SECONDS) if self._known else LEAST_SECONDS

    # -- what happens --------------------------------------------------------------------------------

    def began(self, leases: Iterable[TaskLease]) -> None:
        """Take in which tasks were dispatched, each as the queue has counted it."""
        running, overdue = self._running, self._overdue
        for lease in leases:
            past = self._groups[lease.group.name]
            past.out += 1
            execution = lease.correlation.task_execution_id
            running[execution] = _Running(past, lease.acquired_at)
            heappush(overdue, (lease.acquired_at + past.price, execution))

    def ended(self, releases: Iterable[TaskLeaseRelease], at: float) -> list[tuple[TaskGroupSpec, float]]:
        """Take in which leases are back; return by how much each group was charged too little, or too much.

        at: when they came back, in seconds of run time.
        """
        changes: dict[GroupName, float] = {}
        for release in releases:
            if not release.result.released:
                continue
            task = self._running.pop(release.lease.correlation.task_execution_id, None)
            if task is None:
                continue  # given back before anything was started under it
            seconds, past = max(at - task.since, LEAST_SECONDS), task.past
            name = past.spec.name
            changes[name] = changes.get(name, 0.0) + seconds - task.charged
            past.out -= 1
            if release.outcome.kind in _TELLING:
                self._learn(past, seconds)
        self._changed |= dict.fromkeys(changes)
        return [(self._groups[name].spec, change) for name, change in changes.items()]

    def overdue(self, now: float) -> list[tuple[TaskGroupSpec, float]]:
        """Return by how much each group is to be charged on for tasks that run longer than was foreseen.

        What a task has been charged is at most half of what it has taken behind: it is charged again when
        that has doubled, so that the longest costs few looks.
        """
        changes: dict[GroupName, float] = {}
        overdue, running = self._overdue, self._running
        while overdue and overdue[0][0] <= now:
            _, execution = heappop(overdue)
            task = running.get(execution)
            if task is None:
                continue
            seconds, name = now - task.since, task.past.spec.name
            changes[name] = changes.get(name, 0.0) + seconds - task.charged
            task.charged = seconds
            heappush(overdue, (task.since + max(2 * seconds, LEAST_SECONDS), execution))
        if len(overdue) > 2 * len(running) + 64:
            self._overdue = [entry for entry in overdue if entry[1] in running]
            heapify(self._overdue)
        return [(self._groups[name].spec, change) for name, change in changes.items()]

    def take_changed(self) -> Iterable[GroupName]:
        """Return the groups whose tasks may cost something else than when this was last asked."""
        changed, self._changed = self._changed, {}
        return changed

    def _longest_price(self) -> float:
        """Return the greatest price of any group; what stands above it in the heap is out of date."""
        longest = self._longest
        while -longest[0][0] != self._groups[longest[0][1]].price:
            heappop(longest)
        if len(longest) > 2 * len(self._groups) + 64:
            self._longest = longest = [(-past.price, name) for name, past in self._groups.items()]
            heapify(longest)
        return -longest[0][0]

    def _learn(self, past: _Past, seconds: float) -> None:
        self._sum_of_means -= past.mean
        self._known += not past.seen
        past.seen += 1
        past.mean += (seconds - past.mean) / min(past.seen, RECENT)
        self._sum_of_means += past.mean
