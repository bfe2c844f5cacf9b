"""A whole job that calls a server whose capacity moves: every actor, on virtual time, proved by its log."""

from __future__ import annotations

from pathlib import Path

from actors.evidence.reader import read_events
from bench.moving.playing import How
from bench.moving.scripts import CLIENTS, JITTER, LATENCY_SECONDS, Play
from bench.moving.simulation import Course, Success
from bench.virtual.system import Happening
from bench.virtual.verified import verified_run
from messages._base import SCHEDULER
from messages.job import (
    ChatColumn,
    FailurePolicy,
    Job,
    Latency,
    ModelConfig,
    RequestAdmissionTuning,
    SequenceColumn,
    SimulatedProvider,
)
from messages.scheduler import CancelJob

_MOST_CALLS_A_SECOND = CLIENTS / LATENCY_SECONDS / (1 - JITTER)


def whole_system(tuning: RequestAdmissionTuning) -> How:
    """Return how a job of chat calls without end fares, cancelled when the time is over."""

    def play(played: Play, seed: int, until: float) -> Course:
        cancel = Happening(until, SCHEDULER, CancelJob("the time is over"))
        job = _job(played, tuning, seed, until)
        with verified_run(job, seed=seed, happenings=[cancel], status="cancelled") as run:
            course = _course(run.log, until)
        course.left, course.evidence = run.left, run.evidence
        return course

    return play


def _job(play: Play, tuning: RequestAdmissionTuning, seed: int, until: float) -> Job:
    latency = Latency(mean=1000 * LATENCY_SECONDS, jitter=1000 * LATENCY_SECONDS * JITTER)
    provider = SimulatedProvider(latency_ms=latency, script=play.steps, when_full=play.when_full)
    return Job(
        name=play.name,
        rows=int(until * _MOST_CALLS_A_SECOND) + CLIENTS,
        row_group_size=500,
        seed=seed,
        providers={"moving": provider},
        models={"m": ModelConfig(provider="moving", model="m", max_parallel_requests=CLIENTS, limit=tuning)},
        columns={"number": SequenceColumn(), "said": ChatColumn(model="m", prompt="{{ number }}")},
        # A minute in which nobody can be reached must not drop rows: this measures what comes after it.
        failure=FailurePolicy(max_retries=1000, max_backoff_seconds=1.0, early_shutdown_rate=None),
    )


def _course(log: Path, until: float) -> Course:
    """Return what the log says of every attempt."""
    course = Course()
    began: dict[int, float] = {}
    for sequenced in read_events(log):
        event = sequenced.event
        if event.event_kind == "model_request_started":
            began[event.request_attempt_id] = event.captured_at
        elif event.event_kind == "model_request_completed" and event.captured_at <= until:
            match event.reason_or_outcome:
                case "success":
                    taken = event.captured_at - began.pop(event.request_attempt_id)
                    course.successes.append(Success(event.captured_at, taken))
                case "rate_limited":
                    course.refusals.append(event.captured_at)
                case "provider_failure":
                    course.failures.append(event.captured_at)
    return course
