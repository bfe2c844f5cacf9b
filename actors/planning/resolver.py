"""From what a generator declares about itself to what the scheduler and task admission work with."""

from __future__ import annotations

from typing import get_args

from actors.generators import Generator
from actors.planning.request_resources import RequestResourceResolver
from messages.hints import possible
from messages.job import ChatColumn, Column, EmbeddingColumn, Limits, PythonColumn
from messages.metadata import SchedulingMetadata, SchedulingMetadataError
from messages.plan import ResolvedTaskScheduling
from messages.request_admission import ProviderModelKey, RequestDomain
from messages.tasks import (
    REQUEST_RESOURCE_PREFIX,
    RequestResourceKey,
    SchedulerResourceKey,
    SchedulerResourceRequest,
    TaskGroupKey,
    TaskGroupSpec,
)

_LOCAL = SchedulingMetadata()


def task_resource_of(pool: ProviderModelKey) -> SchedulerResourceKey:
    """Return the task resource that a model's tasks take while they may call it."""
    return f"{REQUEST_RESOURCE_PREFIX}{pool.name}"


def task_slots(capacity: int) -> int:
    """Return how many tasks may hold a model at once that takes `capacity` attempts.

    A few more than it takes: while one task's reply is on its way back, another's call is there already.
    Not many more: whoever is admitted beyond that only waits for a lease, and holds what others could use.
    """
    return max(capacity + 1, -(-5 * capacity // 4))


def pool_of(resource: RequestResourceKey) -> ProviderModelKey:
    """Return the pool that a task's request resource is about."""
    return ProviderModelKey(resource.provider, resource.model_id)


class TaskSchedulingResolver:
    """The only bridge from scheduling metadata to scheduler inputs.

    Equal resource vectors come out as one object, so that those who compare them are quick.
    `warnings` is what was resolved otherwise than declared.
    """

    def __init__(self, requests: RequestResourceResolver, limits: Limits) -> None:
        self.warnings: list[str] = []
        self._requests = requests
        self._limits = limits
        self._vectors: dict[SchedulerResourceRequest, SchedulerResourceRequest] = {}

    def resolve(self, generator: Generator, column: Column | None) -> ResolvedTaskScheduling:
        """Return the queue group, the resources and the request resource of a generator's tasks.

        `column` is None for a processor: it is local work.

        Raises:
            SchedulingMetadataError: its metadata cannot be used, and there is no fallback for it.
            KeyError: it names a model that the job does not have.
        """
        metadata = self._metadata(column)
        try:
            request_resource = self._request_resource(metadata)
        except SchedulingMetadataError as error:
            if error.fallback is None:
                raise
            self.warnings.append(f"columns.{generator.name}.metadata: {error.message}")
            metadata, request_resource = error.fallback, None
        amounts = self._amounts(generator, column, metadata)
        if request_resource is not None:
            amounts[task_resource_of(pool_of(request_resource))] = 1
        vector = SchedulerResourceRequest(tuple(sorted(amounts.items())))
        return ResolvedTaskScheduling(
            group=self._group(generator, metadata, request_resource),
            resource_request=self._vectors.setdefault(vector, vector),
            request_resource=request_resource,
        )

    def _metadata(self, column: Column | None) -> SchedulingMetadata:
        match column:
            case ChatColumn():
                return self._model_metadata(column.model, "chat")
            case EmbeddingColumn():
                return self._model_metadata(column.model, "embedding")
            case PythonColumn():
                return column.metadata or _LOCAL
            case _:
                return _LOCAL

    def _model_metadata(self, alias: str, domain: str) -> SchedulingMetadata:
        pool = self._requests.pool(alias)
        capacity = self._requests.capacity(pool)
        return SchedulingMetadata("model", (pool.provider, pool.model_id, domain), capacity)

    def _request_resource(self, metadata: SchedulingMetadata) -> RequestResourceKey | None:
        """Return the resource behind `model` metadata: a pool of the job, in a known domain."""
        if metadata.kind != "model":
            return None
        provider, model_id, domain = metadata.identity
        domains: tuple[str, ...] = get_args(RequestDomain)
        if domain not in domains:
            raise SchedulingMetadataError(
                code="invalid_identity",
                message=f"there is no generation kind {domain!r}; {possible(domain, domains)}",
            )
        pool = ProviderModelKey(provider, model_id)
        if not self._requests.knows(pool):
            names = [known.name for known in self._requests.pools()]
            raise SchedulingMetadataError(
                code="invalid_identity",
                message=(
                    f"no model of this job is {pool.name!r}, so its cap is not known and its weight "
                    f"stands for it; {possible(pool.name, names) or 'there are no models'}"
                ),
                fallback=SchedulingMetadata("custom_model", metadata.identity, metadata.weight),
            )
        return RequestResourceKey(provider, model_id, domain)

    def _group(
        self, generator: Generator, metadata: SchedulingMetadata, resource: RequestResourceKey | None
    ) -> TaskGroupSpec:
        # A column is a group of its own: one that is far ahead cannot hold up another of the same model.
        key = TaskGroupKey(metadata.kind, (*metadata.identity, generator.name))
        weight = metadata.weight
        if resource is not None:
            weight = self._requests.capacity(pool_of(resource))
        limit = None if metadata.kind == "local" else self._limits.group_limit_factor * weight
        return TaskGroupSpec(key=key, weight=weight, admitted_limit=limit, name=key.name)

    def _amounts(
        self, generator: Generator, column: Column | None, metadata: SchedulingMetadata
    ) -> dict[str, int]:
        amounts = {"submission": 1, "local" if metadata.kind == "local" else "llm_wait": 1}
        if generator.mode == "thread":
            amounts["threads"] = 1
        if metadata.kind == "local" and metadata.identity != _LOCAL.identity:
            amounts |= self._named(generator, metadata.identity[0])
        if column is not None:
            amounts |= column.resources
        return amounts

    def _named(self, generator: Generator, resource: str) -> dict[str, int]:
        """Return what local work that names its resource takes of it: one, where it has a limit."""
        if resource in self._limits.resources:
            return {resource: 1}
        self.warnings.append(
            f"columns.{generator.name}.metadata: {resource!r} has no limit under `limits.resources`; "
            f"only `local` limits it. {possible(resource, self._limits.resources)}".rstrip(". ")
        )
        return {}
