"""How many attempts of one resource may be in flight: the limit, apart from who asks for it."""

from __future__ import annotations

from typing import Protocol

from messages.request_admission import RequestLease, RequestOutcome


class RequestLimit(Protocol):
    """A limit that may learn from how attempts end. Pure: time comes in."""

    @property
    def current(self) -> int:
        """Attempts that may be in flight now, from 1 to `effective_max`."""
        ...

    @property
    def effective_max(self) -> int:
        """The most that `current` can ever be (A2)."""
        ...

    def on_return(self, lease: RequestLease, outcome: RequestOutcome, *, now: float) -> None:
        """Learn how an attempt ended."""
        ...


class FixedLimit:
    """The static cap, whatever happens."""

    def __init__(self, cap: int) -> None:
        self._cap = cap

    @property
    def current(self) -> int:
        """Return the cap."""
        return self._cap

    @property
    def effective_max(self) -> int:
        """Return the cap."""
        return self._cap

    def on_return(self, lease: RequestLease, outcome: RequestOutcome, *, now: float) -> None:
        """Learn nothing."""
