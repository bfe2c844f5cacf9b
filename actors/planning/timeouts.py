"""Whether calls of simulated providers can end in time: what a job says of both is known before it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from messages.job import Job, SimulatedProvider


class _Reach(NamedTuple):
    """From what to what a provider's calls take, in seconds, and which settings make the longest so long.

    `steady`: a call takes as long at its next try, for it is the request that decides.
    """

    least: float
    most: float
    steady: bool
    settings: str


def timeout_warnings(job: Job, aliases: Iterable[str]) -> Iterator[str]:
    """Yield a line for each of the models whose calls take longer than its `timeout_seconds` allows.

    What a call waits for at a provider that queues is not foreseen.
    """
    for alias in aliases:
        model = job.models[alias]
        for name in model.served_by:
            provider = job.providers[name]
            if not isinstance(provider, SimulatedProvider):
                continue
            reach = _reach(f"providers.{name}", provider)
            if reach.most <= model.timeout_seconds:
                continue
            takes = f"from {reach.least:.3g} to {reach.most:.3g} s"
            if reach.least == reach.most:
                takes = f"{reach.most:.3g} s"
            which = "all of them" if reach.least > model.timeout_seconds else "the longer ones"
            yield (
                f"models.{alias}.timeout_seconds is {model.timeout_seconds:.3g}, and calls of provider "
                f"{name} take {takes}: {which} will time out{', at every try' if reach.steady else ''}; "
                f"raise it above {reach.most:.3g}, or lower {reach.settings}"
            )


def _reach(path: str, provider: SimulatedProvider) -> _Reach:
    """Return how long calls take at all times of the provider's script."""
    latency = provider.latency_ms
    factors = {
        f"{path}.script[{index}].latency_factor": step.latency_factor
        for index, step in enumerate(provider.script)
        if step.latency_factor is not None
    }
    begins_so = any(step.at == 0 and step.latency_factor is not None for step in provider.script)
    all_factors = [*([] if begins_so else [1.0]), *factors.values()]
    best, worst = min(all_factors), max(all_factors)
    settings = [f"{path}.latency_ms", *(place for place, factor in factors.items() if factor == worst > 1)]
    return _Reach(
        least=(latency.mean - latency.jitter) * best / 1000.0,
        most=(latency.mean + latency.jitter) * worst / 1000.0,
        steady=best == worst,
        settings=" or ".join(settings),
    )
