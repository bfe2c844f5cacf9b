"""Whether a resource does nothing but refuse (A9): a circuit that opens, and is probed until it closes.

It opens when a rate limit comes at the least limit, or the gate is still closed, so long after the first
such rate limit that had no success after it. While it is open one attempt at a time is let through, at
growing intervals, to see; any success closes it.
"""

from __future__ import annotations

from typing import Final

from actors.request_admission.closed_time import ClosedTime
from messages.job import RequestAdmissionTuning
from messages.request_admission import CircuitState, RequestOutcomeKind

_OUR_OWN: Final = frozenset({"local_cancelled", "local_timeout"})


class Circuit:
    """One resource's circuit. `since` is when the rate limits without a success began."""

    __slots__ = (
        "_after",
        "_first_pause",
        "_most_pause",
        "_opened_at",
        "_pause",
        "opened",
        "probe_at",
        "since",
        "state",
    )

    def __init__(self, tuning: RequestAdmissionTuning) -> None:
        self._after = tuning.circuit_after_seconds
        self._first_pause = tuning.circuit_probe_seconds
        self._most_pause = tuning.circuit_max_probe_seconds
        self._pause = tuning.circuit_probe_seconds
        self._opened_at = 0.0
        self.state: CircuitState = "closed"
        self.since: float | None = None
        self.probe_at: float | None = None
        self.opened = ClosedTime()

    def on_outcome(
        self,
        kind: RequestOutcomeKind,
        *,
        now: float,
        granted_at: float,
        at_minimum: bool,
        blocked_until: float | None,
    ) -> bool:
        """Learn how an attempt that left at `granted_at` ended; return whether it opened or closed."""
        if kind == "success":
            return self._succeeded(now)
        if self.state == "open":
            # What left before it opened is no probe; one that we ended ourselves tells nothing.
            if granted_at > self._opened_at and kind not in _OUR_OWN:
                self._wait_longer(now, blocked_until)
            return False
        if kind == "rate_limited" and at_minimum:
            if self.since is None:
                self.since = now
            if now >= self.since + self._after:
                self._open(now, blocked_until)
                return True
        return False

    def decide_at(self, blocked_until: float | None) -> float | None:
        """Return when `advance` opens it if nothing happens until then: only behind a closed gate."""
        if self.state == "open" or self.since is None or blocked_until is None:
            return None
        at = self.since + self._after
        return at if blocked_until > at else None

    def advance(self, *, now: float, blocked_until: float | None) -> bool:
        """Let time pass; return whether the circuit opened by it."""
        at = self.decide_at(blocked_until)
        if at is None or now < at:
            return False
        self._open(now, blocked_until)
        return True

    def admits(self, now: float, in_flight: int) -> bool:
        """Return whether an attempt may leave as far as the circuit is concerned: as a probe, if need be."""
        if self.state == "closed":
            return True
        return not in_flight and self.probe_at is not None and now >= self.probe_at

    def _succeeded(self, now: float) -> bool:
        was_open = self.state == "open"
        self.opened.open(now)
        self.state, self.since, self.probe_at = "closed", None, None
        return was_open

    def _open(self, now: float, blocked_until: float | None) -> None:
        self.state, self._pause = "open", self._first_pause
        self._opened_at = now
        self.opened.close(now, None)
        self.probe_at = max(now + self._pause, blocked_until or now)

    def _wait_longer(self, now: float, blocked_until: float | None) -> None:
        self._pause = min(2.0 * self._pause, self._most_pause)
        self.probe_at = max(now + self._pause, blocked_until or now)
