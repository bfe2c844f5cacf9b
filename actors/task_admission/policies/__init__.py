"""Task admission policies, one per module: who may start while capacity is free."""

from __future__ import annotations

from collections.abc import Callable

from actors.task_admission.policies.bounded_borrow import (
    BoundedBorrowConfig,
    BoundedBorrowTaskAdmissionPolicy,
)
from actors.task_admission.policies.strict_fair import StrictFairTaskAdmissionPolicy
from messages.task_admission import TaskAdmissionPolicy

__all__ = [
    "BoundedBorrowConfig",
    "BoundedBorrowTaskAdmissionPolicy",
    "StrictFairTaskAdmissionPolicy",
    "policy_named",
]


_POLICIES: dict[str, Callable[[], TaskAdmissionPolicy]] = {
    "bounded_borrow": BoundedBorrowTaskAdmissionPolicy,
    "strict_fair": StrictFairTaskAdmissionPolicy,
}


def policy_named(name: str) -> TaskAdmissionPolicy:
    """Return a new policy by the name that `Limits.policy` gives it.

    Raises:
        KeyError: there is no such policy.
    """
    return _POLICIES[name]()
