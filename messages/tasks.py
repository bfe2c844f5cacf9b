"""Values that several protocols share: tasks, their groups and resources, and how they end."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import msgspec

from messages._base import Value

TaskId: TypeAlias = int
"""Stable for the task's identity: the same column and row (or row group) always give the same id."""

TaskType = Literal["from_scratch", "cell", "batch", "pre_batch_processor", "post_batch_processor"]

SchedulerResourceKey: TypeAlias = str
"""`submission`, `llm_wait`, `local`, `threads`, `request:<provider>/<model>` or a user's own name."""

REQUEST_RESOURCE_PREFIX = "request:"
"""What the name of a task resource begins with that stands for an endpoint."""

GroupName: TypeAlias = str
"""A `TaskGroupKey` as text: what maps and logs use as a key."""


class Task(Value, frozen=True, gc=False):
    """One unit of work: a generator over one row, or over one row group (`row_index` None).

    `column` is the generator's name: the column, or the table that fills several.
    """

    column: str
    row_group: int
    row_index: int | None
    task_type: TaskType


class TaskGroupKey(Value, frozen=True, gc=False):
    """The identity of work that queues together, FIFO among itself, fair against other groups."""

    kind: str
    identity: tuple[str, ...]

    @property
    def name(self) -> GroupName:
        """The key as text."""
        return f"{self.kind}:{'/'.join(self.identity)}"

    @property
    def identity_hash(self) -> str:
        """Twelve hex digits that stand for the key where names are too long or too telling."""
        return blake2b(self.name.encode()).hexdigest()[:12]


class TaskGroupSpec(Value, frozen=True, gc=False):
    """A group, its share (`weight`) and how many leases it may hold under peer pressure."""

    key: TaskGroupKey
    weight: float
    admitted_limit: int | None
    name: GroupName


class SchedulerResourceRequest(Value, frozen=True, gc=False):
    """What one task takes, all or nothing. `amounts` is sorted by key; every amount is positive."""

    amounts: tuple[tuple[SchedulerResourceKey, int], ...] = (("submission", 1),)


class RequestResourceKey(Value, frozen=True, gc=False):
    """One domain (`chat`, `embedding`, ...) of one provider's model. Canonical names, never aliases."""

    provider: str
    model_id: str
    domain: str

    @property
    def name(self) -> str:
        """The key as text."""
        return f"{self.provider}/{self.model_id}/{self.domain}"


class RuntimeCorrelation(Value, frozen=True, gc=False):
    """What an event is about, captured when the event is made.

    `task_execution_id` is new for every try of a task; `row_index` is None for a row group's task.
    """

    run_id: str
    row_group: int
    row_index: int | None
    task_column: str
    task_type: TaskType
    scheduling_group_kind: str
    scheduling_group_identity_hash: str
    task_execution_id: int


class SchedulableTask(Value, frozen=True, gc=False):
    """A dependency-ready task with everything that admission needs to know of it."""

    task_id: TaskId
    task: Task
    group: TaskGroupSpec
    resource_request: SchedulerResourceRequest
    request_resource: RequestResourceKey | None
    correlation: RuntimeCorrelation


TaskOutcomeKind = Literal[
    "success",
    "retryable_failure",
    "non_retryable_failure",
    "cancelled",
    "shutdown",
    "stale_discard",
    "worker_spawn_failed",
    "worker_lost",
]


class TaskError(Value, frozen=True, gc=False):
    """Why a task failed. `kind` is from a small closed vocabulary; `causes` outermost first.

    `message` may hold user data: it goes to the result and `dropped.jsonl`, never into events.
    """

    kind: str
    message: str
    causes: tuple[str, ...] = ()
    retry_after_seconds: float | None = None


class KeptAnswer(Value, frozen=True, gc=False):
    """What a model call was answered, for its task's next try: `call` is a digest, `reply` MessagePack."""

    call: str
    reply: bytes


class TaskOutcome(Value, frozen=True, gc=False):
    """How a task ended. `value` is what it produced; it, `error` and `answers` alone hold row data.

    For one output the value itself (a list of them for a row group's task), for several a list in
    the order of the generator's outputs. `calls` is how many model calls were answered for it.
    `skipped` are the rows, by their position among those that the task was given, for which the column's
    condition held: `value` has the column's default there.
    `answers` are those of the model calls of a task that is to be tried again: its next start brings them.
    """

    kind: TaskOutcomeKind
    value: Any = None
    error: TaskError | None = None
    calls: int = 0
    skipped: tuple[int, ...] = ()
    answers: tuple[KeptAnswer, ...] = ()


class HeadDemand(Value, frozen=True, gc=False):
    """The queued groups whose next task asks for one same resource vector.

    `refused` of the groups are looked past: the policy refused them, and nothing has happened since that
    could change its answer. It is counted while a resource is under pressure, and else 0.
    """

    request: SchedulerResourceRequest
    groups: int
    weight: float
    refused: int = 0


class QueueView(Value, frozen=True, gc=False):
    """Read-only facts about the ready queue.

    `heads` has one entry per distinct resource vector and is what policies read: it stays small
    however many groups there are. The maps per group are filled only in a snapshot.
    """

    queued_total: int
    heads: tuple[HeadDemand, ...]
    queued_peer_demand_by_resource: dict[SchedulerResourceKey, int] = msgspec.field(default_factory=dict)
    queued_by_group: dict[GroupName, int] = msgspec.field(default_factory=dict)
    queued_demand_by_group_resource: dict[GroupName, dict[SchedulerResourceKey, int]] = msgspec.field(
        default_factory=dict
    )
    first_candidate_by_group: dict[GroupName, TaskId] = msgspec.field(default_factory=dict)


class QueueSelection(Value, frozen=True, gc=False):
    """A task chosen from the queue, not yet removed from it.

    `sequence_version` is its group's version when it was chosen: a commit with an older one is
    refused.
    """

    item: SchedulableTask
    queue_view: QueueView
    sequence_version: int
