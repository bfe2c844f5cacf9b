"""Telemetry's protocol: what happened, in two gapless streams, and who wants to know."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

from messages._base import ActorName, Message, Query, Value, as_json
from messages.capacity import CapacityPlan, ConfiguredCapacity
from messages.plan import JobPlan
from messages.tasks import RuntimeCorrelation, TaskType

# -- values --------------------------------------------------------------------------------------

StreamName = Literal["scheduler", "request"]

SchedulerEventKind = Literal[
    "scheduler_job_started",
    "scheduler_job_completed",
    "scheduler_health_snapshot",
    "dependency_ready",
    "ready_enqueued",
    "row_group_admitted",
    "row_group_admission_blocked",
    "row_group_admission_target_changed",
    "row_group_checkpointed",
    "selected",
    "queue_empty",
    "admission_blocked",
    "group_capped",
    "request_pressure_advisory_skipped",
    "task_lease_acquired",
    "admission_denied",
    "worker_spawned",
    "worker_spawn_failed",
    "stale_selection",
    "retry_deferred",
    "non_retryable_dropped",
    "cancelled",
    "salvage_redispatched",
    "queue_drained",
    "task_completed",
    "task_lease_released",
    "release_diagnostic",
]

RequestEventKind = Literal[
    "request_resource_registered",
    "request_effective_cap_changed",
    "request_queue_formed",
    "request_wait_started",
    "request_wait_completed",
    "request_wait_timeout",
    "request_wait_cancelled",
    "request_acquire_denied",
    "request_lease_acquired",
    "model_request_started",
    "model_request_completed",
    "request_queue_drained",
    "request_rate_limited",
    "request_limit_decreased",
    "request_limit_increased",
    "request_soft_ceiling_recovered",
    "request_fully_recovered",
    "request_lease_released",
    "request_release_diagnostic",
    "request_circuit_opened",
    "request_circuit_closed",
]

EventKind: TypeAlias = SchedulerEventKind | RequestEventKind

LOW_VALUE_KINDS: Final[frozenset[EventKind]] = frozenset(
    {
        "ready_enqueued",
        "selected",
        "queue_empty",
        "admission_blocked",
        "group_capped",
        "request_pressure_advisory_skipped",
        "salvage_redispatched",
        "request_queue_formed",
        "request_queue_drained",
        "request_wait_started",
        "request_wait_completed",
    }
)
"""What is left out, and counted, while telemetry cannot keep up (O6): no proof of a lease needs it."""

LogLevel = Literal["debug", "info", "warning", "error"]


class Event(Value, frozen=True, gc=False):
    """One fact, complete when it is made (O2). JSON-compatible; nothing sensitive (O4).

    The stream and the position in it (`sequence`) are given by telemetry, in the order in which the
    actors told it: an actor tells its events before the messages that follow from them, so that order
    is causal.
    """

    event_kind: EventKind
    captured_at: float
    correlation: RuntimeCorrelation | None = None
    task_lease_id: int = 0
    request_lease_id: int = 0
    request_attempt_id: int = 0
    resource: str = ""
    reason_or_outcome: str = ""
    snapshot: dict[str, Any] | None = None
    diagnostics: dict[str, Any] | None = None


class SequencedEvent(Value, frozen=True, gc=False):
    """An event at its place in its stream: what subscribers and readers of a log get."""

    stream: StreamName
    sequence: int
    event: Event


class LogEntry(Value, frozen=True):
    """One line of an actor's structlog logger."""

    captured_at: float
    actor: ActorName
    level: LogLevel
    event: str
    fields: dict[str, Any] = msgspec.field(default_factory=dict)


class GeneratorDescriptor(Value, frozen=True):
    """What a log needs to say once of a generator, so that no event has to repeat it.

    `group` is the name of its scheduling group; `resources` is what each of its tasks takes.
    """

    task_type: TaskType
    group_kind: str
    group: str
    identity_hash: str
    resources: dict[str, int]
    outputs: tuple[str, ...]


class RequestResourceDescriptor(Value, frozen=True):
    """The endpoint (`provider/model`) that a request resource belongs to, and its aggregate cap.

    `caps` are the job's models that mean it, by their aliases, each with its own cap; `budgets` what the
    endpoint may use in a minute, by the names of the job file.
    """

    endpoint: str
    static_cap: int
    caps: dict[str, int] = {}
    budgets: dict[str, int] = {}


class RunDescriptor(Value, frozen=True):
    """A run as its log knows it: the `diagnostics` of `scheduler_job_started`.

    Capacities and generators stand here once; with them every later event can be judged and its
    correlation completed from the log alone. A run that continues another says what was stored before it:
    row groups as ranges `(first, end)`, and their rows. `policy` is `limits.policy`.
    """

    run_id: str
    job_name: str
    rows: int
    row_groups: int
    row_group_size: int
    row_group_concurrency: int
    resource_limits: dict[str, int]
    generators: dict[str, GeneratorDescriptor]
    request_resources: dict[str, RequestResourceDescriptor]
    row_groups_before: tuple[tuple[int, int], ...] = ()
    rows_written_before: int = 0
    rows_dropped_before: int = 0
    policy: str = ""

    def to_builtins(self) -> dict[str, Any]:
        """Return the descriptor as an event's `diagnostics`: what JSON would give back, no tuples."""
        built: dict[str, Any] = as_json(self)
        return built

    @classmethod
    def from_builtins(cls, data: Any) -> RunDescriptor:
        """Return the descriptor that `to_builtins` made `data` from.

        Raises:
            msgspec.ValidationError: `data` is no descriptor, naming the place.
        """
        return msgspec.convert(data, cls)


# -- commands, and the replies they cause ----------------------------------------------------------


class RecordEvents(Message, frozen=True, gc=False):
    """Any actor: these happened, in this order."""

    stream: StreamName
    events: list[Event]


class RecordTaskEvents(Message, frozen=True, gc=False):
    """Any actor: one thing happened to many task executions, in this order.

    Stands for one `Event` of the scheduler stream per correlation, at `captured_at`, or each at its own of
    the `moments`. Where they are not empty, `moments`, `task_lease_ids` and `outcomes` have an entry for
    each. Most of a run's events come in such batches: made one by one they would be its largest cost.
    """

    event_kind: SchedulerEventKind
    captured_at: float
    correlations: list[RuntimeCorrelation]
    task_lease_ids: list[int] = []
    outcomes: list[str] = []
    moments: list[float] = []


class RecordLeftOut(Message, frozen=True):
    """Telemetry's own mailbox: at this place so many events of each kind were left out (O6)."""

    events: dict[EventKind, int]


class RecordLog(Message, frozen=True):
    """Any actor's logger: these lines were logged."""

    entries: list[LogEntry]


class OpenRunLog(Query, frozen=True):
    """The scheduler: a run starts under this plan; keep its own log at `path` if there is one.

    Answered by `RunLogOpened` or `RunLogRefused`.
    """

    run_id: str
    plan: JobPlan
    configured: ConfiguredCapacity
    path: str | None


class RunLogOpened(Message, frozen=True):
    """Events from here on are in the run's log."""

    run_id: str


class RunLogRefused(Message, frozen=True):
    """The run's log cannot be written; `reason` names the path and what is in the way."""

    run_id: str
    reason: str


class CloseRunLog(Query, frozen=True):
    """The scheduler: the run has ended. Answered by `RunLogClosed` once the log is on disk."""

    run_id: str


class RunLogClosed(Message, frozen=True):
    """The run's log is complete, or is not: then `problem` says what stopped it."""

    run_id: str
    problem: str = ""


class GetCapacityPlan(Query, frozen=True):
    """What the run works under and what was seen so far. Answered by `CapacityPlanReported`."""

    run_id: str


class CapacityPlanReported(Message, frozen=True):
    """The plan; None where telemetry knows of no such run."""

    run_id: str
    plan: CapacityPlan | None


class Subscribe(Query, frozen=True):
    """Send `EventsPublished` to `reply_to` from now on, for events that every filter lets through.

    A filter that is empty lets everything through. `columns` are those of the tasks that events are about;
    `resources` are request resources, `provider/model/domain`.
    """

    kinds: tuple[EventKind, ...] = ()
    streams: tuple[StreamName, ...] = ()
    columns: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()


class Unsubscribe(Query, frozen=True):
    """Send nothing more to `reply_to`."""


class EventsPublished(Message, frozen=True, gc=False):
    """New events that were subscribed to, in stream order."""

    events: list[SequencedEvent]


class TelemetrySnapshot(Message, frozen=True):
    """Telemetry's answer to `GetSnapshot`."""

    run_id: str | None
    sequences: dict[StreamName, int]
    open_task_executions: int
    bytes_written: int
    sink_failures: dict[str, str]
    dropped_events: int = 0
    """How many events of low value were left out because telemetry could not keep up (O6)."""
    events: dict[str, int] = {}
    """How many events of each kind there were since the system started."""
    task_outcomes: dict[str, int] = {}
    """How many task leases came back with each outcome since the system started."""


Command: TypeAlias = (
    RecordEvents
    | RecordLeftOut
    | RecordLog
    | OpenRunLog
    | CloseRunLog
    | GetCapacityPlan
    | Subscribe
    | Unsubscribe
)
