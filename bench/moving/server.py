"""A model server whose real capacity moves: it refuses what is too much, or queues without end."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Literal, NamedTuple

from bench.moving.script import CapacityScript
from messages.job import ScriptStep
from messages.request_admission import RequestOutcome

REFUSAL_SECONDS = 0.05
"""How long a refusal takes, and finding out that nobody answers."""


class Answer(NamedTuple):
    """A call's end: when, how, and how long serving it alone would have taken."""

    at: float
    call: int
    outcome: RequestOutcome
    service_seconds: float


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
        self.script = CapacityScript(steps)
        self._queues = when_full == "queue"
        self._latency = latency
        self._jitter = jitter
        self._random = Random(seed)
        self._serving = 0
        self._queue: deque[tuple[int, float]] = deque()

    def call(self, call: int, *, now: float) -> list[Answer]:
        """Take a call; return the answers that are certain by now."""
        conditions = self.script.at(now)
        if self._queues:
            self._queue.append((call, now))
            return self.serve(now=now)
        if not conditions.reachable:
            return [Answer(now + REFUSAL_SECONDS, call, RequestOutcome("provider_failure"), 0.0)]
        if self._serving >= conditions.capacity:
            refused = RequestOutcome("rate_limited", conditions.retry_after or None, 429)
            return [Answer(now + REFUSAL_SECONDS, call, refused, 0.0)]
        return [self._begin(call, now, now, conditions.latency_factor)]

    def ended(self) -> None:
        """Free the place of a call that was served."""
        self._serving -= 1

    def serve(self, *, now: float) -> list[Answer]:
        """Begin to serve whoever waits and has a place; return their answers."""
        conditions = self.script.at(now)
        answers = []
        while self._queue and conditions.reachable and self._serving < conditions.capacity:
            call, asked_at = self._queue.popleft()
            answers.append(self._begin(call, asked_at, now, conditions.latency_factor))
        return answers

    def _begin(self, call: int, asked_at: float, now: float, factor: float) -> Answer:
        self._serving += 1
        service = factor * self._latency * self._random.uniform(1 - self._jitter, 1 + self._jitter)
        outcome = RequestOutcome("success", duration_seconds=now + service - asked_at)
        return Answer(now + service, call, outcome, service)
