"""Durations and shares as people say them."""

from __future__ import annotations


def told_duration(seconds: float) -> str:
    """Return a duration as people say it: `4 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def took(seconds: float) -> str:
    """Return a duration in words; a dash for none."""
    if not seconds:
        return "-"
    if seconds >= 60:
        return told_duration(seconds)
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


def percent(share: float) -> str:
    """Return a share in per cent."""
    return "<1 %" if 0 < share < 0.01 else f"{share * 100:.0f} %"
