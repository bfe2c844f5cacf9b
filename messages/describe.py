"""A job's plan as its log describes it."""

from __future__ import annotations

import msgspec

from messages.plan import GeneratorPlan, JobPlan
from messages.request_admission import ProviderModelKey, RequestResourceSpec
from messages.storage import Earlier
from messages.telemetry import GeneratorDescriptor, RequestResourceDescriptor, RunDescriptor


def describe_run(plan: JobPlan, earlier: Earlier | None = None) -> RunDescriptor:
    """Return what stands in the `scheduler_job_started` event of a run under `plan`.

    `earlier` is what was stored before, where the run continues another.
    """
    earlier = earlier or Earlier()
    return RunDescriptor(
        run_id=plan.run_id,
        job_name=plan.job_name,
        rows=plan.rows,
        row_groups=plan.row_groups,
        row_group_size=plan.row_group_size,
        row_group_concurrency=plan.row_group_concurrency,
        resource_limits=dict(plan.resource_limits),
        generators={generator.name: _describe_generator(generator) for generator in plan.generators},
        request_resources={spec.resource.name: _describe_resource(spec) for spec in plan.request_resources},
        row_groups_before=earlier.row_groups,
        rows_written_before=earlier.rows_written,
        rows_dropped_before=earlier.rows_dropped,
        policy=plan.policy,
    )


def _describe_generator(generator: GeneratorPlan) -> GeneratorDescriptor:
    group = generator.scheduling.group
    return GeneratorDescriptor(
        task_type=generator.task_type,
        group_kind=group.key.kind,
        group=group.name,
        identity_hash=group.key.identity_hash,
        resources=dict(generator.scheduling.resource_request.amounts),
        outputs=generator.outputs,
    )


def _describe_resource(spec: RequestResourceSpec) -> RequestResourceDescriptor:
    endpoint = ProviderModelKey(spec.resource.provider, spec.resource.model_id)
    budgets = {name: bound for name, bound in msgspec.structs.asdict(spec.budgets).items() if bound}
    return RequestResourceDescriptor(
        endpoint=endpoint.name, static_cap=spec.static_cap, caps=dict(spec.raw_caps), budgets=budgets
    )
