"""A user's own admission policy: at most one task of a group at a time, whatever is free."""

from __future__ import annotations

from messages.task_admission import PolicyStateDelta, TaskAdmissionPolicyDecision


class OneAtATime:
    def evaluate(self, item, queue_view, admission_view):
        running = admission_view.running_by_group.get(item.group.name, 0)
        if running == 0:
            return TaskAdmissionPolicyDecision(allowed=True)
        return TaskAdmissionPolicyDecision(allowed=False, reason="policy_denial")

    def on_acquire(self, lease, decision):
        return PolicyStateDelta()

    def on_release(self, lease):
        return PolicyStateDelta()


class OneAtATimeByTime(OneAtATime):
    charge = "lease_seconds"


class ChargesNothing(OneAtATime):
    charge = "nothing"


class NoPolicy:
    def evaluate(self, item, queue_view, admission_view):
        raise NotImplementedError
