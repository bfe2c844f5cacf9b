"""Limit algorithms, one per module: how many attempts of one resource may be in flight (A14)."""

from __future__ import annotations

from actors.request_admission.limits.aimd import AimdLimit
from actors.request_admission.limits.base import LimitEventKind, LimitTransition, RequestLimit
from actors.request_admission.limits.fixed import FixedLimit
from actors.request_admission.limits.gradient import FIRST, GradientLimit
from messages.job import RequestAdmissionTuning

__all__ = [
    "AimdLimit",
    "FixedLimit",
    "GradientLimit",
    "LimitEventKind",
    "LimitTransition",
    "RequestLimit",
    "make_limit",
]


def make_limit(
    tuning: RequestAdmissionTuning, *, static_cap: int, initial: int | None = None, clamp: int | None = None
) -> RequestLimit:
    """Return a new limit by `tuning.algorithm`: `initial` of min(static cap, clamp), at least 1 (A2).

    initial, clamp: of one resource; they win over the tuning's `initial` and `maximum`. Without either the
    limit is clamped by the static cap alone and starts at all that is allowed; `gradient` starts low.
    """
    maximum = clamp if clamp is not None else tuning.maximum
    effective_max = max(1, static_cap if maximum is None else min(static_cap, maximum))
    start = initial if initial is not None else tuning.initial
    if start is None:
        start = FIRST if tuning.algorithm == "gradient" else effective_max
    match tuning.algorithm:
        case "aimd":
            return AimdLimit(tuning, effective_max=effective_max, initial=start)
        case "gradient":
            return GradientLimit(tuning, effective_max=effective_max, initial=start)
        case "fixed":
            return FixedLimit(effective_max=effective_max, initial=start)
