"""Which models a job's generators use, and what has to be there for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from actors.generators import Generator
from actors.planning.request_resources import RequestResourceResolver
from actors.planning.resolver import pool_of, task_resource_of, task_slots
from messages.job import ChatColumn, EmbeddingColumn, Job
from messages.plan import ResolvedTaskScheduling
from messages.request_admission import ProviderModelKey, RequestDomain
from messages.tasks import RequestResourceKey, SchedulerResourceKey

_CALLED: Final[tuple[RequestDomain, ...]] = ("chat", "embedding", "image")


class ModelUse:
    """The models in use of one job: by its model columns, and by functions that take the job's models."""

    def __init__(
        self,
        job: Job,
        generators: Mapping[str, Generator],
        scheduling: Mapping[str, ResolvedTaskScheduling],
        requests: RequestResourceResolver,
    ) -> None:
        self._job = job
        self._requests = requests
        self._scheduled = tuple(
            dict.fromkeys(
                each.request_resource for each in scheduling.values() if each.request_resource is not None
            )
        )
        # Which ones such a function will call is known only when it does.
        self._takes_all = any(generator.takes_models for generator in generators.values())

    def aliases(self) -> tuple[str, ...]:
        """Return every alias that may be called, those that columns name first."""
        named = (
            column.model
            for column in self._job.columns.values()
            if isinstance(column, ChatColumn | EmbeddingColumn)
        )
        return tuple(dict.fromkeys((*named, *(self._job.models if self._takes_all else ()))))

    def resources(self) -> tuple[RequestResourceKey, ...]:
        """Return everything that may be asked of a provider, one resource per endpoint and domain."""
        return tuple(dict.fromkeys(self._called()))

    def task_slots(self) -> dict[SchedulerResourceKey, int]:
        """Return how many tasks may hold each model that tasks are scheduled by."""
        return {task_resource_of(pool): task_slots(self._requests.capacity(pool)) for pool in self._pools()}

    def replicas(self) -> dict[SchedulerResourceKey, tuple[str, ...]]:
        """Return, for each of `task_slots`, the endpoints that serve its calls."""
        return {
            task_resource_of(pool): tuple(endpoint.name for endpoint in self._requests.endpoints(pool))
            for pool in self._pools()
        }

    def _pools(self) -> Iterable[ProviderModelKey]:
        return dict.fromkeys(map(pool_of, self._scheduled))

    def _called(self) -> Iterator[RequestResourceKey]:
        for scheduled in self._scheduled:
            yield from self._requests.resources(scheduled)
        for alias in self._job.models if self._takes_all else ():
            for domain in _CALLED:
                yield from self._requests.route(alias, domain)
