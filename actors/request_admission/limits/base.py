"""How many attempts of one resource may be in flight: the limit, apart from who asks for it (A14)."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from messages.request_admission import RequestLease, RequestOutcome

LimitEventKind = Literal[
    "request_limit_decreased",
    "request_limit_increased",
    "request_soft_ceiling_recovered",
    "request_fully_recovered",
]


class LimitTransition(NamedTuple):
    """One change of a limit, made by the transition itself: the event that tells it, and why."""

    kind: LimitEventKind
    before: int
    after: int
    reason: str


class RequestLimit(Protocol):
    """A limit that may learn from how attempts end. Pure: time comes in and never goes back.

    Knows neither waiters nor cooldowns: the pause that a rate limit asks for is the gate's (`cooldown`).
    """

    @property
    def current(self) -> int:
        """Attempts that may be in flight now, from 1 to `effective_max`."""
        ...

    @property
    def effective_max(self) -> int:
        """The most that `current` can ever be: min(static cap, clamp) (A2)."""
        ...

    @property
    def at_minimum(self) -> bool:
        """Whether a rate limit can lower it no further: what opens a circuit if it lasts (A9)."""
        ...

    @property
    def rate_limit_ceiling(self) -> int | None:
        """The limit at which the last cut was made; None before the first, and when fully recovered."""
        ...

    def on_acquire(self, *, now: float) -> None:
        """Note that an attempt leaves: a startup ramp begins with the first."""
        ...

    def on_return(
        self, lease: RequestLease, outcome: RequestOutcome, *, now: float, in_flight: int, cooling: bool
    ) -> tuple[LimitTransition, ...]:
        """Learn how an attempt ended; return what changed.

        `in_flight` counts the resource's attempts, this one among them: a limit grows only while it is being
        used. `cooling` is whether the gate was closed when this returned.
        """
        ...

    def advance(self, *, now: float) -> tuple[LimitTransition, ...]:
        """Let time pass, for a startup ramp; return what changed."""
        ...

    def next_change(self) -> float | None:
        """Return when `advance` has something to do, None where nothing depends on time alone."""
        ...
