"""A limit that stays where it is."""

from __future__ import annotations

from actors.request_admission.limits.base import LimitTransition
from messages.request_admission import RequestLease, RequestOutcome


class FixedLimit:
    """`initial` attempts, whatever happens."""

    def __init__(self, *, effective_max: int, initial: int) -> None:
        self._effective_max = effective_max
        self._current = min(max(1, initial), effective_max)

    @property
    def current(self) -> int:
        """Return the limit."""
        return self._current

    @property
    def effective_max(self) -> int:
        """Return the cap that it was made under."""
        return self._effective_max

    @property
    def at_minimum(self) -> bool:
        """Return True: it goes no lower."""
        return True

    @property
    def rate_limit_ceiling(self) -> int | None:
        """Return None: it is never cut."""
        return None

    def on_acquire(self, *, now: float) -> None:
        """Note nothing."""

    def on_return(
        self, lease: RequestLease, outcome: RequestOutcome, *, now: float, in_flight: int, cooling: bool
    ) -> tuple[LimitTransition, ...]:
        """Learn nothing."""
        del lease, outcome, now, in_flight, cooling
        return ()

    def advance(self, *, now: float) -> tuple[LimitTransition, ...]:
        """Change nothing."""
        del now
        return ()

    def next_change(self) -> float | None:
        """Return None."""
        return None
