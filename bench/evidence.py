"""What a run of Leasehold's own actors leaves: its capacity plan, its last snapshots, what its log proves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from actors import ActorSystem
from actors.evidence.verify import verify_log
from actors.inspection.lives import Ended
from actors.inspection.reading import LogStory
from actors.planning import Prepared, prepare
from actors.planning.capacity import describe_capacity
from bench.results import BenchError, Evidence
from bench.statistics import percentile
from messages import ActorName, Job
from messages._base import REQUEST_ADMISSION, TASK_ADMISSION, WORKER
from messages.request_admission import RequestAdmissionSnapshot
from messages.supervision import ActorSnapshot
from messages.task_admission import TaskAdmissionSnapshot
from messages.worker import WorkerSnapshot

LEASE_HOLDERS: tuple[ActorName, ...] = (TASK_ADMISSION, REQUEST_ADMISSION, WORKER)

_WAITS = {
    "ready_queue_wait": ("ready_enqueued_at", "selected_at"),
    "task_admission_wait": ("selected_at", "task_lease_acquired_at"),
    "ready_to_lease_gap": ("ready_enqueued_at", "task_lease_acquired_at"),
}
"""Derived metric -> the two moments of an execution's timeline that it lies between."""


class Snapshots(Protocol):
    """A system whose actors can be asked what they hold: one on threads, or one on virtual time."""

    def snapshot(self, actor: ActorName) -> ActorSnapshot:
        """Return what an actor says of itself."""
        ...


def leases_left(system: Snapshots, actors: Sequence[ActorName] = LEASE_HOLDERS) -> int:
    """Return how many leases, waiters and tokens the named actors still know of."""
    left = 0
    for name in actors:
        match system.snapshot(name).state:
            case TaskAdmissionSnapshot(active_leases=active):
                left += active
            case WorkerSnapshot(tokens_held=held, waiting_for_request_lease=waiting):
                left += held + waiting
            case RequestAdmissionSnapshot(resources=resources):
                left += sum(one.active_leases + one.waiters for one in resources)
    return left


def evidence_of(system: ActorSystem, job: Job, story: LogFacts | None) -> Evidence:
    """Return what a finished job leaves in a system that still runs, and in its log."""
    return Evidence(
        capacity_plan=story.capacity_plan if story and story.capacity_plan else capacity_plan(job),
        timeline=story.timeline if story else {},
        final_task_snapshot=msgspec.to_builtins(system.snapshot(TASK_ADMISSION).state),
        final_request_snapshot=msgspec.to_builtins(system.snapshot(REQUEST_ADMISSION).state),
        log_lines=story.lines if story else 0,
        hidden_waiters=story.hidden_waiters if story else None,
    )


def capacity_plan(job: Job) -> dict[str, Any]:
    """Return the capacities that a job without a source file works under, each with its source."""
    prepared = prepare(job, run_id="bench", source_fields=None, source_rows=0)
    if not isinstance(prepared, Prepared):
        raise BenchError(f"{job.name}: {prepared.problems[0]}")
    plan: dict[str, Any] = msgspec.to_builtins({"configured": describe_capacity(job, prepared.plan)})
    return plan


class LogFacts(msgspec.Struct, frozen=True):
    """What a log says of its run, once it is verified. Times are seconds."""

    lines: int
    hidden_waiters: int
    timeline: dict[str, float]
    measures: dict[str, float]
    capacity_plan: dict[str, Any] = {}


def read_log(path: Path) -> LogFacts:
    """Verify a log and return what it says.

    Raises:
        BenchError: it proves less than it has to.
    """
    report = verify_log(path)
    if not report.ok:
        raise BenchError(f"the log is not verified: {report.violations[0].message}")
    executions = _Executions()
    story = LogStory(path, ended=executions)
    story.read_on()
    run = story.story.explain()
    if run is None:
        raise BenchError("the log tells of no run")
    wall = run.run.wall_seconds
    # Leases of `submission`, which every task takes: what was made use of, of what could have been.
    capacity = run.resources["submission"].limit
    measures = {
        f"{name}_{part}": percentile(sorted(waits), share)
        for name, waits in executions.waits.items()
        if waits
        for part, share in (("p50", 0.5), ("p95", 0.95))
    }
    measures |= {
        "ready_idle_gap": run.queue.ready_idle_seconds,
        "active_capacity_integral": executions.held_seconds / (capacity * wall) if wall else 0.0,
    }
    began = run.run.started_at
    timeline = {"job_completed": wall}
    if executions.first_lease is not None:
        timeline["first_task_lease"] = executions.first_lease - began
    rows = run.run.rows_written
    for name, share in (("first_rows", 0.0), ("half_of_rows", 0.5), ("all_rows", 1.0)):
        reached = [at for at, _, _, last in run.completion if last and last >= share * rows]
        if reached:
            timeline[name] = reached[0]
    counts = report.counts
    return LogFacts(
        counts.lines,
        counts.hidden_scheduler_resource_waiters,
        timeline,
        measures,
        msgspec.to_builtins(run.capacity) if run.capacity else {},
    )


class _Executions:
    """Takes a run's executions as they end."""

    def __init__(self) -> None:
        self.waits: dict[str, list[float]] = {name: [] for name in _WAITS}
        self.held_seconds = 0.0
        self.first_lease: float | None = None

    def __call__(self, ended: Ended) -> None:
        timeline = ended.timeline
        for name, (since, until) in _WAITS.items():
            begin, end = getattr(timeline, since), getattr(timeline, until)
            if begin is not None and end is not None:
                self.waits[name].append(end - begin)
        acquired, released = timeline.task_lease_acquired_at, timeline.task_lease_released_at
        if acquired is not None and released is not None:
            self.held_seconds += released - acquired
            self.first_lease = acquired if self.first_lease is None else min(self.first_lease, acquired)
