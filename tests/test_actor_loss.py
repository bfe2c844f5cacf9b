"""An actor is lost in the middle of a run: its obligations are taken over, and the log proves it."""

from __future__ import annotations

import pytest

from actors import ActorSystem
from actors.evidence.verify import verify_log
from actors.harness import Harness
from messages import (
    ChatColumn,
    ExpressionColumn,
    FailurePolicy,
    Job,
    Latency,
    ModelConfig,
    PythonColumn,
    SimulatedProvider,
    SubmitJob,
)
from messages.request_admission import RequestLeaseGranted
from messages.scheduler import JobFinished
from messages.supervision import ActorRestarted, CrashActor
from messages.task_admission import TaskLeasesReturned
from messages.telemetry import RecordTaskEvents

RECOVERED = ("task_admission", "request_admission", "worker", "telemetry", "storage")


async def think(story):
    return len(story)


def shout(story):
    return story.upper()


JOB = Job(
    name="lossy",
    rows=48,
    row_group_size=12,
    seed=3,
    providers={"sim": SimulatedProvider(latency_ms=Latency(mean=3.0, jitter=2.0))},
    models={"m": ModelConfig(provider="sim", model="sim-m", max_parallel_requests=5)},
    columns={
        "story": ChatColumn(model="m", prompt="Tell of nothing."),
        "verdict": ChatColumn(model="m", prompt="True? {{ story }}"),
        "words": ExpressionColumn(template="{{ story | length }}", dtype="int"),
        "size": PythonColumn(function=think),
        "loud": PythonColumn(function=shout),
    },
    failure=FailurePolicy(backoff_seconds=0.01),
    health_check=False,  # the first lease is a task's: an actor lost before that ends the submission
)


@pytest.fixture(scope="module")
def undisturbed():
    with Harness.start() as harness:
        harness.send("scheduler", SubmitJob(JOB))
        return list(harness.expect(None, JobFinished, timeout=20).result.rows())


def run_with(tmp_path, disturb, *, serialize=False, out=None):
    """Run the job; `disturb(harness)` once it is under way. Return its result and the log's report."""
    log = tmp_path / "actors.jsonl"
    with Harness.start(log=log, serialize_messages=serialize) as harness:
        harness.send("scheduler", SubmitJob(JOB, out=None if out is None else str(out)))
        disturb(harness)
        result = harness.expect(None, JobFinished, timeout=30).result
        assert harness.system.snapshot("task_admission").state.active_leases == 0
        requests = harness.system.snapshot("request_admission").state
        assert all(endpoint.aggregate_in_flight == 0 for endpoint in requests.provider_models)
        assert harness.system.snapshot("worker").state.tokens_held == 0
    return result, verify_log(log)


def after(harness, message_type, count):
    for _ in range(count):
        harness.expect(None, message_type, timeout=10)


def lose(harness, actor):
    harness.send(actor, CrashActor())


def assert_whole(result, report, undisturbed):
    assert (result.status, result.rows_written, result.rows_dropped) == ("succeeded", 48, 0)
    assert list(result.rows()) == undisturbed
    assert report.ok, report.to_builtins()


@pytest.mark.parametrize("serialize", [False, True])
@pytest.mark.parametrize("seen", [1, 12, 40])
@pytest.mark.parametrize("actor", RECOVERED)
def test_a_lost_actor_is_replaced_and_every_row_is_there(tmp_path, undisturbed, actor, seen, serialize):
    def disturb(harness):
        after(harness, RequestLeaseGranted, seen)
        lose(harness, actor)
        restarted = harness.expect("scheduler", ActorRestarted, timeout=10)
        assert (restarted.actor, restarted.generation) == (actor, 2)

    result, report = run_with(tmp_path, disturb, serialize=serialize)
    assert_whole(result, report, undisturbed)


@pytest.mark.parametrize("actor", RECOVERED)
def test_an_actor_lost_three_times_comes_back_each_time(tmp_path, undisturbed, actor):
    def disturb(harness):
        for generation in (2, 3, 4):
            after(harness, RequestLeaseGranted, 5)
            lose(harness, actor)
            assert harness.expect("scheduler", ActorRestarted, timeout=10).generation == generation

    result, report = run_with(tmp_path, disturb)
    assert_whole(result, report, undisturbed)


def test_an_actor_lost_twice_at_once_comes_back(tmp_path, undisturbed):
    def disturb(harness):
        after(harness, RequestLeaseGranted, 8)
        for actor in RECOVERED:
            lose(harness, actor)
            lose(harness, actor)

    result, report = run_with(tmp_path, disturb)
    assert_whole(result, report, undisturbed)


def test_all_lost_together_but_the_scheduler_come_back(tmp_path, undisturbed):
    def disturb(harness):
        after(harness, TaskLeasesReturned, 4)
        for actor in RECOVERED:
            lose(harness, actor)

    result, report = run_with(tmp_path, disturb)
    assert_whole(result, report, undisturbed)


def test_t2_a_token_of_the_lost_generation_frees_nothing_but_its_outcome_counts_once(tmp_path, undisturbed):
    def disturb(harness):
        after(harness, RequestLeaseGranted, 10)
        lose(harness, "task_admission")

    result, report = run_with(tmp_path, disturb)
    assert_whole(result, report, undisturbed)
    assert result.models["m"].attempts == 96, "no finished model call was repeated"


def test_r4_a_lost_workers_tasks_are_tried_again_and_told_as_lost(tmp_path, undisturbed):
    lost = []

    def disturb(harness):
        after(harness, RequestLeaseGranted, 10)
        lose(harness, "worker")
        released = harness.expect(
            "telemetry",
            RecordTaskEvents,
            where=lambda batch: "worker_lost" in batch.outcomes,
            timeout=10,
        )
        lost.extend(released.outcomes)

    result, report = run_with(tmp_path, disturb)
    assert lost
    assert_whole(result, report, undisturbed)


@pytest.mark.parametrize("seen", [1, 30, 70])
@pytest.mark.parametrize("actor", RECOVERED)
def test_r10_a_loss_leaves_the_folder_whole(tmp_path, undisturbed, actor, seen):
    def disturb(harness):
        after(harness, RequestLeaseGranted, seen)
        lose(harness, actor)

    result, report = run_with(tmp_path, disturb, out=tmp_path / "out")
    assert_whole(result, report, undisturbed)


@pytest.mark.parametrize("seen", [1, 30, 70])
@pytest.mark.parametrize("to_disk", [False, True])
def test_a_lost_scheduler_ends_the_job_with_a_clear_error_and_resume_completes_it(
    tmp_path, undisturbed, seen, to_disk
):
    out = tmp_path / "out" if to_disk else None

    def disturb(harness):
        after(harness, RequestLeaseGranted, seen)
        lose(harness, "scheduler")

    result, report = run_with(tmp_path, disturb, out=out)
    assert result.status == "failed"
    assert "the scheduler was lost" in result.first_error
    assert result.rows_written + result.rows_dropped + result.rows_pending == 48
    assert report.ok, report.to_builtins()
    finished = list(result.rows())
    assert len(finished) == result.rows_written
    assert all(row in undisturbed for row in finished)
    if out is not None:
        assert "--resume" in result.first_error
        with Harness.start(log=tmp_path / "again.jsonl") as harness:
            harness.send("scheduler", SubmitJob(JOB, out=str(out), resume=True))
            again = harness.expect(None, JobFinished, timeout=30).result
        assert_whole(again, verify_log(tmp_path / "again.jsonl"), undisturbed)


@pytest.mark.parametrize("seen", [3, 20, 60])
@pytest.mark.parametrize(
    "actors",
    [
        ("task_admission", "scheduler"),
        ("scheduler", "task_admission"),
        ("worker", "scheduler"),
        ("scheduler", "worker"),
        ("request_admission", "scheduler"),
        ("scheduler", "storage"),
        (*RECOVERED, "scheduler"),
        ("scheduler", *RECOVERED),
        ("scheduler", "scheduler"),
    ],
    ids="+".join,
)
def test_a_scheduler_lost_with_others_still_ends_the_job_and_leaks_nothing(tmp_path, actors, seen):
    def disturb(harness):
        after(harness, RequestLeaseGranted, seen)
        for actor in actors:
            lose(harness, actor)

    result, report = run_with(tmp_path, disturb, out=tmp_path / "out")
    assert result.status == "failed"
    assert report.ok, report.to_builtins()


def test_a_lost_scheduler_takes_the_next_job(tmp_path, undisturbed):
    with Harness.start(log=tmp_path / "actors.jsonl") as harness:
        harness.send("scheduler", SubmitJob(JOB))
        after(harness, RequestLeaseGranted, 5)
        lose(harness, "scheduler")
        assert harness.expect(None, JobFinished, timeout=30).result.status == "failed"
        harness.send("scheduler", SubmitJob(JOB))
        second = harness.expect(None, JobFinished, timeout=30).result
        assert list(second.rows()) == undisturbed
    assert verify_log(tmp_path / "actors.jsonl").ok


def test_a_fault_is_for_the_harness_alone():
    with ActorSystem.start() as system:
        system.tell("worker", CrashActor())
        assert system.snapshot("worker").generation == 1


def test_a_loss_is_told_to_whoever_stands_for_the_scheduler():
    with Harness.start(actors=("task_admission",)) as harness:
        lose(harness, "task_admission")
        assert harness.probe("scheduler").expect(ActorRestarted).generation == 2
        assert harness.system.snapshot("task_admission").generation == 2
