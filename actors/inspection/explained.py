"""A run explained: what its story comes to at a moment. Plain values, JSON-safe, no row data.

Times are seconds since the run began, durations are seconds, unless a name says otherwise.
"""

from __future__ import annotations

from typing import Literal

from actors.inspection.charges import Reason
from messages._base import Value
from messages.capacity import CapacityPlan

RunStatus = Literal["unfinished", "succeeded", "partial", "failed", "cancelled", "early_shutdown"]
"""How the run ended. `unfinished`: the log does not say; it is still being written, or was cut off."""

Curve = tuple[tuple[float, float, float, float], ...]
"""A value over time: (time, lowest, highest, last) of every stretch of time in which it changed."""


class RunFacts(Value, frozen=True, kw_only=True):
    """What run this is, and how far it came. `rows_written` and `rows_dropped` count earlier runs' too."""

    run_id: str
    job_name: str
    status: RunStatus
    rows: int
    rows_written: int
    rows_dropped: int
    row_groups: int
    row_group_size: int
    started_at: float
    """In the log's time."""
    wall_seconds: float
    policy: str = ""
    """`limits.policy`; empty where the log is older than that it says so."""


class ColumnExplained(Value, frozen=True, kw_only=True):
    """What one column's tasks went through, in all tries.

    done, failed, retried and skipped count tries by how they ended; failed are those that were given up, with
    their rows. running_seconds are under a lease, added up over tries; failing_seconds are those of them that
    went into tries that failed, not counting what a provider refused or had no room for. alone_seconds: wall
    seconds in which nothing but this column ran while others had work left.
    """

    task_type: str
    resources: dict[str, int]
    models: tuple[str, ...]
    """The request resources that its attempts were made of."""
    started: int
    done: int
    failed: int
    retried: int
    skipped: int
    dropped_rows: int
    attempts: int
    input_tokens: int
    output_tokens: int
    running_seconds: float
    failing_seconds: float
    longest_seconds: float
    most_at_once: int
    alone_seconds: float
    charges: dict[Reason, int]
    """Microseconds."""


class LimitChange(Value, frozen=True):
    """One change of a model's limit, and why."""

    at: float
    before: int
    after: int
    reason: str


class ModelExplained(Value, frozen=True, kw_only=True):
    """One request resource, `provider/model/domain`.

    caps: the job's models that mean it, by alias. limit: the calls in flight that are allowed now, at most
    effective_max. full_seconds: wall seconds at its limit, that being all that it may have, with somebody
    waiting; cut_seconds: the same below that, for a limit that was cut or has not grown yet.
    waiting_seconds: wall seconds with somebody waiting, for whatever reason; free_seconds: with calls in
    flight and nobody waiting, for this model or another. waited_seconds: what waits were for, added up over
    attempts. cooldown_seconds is the union of all pauses. Lists of moments are bounded; the counts beside
    them are not.
    """

    endpoint: str
    caps: dict[str, int]
    budgets: dict[str, int]
    algorithm: str
    static_cap: int
    effective_max: int
    limit: int
    attempts: int
    outcomes: dict[str, int]
    waits_given_up: dict[str, int]
    input_tokens: int
    output_tokens: int
    provider_seconds: float
    most_in_flight: int
    most_waiting: int
    in_flight: int
    waiting: int
    full_seconds: float
    cut_seconds: float
    waiting_seconds: float
    free_seconds: float
    waited_seconds: dict[str, float]
    rate_limited: int
    rate_limited_at: tuple[float, ...]
    cooldown_seconds: float
    cooldowns: tuple[tuple[float, float], ...]
    cooldown_until: float | None
    circuit_openings: int
    circuit_seconds: float
    circuit_open: bool
    limit_changes: dict[str, int]
    """How many changes there were of each kind."""
    limit_changed: tuple[LimitChange, ...]
    limit_curve: Curve
    in_flight_curve: Curve
    waiting_curve: Curve


class ResourceExplained(Value, frozen=True, kw_only=True):
    """One resource of task admission.

    short_seconds: wall seconds in which the queue was short of it; behind_models_seconds: those of them in
    which calls waited for a model.
    """

    limit: int
    most_at_once: int
    short_seconds: float
    behind_models_seconds: float
    held_curve: Curve


class QueueExplained(Value, frozen=True, kw_only=True):
    """What the ready queue stood at, in wall seconds.

    blocked_seconds go by the reason that stopped most groups. ready_idle_seconds: work was queued, nothing
    was told to be in its way, and for longer than a moment nothing was admitted; ought to be zero.
    retry_only_seconds: nothing ran or was queued, failed tasks waited for their next try.
    storage_only_seconds: nothing ran, was queued or put off: row groups were read or written.
    """

    most_queued: int
    queued: int
    group_capped_seconds: float
    blocked_seconds: dict[str, float]
    ready_idle_seconds: float
    retry_only_seconds: float
    storage_only_seconds: float
    queued_curve: Curve


class RowGroupsExplained(Value, frozen=True, kw_only=True):
    """Row groups. bound_seconds: wall seconds in which another would have brought work to a dry queue."""

    concurrency: int
    admitted: int
    stored: int
    in_flight: int
    most_in_flight: int
    bound_seconds: float
    checkpoint_seconds: float


class FailureCount(Value, frozen=True):
    """How often tasks of a column failed in one way."""

    column: str
    kind: str
    count: int


class ExecutionExplained(Value, frozen=True, kw_only=True):
    """One task execution: how long its life was or is, what it was charged to, what it waits for now."""

    task_execution_id: int
    column: str
    row_group: int
    row_index: int | None
    began_at: float
    seconds: float
    held_seconds: float
    attempts: int
    outcome: str
    waiting_for: str
    charges: dict[Reason, int]


class LoopBlocked(Value, frozen=True):
    """How long a column's code has held the worker's event loop, as far as that was noticed, and where."""

    count: int
    seconds: float
    longest_seconds: float
    at: str


class WarningExplained(Value, frozen=True):
    """What an actor warned of, how often and when, and what to do about it."""

    event: str
    actor: str
    level: str
    count: int
    first_at: float
    last_at: float
    text: str
    remedy: str = ""


class LeaseProof(Value, frozen=True, kw_only=True):
    """Leases given out and back."""

    task_leases: int
    task_leases_returned: int
    request_leases: int
    request_leases_returned: int
    refused_returns: int


class ProcessorExplained(Value, frozen=True):
    """For how long the process could not compute more, and how many processors it kept busy then."""

    busy_seconds: float = 0.0
    busy: float = 0.0
    processors: int = 0


class RunExplained(Value, frozen=True, kw_only=True):
    """Everything that `inspect` and `report` need of a run.

    task_microseconds is the sum of all lives and checkpoints, and exactly the sum of `charges`.
    """

    run: RunFacts
    task_microseconds: int
    charges: dict[Reason, int]
    columns: dict[str, ColumnExplained]
    models: dict[str, ModelExplained]
    resources: dict[str, ResourceExplained]
    queue: QueueExplained
    row_groups: RowGroupsExplained
    retries: tuple[FailureCount, ...]
    drops: tuple[FailureCount, ...]
    longest: tuple[ExecutionExplained, ...]
    unfinished: tuple[ExecutionExplained, ...]
    """The oldest that have not ended, if the run has not."""
    unfinished_total: int
    loop_blocked: dict[str, LoopBlocked]
    warnings: tuple[WarningExplained, ...]
    completion: Curve
    """Rows written, over time."""
    proof: LeaseProof
    events: int
    unreadable_lines: int
    capacity: CapacityPlan | None = None
    """What it works under, each value with its source, and what was seen; None where the log lacks it."""
    processor: ProcessorExplained = ProcessorExplained()
