"""What a task of each group takes, in lease-seconds: foreseen from the group's own past, then as it was.

A task is charged when it is dispatched with what the group's tasks have taken lately. While it runs longer
than that it is charged on, so that a group whose tasks have become slow is found out before the first of them
ends. When its lease comes back, what it really held it for counts, and nothing else. Time comes in with the
messages; all of this is forgotten with the scheduler, and learnt anew by the next job's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from typing import TypeAlias

from actors.scheduler.fair_groups import TaskCost
from messages.task_admission import TaskLease, TaskLeaseRelease
from messages.tasks import GroupName, TaskGroupSpec, TaskOutcomeKind

LEAST_SECONDS = 0.0001
"""What the quickest task is charged: work that takes no time at all must not go first for ever."""

RECENT = 16
"""A group's expectation is the mean of all its tasks at first; later the latest has this part in it."""

MOST_IN_A_ROW = 16
"""How many tasks a group may have in a row while another waits that stands level with it."""

NEWS = 0.1
"""An expectation counts anew when it has moved by this part: a little more or less is no other task."""

_TELLING: frozenset[TaskOutcomeKind] = frozenset({"success", "retryable_failure", "non_retryable_failure"})
"""How a task ends that was let run for as long as it takes."""


class _Past:
    """What is known of one group. `price` is what the queue counts its tasks for at present."""

    __slots__ = ("mean", "most_out", "out", "price", "seen", "spec")

    def __init__(self, spec: TaskGroupSpec) -> None:
        self.spec = spec
        self.mean = 0.0
        self.seen = 0
        self.out = 0
        self.most_out = 0
        self.price = 0.0


_Running: TypeAlias = tuple[_Past, float, float]
"""One task under its lease: its group's past, since when, and what it is charged with so far."""


class ServiceTimes:
    """The costs of the ready queue's tasks where groups share time and not turns.

    A task costs O(1), and O(log groups) where its group's expectation is news.
    """

    def __init__(self) -> None:
        self._groups: dict[GroupName, _Past] = {}
        self._running: dict[int, _Running] = {}
        self._looks: list[tuple[float, int, list[int]]] = []
        self._numbers = 0
        self._changed: dict[GroupName, None] = {}
        self._longest: list[tuple[float, GroupName]] = []
        self._longest_told = LEAST_SECONDS

    # -- the queue's side ----------------------------------------------------------------------------

    def of(self, group: TaskGroupSpec) -> TaskCost:
        """Return a task's expected lease-seconds. A group without a past is charged as its tasks go on.

        Before the virtual time it may stand by as many tasks as it has had out at once, any of which may end
        sooner than expected, and one more.

        Beside tasks that are twice as long or longer, it keeps its turn until it has had as much as one of
        those takes: a place that is left to short work is free again when those beside it are, and the run
        does not end with each at another time. `MOST_IN_A_ROW` bounds that, however long the others are.
        """
        past = self._groups.get(group.name)
        if past is None:
            past = self._groups[group.name] = _Past(group)
        price = past.price = self.expected(group.name)
        heappush(self._longest, (-price, group.name))
        longest = self._longest_price()
        stay = min(longest - price, price * (MOST_IN_A_ROW - 1)) if longest >= 2 * price else 0.0
        return TaskCost(price, price * (past.most_out + 1), stay)

    def expected(self, name: GroupName) -> float:
        """Return what a group's next task is expected to take, seconds."""
        past = self._groups.get(name)
        return LEAST_SECONDS if past is None else max(past.mean, LEAST_SECONDS)

    def take_news(self) -> Iterable[GroupName]:
        """Return the groups whose tasks cost something else than when this was last asked.

        All of them where the longest tasks have become twice as long, or half: turns are measured by these.
        """
        changed, self._changed = self._changed, {}
        longest = self._longest_price() if self._longest else 0.0
        if not self._longest_told / 2 < longest < self._longest_told * 2:
            self._longest_told = longest
            changed |= dict.fromkeys(self._groups)
        return changed

    # -- what happens --------------------------------------------------------------------------------

    def began(self, leases: Sequence[TaskLease]) -> None:
        """Take in which tasks were dispatched together, each as the queue has counted it."""
        running, groups = self._running, self._groups
        executions: list[int] = []
        due = inf
        for lease in leases:
            past = groups[lease.group.name]
            past.out += 1
            if past.out > past.most_out:
                past.most_out = past.out
                self._changed[lease.group.name] = None
            execution = lease.correlation.task_execution_id
            executions.append(execution)
            running[execution] = (past, lease.acquired_at, past.price)
            due = min(due, past.price)
        if executions:
            self._look_at(leases[0].acquired_at + due, executions)

    def ended(self, releases: Iterable[TaskLeaseRelease], at: float) -> list[tuple[TaskGroupSpec, float]]:
        """Take in which leases are back; return by how much each group was charged too little, or too much.

        at: when they came back, in seconds of run time.
        """
        changes: dict[_Past, float] = {}
        running = self._running
        for release in releases:
            if not release.result.released:
                continue
            task = running.pop(release.lease.correlation.task_execution_id, None)
            if task is None:
                continue  # given back before anything was started under it
            past, since, charged = task
            seconds = max(at - since, LEAST_SECONDS)
            changes[past] = changes.get(past, 0.0) + seconds - charged
            past.out -= 1
            if release.outcome.kind in _TELLING:
                past.seen += 1
                past.mean += (seconds - past.mean) / (min(RECENT, past.seen))
        for past in changes:
            if abs(past.mean - past.price) > NEWS * past.price:
                self._changed[past.spec.name] = None
        return [(past.spec, change) for past, change in changes.items()]

    def overdue(self, now: float) -> list[tuple[TaskGroupSpec, float]]:
        """Return by how much each group is to be charged on for tasks that run longer than was foreseen.

        Each time as much again as it has taken passes before a task is looked at again, so that the longest
        costs few looks; what it is charged is never less than half of what it has taken.
        """
        changes: dict[_Past, float] = {}
        while self._looks and self._looks[0][0] <= now:
            _, _, executions = heappop(self._looks)
            left = [execution for execution in executions if execution in self._running]
            if not left:
                continue
            for execution in left:
                past, since, charged = self._running[execution]
                if now - since > charged:
                    changes[past] = changes.get(past, 0.0) + now - since - charged
                    self._running[execution] = (past, since, now - since)
            since = self._running[left[0]][1]  # the same for all that were dispatched together
            self._look_at(since + max(2 * (now - since), LEAST_SECONDS), left)
        return [(past.spec, change) for past, change in changes.items()]

    # -- inside --------------------------------------------------------------------------------------

    def _look_at(self, due: float, executions: list[int]) -> None:
        self._numbers += 1
        heappush(self._looks, (due, self._numbers, executions))

    def _longest_price(self) -> float:
        """Return the greatest price of any group; what stands above it in the heap is out of date."""
        longest = self._longest
        while -longest[0][0] != self._groups[longest[0][1]].price:
            heappop(longest)
        if len(longest) > 2 * len(self._groups) + 64:
            self._longest = longest = [(-past.price, name) for name, past in self._groups.items()]
            heapify(longest)
        return -longest[0][0]
