"""Every metric there is: its name, what it counts, its unit and its labels. Both exporters read this."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from actors.metrics.labels import Label

LabelName = Literal[
    "event_kind",
    "resource_kind",
    "provider",
    "model",
    "domain",
    "algorithm",
    "outcome",
    "state",
    "direction",
    "actor",
]

MODEL_LABELS: Final[tuple[LabelName, ...]] = ("provider", "model", "domain")


class Metric(NamedTuple):
    """One metric. Counters only grow while a system lives; a histogram's values are in `unit`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[LabelName, ...] = ()
    unit: str = "1"


class Sample(NamedTuple):
    """What a metric stands at, for one value of each of its labels."""

    metric: Metric
    labels: tuple[Label, ...]
    value: float


UP = Metric("leasehold_up", "gauge", "1 while every actor answers, 0 where one did not in time")
EVENTS = Metric("leasehold_events", "counter", "Events by kind", ("event_kind",))
EVENTS_DROPPED = Metric("leasehold_events_dropped", "counter", "Events of low value that telemetry left out")
LOG_BYTES = Metric("leasehold_log_bytes", "counter", "Bytes written to logs, before compression", unit="By")
TASKS = Metric("leasehold_tasks", "counter", "Task leases that came back, by outcome", ("outcome",))
TASKS_NOW = Metric("leasehold_tasks_now", "gauge", "Tasks that are queued, leased, deferred", ("state",))
ROWS = Metric("leasehold_job_rows", "gauge", "Rows of the running job", ("state",))
ROW_GROUPS = Metric("leasehold_row_groups_in_flight", "gauge", "Row groups in memory")
RESOURCE_LIMIT = Metric(
    "leasehold_task_resource_limit", "gauge", "Capacity of task admission", ("resource_kind",)
)
RESOURCE_USED = Metric(
    "leasehold_task_resource_in_use", "gauge", "Capacity that task leases hold", ("resource_kind",)
)
REQUESTS = Metric("leasehold_requests", "counter", "Model requests by outcome", (*MODEL_LABELS, "outcome"))
TOKENS = Metric("leasehold_tokens", "counter", "Tokens that providers counted", (*MODEL_LABELS, "direction"))
IN_FLIGHT = Metric("leasehold_requests_in_flight", "gauge", "Model requests in flight", MODEL_LABELS)
LIMIT = Metric(
    "leasehold_request_limit", "gauge", "Requests that may be in flight now", (*MODEL_LABELS, "algorithm")
)
WAITERS = Metric("leasehold_request_waiters", "gauge", "Attempts that wait for a request lease", MODEL_LABELS)
COOLDOWN = Metric(
    "leasehold_request_cooldown_seconds", "gauge", "Until requests may be sent again", MODEL_LABELS, "s"
)
CIRCUIT = Metric("leasehold_request_circuit_open", "gauge", "1 while the circuit is open", MODEL_LABELS)
RATE_LIMITED = Metric("leasehold_rate_limited", "counter", "Requests refused as too much", MODEL_LABELS)
REQUEST_SECONDS = Metric(
    "leasehold_request_seconds", "histogram", "Time of a request at its provider", MODEL_LABELS, "s"
)
WAIT_SECONDS = Metric(
    "leasehold_request_wait_seconds",
    "histogram",
    "Time until an attempt has its lease",
    MODEL_LABELS,
    "s",
)
MAILBOX = Metric("leasehold_mailbox_messages", "gauge", "Messages that wait for an actor", ("actor",))
MAILBOX_AGE = Metric("leasehold_mailbox_age_seconds", "gauge", "Age of the oldest of them", ("actor",), "s")

CATALOGUE: Final = (
    UP,
    EVENTS,
    EVENTS_DROPPED,
    LOG_BYTES,
    TASKS,
    TASKS_NOW,
    ROWS,
    ROW_GROUPS,
    RESOURCE_LIMIT,
    RESOURCE_USED,
    REQUESTS,
    TOKENS,
    IN_FLIGHT,
    LIMIT,
    WAITERS,
    COOLDOWN,
    CIRCUIT,
    RATE_LIMITED,
    REQUEST_SECONDS,
    WAIT_SECONDS,
    MAILBOX,
    MAILBOX_AGE,
)

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the histograms' buckets, seconds."""
