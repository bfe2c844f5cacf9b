"""How a worker's attempts are numbered: no two incarnations have a number in common."""

from __future__ import annotations

_ATTEMPTS_PER_GENERATION = 10**12


def first_attempt_of(generation: int) -> int:
    """Return the number of an incarnation's first attempt; the others follow."""
    return (generation - 1) * _ATTEMPTS_PER_GENERATION + 1


def generation_of(attempt: int) -> int:
    """Return which incarnation made an attempt."""
    return (attempt - 1) // _ATTEMPTS_PER_GENERATION + 1
