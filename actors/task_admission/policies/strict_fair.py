"""Strict fair: a group keeps to its admitted limit while a peer could use what it would take."""

from __future__ import annotations

from actors.task_admission.policies.pressure import pressed_resources
from messages.task_admission import (
    PolicyStateDelta,
    Recheck,
    TaskAdmissionPolicyDecision,
    TaskAdmissionView,
    TaskLease,
)
from messages.tasks import QueueView, SchedulableTask

_ALLOWED = TaskAdmissionPolicyDecision(allowed=True)
_ALWAYS_ALLOWED = TaskAdmissionPolicyDecision(allowed=True, standing=True)
_NO_DEBT = PolicyStateDelta()
_RECHECK = Recheck()


class StrictFairTaskAdmissionPolicy:
    """Rule T11. Stateless; keeps no debt."""

    def evaluate(
        self, item: SchedulableTask, queue_view: QueueView, admission_view: TaskAdmissionView
    ) -> TaskAdmissionPolicyDecision:
        """Deny (`group_cap`) a group at its limit under peer pressure; allow everything else."""
        limit = item.group.admitted_limit
        if limit is None:
            return _ALWAYS_ALLOWED
        running = admission_view.running_by_group.get(item.group.name, 0)
        if running < limit:
            return _ALLOWED
        pressed = pressed_resources(item.resource_request, queue_view, admission_view.resources_available)
        if not pressed:
            return _ALLOWED
        return TaskAdmissionPolicyDecision(
            allowed=False,
            reason="group_cap",
            recheck=_RECHECK,
            diagnostics={
                "group": item.group.name,
                "admitted_limit": limit,
                "running": running,
                "pressed_resources": list(pressed),
            },
        )

    def on_acquire(self, _lease: TaskLease, _decision: TaskAdmissionPolicyDecision) -> PolicyStateDelta:
        """Return no debt."""
        return _NO_DEBT

    def on_release(self, _lease: TaskLease) -> PolicyStateDelta:
        """Return no repayment."""
        return _NO_DEBT
