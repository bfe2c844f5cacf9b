"""Where metrics come from: a running system, asked by message, and a subscription to a few kinds of events.

Nothing is counted per task: what tasks come to is in the snapshots. Asking has a time limit, so that a system
that is busy or gone holds up no scrape.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from itertools import chain
from types import TracebackType
from typing import Final, Protocol, Self

from actors.metrics.catalogue import Metric, Sample
from actors.metrics.labels import Label
from actors.metrics.requests import KINDS, Histogram, Observe, RequestTotals
from actors.metrics.snapshots import samples
from actors.runtime.client import Client
from actors.runtime.router import UnreachableError
from actors.runtime.subscription import Subscription
from messages._base import ACTOR_NAMES, ActorName
from messages.supervision import ActorSnapshot, GetSnapshot
from messages.telemetry import Subscribe

ANSWER_SECONDS: Final = 1.0
"""How long all actors together may take to answer."""

_KEPT_SECONDS: Final = 0.5
"""Several instruments that are read together are of one and the same moment."""


class System(Protocol):
    """What is measured."""

    @property
    def client(self) -> Client:
        """Who asks its actors."""
        ...


class MetricsSource:
    """Follows a system while its block lasts. Any thread may read it."""

    def __init__(self, system: System, *, observe: Observe = lambda *_: None) -> None:
        self._client = system.client
        self._lock = threading.Lock()
        self._totals = RequestTotals(observe)
        self._subscription = Subscription(self._client, Subscribe(KINDS))
        self._reader = threading.Thread(target=self._read, name="leasehold-metrics", daemon=True)
        self._kept: tuple[float, list[Sample]] | None = None
        self._closed = False

    def __enter__(self) -> Self:
        """Begin to follow.

        Raises:
            UnreachableError: the system does not run.
        """
        self._subscription.__enter__()
        self._reader.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Follow no longer."""
        self._closed = True
        self._subscription.__exit__(exc_type, exc, traceback)
        self._subscription.end()
        self._reader.join()

    def samples(self) -> list[Sample]:
        """Return every gauge and counter, as they were within the last half second."""
        kept, now = self._kept, time.monotonic()
        if kept is not None and now < kept[0] + _KEPT_SECONDS:
            return kept[1]
        snapshots = self._snapshots()
        with self._lock:
            found = _added_up(chain(samples(snapshots, self._totals), self._totals.samples()))
        self._kept = (time.monotonic(), found)
        return found

    def histograms(self) -> dict[tuple[Metric, tuple[Label, ...]], Histogram]:
        """Return every histogram as it is now."""
        with self._lock:
            return {key: each.copy() for key, each in self._totals.histograms.items()}

    def _snapshots(self) -> dict[ActorName, ActorSnapshot]:
        """Ask all actors at once; return the answers of those that answer in time."""
        found: dict[ActorName, ActorSnapshot] = {}
        with self._client.reply_box() as box, contextlib.suppress(TimeoutError, UnreachableError):
            ask = GetSnapshot(reply_to=box.address)
            asked = [name for name in ACTOR_NAMES if self._client.tell(name, ask)]
            until = time.monotonic() + ANSWER_SECONDS
            while len(found) < len(asked):
                answer = box.get(max(0.0, until - time.monotonic()))
                if isinstance(answer, ActorSnapshot):
                    found[answer.actor] = answer
        return found

    def _read(self) -> None:
        while not self._closed:
            try:
                events = self._subscription.get()
            except UnreachableError:
                return
            with self._lock:
                for placed in events:
                    self._totals.add(placed.event)


def _added_up(samples: Iterable[Sample]) -> list[Sample]:
    """Return one sample for each metric and labels: names beyond the bound share theirs."""
    found: dict[tuple[Metric, tuple[Label, ...]], float] = {}
    for metric, labels, value in samples:
        found[metric, labels] = found.get((metric, labels), 0.0) + value
    return [Sample(metric, labels, value) for (metric, labels), value in found.items()]
