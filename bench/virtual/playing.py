"""Lets the real actors do a workload on virtual time, and reads in their log what came of it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from actors.evidence.reader import read_events
from actors.evidence.verify import verify_log
from bench.results import BenchError
from bench.virtual.course import Course, Execution
from bench.virtual.system import VirtualSystem
from bench.virtual.timed_worker import Ending
from bench.virtual.workload import CAPACITY, Workload
from messages.job import Job
from messages.request_admission import RequestAdmissionSnapshot
from messages.supervision import ActorSnapshot
from messages.task_admission import TaskAdmissionSnapshot
from messages.tasks import TaskOutcome
from messages.worker import TaskStart, WorkerSnapshot


def play(workload: Workload, policy: str) -> Course:
    """Run the workload under a policy; return what every task execution went through.

    Raises:
        BenchError: a row is missing, or the log proves that a rule was broken.
    """
    seconds = workload.seconds

    def ending(start: TaskStart) -> Ending:
        made = 1 if start.task.row_index is not None else [1] * start.rows
        return Ending(seconds[start.task.column], TaskOutcome("success", made))

    system = VirtualSystem(ending)
    job = Job(name=workload.name, rows=workload.rows, row_group_size=workload.row_group_size)
    with TemporaryDirectory(prefix="leasehold-bench-") as folder:
        log = Path(folder, "actors.jsonl")
        result = system.run(job, lambda run_id: workload.plan(run_id, policy), log)
        left = _left(system)
        system.stop()
        if result.status != "succeeded" or result.rows_written != workload.rows:
            raise BenchError(f"{workload.name}, {policy}: {result.status}, {result.rows_written} rows")
        report = verify_log(log)
        if not report.ok:
            raise BenchError(f"{workload.name}, {policy}: {report.violations[0]}")
        executions = list(_executions(log).values())
    hidden = report.counts.hidden_scheduler_resource_waiters
    return Course(executions, CAPACITY, workload.measured, left=left, hidden_waiters=hidden)


def _executions(log: Path) -> dict[int, Execution]:
    found: dict[int, Execution] = {}
    for sequenced in read_events(log):
        event = sequenced.event
        about = event.correlation
        if about is None:
            continue
        execution = found.get(about.task_execution_id)
        if execution is None:
            row = about.row_index if about.row_index is not None else -1
            execution = Execution(about.task_column, (about.row_group, row), event.captured_at)
            found[about.task_execution_id] = execution
        match event.event_kind:
            case "ready_enqueued":
                execution.ready_at = event.captured_at
            case "task_lease_acquired":
                execution.leased_at = event.captured_at
            case "task_lease_released":
                execution.ended_at = event.captured_at
    return found


def _left(system: VirtualSystem) -> int:
    left = 0
    for answer in system.snapshots():
        match answer.state if isinstance(answer, ActorSnapshot) else None:
            case TaskAdmissionSnapshot(active_leases=active):
                left += active
            case WorkerSnapshot(tokens_held=held, waiting_for_request_lease=waiting):
                left += held + waiting
            case RequestAdmissionSnapshot(resources=resources):
                left += sum(one.active_leases + one.waiters for one in resources)
    return left
