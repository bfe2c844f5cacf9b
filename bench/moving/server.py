"""A model server whose real capacity moves: it refuses what is too much, or queues without end."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Literal, NamedTuple, TypeAlias

from actors.worker.providers.script import Script
from bench.moving.controllers import Grant
from messages.job import ScriptStep
from messages.request_admission import RequestOutcome

REFUSAL_SECONDS = 0.05
"""How long a refusal takes, and finding out that nobody answers."""


Call: TypeAlias = tuple[Grant, float]
"""What a client calls with, and when it called."""


class Answer(NamedTuple):
    """A call's end: when, and how."""

    at: float
    call: Call
    outcome: RequestOutcome


class VirtualServer:
    """`capacity` calls at once, each of `latency` seconds more or less `jitter` (both means, uniform).

    `when_full`: `refuse` says 429, with Retry-After where the script has one; `queue` lets calls wait,
    first come, first served, and never says a word. A call that runs when the capacity falls runs to its end.
    """

    def __init__(
        self,
        steps: tuple[ScriptStep, ...],
        *,
        when_full: Literal["refuse", "queue"] = "refuse",
        latency: float = 1.0,
        jitter: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.script = Script(steps)
        self._steps = steps
        self._queues = when_full == "queue"
        self._latency = latency
        self._jitter = jitter
        self._random = Random(seed)
        self._serving = 0
        self._queue: deque[Call] = deque()

    def changes(self, until: float) -> Iterator[float]:
        """Return when what it serves at once may be different from the moment before, up to `until`."""
        yield from (step.at + step.outage for step in self._steps if step.outage and step.at <= until)
        change: float | None = 0.0
        while change is not None and change <= until:
            yield change
            change = self.script.next_change(change)

    def room(self, now: float) -> float:
        """Return how many calls it serves at once at a moment."""
        conditions = self.script.at(now)
        if conditions.outage:
            return 0
        return math.inf if conditions.capacity is None else conditions.capacity

    def call(self, call: Call, *, now: float) -> list[Answer]:
        """Take a call; return the answers that are certain by now."""
        conditions = self.script.at(now)
        if conditions.outage:
            return [Answer(now + REFUSAL_SECONDS, call, RequestOutcome("provider_failure"))]
        if self._queues:
            self._queue.append(call)
            return self.serve(now=now)
        if conditions.capacity is not None and self._serving >= conditions.capacity:
            refused = RequestOutcome("rate_limited", conditions.retry_after, 429)
            return [Answer(now + REFUSAL_SECONDS, call, refused)]
        return [self._begin(call, now, conditions.latency_factor)]

    def ended(self) -> None:
        """Free the place of a call that was served."""
        self._serving -= 1

    def serve(self, *, now: float) -> list[Answer]:
        """Begin to serve whoever waits and has a place; return their answers."""
        answers: list[Answer] = []
        if self._queue:
            room, factor = self.room(now), self.script.at(now).latency_factor
            while self._queue and self._serving < room:
                answers.append(self._begin(self._queue.popleft(), now, factor))
        return answers

    def _begin(self, call: Call, now: float, factor: float) -> Answer:
        self._serving += 1
        service = factor * self._latency * self._random.uniform(1 - self._jitter, 1 + self._jitter)
        outcome = RequestOutcome("success", duration_seconds=now + service - call[1])
        return Answer(now + service, call, outcome)
