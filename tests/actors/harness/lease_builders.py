"""Builders of what the admission actors are asked and given back."""

from __future__ import annotations

import itertools

from messages import Job, SimulatedProvider
from messages.job import ChatColumn, Latency, ModelConfig, SequenceColumn
from messages.request_admission import (
    AcquireRequestLease,
    RegisterRequestResources,
    RequestAdmissionItem,
    RequestEventContext,
    RequestGroupSpec,
    RequestOutcome,
    RequestResourceSpec,
    ReturnRequestLease,
)
from messages.task_admission import (
    AcquireTaskLeases,
    ConfigureTaskAdmission,
    ReturnTaskLeases,
    TaskAdmissionConfig,
    TaskAdmissionConfigured,
    TaskAdmissionView,
    TaskAdmissionViewUpdate,
    TaskLeaseReturn,
    TaskLeasesDecided,
    TaskLeasesReturned,
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

_execution_ids = itertools.count(1)
CHAT = RequestResourceKey("sim", "m", "chat")
EMBEDDING = RequestResourceKey("sim", "m", "embedding")
NOTHING_CHANGED = TaskAdmissionViewUpdate(
    version=1,
    resources_available={},
    leased_resources_by_group={},
    running_by_group={},
    policy_debt_by_group_resource={},
)


def a_correlation(row=0, column="story"):
    return RuntimeCorrelation("run", 0, row, column, "cell", "model", "0" * 12, next(_execution_ids))


def a_selection(task_id, *, column="story", **amounts):
    """A selected cell task that takes `amounts` (one `submission` where none are given)."""
    key = TaskGroupKey("local", ("local", column))
    correlation = a_correlation(task_id, column)
    item = SchedulableTask(
        task_id,
        Task(column, 0, task_id, "cell"),
        TaskGroupSpec(key, 1.0, None, key.name),
        SchedulerResourceRequest(tuple(sorted((amounts or {"submission": 1}).items()))),
        None,
        correlation,
    )
    return QueueSelection(item, QueueView(1, ()), 0)


class TaskSide:
    """The scheduler's side of task admission, with the scheduler's probe."""

    def __init__(self, harness, **limits):
        self.probe = harness.probe("scheduler")
        self.probe.send("task_admission", ConfigureTaskAdmission("run", TaskAdmissionConfig(limits)))
        self.probe.expect(TaskAdmissionConfigured)

    def acquire(self, *selections):
        self.probe.send("task_admission", AcquireTaskLeases(list(selections)))
        return self.probe.expect(TaskLeasesDecided)

    def give_back(self, lease, kind="success"):
        """Return `lease` and what it turned out to be."""
        returned = ReturnTaskLeases([TaskLeaseReturn(lease, TaskOutcome(kind))])
        self.probe.send("task_admission", returned)
        return self.probe.expect(TaskLeasesReturned).releases[0].result


class RequestSide:
    """A worker's side of request admission, with the worker's probe."""

    def __init__(self, harness, *, cap=1, resources=(CHAT,)):
        self.harness = harness
        self.probe = harness.probe("worker")
        specs = tuple(RequestResourceSpec(resource, cap) for resource in resources)
        harness.probe("scheduler").send("request_admission", RegisterRequestResources("run", specs))

    def ask(self, attempt, *, resource=CHAT, group="story", weight=1.0, timeout=None):
        context = RequestEventContext(a_correlation(attempt), attempt)
        item = RequestAdmissionItem(resource, RequestGroupSpec(group, weight), timeout, context)
        self.probe.send("request_admission", AcquireRequestLease(item))

    def give_back(self, granted, kind="success"):
        context = RequestEventContext(a_correlation(), granted.request_attempt_id)
        self.probe.send("request_admission", ReturnRequestLease(granted.lease, RequestOutcome(kind), context))

    def outcomes(self, kind):
        """The reasons of all events of `kind` so far."""
        self.harness.settle()
        return [
            event.reason_or_outcome
            for event in self.harness.emitted("request_admission")
            if event.event_kind == kind
        ]


def a_chat_job(*, rows=6, cap=2, latency_ms=1):
    return Job(
        health_check=False,
        name="chats",
        rows=rows,
        providers={"sim": SimulatedProvider(latency_ms=Latency(mean=latency_ms))},
        models={"m": ModelConfig(provider="sim", model="m", max_parallel_requests=cap)},
        columns={
            "n": SequenceColumn(),
            "story": ChatColumn(model="m", prompt="tell {{ n }}"),
            "verdict": ChatColumn(model="m", prompt="judge {{ story }}"),
        },
    )


def configure_by_hand(admission):
    """Answer the scheduler as task admission would."""
    asked = admission.expect(ConfigureTaskAdmission)
    limits = asked.config.resource_limits
    view = TaskAdmissionView(
        resource_limits=limits,
        resources_available=dict(limits),
        leased_resources_by_group={},
        running_by_group={},
        policy_debt_by_group_resource={},
    )
    admission.send("scheduler", TaskAdmissionConfigured(asked.run_id, 1, view))
