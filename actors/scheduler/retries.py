"""What is done about a task that failed: try again later, or give up (R4, R5).

Owns how often each task has been tried and when deferred work is due. Deferred work blocks nothing: it
is off the queue and holds no lease until it is due.
"""

from __future__ import annotations

from heapq import heappop, heappush

from messages.tasks import Task, TaskId, TaskOutcome

_PACED_ELSEWHERE = frozenset(
    {
        "rate_limited",
        "queue_timeout",
        "circuit_open",
        "cooldown",
        "no_capacity",
        "budget",
        "queued_waiters_ahead",
    }
)
"""Failures that are the provider's limit or our own queue's doing: never a reason to drop (R4).

Request admission paces the calls to a model: its gate, limit, budgets and circuit say when the next one may
leave. A wait that doubled here as well would be a second owner of that, and idle a model that is there again.
`local_timeout` is not among them: a connection that never comes has no circuit that would end the job.
"""

_LOST_THROUGH_NO_FAULT = frozenset({"worker_lost", "worker_spawn_failed"})


class RetryPolicy:
    """Decides from a task's failures so far whether and when it is tried again. Pure."""

    def __init__(self, *, max_retries: int, backoff_seconds: float, max_backoff_seconds: float) -> None:
        self._max_retries = max_retries
        self._backoff = backoff_seconds
        self._max_backoff = max_backoff_seconds

    def counts(self, outcome: TaskOutcome) -> bool:
        """Return whether a failure counts against `max_retries`, and makes the next wait longer (R4)."""
        return outcome.error is None or outcome.error.kind not in _PACED_ELSEWHERE

    def retry_after(self, outcome: TaskOutcome, *, counted: int) -> float | None:
        """Return the seconds to wait before the next try, or None to give up.

        `counted` is how many of the task's failures count, this one included where it does. What does not
        count waits for no longer than the first backoff, unless the provider or its gate asks for more.
        """
        if outcome.kind not in ("retryable_failure", *_LOST_THROUGH_NO_FAULT):
            return None
        if counted > self._max_retries:
            return None
        doublings = min(counted - 1, 30) if self.counts(outcome) else 0
        wait = min(self._backoff * 2.0**doublings, self._max_backoff)
        wanted = outcome.error.retry_after_seconds if outcome.error is not None else None
        return max(wait, wanted or 0.0)


class Deferrals:
    """Failed tasks waiting for their next try."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._due: list[tuple[float, int, Task]] = []
        self._serial = 0
        self._failures: dict[TaskId, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._due)

    def defer(self, task_id: TaskId, task: Task, outcome: TaskOutcome, *, now: float) -> float | None:
        """Count a failure; return when the task will be tried again, or None to give it up."""
        failures, counted = self._failures.get(task_id, (0, 0))
        failures, counted = failures + 1, counted + self._policy.counts(outcome)
        self._failures[task_id] = (failures, counted)
        wait = self._policy.retry_after(outcome, counted=counted)
        if wait is None:
            return None
        self._serial += 1
        heappush(self._due, (now + wait, self._serial, task))
        return now + wait

    def attempts(self, task_id: TaskId) -> int:
        """Return how often the task has failed so far."""
        return self._failures.get(task_id, (0, 0))[0]

    def settle(self, task_id: TaskId) -> None:
        """Forget a task that has ended for good."""
        self._failures.pop(task_id, None)

    def take_due(self, now: float) -> list[Task]:
        """Remove and return the tasks whose time has come."""
        due: list[Task] = []
        while self._due and self._due[0][0] <= now:
            due.append(heappop(self._due)[2])
        return due

    def next_due(self) -> float | None:
        """Return when the next task is due."""
        return self._due[0][0] if self._due else None

    def clear(self) -> None:
        """Give up everything that is deferred."""
        self._due.clear()
