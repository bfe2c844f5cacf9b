"""Follows task executions and task leases through a log, and holds them against the rules.

Owns the executions that have not ended and the leases that are active; forgets what is over.
"""

from __future__ import annotations

from typing import Final

from actors.evidence.lifecycle import (
    ASKS_FOR_SCHEDULER_RESOURCE,
    STARTED,
    TASK_LIFECYCLE,
    TASK_RELEASE_OUTCOMES,
    TASK_STATE_AFTER,
    TaskState,
    thinned_tasks,
)
from actors.evidence.report import Findings, Rule
from actors.telemetry.log_codec import EventRecord
from messages.telemetry import RunDescriptor


class Execution:
    """One task execution, as far as it has come. `line` is the last that was about it."""

    __slots__ = (
        "attempts_open",
        "attempts_until",
        "column",
        "lease",
        "line",
        "outcome",
        "replaced",
        "state",
        "time",
    )

    def __init__(self, column: str) -> None:
        self.column = column
        self.state: TaskState = "absent"
        self.lease = 0
        self.replaced = 0
        """The lease of a lost controller that `lease` stands for: the token that its worker holds."""
        self.line = 0
        self.time = float("-inf")
        self.outcome = ""
        self.attempts_open = 0
        self.attempts_until = float("-inf")


class _Lease:
    __slots__ = ("amounts", "execution", "line")

    def __init__(self, execution: int, amounts: tuple[tuple[str, int], ...], line: int) -> None:
        self.execution = execution
        self.amounts = amounts
        self.line = line


class TaskAccount:
    """The rules about tasks: lifecycle, leases, capacities, timelines, hidden waiters (T1-T7, T14)."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._lifecycle = TASK_LIFECYCLE
        self._executions: dict[int, Execution] = {}
        self._leases: dict[int, _Lease] = {}
        self._last_lease = 0
        self._vectors: dict[str, tuple[tuple[str, int], ...]] = {}
        self._limits: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self.lost: Final[set[int]] = set()

    def thin(self) -> None:
        """Note that events of low value are missing from here on (O6)."""
        self._lifecycle = thinned_tasks()

    def begin(self, run: RunDescriptor) -> None:
        """Take the capacities and the generators of the run that starts."""
        self._limits = run.resource_limits
        self._vectors = {
            name: tuple(generator.resources.items()) for name, generator in run.generators.items()
        }
        self.lost.clear()

    def finish(self) -> None:
        """Everything is over: report leases that did not come back, and forget the run's executions."""
        for lease_id, lease in self._leases.items():
            self._findings.add(
                "lease_not_returned",
                f"task lease {lease_id} of execution {lease.execution} is never returned",
                lease.line,
            )
        self._leases.clear()
        self._executions.clear()
        self._held.clear()

    def running(self, execution_id: int) -> Execution | None:
        """Return the execution if its worker is at work."""
        execution = self._executions.get(execution_id)
        return execution if execution is not None and execution.state == "running" else None

    def follow(self, line: int, record: EventRecord) -> None:
        """Take the next event about a task execution."""
        if record.diagnostics is not None and "replaces" in record.diagnostics:
            self._recovered(line, record)
        else:
            self._step(line, record)

    def _step(self, line: int, record: EventRecord) -> None:
        kind = record.event_kind
        number = record.execution
        execution = self._executions.get(number)
        if execution is None:
            execution = self._introduce(line, record, number)
        state = execution.state
        following = self._lifecycle[state].get(kind)
        if following is None:
            self._illegal(line, record, number, execution)
            following = TASK_STATE_AFTER[kind]
        if record.captured_at < execution.time:
            self._findings.add(
                "timeline",
                f"{kind} of execution {number} is at {record.captured_at}, before what it follows "
                f"at {execution.time}",
                execution.line,
                line,
            )
        execution.state = following
        if kind == "task_lease_acquired":
            self._acquired(line, record, number, execution)
        elif kind == "task_lease_released":
            self._released(line, record, number, execution, state)
        elif record.task_lease_id and record.task_lease_id not in (execution.lease, execution.replaced):
            self._findings.add(
                "wrong_lease",
                f"{kind} of execution {number} names lease {record.task_lease_id}; it holds "
                f"{execution.lease or 'none'}",
                line,
            )
        if kind == "worker_spawned":
            self._findings.counts.workers_started += 1
        elif kind == "task_completed":
            self._completed(line, record, number, execution)
        execution.line = line
        execution.time = record.captured_at
        if execution.state == "ended":
            self._executions.pop(number, None)

    def replaced(self, line: int, record: EventRecord) -> None:
        """Take a retry or a drop: it may be decided only once the original's lease is back (T14)."""
        execution = self._executions.get(record.execution)
        if execution is not None:
            self._findings.add(
                "replacement_before_return",
                f"{record.event_kind} of execution {record.execution}, whose lease "
                f"{execution.lease} is still active",
                execution.line,
                line,
            )

    # -- inside ----------------------------------------------------------------------------------------

    def _introduce(self, line: int, record: EventRecord, number: int) -> Execution:
        column = record.correlation.task_column if record.correlation is not None else ""
        execution = self._executions[number] = Execution(column)
        execution.line = line
        if record.event_kind == "dependency_ready":
            self._findings.counts.task_executions += 1
            if column not in self._vectors:
                self._findings.add("run", f"task of {column!r}, which the run does not describe", line)
        return execution

    def _illegal(self, line: int, record: EventRecord, number: int, execution: Execution) -> None:
        kind, state = record.event_kind, execution.state
        rule: Rule = "lifecycle"
        found = f"{kind} of execution {number}, which is {state}"
        if state == "absent":
            found = f"{kind} of execution {number}, which is not introduced, or has ended"
        if state in STARTED and kind in ASKS_FOR_SCHEDULER_RESOURCE:
            rule = "hidden_waiter"
            self._findings.counts.hidden_scheduler_resource_waiters += 1
        elif kind == "worker_spawned":
            rule = "start_before_lease"
        earlier = execution.line if execution.line != line else 0
        self._findings.add(rule, found, earlier, line)

    def _recovered(self, line: int, record: EventRecord) -> None:
        """Take a lease that a new controller issued for one of a lost controller's that was active."""
        number, replaced = record.execution, (record.diagnostics or {})["replaces"]
        execution = self._executions.get(number)
        names = (execution.lease, execution.replaced) if execution is not None else ()
        old = self._leases.pop(execution.lease, None) if execution is not None else None
        if old is None or execution is None or replaced not in names:
            self._findings.add(
                "wrong_lease",
                f"task lease {record.task_lease_id} of execution {number} takes the place of lease "
                f"{replaced}, which it does not hold",
                line,
            )
            return
        self._free(old)
        execution.replaced = replaced
        self._acquired(line, record, number, execution)
        self._findings.counts.task_leases -= 1  # the execution's one lease, under another number

    def _acquired(self, line: int, record: EventRecord, number: int, execution: Execution) -> None:
        lease_id = record.task_lease_id
        self._findings.counts.task_leases += 1
        if lease_id <= self._last_lease:
            self._findings.add("lease_reused", f"task lease {lease_id} is issued again, or out of turn", line)
        self._last_lease = max(self._last_lease, lease_id)
        amounts = self._vectors.get(execution.column, ())
        execution.lease = lease_id
        earlier = self._leases.get(lease_id)
        if earlier is not None:
            self._free(earlier)
        self._leases[lease_id] = _Lease(number, amounts, line)
        held, most = self._held, self._findings.counts.most_held
        for resource, amount in amounts:
            now_held = held[resource] = held.get(resource, 0) + amount
            if now_held > most.get(resource, 0):
                most[resource] = now_held
            limit = self._limits.get(resource, 0)
            if now_held > limit:
                self._findings.add(
                    "capacity", f"{now_held} of {resource} are held; the limit is {limit}", line
                )

    def _released(
        self, line: int, record: EventRecord, number: int, execution: Execution, state: TaskState
    ) -> None:
        lease_id, outcome = record.task_lease_id, record.reason_or_outcome
        lease = self._leases.pop(lease_id, None)
        if lease is None:
            what = "again" if 0 < lease_id <= self._last_lease else "but was never issued"
            self._findings.add("lease_returned_once", f"task lease {lease_id} is returned {what}", line)
        else:
            self._free(lease)
            if lease.execution != number:
                self._findings.add(
                    "wrong_lease",
                    f"execution {number} returns task lease {lease_id} of execution {lease.execution}",
                    lease.line,
                    line,
                )
        if outcome == "worker_lost":
            self.lost.add(number)
        legal = TASK_RELEASE_OUTCOMES.get(state)
        if state == "completed":
            legal = frozenset({execution.outcome, "worker_lost"})
        if legal is not None and outcome not in legal:
            self._findings.add(
                "outcome",
                f"task lease {lease_id} of execution {number} is returned as {outcome or 'nothing'} from "
                f"{state}; expected {' or '.join(sorted(legal))}",
                line,
            )

    def _free(self, lease: _Lease) -> None:
        for resource, amount in lease.amounts:
            self._held[resource] = self._held.get(resource, 0) - amount

    def _completed(self, line: int, record: EventRecord, number: int, execution: Execution) -> None:
        execution.outcome = record.reason_or_outcome
        if execution.attempts_open:
            self._findings.add(
                "timeline",
                f"task_completed of execution {number} while {execution.attempts_open} of its model "
                "requests are under way",
                line,
            )
        if record.captured_at < execution.attempts_until:
            self._findings.add(
                "timeline",
                f"task_completed of execution {number} is at {record.captured_at}, before the end of its "
                f"last model request at {execution.attempts_until}",
                line,
            )
