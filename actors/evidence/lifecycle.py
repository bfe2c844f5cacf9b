"""What can happen to a task execution and to a request attempt: the specification, as two tables.

A row is a state; its entries are the events that are legal in it and the state each one leads to. What
is not in the table must not happen. This module holds no counts and knows no log.

A *task execution* is one try of a task. It may be denied any number of times, and its lease may prove
stale, before it starts; once started it never comes back to the queue: a retry is a new execution.
Every way out of `leased` ends in `task_lease_released`: that is "returned exactly once" as a picture.

A *request attempt* waits (for no time at all, if need be), holds one lease, and sends at most once. Its
request begins and ends while its task runs. Its wait and its lease may be over a little later: the worker
gives up the one and returns the other by message, and does not wait to hear that they arrived.

Rules that do not fit a table stand below it: which outcomes a lease may be returned with, by how far
its task or attempt had come.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, TypeVar, get_args

from messages.telemetry import LOW_VALUE_KINDS

TaskState = Literal[
    "absent", "ready", "queued", "selected", "leased", "stale", "unstarted", "running", "completed", "ended"
]
AttemptState = Literal["absent", "waiting", "granted", "held", "sent", "answered", "ended"]
TaskTable: TypeAlias = dict[TaskState, dict[str, TaskState]]
State = TypeVar("State", bound=str)
AttemptTable: TypeAlias = dict[AttemptState, dict[str, AttemptState]]

TASK_LIFECYCLE: Final[TaskTable] = {
    "absent": {"dependency_ready": "ready"},
    "ready": {"ready_enqueued": "queued"},
    "queued": {"selected": "selected"},
    "selected": {"admission_denied": "queued", "task_lease_acquired": "leased"},
    "leased": {
        "stale_selection": "stale",
        "worker_spawned": "running",
        "worker_spawn_failed": "unstarted",
        "task_lease_released": "ended",
    },
    "stale": {"task_lease_released": "queued"},
    "unstarted": {"task_lease_released": "ended"},
    "running": {"task_completed": "completed", "task_lease_released": "ended"},
    "completed": {"task_lease_released": "ended"},
    "ended": {},
}

TASK_STATE_AFTER: Final[dict[str, TaskState]] = {
    "dependency_ready": "ready",
    "ready_enqueued": "queued",
    "selected": "selected",
    "admission_denied": "queued",
    "task_lease_acquired": "leased",
    "stale_selection": "stale",
    "worker_spawned": "running",
    "worker_spawn_failed": "unstarted",
    "task_completed": "completed",
    "task_lease_released": "ended",
}
"""Where an execution must be after an event, however it came there: so one fault is reported once."""

STARTED: Final[frozenset[TaskState]] = frozenset({"running", "completed"})
"""States in which a worker is at work. It may not wait for a scheduler resource in them (T5)."""

ASKS_FOR_SCHEDULER_RESOURCE: Final = frozenset(
    {"ready_enqueued", "selected", "admission_denied", "task_lease_acquired"}
)
"""What only something that wants a scheduler resource goes through: a started one is a hidden waiter."""

TASK_RELEASE_OUTCOMES: Final[dict[TaskState, frozenset[str]]] = {
    "leased": frozenset({"cancelled", "shutdown", "worker_lost"}),
    "stale": frozenset({"stale_discard"}),
    "unstarted": frozenset({"worker_spawn_failed", "cancelled", "shutdown", "worker_lost"}),
    "running": frozenset({"worker_lost"}),
}
"""How a lease may be returned. From `completed`: with the outcome that was reported, or `worker_lost`."""

ATTEMPT_LIFECYCLE: Final[AttemptTable] = {
    "absent": {"request_wait_started": "waiting", "request_acquire_denied": "ended"},
    "waiting": {
        "request_wait_completed": "granted",
        "request_wait_timeout": "ended",
        "request_wait_cancelled": "ended",
        "request_acquire_denied": "ended",
    },
    "granted": {"request_lease_acquired": "held"},
    "held": {"model_request_started": "sent", "request_lease_released": "ended"},
    "sent": {"model_request_completed": "answered", "request_lease_released": "ended"},
    "answered": {"request_lease_released": "ended"},
    "ended": {},
}

ATTEMPT_STATE_AFTER: Final[dict[str, AttemptState]] = {
    "request_wait_started": "waiting",
    "request_wait_completed": "granted",
    "request_wait_timeout": "ended",
    "request_wait_cancelled": "ended",
    "request_acquire_denied": "ended",
    "request_lease_acquired": "held",
    "model_request_started": "sent",
    "model_request_completed": "answered",
    "request_lease_released": "ended",
}
"""As `TASK_STATE_AFTER`, for attempts."""

UNSENT_OUTCOMES: Final = frozenset({"local_cancelled", "local_timeout", "unexpected_exception"})
"""How a request lease may be returned under which nothing was sent (A7). From `sent`, where the end of
the attempt is not known, it may come back only if the worker was lost."""


def thinned_tasks() -> TaskTable:
    """Return the table of tasks for a log from which events of low value were left out (O6)."""
    return {state: _reached(TASK_LIFECYCLE, state) for state in TASK_LIFECYCLE}


def thinned_attempts() -> AttemptTable:
    """Return the table of attempts for such a log."""
    return {state: _reached(ATTEMPT_LIFECYCLE, state) for state in ATTEMPT_LIFECYCLE}


def _reached(table: dict[State, dict[str, State]], state: State) -> dict[str, State]:
    """Return what may come next where any of the events that may be left out may have come before."""
    found: dict[str, State] = {}
    for event, following in table[state].items():
        if event in LOW_VALUE_KINDS:
            found |= _reached(table, following)
    return found | table[state]


assert set(TASK_LIFECYCLE) == set(get_args(TaskState))
assert set(ATTEMPT_LIFECYCLE) == set(get_args(AttemptState))
