"""Provider aware: work whose models could not be called now lets other work go first (A12)."""

from __future__ import annotations

import msgspec

from actors.task_admission.policies.bounded_borrow import BoundedBorrowTaskAdmissionPolicy
from actors.task_admission.policies.pressure import fits
from messages.task_admission import (
    PolicyStateDelta,
    Recheck,
    TaskAdmissionPolicy,
    TaskAdmissionPolicyDecision,
    TaskAdmissionView,
    TaskLease,
)
from messages.tasks import QueueView, SchedulableTask

_YIELDING = Recheck(yielding=True)


class ProviderAwareTaskAdmissionPolicy:
    """Rule A12 around an inner policy, bounded borrow where none is given. Keeps no state of its own.

    A task is under pressure while a resource that it takes is in `TaskAdmissionView.pressed`; one that
    calls no model never is. It is passed over, whatever else it takes, while a peer is queued that is under
    no pressure and is eligible: all that the peer takes is free, and the inner policy has not refused it
    since anything changed that could alter its answer. Without such a peer (none is queued, what they take
    is not free, they are refused, or everything is under pressure) the inner policy alone decides.

    Work under pressure counts for nothing where the inner policy judges other work: what may not go now
    presses nobody. So a group under no pressure is never refused for the sake of one that is.
    """

    def __init__(self, inner: TaskAdmissionPolicy | None = None) -> None:
        self._inner = inner or BoundedBorrowTaskAdmissionPolicy()

    def evaluate(
        self, item: SchedulableTask, queue_view: QueueView, admission_view: TaskAdmissionView
    ) -> TaskAdmissionPolicyDecision:
        """Return `provider_pressure` for what has to let others go first, else the inner policy's answer."""
        if not admission_view.pressed:
            return self._inner.evaluate(item, queue_view, admission_view)
        resource = admission_view.pressed_of(item.resource_request)
        if resource is None:
            others = _unpressed(queue_view, admission_view)
            return _among_unpressed(self._inner.evaluate(item, others, admission_view))
        if not _any_eligible_unpressed(queue_view, admission_view):
            return self._inner.evaluate(item, queue_view, admission_view)
        until = admission_view.pressed[resource]
        return TaskAdmissionPolicyDecision(
            allowed=False,
            reason="provider_pressure",
            available_after=until,
            recheck=_YIELDING,
            diagnostics={"resource": resource, "until": until},
        )

    def on_acquire(self, lease: TaskLease, decision: TaskAdmissionPolicyDecision) -> PolicyStateDelta:
        """Return the inner policy's change of debt."""
        return self._inner.on_acquire(lease, decision)

    def on_release(self, lease: TaskLease) -> PolicyStateDelta:
        """Return the inner policy's change of debt."""
        return self._inner.on_release(lease)


def _any_eligible_unpressed(queue_view: QueueView, admission_view: TaskAdmissionView) -> bool:
    """Return whether a queued group could go that is under no pressure."""
    available = admission_view.resources_available
    return any(
        head.groups > head.refused
        and admission_view.pressed_of(head.request) is None
        and fits(head.request, available)
        for head in queue_view.heads
    )


def _unpressed(queue_view: QueueView, admission_view: TaskAdmissionView) -> QueueView:
    """Return the queue as it is without the groups that are under pressure."""
    heads = tuple(head for head in queue_view.heads if admission_view.pressed_of(head.request) is None)
    return msgspec.structs.replace(queue_view, heads=heads)


def _among_unpressed(decision: TaskAdmissionPolicyDecision) -> TaskAdmissionPolicyDecision:
    """Return a decision that was made without the groups under pressure, which says so."""
    if decision.recheck is None or decision.recheck.weight_below <= 0:
        return decision
    recheck = msgspec.structs.replace(decision.recheck, among_unpressed=True)
    return msgspec.structs.replace(decision, recheck=recheck)
