"""What a run works under: every configured capacity, and where its value came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec

from actors.planning.endpoint_settings import EndpointSettings
from actors.planning.models import BUDGETS
from actors.planning.request_resources import RequestResourceResolver
from messages.capacity import CapacitySource, CapacityValue, ConfiguredCapacity
from messages.job import (
    Config,
    Job,
    Limits,
    ModelConfig,
    PythonProvider,
    RequestAdmissionTuning,
    SimulatedProvider,
)
from messages.plan import JobPlan
from messages.request_admission import ProviderModelKey, RequestResourceSpec
from messages.tasks import REQUEST_RESOURCE_PREFIX

_CAPS = "provider_model_static_caps"
"""What values that are derived from caps fall back on."""


def connections_of(job: Job) -> dict[str, int]:
    """Return how many connections each provider in use may need at once: what a pool is sized by (A11)."""
    return RequestResourceResolver(job).connections()


def describe_capacity(job: Job, plan: JobPlan) -> ConfiguredCapacity:
    """Return the capacities that `plan` gives `job`, each with its source.

    A value is the job's where it differs from what the job file would have had without it: a job that
    writes a default out cannot be told from one that leaves it out.
    """
    resolver = RequestResourceResolver(job)
    settings = {
        spec.resource.name: resolver.settings(
            ProviderModelKey(spec.resource.provider, spec.resource.model_id)
        )
        for spec in plan.request_resources
    }
    return ConfiguredCapacity(
        row_group_size=_chosen(job, "row_group_size", plan.row_group_size),
        row_group_concurrency=_chosen(job.limits, "row_group_concurrency", plan.row_group_concurrency),
        submission_capacity=_chosen(job.limits, "submission", plan.resource_limits["submission"]),
        task_resource_limits={
            resource: _task_resource(job.limits, resource, limit)
            for resource, limit in plan.resource_limits.items()
        },
        request_resources=tuple(settings),
        provider_model_static_caps=_endpoint_caps(job, plan.request_resources),
        request_initial_limits={name: _initial_limit(job, each) for name, each in settings.items()},
        request_admission_config={
            **dict(_queue_timeouts(job, plan.request_resources)),
            **{key: value for each in settings.values() for key, value in _budgets(each)},
            **{
                f"{name}.{field}": value
                for name, each in settings.items()
                for field, value in _tuning(job, each)
            },
        },
        transport_pool_limits={
            provider: _connections(job, provider, resolver.connections()[provider])
            for provider in sorted({each.endpoint.provider for each in settings.values()})
        },
    )


@cache
def _default(config: type[Config], field: str) -> Any:
    return next(one.default for one in msgspec.structs.fields(config) if one.name == field)


def _chosen(config: Config, field: str, value: Any) -> CapacityValue:
    """Return the value in force for a field of the job, by whether the job says otherwise."""
    given = getattr(config, field) != _default(type(config), field)
    return CapacityValue(value, "job" if given else "default")


def _task_resource(limits: Limits, resource: str, limit: int) -> CapacityValue:
    if resource in limits.resources:
        return CapacityValue(limit, "job")
    if resource == "llm_wait" and limits.llm_wait is None:
        return CapacityValue(limit, "default", fallback_from=_CAPS)
    if resource in Limits.__struct_fields__:
        return _chosen(limits, resource, limit)
    if resource.startswith(REQUEST_RESOURCE_PREFIX):
        return CapacityValue(limit, "default", fallback_from=_CAPS)
    return CapacityValue(limit, "default")


def _model_source(job: Job, aliases: Iterable[str]) -> CapacitySource:
    default = _default(ModelConfig, "max_parallel_requests")
    models = [job.models[alias] for alias in aliases if alias in job.models]
    return "job" if any(model.max_parallel_requests != default for model in models) else "default"


def _endpoint_caps(job: Job, specs: Iterable[RequestResourceSpec]) -> dict[str, CapacityValue]:
    """Return each endpoint's cap with the aliases it was merged from: the least of them all (A10)."""
    by_endpoint: dict[str, list[RequestResourceSpec]] = {}
    for spec in specs:
        endpoint = ProviderModelKey(spec.resource.provider, spec.resource.model_id)
        by_endpoint.setdefault(endpoint.name, []).append(spec)
    described = {}
    for endpoint_name, of_endpoint in by_endpoint.items():
        aliases = sorted({alias for spec in of_endpoint for alias in spec.aliases})
        raw_caps = {alias: cap for spec in of_endpoint for alias, cap in sorted(spec.raw_caps.items())}
        value = {
            "cap": min(spec.static_cap for spec in of_endpoint),
            "aliases": aliases,
            "raw_caps": raw_caps,
            "merge_rule": "min_same_endpoint",
        }
        described[endpoint_name] = CapacityValue(value, _model_source(job, aliases))
    return described


# -- request admission -----------------------------------------------------------------------------


def _from_caps(job: Job, settings: EndpointSettings, value: int, given: int | None) -> CapacityValue:
    """Return a limit that the endpoint's static cap stands for where the job does not give it."""
    if given is not None:
        return CapacityValue(value, "job")
    return CapacityValue(value, _model_source(job, settings.raw_caps), fallback_from=_CAPS)


def _initial_limit(job: Job, settings: EndpointSettings) -> CapacityValue:
    tuning = settings.tuning
    given = tuning.maximum if tuning.initial is None else tuning.initial
    return _from_caps(job, settings, settings.initial_limit, given)


def _tuning(job: Job, settings: EndpointSettings) -> Iterator[tuple[str, CapacityValue]]:
    """Yield everything that the limits of an endpoint's resources move by, as it is in force (A2)."""
    tuning = settings.tuning
    for field in RequestAdmissionTuning.__struct_fields__:
        if field == "initial":
            yield field, _initial_limit(job, settings)
        elif field == "maximum":
            yield field, _from_caps(job, settings, settings.effective_max, tuning.maximum)
        else:
            yield field, _chosen(tuning, field, getattr(tuning, field))


def _budgets(settings: EndpointSettings) -> Iterator[tuple[str, CapacityValue]]:
    for name in BUDGETS:
        budget = getattr(settings.budgets, name)
        source: CapacitySource = "default" if budget is None else "job"
        yield f"{settings.endpoint.name}.{name}", CapacityValue(budget, source)


def _queue_timeouts(job: Job, specs: Iterable[RequestResourceSpec]) -> Iterator[tuple[str, CapacityValue]]:
    for alias in dict.fromkeys(alias for spec in specs for alias in spec.aliases):
        model = job.models[alias]
        chosen = _chosen(model, "queue_timeout_seconds", model.queue_timeout_seconds)
        yield f"{alias}.queue_wait_timeout_seconds", chosen


def _connections(job: Job, provider: str, connections: int) -> CapacityValue:
    match job.providers[provider]:
        case SimulatedProvider():
            reason = "a simulated provider opens no connections"
            return CapacityValue(None, "adapter_config", missing_reason=reason)
        case PythonProvider():
            return CapacityValue(None, "adapter_config", missing_reason="the client's own")
        case _:
            aliases = (alias for alias, model in job.models.items() if provider in model.served_by)
            return CapacityValue(connections, _model_source(job, aliases), fallback_from=_CAPS)
