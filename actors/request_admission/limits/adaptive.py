"""What every limit that learns has in common: the start, and what a rate limit does (A2, A4)."""

from __future__ import annotations

from actors.request_admission.limits.base import LimitTransition
from actors.request_admission.limits.cut import RateLimitCut
from actors.request_admission.limits.ramp import StartupRamp
from messages.request_admission import RequestLease, RequestOutcome


class AdaptiveLimit:
    """A limit between 1 and `effective_max` that is cut by rate limits. What successes teach is the heirs'.

    initial: where it starts, or where the startup ramp ends. factor: what is left of it after a cut.
    startup_ramp_seconds: 0 starts at `initial`.
    """

    def __init__(
        self, *, effective_max: int, initial: int, factor: float, startup_ramp_seconds: float = 0.0
    ) -> None:
        self._effective_max = effective_max
        self._current = min(max(1, initial), effective_max)
        self._cut = RateLimitCut(factor=factor)
        self._ramp: StartupRamp | None = None
        if startup_ramp_seconds > 0 and self._current > 1:
            self._ramp = StartupRamp(top=self._current, seconds=startup_ramp_seconds)
            self._current = 1

    @property
    def current(self) -> int:
        """Attempts that may be in flight now, from 1 to `effective_max`."""
        return self._current

    @property
    def effective_max(self) -> int:
        """The most that `current` can ever be."""
        return self._effective_max

    @property
    def at_minimum(self) -> bool:
        """Whether a rate limit can lower it no further."""
        return self._current == 1

    @property
    def rate_limit_ceiling(self) -> int | None:
        """The limit at which the last cut was made; None before the first, and when fully recovered."""
        return self._cut.ceiling

    def on_acquire(self, *, now: float) -> None:
        """Begin the startup ramp, where there is one, with the first attempt."""
        if self._ramp is not None:
            self._ramp.begin(now=now)

    def on_return(
        self, lease: RequestLease, outcome: RequestOutcome, *, now: float, in_flight: int, cooling: bool
    ) -> tuple[LimitTransition, ...]:
        """Learn how an attempt ended; whatever is neither a rate limit nor a success changes nothing (A6)."""
        if outcome.kind == "rate_limited":
            return self._refused(lease, now)
        if outcome.kind == "success":
            used = not cooling and in_flight * 2 >= self._current
            return self._succeeded(lease, outcome, now=now, used=used)
        return ()

    def advance(self, *, now: float) -> tuple[LimitTransition, ...]:
        """Take the steps of the startup ramp that are due."""
        told: tuple[LimitTransition, ...] = ()
        while (due := self.next_change()) is not None and due <= now:
            told += self._go_to(self._current + 1, "startup_ramp", now)
        if self._ramp is not None and self._ramp.is_over(self._current):
            self._ramp = None
        return told

    def next_change(self) -> float | None:
        """Return when the startup ramp's next step is due; None where it has not begun, or is over."""
        return None if self._ramp is None else self._ramp.next_step(self._current)

    def _refused(self, lease: RequestLease, now: float) -> tuple[LimitTransition, ...]:
        self._ramp = None
        if not self._cut.is_due(lease, current=self._current):
            return ()
        self._forget()
        return self._go_to(self._cut.make(current=self._current, now=now), "rate_limited", now)

    def _go_to(self, limit: int, reason: str, now: float) -> tuple[LimitTransition, ...]:
        """Make `limit` the present one, within its bounds; return what that means."""
        before, after = self._current, min(max(1, limit), self._effective_max)
        if after == before:
            return ()
        self._current = after
        self._changed(now)
        if after < before:
            return (LimitTransition("request_limit_decreased", before, after, reason),)
        increased = LimitTransition("request_limit_increased", before, after, reason)
        recovery = self._cut.recovery(
            before=before, after=after, effective_max=self._effective_max, reason=reason
        )
        return (increased, *recovery)

    def _succeeded(
        self, lease: RequestLease, outcome: RequestOutcome, *, now: float, used: bool
    ) -> tuple[LimitTransition, ...]:
        """Learn from a success. `used`: outside a cooldown, and with half of the limit in flight or more."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Give up what was learned for the next growth: a rate limit has come."""

    def _changed(self, now: float) -> None:
        """Note that the limit has just changed, whatever the cause."""
