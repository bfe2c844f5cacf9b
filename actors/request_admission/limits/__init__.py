"""Limit algorithms, one per module: how many attempts of one resource may be in flight (A14)."""

from __future__ import annotations

from actors.request_admission.limits.base import LimitEventKind, LimitTransition, RequestLimit
from actors.request_admission.limits.fixed import FixedLimit
from messages.job import RequestAdmissionTuning

__all__ = ["FixedLimit", "LimitEventKind", "LimitTransition", "RequestLimit", "make_limit"]


def make_limit(
    tuning: RequestAdmissionTuning, *, static_cap: int, initial: int | None = None, clamp: int | None = None
) -> RequestLimit:
    """Return a new limit: `initial` (default: all) of min(static cap, clamp), by `tuning.algorithm` (A2)."""
    del tuning
    effective_max = max(1, min(static_cap, clamp if clamp is not None else static_cap))
    return FixedLimit(effective_max=effective_max, initial=initial if initial is not None else effective_max)
