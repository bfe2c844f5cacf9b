"""Chooses which ready tasks to ask leases for, and knows why nothing can be asked for.

Owns the queue and a copy of task admission's view. Between two views availability can only have grown:
only the scheduler asks for leases, workers only return them. So what is selected against the copy is
at worst too careful. One request is under way at a time; everything eligible goes into it.

A group that the policy refuses is parked and not judged on every pass: see `parking`. One that it passes
over because a provider is under pressure gives way to others within a pass: once none of them can go any
more it gets its turn in the same pass, so nothing stays idle for its sake (A12, T13).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from actors.scheduler.advisory import Advisory
from actors.scheduler.fair_queue import FairTaskQueue
from actors.scheduler.parking import Contest, Parking
from actors.scheduler.service_times import ServiceTimes
from messages.task_admission import (
    Charge,
    TaskAdmissionBlockSummary,
    TaskAdmissionPolicy,
    TaskAdmissionPolicyDecision,
    TaskAdmissionView,
    TaskAdmissionViewUpdate,
    TaskLease,
    TaskLeasesDecided,
    TaskLeasesReturned,
)
from messages.tasks import (
    GroupName,
    HeadDemand,
    QueueSelection,
    QueueView,
    SchedulableTask,
    SchedulerResourceKey,
    SchedulerResourceRequest,
    TaskId,
)

V = TypeVar("V", int, dict[SchedulerResourceKey, int])


class Dispatcher:
    """Selection, acquisition and commit as one logical transaction over two actors."""

    def __init__(self, policy: TaskAdmissionPolicy, view: TaskAdmissionView) -> None:
        charge: Charge = getattr(policy, "charge", "task")
        self._times = ServiceTimes() if charge == "lease_seconds" else None
        self.queue = FairTaskQueue(self._times)
        self.advisory = Advisory(self.queue)
        self._policy = policy
        self._view = view
        self._asked: list[QueueSelection] = []
        self._parking = Parking(self.queue)
        self._now = 0.0
        self._refused: list[tuple[GroupName, TaskAdmissionPolicyDecision]] = []
        self._allowed = TaskAdmissionPolicyDecision(allowed=True)
        """The last one that was: about the task that is selected."""
        self._seen: tuple[QueueView, int, QueueView] | None = None

    @property
    def asking(self) -> bool:
        """Whether a request for leases is under way."""
        return bool(self._asked)

    def available(self, resource: SchedulerResourceKey) -> int:
        """Return how much of a resource is not leased, as far as is known here."""
        return self._view.resources_available.get(resource, 0)

    def wake_at(self) -> float | None:
        """Return when a refusal may change by the mere passing of time (T13)."""
        return self._parking.wake_at(later_than=self._now)

    def select(self, *, now: float = 0.0) -> list[QueueSelection]:
        """Return every eligible task in fair order, held in the queue, to ask leases for.

        Empty while an earlier request is undecided.
        """
        if self._asked:
            return []
        self._now = now
        if self._times is not None:
            self.queue.correct(self._times.overdue(now))
            for name in self._times.take_news():
                self.queue.reprice(name)
        queue, available = self.queue, self._view.resources_available
        selections: list[QueueSelection] = []
        judged: set[GroupName] = set()
        if self._parking:
            self._look_again(judged)
        while (selection := self._next(judged)) is not None:
            if self._view.pressed:
                selection = msgspec.structs.replace(selection, queue_view=self._queue_view())
                self.advisory.gets_its_turn(selection.item.group.name)
            elif self._allowed.standing:
                run = queue.hold_run(selection, self._room_for(selection.item.resource_request))
                selections += run
                self._foresee(selection.item, len(run), available)
                continue
            queue.hold(selection)
            selections.append(selection)
            self._foresee(selection.item, 1, available)
        self._asked = selections
        if self._parking.yielding:
            self.advisory.note(self._parking.yielding)
        return selections

    def decide(
        self, decided: TaskLeasesDecided
    ) -> tuple[list[tuple[SchedulableTask, TaskLease]], list[TaskLease]]:
        """Commit what was granted; return (tasks to start with their leases, leases gone stale)."""
        selections, self._asked = self._asked, []
        granted = {lease.task_id: lease for lease in decided.leases}
        starts: list[tuple[SchedulableTask, TaskLease]] = []
        stale: list[TaskLease] = []
        wanted = [selection for selection in selections if selection.item.task_id in granted]
        for selection, item in zip(wanted, self.queue.commit_all(wanted), strict=True):
            lease = granted.pop(selection.item.task_id)
            if item is None:
                stale.append(lease)
            else:
                starts.append((item, lease))
        stale.extend(granted.values())  # for nothing that was asked: it must not be kept
        if self._times is not None:
            self._times.began([lease for _, lease in starts])
        self.apply(decided.view)
        self._put_back(selections, decided)
        return starts, stale

    def returned(self, message: TaskLeasesReturned) -> None:
        """Take in which leases are back: what is free, and what their groups have really taken."""
        self.apply(message.view)
        if self._times is not None:
            self.queue.correct(self._times.ended(message.releases, message.returned_at))

    def apply(self, update: TaskAdmissionViewUpdate) -> None:
        """Bring the copy of the view up to date; groups whose leases changed are looked at again."""
        view = self._view
        view.resources_available.update(update.resources_available)
        _replace(view.leased_resources_by_group, update.leased_resources_by_group)
        _replace(view.running_by_group, update.running_by_group)
        _replace(view.policy_debt_by_group_resource, update.policy_debt_by_group_resource)
        if update.pressed is not None:
            view.pressed.clear()
            view.pressed.update(update.pressed)
            self._pressure_changed()
        if self._parking:
            for name in update.running_by_group:
                self._parking.unpark(name)

    def replace_view(self, view: TaskAdmissionView) -> None:
        """Go on from the view of a new incarnation of task admission; every group is judged anew."""
        self._view = view
        self._pressure_changed()

    def discard(self, task_ids: Iterable[TaskId]) -> None:
        """Remove tasks that are no longer wanted; a group that lost some is judged anew."""
        for item in self.queue.discard(task_ids):
            self._parking.unpark(item.group.name)
            self.advisory.lost_a_task(item.group.name)

    def explain_blocked(self) -> TaskAdmissionBlockSummary:
        """Return why nothing that is queued may start right now.

        Reasons come with the number of groups each one stops, the most frequent first.
        """
        counts = self._parking.reasons
        short: dict[SchedulerResourceKey, int] = {}
        for lane in self.queue.pressure().heads:
            waiting = lane.groups - self._parking.parked_with(lane.request)
            lacking = self._short_of(lane.request)
            if waiting > 0 and lacking is not None:
                counts["no_capacity"] = counts.get("no_capacity", 0) + waiting
                short[lacking] = short.get(lacking, 0) + waiting
        reasons = tuple(sorted(counts, key=lambda reason: -counts[reason]))
        return TaskAdmissionBlockSummary(
            queued_count=len(self.queue),
            dominant_reasons=reasons,
            available_after=self._parking.available_after(),
            diagnostics={
                "groups_by_reason": dict(counts),
                "short_of": short,
                "passed_over": self._passed_over(),
            },
        )

    # -- inside ------------------------------------------------------------------------------------

    def _next(self, judged: set[GroupName]) -> QueueSelection | None:
        """Return the first of all that may go; None once everything that fits was judged and refused."""
        turns_given = False
        while True:
            selection = self.queue.select_next(self._is_eligible, self._fits)
            if self._refused:
                self._park_refused()
            if selection is None:
                if self._parking and self._look_again(judged):
                    turns_given = False
                    continue
            elif not self._parking.yielding or not self._is_pressed(selection.item):
                return selection
            # None of the others can go. Where one that is under pressure may, so may all: in their order.
            if turns_given or not self._give_turns():
                return selection
            turns_given = True

    def _is_eligible(self, item: SchedulableTask) -> bool:
        decision = self._policy.evaluate(item, self._queue_view(), self._view)
        if decision.allowed:
            self._allowed = decision
        else:
            self._refused.append((item.group.name, decision))
        return decision.allowed

    def _queue_view(self) -> QueueView:
        """Return what the policy reads of the queue; under pressure it says who has been refused (A12)."""
        queue_view = self.queue.pressure()
        if not self._view.pressed:
            return queue_view
        version = self._parking.version
        if self._seen is None or self._seen[0] is not queue_view or self._seen[1] != version:
            refused = self._parking.parked_with
            heads = tuple(
                HeadDemand(head.request, head.groups, head.weight, refused(head.request))
                for head in queue_view.heads
            )
            self._seen = (queue_view, version, msgspec.structs.replace(queue_view, heads=heads))
        return self._seen[2]

    def _is_pressed(self, item: SchedulableTask) -> bool:
        return self._view.pressed_of(item.resource_request) is not None

    def _passed_over(self) -> dict[GroupName, SchedulerResourceKey]:
        """Return the groups that give way to others, and which of their resources is under pressure."""
        heads = ((name, self.queue.head_of(name)) for name in self._parking.yielding)
        found = ((name, self._view.pressed_of(head.resource_request)) for name, head in heads if head)
        return {name: resource for name, resource in found if resource is not None}

    def _pressure_changed(self) -> None:
        """Judge every group anew: what is under pressure decides who competes with whom."""
        self._parking.unpark_all()
        self.advisory.pressure_changed(self._view)

    def _give_turns(self) -> bool:
        """Look again at the groups that gave way, where they could go; return whether there is any.

        Called when everything else that could go has been judged. Where nothing is queued that they gave
        way to, they are not passed over any more, whether they could go or not.
        """
        heads = self.queue.pressure().heads
        waited_for = any(self._view.pressed_of(head.request) is None for head in heads)
        return self._parking.unpark_yielding(self._fits if waited_for else lambda _: True)

    def _fits(self, request: SchedulerResourceRequest) -> bool:
        return self._short_of(request) is None

    def _short_of(self, request: SchedulerResourceRequest) -> SchedulerResourceKey | None:
        available = self._view.resources_available
        for resource, amount in request.amounts:
            if available.get(resource, 0) < amount:
                return resource
        return None

    def _room_for(self, request: SchedulerResourceRequest) -> int:
        """Return how many times a request fits."""
        available = self._view.resources_available
        return min(available[resource] // amount for resource, amount in request.amounts)

    def _foresee(
        self, item: SchedulableTask, number: int, available: dict[SchedulerResourceKey, int]
    ) -> None:
        """Count selections as if they had been granted; the decision's view says how it really went."""
        name, view = item.group.name, self._view
        view.running_by_group[name] = view.running_by_group.get(name, 0) + number
        held = view.leased_resources_by_group.setdefault(name, {})
        for resource, amount in item.resource_request.amounts:
            available[resource] -= amount * number
            held[resource] = held.get(resource, 0) + amount * number

    def _put_back(self, selections: list[QueueSelection], decided: TaskLeasesDecided) -> None:
        """Put denied tasks back in the queue, and look past their groups."""
        if not decided.denials:
            return
        denied = {denial.task_id: denial for denial in decided.denials}
        seen: set[GroupName] = set()
        for selection in selections:
            denial, name = denied.get(selection.item.task_id), selection.item.group.name
            if denial is None or name in seen:
                continue
            seen.add(name)
            self.queue.abort(name)
            self._parking.unpark(name)  # its next task is another one now
            if denial.reason != "no_capacity":
                refusal = TaskAdmissionPolicyDecision(
                    False, denial.reason, denial.available_after, diagnostics=denial.diagnostics
                )
                self._parking.park(name, refusal)

    def _park_refused(self) -> None:
        for name, decision in self._refused:
            self._parking.park(name, decision)
        self._refused.clear()

    def _look_again(self, judged: set[GroupName]) -> bool:
        """Unpark groups that may be allowed by now, each at most once a pass; return whether any was."""
        found = self._parking.to_judge(self._fits, self._competing, self._now, judged=judged)
        for name in found:
            self._parking.unpark(name)
        judged.update(found)
        return bool(found)

    def _competing(self, contest: Contest) -> float:
        """Return the weight of the groups whose next task could take the contest's resource right now."""
        return sum(
            head.weight
            for head in self.queue.pressure().heads
            if any(key == contest.resource for key, _ in head.request.amounts)
            and self._fits(head.request)
            and not (contest.among_unpressed and self._view.pressed_of(head.request) is not None)
        )


def _replace(entries: dict[GroupName, V], update: dict[GroupName, V]) -> None:
    """Take over changed entries; an empty or zero one removes its group."""
    if all(update.values()):
        entries.update(update)
        return
    for name, value in update.items():
        if value:
            entries[name] = value
        else:
            entries.pop(name, None)
