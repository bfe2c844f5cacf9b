"""What a run works under: every configured capacity, and where its value came from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from messages.capacity import CapacitySource, CapacityValue, ConfiguredCapacity
from messages.job import Config, Job, Limits, ModelConfig
from messages.plan import JobPlan
from messages.request_admission import ProviderModelKey, RequestResourceSpec
from messages.tasks import REQUEST_RESOURCE_PREFIX


def describe_capacity(job: Job, plan: JobPlan) -> ConfiguredCapacity:
    """Return the capacities that `plan` gives `job`, each with its source.

    A value is the job's where it differs from what the job file would have had without it: a job that
    writes a default out cannot be told from one that leaves it out.
    """
    caps = {spec.resource.name: _model_source(job, spec.aliases) for spec in plan.request_resources}
    return ConfiguredCapacity(
        row_group_size=_chosen(job, "row_group_size", plan.row_group_size),
        row_group_concurrency=_chosen(job.limits, "row_group_concurrency", plan.row_group_concurrency),
        submission_capacity=_chosen(job.limits, "submission", plan.resource_limits["submission"]),
        task_resource_limits={
            resource: _task_resource(job.limits, resource, limit)
            for resource, limit in plan.resource_limits.items()
        },
        request_resources=tuple(spec.resource.name for spec in plan.request_resources),
        provider_model_static_caps=_endpoint_caps(job, plan.request_resources),
        request_initial_limits={
            spec.resource.name: CapacityValue(
                spec.static_cap, caps[spec.resource.name], fallback_from="provider_model_static_caps"
            )
            for spec in plan.request_resources
        },
        request_admission_config={
            f"{alias}.queue_wait_timeout_seconds": _chosen(
                job.models[alias], "queue_timeout_seconds", job.models[alias].queue_timeout_seconds
            )
            for spec in plan.request_resources
            for alias in spec.aliases
            if alias in job.models
        },
        transport_pool_limits={
            provider: CapacityValue(
                None, "adapter_config", missing_reason="a simulated provider opens no connections"
            )
            for provider in sorted({spec.resource.provider for spec in plan.request_resources})
        },
    )


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
        return CapacityValue(limit, "default", fallback_from="provider_model_static_caps")
    if resource in {field.name for field in msgspec.structs.fields(Limits)}:
        return _chosen(limits, resource, limit)
    if resource.startswith(REQUEST_RESOURCE_PREFIX):
        return CapacityValue(limit, "default", fallback_from="provider_model_static_caps")
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
