"""Bounded borrow: a weighted share for everybody, and more than that only while nobody else wants it.

A group's strict share of a resource is its weight's part among the groups that compete for it. Alone, a
group may go beyond its share, and what goes beyond is debt. Once a peer is queued for the same resource,
a group with debt gets nothing more until its leases come back. So idle capacity is used, and a peer that
arrives late gets every slot that becomes free until the shares are right again.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import msgspec

from actors.task_admission.policies.pressure import competition_for
from messages.task_admission import (
    PolicyStateDelta,
    Recheck,
    TaskAdmissionDenialReason,
    TaskAdmissionPolicyDecision,
    TaskAdmissionView,
    TaskLease,
)
from messages.tasks import (
    GroupName,
    QueueView,
    SchedulableTask,
    SchedulerResourceKey,
    SchedulerResourceRequest,
)

_ALLOWED = TaskAdmissionPolicyDecision(allowed=True)
_ALWAYS_ALLOWED = TaskAdmissionPolicyDecision(allowed=True, standing=True)
_NO_DEBT = PolicyStateDelta()
_OWN_RETURN = Recheck()


@functools.cache
def _repayment(resources: SchedulerResourceRequest) -> PolicyStateDelta:
    """Return the repayment for one of the few distinct vectors that leases hold."""
    return PolicyStateDelta(tuple((resource, -amount) for resource, amount in resources.amounts))


class BoundedBorrowConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How far a group may go beyond its share.

    ceilings: the most debt of one group in one resource. default_ceiling: the same for all others; None:
    all of the resource, so that a group alone leaves nothing idle. rounding: of shares.

    Raises:
        ValueError: a ceiling is negative.
    """

    ceilings: dict[GroupName, dict[SchedulerResourceKey, int]] = {}
    default_ceiling: int | None = None
    rounding: Literal["ceil", "floor"] = "ceil"

    def __post_init__(self) -> None:
        """Check the ranges."""
        named = [ceiling for each in self.ceilings.values() for ceiling in each.values()]
        for ceiling in (*named, self.default_ceiling or 0):
            if ceiling < 0:
                raise ValueError(f"a borrow ceiling is {ceiling}; expected at least 0")


class BoundedBorrowTaskAdmissionPolicy:
    """Rule T12. Keeps no state of its own: debt is in the ledger, where it changes with the lease."""

    def __init__(self, config: BoundedBorrowConfig | None = None) -> None:
        self._config = config or BoundedBorrowConfig()

    def evaluate(
        self, item: SchedulableTask, queue_view: QueueView, admission_view: TaskAdmissionView
    ) -> TaskAdmissionPolicyDecision:
        """Judge one candidate, resource by resource. A group without an admitted limit is always allowed."""
        if item.group.admitted_limit is None:
            return _ALWAYS_ALLOWED
        name = item.group.name
        weights, pressed = competition_for(
            item.resource_request, queue_view, admission_view.resources_available
        )
        leased = admission_view.leased_resources_by_group.get(name, {})
        debts = admission_view.policy_debt_by_group_resource.get(name, {})
        borrows: list[tuple[SchedulerResourceKey, int]] = []
        for resource, amount in item.resource_request.amounts:
            limit = admission_view.resource_limits[resource]
            most = min(item.group.admitted_limit * amount, limit)
            weight = weights.get(resource, 0.0)
            share = min(self._share(item, amount, limit, weight, alone=resource not in pressed), most)
            projected, debt = leased.get(resource, 0) + amount, debts.get(resource, 0)
            if resource in pressed:
                if debt > 0:
                    return self._denied("borrow_debt", item, resource, share, projected, debt, _OWN_RETURN)
                if projected > share:
                    recheck = _OWN_RETURN
                    if projected <= most:
                        recheck = Recheck(resource, self._weight_below(item, limit, projected))
                    return self._denied("group_cap", item, resource, share, projected, debt, recheck)
            elif projected > share:
                borrowed = min(amount, projected - share)
                if debt + borrowed > self._ceiling(name, resource, limit - share):
                    # The ceiling moves with the share, so nothing simpler than asking again will do.
                    return self._denied("borrow_debt", item, resource, share, projected, debt, None)
                borrows.append((resource, borrowed))
        return TaskAdmissionPolicyDecision(allowed=True, borrows=tuple(borrows)) if borrows else _ALLOWED

    def on_acquire(self, _lease: TaskLease, decision: TaskAdmissionPolicyDecision) -> PolicyStateDelta:
        """Return what `evaluate` found to be borrowed, as debt."""
        return PolicyStateDelta(decision.borrows) if decision.borrows else _NO_DEBT

    def on_release(self, lease: TaskLease) -> PolicyStateDelta:
        """Return a repayment of what the lease frees: any lease of the group repays."""
        if lease.group.admitted_limit is None:
            return _NO_DEBT
        return _repayment(lease.resources)

    def _share(self, item: SchedulableTask, amount: int, limit: int, weight: float, *, alone: bool) -> int:
        """Return the weighted part of `limit`, at least one task's worth.

        Two groups whose tasks take more than their part could stop each other for ever otherwise (T10).
        """
        own = item.group.weight
        total = 2 * own if alone and weight <= own else weight
        share = limit * own / total
        return max(amount, math.ceil(share) if self._config.rounding == "ceil" else math.floor(share))

    def _ceiling(self, name: GroupName, resource: SchedulerResourceKey, everything: int) -> int:
        explicit = self._config.ceilings.get(name, {}).get(resource)
        if explicit is not None:
            return explicit
        default = self._config.default_ceiling
        return everything if default is None else default

    def _denied(
        self,
        reason: TaskAdmissionDenialReason,
        item: SchedulableTask,
        resource: SchedulerResourceKey,
        share: int,
        projected: int,
        debt: int,
        recheck: Recheck | None,
    ) -> TaskAdmissionPolicyDecision:
        return TaskAdmissionPolicyDecision(
            allowed=False,
            reason=reason,
            recheck=recheck,
            diagnostics={
                "group": item.group.name,
                "resource": resource,
                "strict_share": share,
                "projected": projected,
                "debt": debt,
            },
        )

    def _weight_below(self, item: SchedulableTask, limit: int, projected: int) -> float:
        """Return the competing weight below which the group's share reaches `projected`."""
        if self._config.rounding == "ceil":  # ceil(x) reaches p as soon as x exceeds p - 1
            return limit * item.group.weight / (projected - 1)
        return math.nextafter(limit * item.group.weight / projected, math.inf)
