"""Task admission policies, one per module: who may start while capacity is free."""

from __future__ import annotations

from actors.task_admission.policies.strict_fair import StrictFairTaskAdmissionPolicy
from messages.task_admission import TaskAdmissionPolicy

__all__ = ["StrictFairTaskAdmissionPolicy", "policy_named"]


def policy_named(name: str) -> TaskAdmissionPolicy:
    """Return a new policy by the name that `Limits.policy` gives it.

    Raises:
        KeyError: there is no such policy.
    """
    return {"strict_fair": StrictFairTaskAdmissionPolicy}[name]()
