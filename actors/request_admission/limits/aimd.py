"""The limit that grows by steps and is cut by rate limits: additive increase, multiplicative decrease."""

from __future__ import annotations

from actors.request_admission.limits.adaptive import AdaptiveLimit
from actors.request_admission.limits.base import LimitTransition
from messages.job import RequestAdmissionTuning
from messages.request_admission import RequestLease, RequestOutcome


class AimdLimit(AdaptiveLimit):
    """After `successes_until_increase` successes since the last change, one step up (A5).

    Only those count that end outside a cooldown while the limit is being used; a failure that is not the
    provider's "too much" neither counts nor breaks the row (A6). The startup ramp is over before any counts.
    """

    def __init__(self, tuning: RequestAdmissionTuning, *, effective_max: int, initial: int) -> None:
        super().__init__(
            effective_max=effective_max,
            initial=initial,
            factor=tuning.multiplicative_decrease_factor,
            startup_ramp_seconds=tuning.startup_ramp_seconds,
        )
        self._step = tuning.additive_increase_step
        self._enough = tuning.successes_until_increase
        self._hold_seconds = tuning.ceiling_hold_seconds
        self._successes = 0

    def _succeeded(
        self, lease: RequestLease, outcome: RequestOutcome, *, now: float, used: bool
    ) -> tuple[LimitTransition, ...]:
        del lease, outcome
        if not used or self._ramp is not None or self._current == self._effective_max:
            return ()
        self._successes += 1
        if self._successes < self._enough or self._holds(now):
            return ()
        self._successes = 0
        return self._go_to(self._current + self._step, "successes", now)

    def _holds(self, now: float) -> bool:
        """Whether the next step is put off: it goes to what was too much a short time ago.

        From 1 there is always a step: the last cut there was may have been made for want of any capacity.
        """
        reaches = self._current > 1 and self._cut.is_ceiling_within(self._current, self._step)
        return reaches and now < self._cut.made_at + self._hold_seconds

    def _forget(self) -> None:
        self._successes = 0
