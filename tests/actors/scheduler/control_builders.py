"""Builders of what the control cores work with: groups, queued tasks, views, generators and plans."""

from __future__ import annotations

import functools

from actors.task_admission.core import TaskAdmissionCore
from actors.task_admission.policies import policy_named
from messages._base import TELEMETRY
from messages.plan import GeneratorPlan, JobPlan, ResolvedTaskScheduling
from messages.request_admission import RequestPressureSnapshot
from messages.task_admission import (
    ConfigureTaskAdmission,
    TaskAdmissionConfig,
    TaskAdmissionView,
    TaskLeaseReturn,
)
from messages.tasks import (
    QueueSelection,
    QueueView,
    RequestResourceKey,
    RuntimeCorrelation,
    SchedulableTask,
    SchedulerResourceRequest,
    Task,
    TaskGroupKey,
    TaskGroupSpec,
    TaskOutcome,
)

RUN = "run-1"
SUCCESS = TaskOutcome("success")


def a_group(name="g", *, weight=1, limit=None):
    key = TaskGroupKey("custom_model", ("tests", name, "1"))
    return TaskGroupSpec(key=key, weight=weight, admitted_limit=limit, name=name)


def a_request(**amounts):
    """Return a vector, the same object for the same amounts: as a generator's tasks have one together."""
    return _request(tuple(sorted((amounts or {"submission": 1}).items())))


@functools.cache
def _request(amounts):
    return SchedulerResourceRequest(amounts)


def a_correlation(column="x", *, row_group=0, row_index=0, task_type="cell", execution=1, run_id=RUN):
    return RuntimeCorrelation(run_id, row_group, row_index, column, task_type, "custom_model", "0", execution)


def an_item(task_id, group="g", **amounts):
    """Return a queued task of `group` (a spec, or the name of one of weight 1)."""
    spec = group if isinstance(group, TaskGroupSpec) else a_group(group)
    task = Task(spec.name, 0, task_id, "cell")
    correlation = a_correlation(spec.name, row_index=task_id, execution=task_id + 1)
    return SchedulableTask(task_id, task, spec, a_request(**amounts), None, correlation)


def a_selection(item):
    return QueueSelection(item, QueueView(1, ()), 0)


def a_view(**limits):
    limits = limits or {"submission": 10}
    return TaskAdmissionView(
        resource_limits=dict(limits),
        resources_available=dict(limits),
        leased_resources_by_group={},
        running_by_group={},
        policy_debt_by_group_resource={},
    )


def configured_admission(*, generation=1, policy=None, replicas=None, **limits):
    """Return a task admission core that counts against `limits`, and the view it answered with."""
    core = TaskAdmissionCore(lambda _: policy or policy_named("strict_fair"), generation=generation)
    config = TaskAdmissionConfig(limits or {"submission": 10}, replicas=replicas or {})
    (answer,) = core.handle(ConfigureTaskAdmission(RUN, config, reply_to="scheduler"), now=0.0)
    return core, answer.message.view


def a_pressure(endpoint, *, domain="chat", now=0.0, cooldown=0.0, waiters=0, probe_at=None):
    """Return how a resource of `endpoint` (`provider/model`) is: under pressure if any of these says so."""
    provider, model_id = endpoint.split("/")
    return RequestPressureSnapshot(
        captured_at=now,
        sequence=1,
        resource=RequestResourceKey(provider, model_id, domain),
        effective_max=4,
        current_limit=1,
        in_flight=0,
        active_leases=0,
        waiters=waiters,
        blocked_until=now + cooldown if cooldown else None,
        cooldown_remaining=cooldown,
        circuit="closed" if probe_at is None else "open",
        next_probe_at=probe_at,
    )


def returned(lease, outcome=SUCCESS):
    return TaskLeaseReturn(lease, outcome)


def told(outgoing):
    """Return what was sent to anybody but telemetry, as (to, message)."""
    return [(item.to, item.message) for item in outgoing if item.to != TELEMETRY]


def events_in(outgoing):
    """Return the kinds of the events in an outbox, in order."""
    return [
        event.event_kind
        for item in outgoing
        if item.to == TELEMETRY
        for event in getattr(item.message, "events", ())
    ]


def a_generator(name, *, task_type="cell", upstream=(), needs=None, outputs=None, **how):
    scheduling = ResolvedTaskScheduling(
        group=how.pop("group", None) or a_group(name),
        resource_request=how.pop("request", None) or a_request(),
        request_resource=None,
    )
    return GeneratorPlan(
        name=name,
        task_type=task_type,
        outputs=(name,) if outputs is None else outputs,
        needs=tuple(upstream) if needs is None else needs,
        upstream=tuple(upstream),
        scheduling=scheduling,
        **how,
    )


def a_job_plan(*generators, rows=4, row_group_size=2, concurrency=2, source_fields=(), run_id=RUN, **how):
    columns = (*source_fields, *(name for generator in generators for name in generator.outputs))
    settings = {
        "resource_limits": {"submission": 100},
        "max_retries": 2,
        "backoff_seconds": 1.0,
        "max_backoff_seconds": 8.0,
        **how,
    }
    return JobPlan(
        run_id=run_id,
        job_name="a job",
        rows=rows,
        row_group_size=row_group_size,
        row_group_concurrency=concurrency,
        source_fields=source_fields,
        dataset_columns=columns,
        generators=generators,
        request_resources=(),
        policy="strict_fair",
        **settings,
    )
