"""The hard ledger: what is leased of each resource, and to whom.

The ledger never knows why a task may or may not run; it knows what is free. Policy debt lives beside
the accounts and changes in the same step, but never changes what is free (T8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from messages.task_admission import (
    PolicyStateDelta,
    ReleaseReason,
    ReleaseResult,
    TaskAdmissionView,
    TaskAdmissionViewUpdate,
    TaskLease,
)
from messages.tasks import GroupName, SchedulableTask, SchedulerResourceKey, SchedulerResourceRequest

LEASES_PER_GENERATION = 10**12
"""Generation g issues ids from (g - 1) times this, plus one: an id is unique over all generations."""

_RELEASED = ReleaseResult(released=True, reason="released")


class Ledger:
    """Accounts, active leases and debt of one generation.

    Invariants, asserted by `check`: available + leased = limit for every resource; the accounts per
    group sum to the leased amounts; no amount and no debt below zero.
    """

    def __init__(self, limits: dict[SchedulerResourceKey, int], *, generation: int, last_id: int = 0) -> None:
        self.generation = generation
        self.active: dict[int, TaskLease] = {}
        self.releases_by_reason: Counter[str] = Counter()
        self.view = TaskAdmissionView(
            resource_limits=dict(limits),
            resources_available=dict(limits),
            leased_resources_by_group={},
            running_by_group={},
            policy_debt_by_group_resource={},
        )
        """The live accounts, updated in place; `snapshot` makes the copy that may leave the actor."""
        self._first_id = max((generation - 1) * LEASES_PER_GENERATION, last_id) + 1
        self._next_id = self._first_id
        self._version = 0
        self._touched: set[GroupName] = set()
        self._debts_touched: set[GroupName] = set()
        self._pressed_changed = False

    @property
    def last_id(self) -> int:
        """The id issued last."""
        return self._next_id - 1

    @property
    def issued(self) -> int:
        """How many leases this ledger has issued."""
        return self._next_id - self._first_id

    def adopt(self, lost: TaskLease, *, now: float) -> TaskLease:
        """Account for a task that runs under a lease of an earlier generation; return its new lease."""
        lease = msgspec.structs.replace(
            lost, lease_id=self._next_id, generation=self.generation, acquired_at=now
        )
        self._next_id += 1
        self.active[lease.lease_id] = lease
        self._account(lease.group.name, lease.resources, 1)
        return lease

    def acquire(self, items: Sequence[SchedulableTask], *, now: float) -> list[TaskLease]:
        """Take all amounts of items that have one group and one vector, at least one item.

        The caller has checked that they are free (T7).
        """
        group, resources = items[0].group, items[0].resource_request
        leases: list[TaskLease] = []
        lease_id, generation, active = self._next_id, self.generation, self.active
        for item in items:
            lease = TaskLease(lease_id, generation, item.task_id, group, resources, now, item.correlation)
            active[lease_id] = lease
            leases.append(lease)
            lease_id += 1
        self._next_id = lease_id
        self._account(group.name, resources, len(leases))
        return leases

    def release(self, leases: Iterable[TaskLease]) -> list[ReleaseResult]:
        """Free what each lease holds that is an active token of this generation and task (T2).

        Ids are issued in order, so one that is not active and not in the future has been returned
        before: no list of returned ids is kept.
        """
        active, results = self.active, list[ReleaseResult]()
        freed: TaskLease | None = None  # the first of some that are all alike and not accounted for yet
        number = 0
        for lease in leases:
            known = active.get(lease.lease_id)
            if known is None or known.task_id != lease.task_id or lease.generation != self.generation:
                results.append(self._refused(lease, known))
                continue
            del active[lease.lease_id]
            results.append(_RELEASED)
            if freed is None or known.group is not freed.group or known.resources is not freed.resources:
                if freed is not None:
                    self._account(freed.group.name, freed.resources, -number)
                freed, number = known, 0
            number += 1
        if freed is not None:
            self._account(freed.group.name, freed.resources, -number)
            self.releases_by_reason["released"] += results.count(_RELEASED)
        return results

    def apply(self, group: GroupName, delta: PolicyStateDelta) -> None:
        """Change a group's debt; it stops at zero."""
        debts = self.view.policy_debt_by_group_resource
        owed = debts.get(group)
        if owed is None:
            if all(change <= 0 for _, change in delta.debt):
                return  # nothing is owed, nothing to repay
            owed = debts[group] = {}
        for resource, change in delta.debt:
            amount = owed.get(resource, 0) + change
            if amount > 0:
                owed[resource] = amount
            else:
                owed.pop(resource, None)
        if not owed:
            del debts[group]
        self._debts_touched.add(group)

    def touch(self, group: GroupName) -> None:
        """Tell of a group in the next update although nothing of it has changed."""
        self._touched.add(group)

    def press(self, pressed: dict[SchedulerResourceKey, float | None]) -> bool:
        """Let the view say that this is under pressure and nothing else; return whether that is news."""
        if pressed == self.view.pressed:
            return False
        self.view.pressed.clear()
        self.view.pressed.update(pressed)
        self._pressed_changed = True
        return True

    def take_update(self) -> TaskAdmissionViewUpdate:
        """Return what changed since the last update, and start the next one."""
        self._tidy()
        view, touched = self.view, self._touched
        running, leased = view.running_by_group, view.leased_resources_by_group
        self._version += 1
        update = TaskAdmissionViewUpdate(
            version=self._version,
            resources_available=view.resources_available.copy(),
            leased_resources_by_group={
                group: leased[group].copy() if group in leased else {} for group in touched
            },
            running_by_group={group: running.get(group, 0) for group in touched},
            policy_debt_by_group_resource={
                group: dict(view.policy_debt_by_group_resource.get(group, {}))
                for group in self._debts_touched
            },
            pressed=view.pressed.copy() if self._pressed_changed else None,
        )
        self._touched, self._debts_touched = set(), set()
        self._pressed_changed = False
        return update

    def snapshot(self) -> TaskAdmissionView:
        """Return the accounts as they are now, in a copy."""
        self._tidy()
        view = self.view
        return TaskAdmissionView(
            resource_limits=dict(view.resource_limits),
            resources_available=dict(view.resources_available),
            leased_resources_by_group={k: dict(v) for k, v in view.leased_resources_by_group.items()},
            running_by_group=dict(view.running_by_group),
            policy_debt_by_group_resource={k: dict(v) for k, v in view.policy_debt_by_group_resource.items()},
            version=self._version,
            pressed=dict(view.pressed),
        )

    def check(self) -> None:
        """Assert the invariants, from the active leases up."""
        self._tidy()
        view = self.view
        leased: Counter[SchedulerResourceKey] = Counter()
        running: Counter[GroupName] = Counter()
        by_group: dict[GroupName, Counter[SchedulerResourceKey]] = {}
        for lease in self.active.values():
            running[lease.group.name] += 1
            for resource, amount in lease.resources.amounts:
                leased[resource] += amount
                by_group.setdefault(lease.group.name, Counter())[resource] += amount
        assert view.leased_resources == dict(leased)
        assert view.running_by_group == dict(running)
        assert view.leased_resources_by_group == {k: dict(v) for k, v in by_group.items()}
        for resource, limit in view.resource_limits.items():
            assert 0 <= leased[resource] <= limit, f"{resource}: {leased[resource]} of {limit}"
            assert view.resources_available[resource] == limit - leased[resource]
        for owed in view.policy_debt_by_group_resource.values():
            assert owed
            assert all(amount > 0 for amount in owed.values())

    def _refused(self, lease: TaskLease, known: TaskLease | None) -> ReleaseResult:
        reason = self._refusal(lease, known)
        self.releases_by_reason[reason] += 1
        return ReleaseResult(
            released=False,
            reason=reason,
            diagnostics={
                "lease_id": lease.lease_id,
                "lease_generation": lease.generation,
                "generation": self.generation,
                "task_id": lease.task_id,
            },
        )

    def _refusal(self, lease: TaskLease, known: TaskLease | None) -> ReleaseReason:
        if lease.generation != self.generation:
            return "wrong_controller_generation"
        if known is not None:
            return "stale_lease"
        if self._first_id <= lease.lease_id < self._next_id:
            return "duplicate"
        return "unknown_lease"

    def _tidy(self) -> None:
        """Remove what has become zero, group by group and not lease by lease."""
        running, leased = self.view.running_by_group, self.view.leased_resources_by_group
        for group in self._touched:
            if running.get(group) == 0:
                del running[group], leased[group]
            elif (held := leased.get(group)) is not None and 0 in held.values():
                leased[group] = {resource: amount for resource, amount in held.items() if amount}

    def _account(self, group: GroupName, request: SchedulerResourceRequest, number: int) -> None:
        """Count so many leases more, or less, that each hold `request`."""
        view = self.view
        running, available = view.running_by_group, view.resources_available
        held = view.leased_resources_by_group.get(group)
        if held is None:
            held = view.leased_resources_by_group[group] = {}
        self._touched.add(group)
        running[group] = running.get(group, 0) + number
        for resource, amount in request.amounts:
            change = amount * number
            available[resource] -= change
            held[resource] = held.get(resource, 0) + change
