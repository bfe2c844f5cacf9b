"""What a rate limit does to a limit: one cut per cascade, and the ceiling that it leaves behind (A4, A5)."""

from __future__ import annotations

from math import floor, inf

from actors.request_admission.limits.base import LimitTransition
from messages.request_admission import RequestLease


class RateLimitCut:
    """The last cut: when it was, and at which limit.

    Fifty attempts refused in one second are one overload and one cut. Those that left before the cut, under
    a limit above the present one, tell nothing new. How long the provider asks to wait is no part of that:
    it is the gate's, and a long wait must not keep later cuts away.
    """

    def __init__(self, *, factor: float) -> None:
        self._factor = factor
        self._made_at = -inf
        self._ceiling: int | None = None

    @property
    def ceiling(self) -> int | None:
        """The limit at which the last cut was made; None before the first, and when fully recovered."""
        return self._ceiling

    @property
    def made_at(self) -> float:
        """When the last cut was made; long ago where there was none."""
        return self._made_at

    def is_ceiling_within(self, limit: int, step: int) -> bool:
        """Whether `step` more than `limit` crosses the ceiling."""
        return self._ceiling is not None and limit < self._ceiling <= limit + step

    def is_due(self, lease: RequestLease, *, current: int) -> bool:
        """Whether the refusal of this lease is of an overload that the limit has not been cut for yet."""
        return lease.acquired_at > self._made_at or lease.current_limit <= current

    def make(self, *, current: int, now: float) -> int:
        """Return the limit after a cut. At 1 there is nothing to cut, and nothing to remember."""
        after = max(1, floor(current * self._factor))
        if after < current:
            self._made_at, self._ceiling = now, current
        return after

    def recovery(
        self, *, before: int, after: int, effective_max: int, reason: str
    ) -> tuple[LimitTransition, ...]:
        """Return what the way from `before` up to `after` means beside growth, each told once.

        Forgets the ceiling where nothing of the cut is left.
        """
        if self._ceiling is None:
            return ()
        told: tuple[LimitTransition, ...] = ()
        if self.is_ceiling_within(before, after - before):
            told = (LimitTransition("request_soft_ceiling_recovered", before, after, reason),)
        if after >= effective_max:
            self._ceiling = None
            told += (LimitTransition("request_fully_recovered", before, after, reason),)
        return told
