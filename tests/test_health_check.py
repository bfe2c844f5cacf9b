"""A job's providers are asked after their health: real actors around a worker that is played by hand."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from actors.cli.interrupts import Interrupts
from actors.cli.run import RunOptions, submitted
from actors.cli.summary import CANCELLED_BY
from actors.evidence.verify import verify_log
from actors.harness import Harness
from actors.planning import prepare
from actors.planning.capacity import describe_capacity
from messages._base import REQUEST_ADMISSION, SCHEDULER, TASK_ADMISSION, TELEMETRY
from messages.job import ChatColumn, Job, JobError, ModelConfig, Problem, SimulatedProvider
from messages.request_admission import (
    AcquireRequestLease,
    RequestAdmissionItem,
    RequestEventContext,
    RequestGroupSpec,
    RequestLeaseGranted,
    RequestOutcome,
    ReturnRequestLease,
)
from messages.scheduler import JobAccepted, JobFinished, JobRejected, SubmitJob
from messages.task_admission import ReturnTaskLeases, TaskLeaseReturn
from messages.tasks import RequestResourceKey, TaskOutcome
from messages.telemetry import Event, RecordEvents, RecordTaskEvents
from messages.worker import (
    CancelTasks,
    ExecuteTasks,
    JobPrepared,
    JobReleased,
    ModelsProbed,
    PrepareJob,
    ProbeModels,
    ReleaseJob,
)
from tests.hand_worker import ALL_BUT_THE_WORKER

JOB = Job(
    name="probed",
    rows=1,
    providers={"storm": SimulatedProvider()},
    models={"writer": ModelConfig(provider="storm", model="small", max_parallel_requests=2)},
    columns={"story": ChatColumn(model="writer", prompt="x")},
)
HEALTH = RequestResourceKey("storm", "small", "healthcheck")
UNHEALTHY = Problem("providers.storm", "nobody answers there", "start it")


@pytest.fixture
def harness(tmp_path):
    with Harness.start(ALL_BUT_THE_WORKER, log=tmp_path / "system.jsonl") as harness:
        yield harness


def prepared(worker):
    """Answer `PrepareJob` as the worker would; return the run's id once its providers are to be probed."""
    asked = worker.expect(PrepareJob)
    made = prepare(asked.job, run_id=asked.run_id, source_fields=(), source_rows=0)
    worker.send(SCHEDULER, JobPrepared(asked.run_id, made.plan, describe_capacity(asked.job, made.plan)))
    worker.expect(ProbeModels)
    return asked.run_id


def probe_once(worker, attempt=1):
    """Make one attempt under a lease of its own, as the worker's executor does."""
    context = RequestEventContext(None, attempt)
    item = RequestAdmissionItem(HEALTH, RequestGroupSpec(""), 5.0, context)
    worker.send(REQUEST_ADMISSION, AcquireRequestLease(item))
    lease = worker.expect(RequestLeaseGranted).lease
    about = {"request_lease_id": lease.lease_id, "request_attempt_id": attempt, "resource": HEALTH.name}
    events = [
        Event("model_request_started", lease.acquired_at, **about),
        Event("model_request_completed", lease.acquired_at, **about, reason_or_outcome="success"),
    ]
    worker.send(TELEMETRY, RecordEvents("request", events))
    worker.send(REQUEST_ADMISSION, ReturnRequestLease(lease, RequestOutcome("success"), context))


def finish_the_task(worker):
    (start,) = worker.expect(ExecuteTasks).starts
    lease = start.lease
    for kind, outcomes in (("worker_spawned", []), ("task_completed", ["success"])):
        told = RecordTaskEvents(kind, lease.acquired_at, [lease.correlation], [lease.lease_id], outcomes)
        worker.send(TELEMETRY, told)
    returned = TaskLeaseReturn(lease, TaskOutcome("success", "a story"))
    worker.send(TASK_ADMISSION, ReturnTaskLeases([returned]))


def release(worker, run_id):
    worker.expect(ReleaseJob, where=lambda message: bool(message.reply_to))
    worker.send(SCHEDULER, JobReleased(run_id, {}))


def test_a1_a_probe_is_an_attempt_under_a_lease_and_the_systems_log_verifies(harness, tmp_path):
    worker, client = harness.probe("worker"), harness.probe("harness")
    own = tmp_path / "own.jsonl"
    client.send(SCHEDULER, SubmitJob(JOB, str(tmp_path / "out"), str(own)))
    run_id = prepared(worker)
    probe_once(worker)
    assert not own.exists()
    worker.send(SCHEDULER, ModelsProbed(run_id, (), ("it is slow",)))
    assert client.expect(JobAccepted).warnings == ("it is slow",)
    finish_the_task(worker)
    release(worker, run_id)
    assert client.expect(JobFinished).result.status == "succeeded"
    harness.stop()

    reports = [verify_log(path) for path in (tmp_path / "system.jsonl", own)]

    assert [report.violations for report in reports] == [(), ()]
    assert [report.counts.request_leases for report in reports] == [1, 0]
    assert "request_lease" not in own.read_text()


def test_an_unhealthy_job_leaves_nothing_on_disk(harness, tmp_path):
    worker, client = harness.probe("worker"), harness.probe("harness")
    client.send(SCHEDULER, SubmitJob(JOB, str(tmp_path / "out"), str(tmp_path / "out/actors.jsonl")))
    run_id = prepared(worker)
    probe_once(worker)
    worker.send(SCHEDULER, ModelsProbed(run_id, (UNHEALTHY,)))

    assert client.expect(JobRejected).problems == (UNHEALTHY,)
    assert {path.name for path in tmp_path.iterdir()} == {"system.jsonl"}
    assert harness.system.snapshot(REQUEST_ADMISSION).state.resources == ()
    harness.stop()
    assert verify_log(tmp_path / "system.jsonl").ok


class Interrupted:
    """A person who presses Ctrl-C once the providers are being asked, and the worker meanwhile."""

    def __init__(self, harness):
        self._worker = harness.probe("worker")
        self._thread = threading.Thread(target=self._play)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._thread.join()

    def _play(self):
        run_id = prepared(self._worker)
        os.kill(os.getpid(), signal.SIGINT)
        self._worker.expect(CancelTasks)
        self._worker.send(SCHEDULER, ModelsProbed(run_id, (UNHEALTHY,)))
        release(self._worker, run_id)


def test_r11_an_interrupt_while_the_command_waits_for_the_providers_cancels_the_job(
    harness, tmp_path, capsys
):
    options = RunOptions(Path("job.toml"), tmp_path / "out", tmp_path / "log", quiet=True)

    with Interrupts(quiet=True) as interrupts, Interrupted(harness):
        handle = submitted(harness.system, JOB, options, interrupts)
        result = handle.result(timeout=20)

    assert (result.status, result.first_error) == ("cancelled", CANCELLED_BY)
    assert not [m for m in harness.probe("worker").received if isinstance(m, ExecuteTasks)]


def test_a_refused_job_reaches_the_command_as_problems(harness, tmp_path):
    options = RunOptions(Path("job.toml"), tmp_path / "out", tmp_path / "log", quiet=True)
    worker = harness.probe("worker")
    refuse = threading.Thread(
        target=lambda: worker.send(SCHEDULER, ModelsProbed(prepared(worker), (UNHEALTHY,)))
    )
    refuse.start()

    with pytest.raises(JobError) as refused:
        submitted(harness.system, JOB, options, Interrupts(quiet=True))
    refuse.join()

    assert refused.value.problems == (UNHEALTHY,)
