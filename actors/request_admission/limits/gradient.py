"""The limit that follows latency, for servers that queue without end instead of refusing.

Below the knee of a server more calls in flight mean more throughput and the same latency; above it the same
throughput and more latency. So the limit grows while a round of calls costs what calls cost without a queue,
and is cut, in proportion, when a round costs more than `TOLERANCE` times that. Rate limits cut it as they
cut any other.

Two things are known to go wrong with such limits, and decide how this one works:

- The baseline drifts. A limit that rests above the knee sees nothing but queues, and after a window takes
  them for normal. So there is no band in which it rests: it grows until it is cut, and a cut goes below the
  knee, where the queue drains and the baseline is seen anew. And every `PROBE_EVERY` rounds, and after the
  first, one round is made at half the limit: if latency falls, there was a queue all the time.
- Latency varies by itself. So medians of rounds are compared with a percentile of medians of rounds, never
  one call with the best of many.

What it gives after a round never depends on latency but in one way: the higher, the lower.
"""

from __future__ import annotations

from math import ceil

from actors.request_admission.limits.adaptive import AdaptiveLimit
from actors.request_admission.limits.base import LimitTransition
from actors.request_admission.limits.latency import LatencyBaseline, LatencyRound
from messages.job import RequestAdmissionTuning
from messages.request_admission import RequestLease, RequestOutcome

TOLERANCE = 1.35
"""How many times the unloaded latency a round may cost before the limit is cut."""

DRAIN = 0.95
"""The part of the estimated knee that a cut goes to, so that the queue drains."""

SHARPEST_CUT = 0.5
"""The least part of the limit that one cut leaves: a round that saw the change itself exaggerates."""

CAREFUL, BOLD = 0.1, 0.5
"""The part by which a round lets it grow: where it has been cut before, and where it never was."""

FIRST = 4
"""Where it starts unless it is told: it has to see calls that do not queue before it sees queues."""

PROBE_EVERY = 32
"""Rounds between measurements of the unloaded latency at half the limit."""

FALLEN = 0.75
"""Latency at a lower limit below so many times that before: there was a queue."""


class GradientLimit(AdaptiveLimit):
    """A limit that finds the knee of a server from what its calls cost per output token.

    A success whose duration is not known teaches nothing.
    """

    def __init__(self, tuning: RequestAdmissionTuning, *, effective_max: int, initial: int) -> None:
        super().__init__(
            effective_max=effective_max,
            initial=initial,
            factor=tuning.multiplicative_decrease_factor,
            startup_ramp_seconds=tuning.startup_ramp_seconds,
        )
        self._round = LatencyRound()
        self._baseline = LatencyBaseline()
        self._last = 0.0
        """What the round before cost."""
        self._cuts = 0
        """Cuts by latency in a row."""
        self._knee: int | None = None
        """The limit at which latency or a rate limit last cut it."""
        self._resume: int | None = None
        """The limit to go back to, during a probe."""
        self._until_probe = 1

    def _succeeded(
        self, lease: RequestLease, outcome: RequestOutcome, *, now: float, used: bool
    ) -> tuple[LimitTransition, ...]:
        if outcome.duration_seconds is None:
            return ()
        cost = outcome.duration_seconds / max(1, outcome.output_tokens or 1)
        self._round.add(cost, acquired_at=lease.acquired_at, used=used)
        if not self._round.is_complete(limit=self._current):
            return ()
        latency = self._round.latency
        told = self._judge(latency, now) if self._resume is None else self._end_probe(latency, now)
        self._last = latency
        self._round.begin(now=now)
        return told

    def _judge(self, latency: float, now: float) -> tuple[LimitTransition, ...]:
        """Grow or be cut, or first go down to probe; by what was known before this round."""
        baseline = self._baseline.latency
        queued = latency > TOLERANCE * baseline
        limit = self._below_knee(baseline / latency) if queued else self._above()
        self._learn(latency)
        self._until_probe -= 1
        if self._until_probe <= 0 and self._may_probe:
            self._resume = limit
            return self._go_to(self._current // 2, "baseline_probe", now)
        if queued:
            self._ramp = None
            self._cuts, self._knee = self._cuts + 1, self._current
        else:
            self._cuts = 0
        return self._go_to(limit, "latency", now)

    def _learn(self, latency: float) -> None:
        """Count a round. At the limit 1, or where two cuts in a row did not help, no queue is ours."""
        if self._current == 1 or (self._cuts >= 2 and latency >= FALLEN * self._last):
            self._baseline.restart(latency)
            self._knee = None
        else:
            self._baseline.add(latency)

    def _below_knee(self, gradient: float) -> int:
        """Return the limit that the queue drains at; `gradient` is the baseline over the latency."""
        cut = round(self._current * max(SHARPEST_CUT, gradient * DRAIN))
        return max(1, min(cut, self._current - 1))

    @property
    def _may_probe(self) -> bool:
        """Whether half the limit would show something."""
        return self._round.was_used and self._ramp is None and self._current > 1

    def _above(self) -> int:
        """Return the limit after a round without a queue."""
        if not self._round.was_used or self._ramp is not None:
            return self._current
        known = self._knee is not None and self._current <= self._knee
        return self._current + ceil(self._current * (CAREFUL if known else BOLD))

    def _end_probe(self, latency: float, now: float) -> tuple[LimitTransition, ...]:
        """Take what half the limit cost for the baseline, and go back.

        Where latency fell by it, it may fall further: the baseline is that or less, and the next round is
        followed by another probe. Where it did not fall, there was no queue: this is the baseline.
        """
        resume, self._resume = self._resume, None
        fell = latency < FALLEN * self._last
        self._until_probe = 1 if fell else PROBE_EVERY
        if not fell or latency < self._baseline.latency:
            self._baseline.measured(latency)
        assert resume is not None
        return self._go_to(resume, "baseline_probe", now)

    def _forget(self) -> None:
        self._knee, self._resume, self._cuts = self._current, None, 0

    def _changed(self, now: float) -> None:
        self._round.begin(now=now)
