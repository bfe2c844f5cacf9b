"""Task admission policies, one per module: who may start while capacity is free."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from actors.task_admission.policies.bounded_borrow import (
    BoundedBorrowConfig,
    BoundedBorrowTaskAdmissionPolicy,
)
from actors.task_admission.policies.provider_aware import ProviderAwareTaskAdmissionPolicy
from actors.task_admission.policies.service_time_fair import ServiceTimeFairTaskAdmissionPolicy
from actors.task_admission.policies.strict_fair import StrictFairTaskAdmissionPolicy
from messages.callables import resolve_reference
from messages.hints import possible
from messages.task_admission import Charge, TaskAdmissionPolicy

__all__ = [
    "BoundedBorrowConfig",
    "BoundedBorrowTaskAdmissionPolicy",
    "ProviderAwareTaskAdmissionPolicy",
    "ServiceTimeFairTaskAdmissionPolicy",
    "StrictFairTaskAdmissionPolicy",
    "policy_named",
]


_CHARGES: tuple[str, ...] = get_args(Charge)
_METHODS = ("evaluate", "on_acquire", "on_release")
_POLICIES: dict[str, Callable[[], TaskAdmissionPolicy]] = {
    "bounded_borrow": BoundedBorrowTaskAdmissionPolicy,
    "provider_aware": ProviderAwareTaskAdmissionPolicy,
    "service_time_fair": ServiceTimeFairTaskAdmissionPolicy,
    "strict_fair": StrictFairTaskAdmissionPolicy,
}


def policy_named(name: str) -> TaskAdmissionPolicy:
    """Return a new policy by the name that `Limits.policy` gives it: one of ours, or `module:Class`.

    Raises:
        LookupError: there is no such policy, or it is none; says why.
    """
    if name in _POLICIES:
        return _POLICIES[name]()
    if ":" not in name:
        raise LookupError(f"there is no policy {name!r}; {possible(name, _POLICIES)}, or 'module:Class'")
    try:
        policy = resolve_reference(name)()
    except Exception as error:
        raise LookupError(f"{name!r} cannot be made: {type(error).__name__}: {error}") from error
    lacking = [method for method in _METHODS if not callable(getattr(policy, method, None))]
    if lacking:
        raise LookupError(f"{name!r} is no policy: it has no {', '.join(lacking)}")
    charge = getattr(policy, "charge", "task")
    if charge not in _CHARGES:
        raise LookupError(f"{name!r} has the charge {charge!r}; expected {' or '.join(map(repr, _CHARGES))}")
    found: TaskAdmissionPolicy = policy
    return found
