"""Which replica is not worth asking just now: one that fails again and again while others serve.

A failure changes no limit (A6), and a replica that fails at once would always have the most room: without
this it would draw every call. Only a choice between replicas looks here; a resource without another is
asked whatever it did.
"""

from __future__ import annotations

from messages.request_admission import RequestOutcome

_FAILURES_BEFORE = 3
_FIRST_SECONDS = 0.5
_MOST_SECONDS = 30.0
_REFUSALS_FOR_GOOD = frozenset({401, 403, 404})
"""What a replica says to every call alike: the key, or the model, is not one of its own."""


class Suspicion:
    """One resource's failures in a row, and until when they count against it."""

    __slots__ = ("_failures", "until")

    def __init__(self) -> None:
        self._failures = 0
        self.until: float | None = None

    def on_outcome(self, outcome: RequestOutcome, *, now: float) -> None:
        """Learn how an attempt ended."""
        if outcome.kind == "success":
            self._failures, self.until = 0, None
        elif outcome.provider_status in _REFUSALS_FOR_GOOD:
            self._failures += 1
            self.until = now + _MOST_SECONDS
        elif outcome.kind in ("provider_failure", "provider_timeout"):
            self._failures += 1
            beyond = self._failures - _FAILURES_BEFORE
            if beyond >= 0:
                self.until = now + min(_FIRST_SECONDS * 2.0 ** min(beyond, 10), _MOST_SECONDS)

    def stands(self, now: float) -> bool:
        """Return whether the resource is to be passed over at `now`."""
        return self.until is not None and now < self.until

    @property
    def on_trial(self) -> bool:
        """Whether it has failed so often that one attempt at a time is enough to see."""
        return self.until is not None
