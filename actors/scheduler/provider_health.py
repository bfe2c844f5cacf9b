"""Whether a run's providers answer as they should: a rolling mix of outcomes per model resource. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from messages.plan import JobPlan

WARNING_SECONDS = 30.0
"""The mix covers at most this long, and a warning is given at most once in it."""

_FEWEST_FAILURES = 5
_DEGRADED_SHARE = 0.2


class ProviderHealth:
    """Failures that may pass, by model resource and kind, beside what ended well in the same time."""

    def __init__(self, plan: JobPlan) -> None:
        self._resources: dict[str, str] = {
            generator.name: generator.scheduling.request_resource.name
            for generator in plan.generators
            if generator.scheduling.request_resource is not None
        }
        self._began = float("-inf")
        self._warned = float("-inf")
        self._failures: dict[str, Counter[str]] = {}
        self._done_before: dict[str, int] = {}

    def failed(
        self, column: str, kind: str, done: Mapping[str, int], now: float
    ) -> dict[str, dict[str, int]] | None:
        """Note that a task failed in a way that may pass; return the mix if it is time for a warning.

        `done` is how many tasks of each column have ended well in all.
        """
        resource = self._resources.get(column)
        if resource is None:
            return None
        if now - self._began >= WARNING_SECONDS:
            self._begin(done, now)
        self._failures.setdefault(resource, Counter())[kind] += 1
        if now - self._warned < WARNING_SECONDS:
            return None
        mix = {name: {**self._succeeded(name, done), **counts} for name, counts in self._failures.items()}
        if not any(self._is_degraded(name, outcomes) for name, outcomes in mix.items()):
            return None
        self._warned = now
        self._begin(done, now)
        return mix

    def _begin(self, done: Mapping[str, int], now: float) -> None:
        self._began = now
        self._failures = {}
        self._done_before = dict(done)

    def _succeeded(self, resource: str, done: Mapping[str, int]) -> dict[str, int]:
        columns = (column for column, name in self._resources.items() if name == resource)
        return {"success": sum(done[column] - self._done_before[column] for column in columns)}

    def _is_degraded(self, resource: str, outcomes: Mapping[str, int]) -> bool:
        failures = self._failures[resource].total()
        return failures >= _FEWEST_FAILURES and failures >= _DEGRADED_SHARE * sum(outcomes.values())
