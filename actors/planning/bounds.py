"""Problems of single numbers: what was found, and the bounds it should have kept."""

from __future__ import annotations

import math
from collections.abc import Iterator

from messages.job import Problem


def is_finite(value: float, *, least: float) -> bool:
    """Return whether `value` is finite and not below `least`."""
    return math.isfinite(value) and value >= least


def at_least(path: str, value: int | None, least: int) -> Iterator[Problem]:
    """Yield a problem where a whole number is below `least`. None is always fine, here and below."""
    if value is not None and value < least:
        yield Problem(path, f"is {value}", f"expected at least {least}")


def duration(path: str, seconds: float | None) -> Iterator[Problem]:
    """Yield a problem where a time is not finite, or not above 0."""
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        yield Problem(path, f"is {seconds}", "expected a finite number of seconds above 0")


def pause(path: str, seconds: float | None) -> Iterator[Problem]:
    """Yield a problem where a time that may be nothing is not finite, or below 0."""
    if seconds is not None and not is_finite(seconds, least=0):
        yield Problem(path, f"is {seconds}", "expected a finite number of seconds, at least 0")


def share(path: str, value: float | None) -> Iterator[Problem]:
    """Yield a problem where a part of a whole is not from 0 to 1."""
    if value is not None and not 0 <= value <= 1:
        yield Problem(path, f"is {value}", "expected a share from 0 to 1")
