"""What becomes of a task that failed: another try later, or its rows dropped (R3, R4, R5).

Owns what has been tried and what was dropped, and the first error of the run.
"""

from __future__ import annotations

from typing import Final

from actors.scheduler.completion import CompletionTracker
from actors.scheduler.facts import Facts
from actors.scheduler.kept_answers import KeptAnswers
from actors.scheduler.retries import Deferrals, RetryPolicy
from actors.scheduler.row_groups import RowGroup
from messages.plan import JobPlan
from messages.scheduler import DroppedRow
from messages.task_admission import TaskLease
from messages.tasks import SchedulableTask, Task, TaskError, TaskId, TaskOutcome
from messages.telemetry import Event

PROCESSOR: Final = "processor"
"""Why a row was dropped that a processor did not keep."""


class Failures:
    """Failed tasks of one run."""

    def __init__(self, plan: JobPlan, tracker: CompletionTracker, facts: Facts) -> None:
        self._tracker = tracker
        self._facts = facts
        self._retried: set[TaskId] = set()
        self.answers = KeptAnswers()
        self.first_error: str | None = None
        self.rows_dropped = 0
        self.deferrals = Deferrals(
            RetryPolicy(
                max_retries=plan.max_retries,
                backoff_seconds=plan.backoff_seconds,
                max_backoff_seconds=plan.max_backoff_seconds,
            )
        )

    def note_success(self, lease: TaskLease) -> None:
        """Forget a task's failures: it has ended well."""
        if self._retried:
            self._forget(lease)

    def note_redispatched(self, items: list[SchedulableTask], now: float) -> None:
        """Tell which of the tasks that were just enqueued are further tries."""
        if self._retried:
            for item in items:
                if item.task_id in self._retried:
                    self._facts.add(Event("salvage_redispatched", now, item.correlation))

    def defer(self, task: Task, lease: TaskLease, outcome: TaskOutcome, now: float) -> bool:
        """Put a failed task off to be tried again; return False if it is to be given up."""
        due = self.deferrals.defer(lease.task_id, task, outcome, now=now)
        if due is None:
            return False
        self._retried.add(lease.task_id)
        self.answers.keep(task.row_group, lease.task_id, outcome.answers)
        facts = {"attempt": self.deferrals.attempts(lease.task_id), "until": due}
        if answers := self.answers.of(task.row_group, lease.task_id):
            facts["answers_kept"] = len(answers)
        self._facts.add(
            Event(
                "retry_deferred",
                now,
                lease.correlation,
                reason_or_outcome=error_of(outcome).kind,
                diagnostics=facts,
            )
        )
        return True

    def drop(
        self, group: RowGroup, task: Task, lease: TaskLease, outcome: TaskOutcome, now: float
    ) -> list[TaskId]:
        """Drop the rows that a failed task covers: its own, or its row group's but those that it skips.

        Returns the ids of the rows' tasks that are no longer wanted.
        """
        error = error_of(outcome)
        self._facts.add(Event("non_retryable_dropped", now, lease.correlation, reason_or_outcome=error.kind))
        if self.first_error is None:
            self.first_error = f"column {task.column}: {error.message}"
        attempts = max(1, self.deferrals.attempts(lease.task_id))
        self._forget(lease)
        if task.row_index is None:
            covered = self._tracker.rows_for(task)
            offsets = self._tracker.surviving(group.index) if covered is None else covered
        else:
            offsets = [task.row_index - group.first_row]
        offsets = [offset for offset in offsets if self._tracker.is_alive(group.index, offset)]
        self.rows_dropped += len(offsets)
        group.dropped += [
            DroppedRow(
                group.first_row + offset, task.column, attempts, error.kind, error.message, error.causes
            )
            for offset in offsets
        ]
        unwanted = self._tracker.drop_rows(group.index, offsets)
        self._tracker.reopen(task)  # a batch may still have rows in which it is skipped
        return unwanted

    def sort_out(self, group: RowGroup, processor: str, offsets: list[int]) -> list[TaskId]:
        """Drop the rows that a processor did not keep (R8): a decision of the job, and no error.

        Returns the ids of the rows' tasks that are no longer wanted.
        """
        offsets = [offset for offset in offsets if self._tracker.is_alive(group.index, offset)]
        self.rows_dropped += len(offsets)
        text = f"dropped by processor {processor}"
        group.dropped += [
            DroppedRow(group.first_row + offset, processor, 1, PROCESSOR, text) for offset in offsets
        ]
        return self._tracker.drop_rows(group.index, offsets)

    def _forget(self, lease: TaskLease) -> None:
        self._retried.discard(lease.task_id)
        self.deferrals.settle(lease.task_id)
        self.answers.forget(lease.correlation.row_group, lease.task_id)


def error_of(outcome: TaskOutcome) -> TaskError:
    """Return the outcome's error; one named after its kind where it carries none."""
    return outcome.error or TaskError(outcome.kind, outcome.kind)
