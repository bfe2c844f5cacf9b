"""What model requests came to, added up from their events: counts, tokens, and how long things took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final, get_args

from actors.metrics.catalogue import (
    BUCKETS,
    RATE_LIMITED,
    REQUEST_SECONDS,
    REQUESTS,
    TOKENS,
    WAIT_SECONDS,
    Metric,
    Sample,
)
from actors.metrics.labels import BoundedNames, Label, closed
from messages.request_admission import RequestDomain, RequestOutcomeKind
from messages.telemetry import Event, EventKind

_DOMAINS: Final = get_args(RequestDomain)
_OUTCOMES: Final = get_args(RequestOutcomeKind)

KINDS: Final[tuple[EventKind, ...]] = (
    "scheduler_job_started",
    "request_wait_started",
    "request_wait_completed",
    "request_wait_timeout",
    "request_wait_cancelled",
    "model_request_started",
    "model_request_completed",
    "request_rate_limited",
)
"""The events that are needed: a few per request, none per task."""

Observe = Callable[[Metric, tuple[Label, ...], float], None]
"""Called with every duration, seconds, of a histogram."""


class Histogram:
    """Counts per bucket of `BUCKETS` and one beyond them, and the sum of all values."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(BUCKETS, value)] += 1
        self.sum += value

    def copy(self) -> Histogram:
        """Return one that stays as this is now."""
        copied = Histogram()
        copied.counts, copied.sum = list(self.counts), self.sum
        return copied


class RequestTotals:
    """Follows the events of `KINDS`. Memory follows what is in flight, and the bounded label sets."""

    def __init__(self, observe: Observe = lambda *_: None) -> None:
        self._observe = observe
        self._providers = BoundedNames()
        self._models = BoundedNames()
        self._since: dict[tuple[Metric, int], float] = {}
        self._counts: Counter[tuple[Metric, tuple[Label, ...]]] = Counter()
        self.histograms: dict[tuple[Metric, tuple[Label, ...]], Histogram] = defaultdict(Histogram)

    def describe(self, endpoint: str, aliases: Iterable[str]) -> None:
        """Take in an endpoint, `provider/model`, and the job's aliases for it."""
        provider, _, _ = endpoint.partition("/")
        self._providers.know(provider)
        shown = "+".join(sorted(aliases))
        if shown:
            self._models.know(endpoint, shown=shown)

    def labels(self, resource: str) -> tuple[Label, ...]:
        """Return a resource's labels: provider, model, domain."""
        endpoint, _, domain = resource.rpartition("/")
        provider, _, _ = endpoint.partition("/")
        return (self._providers.of(provider), self._models.of(endpoint), closed(domain, _DOMAINS))

    def add(self, event: Event) -> None:
        """Take an event of one of `KINDS`."""
        kind, attempt = event.event_kind, event.request_attempt_id
        if kind == "scheduler_job_started":
            described = (event.diagnostics or {}).get("request_resources", {})
            for descriptor in described.values():
                self.describe(str(descriptor["endpoint"]), descriptor.get("caps") or ())
        elif kind == "request_wait_started":
            self._since[WAIT_SECONDS, attempt] = event.captured_at
        elif kind == "model_request_started":
            self._since[REQUEST_SECONDS, attempt] = event.captured_at
        elif kind == "request_rate_limited":
            self._counts[RATE_LIMITED, self.labels(event.resource)] += 1
        elif kind == "model_request_completed":
            self._completed(event)
        else:
            self._took(WAIT_SECONDS, event)

    def samples(self) -> Iterator[Sample]:
        """Yield every count."""
        for (metric, labels), count in self._counts.items():
            yield Sample(metric, labels, count)

    def _completed(self, event: Event) -> None:
        labels, said = self.labels(event.resource), event.diagnostics or {}
        self._counts[REQUESTS, (*labels, closed(event.reason_or_outcome, _OUTCOMES))] += 1
        self._counts[TOKENS, (*labels, Label("input"))] += said.get("input_tokens") or 0
        self._counts[TOKENS, (*labels, Label("output"))] += said.get("output_tokens") or 0
        self._took(REQUEST_SECONDS, event)

    def _took(self, metric: Metric, event: Event) -> None:
        since = self._since.pop((metric, event.request_attempt_id), None)
        if since is not None:
            labels, seconds = self.labels(event.resource), max(0.0, event.captured_at - since)
            self.histograms[metric, labels].add(seconds)
            self._observe(metric, labels, seconds)
