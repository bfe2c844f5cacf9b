"""Rules of task admission and of the ready queue, on real actors: what a job's tasks may and may not do."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest

from actors.evidence.reader import read_log
from actors.evidence.verify import verify_log
from actors.harness import Harness
from actors.telemetry.log_codec import EventRecord
from messages import (
    CategoryColumn,
    ChatColumn,
    ExpressionColumn,
    Job,
    JobFinished,
    Latency,
    Limits,
    ModelConfig,
    Processor,
    PythonColumn,
    SequenceColumn,
    SimulatedProvider,
    SubmitJob,
)
from messages.task_admission import AcquireTaskLeases, ReturnTaskLeases, TaskLeasesReturned
from messages.tasks import TaskType
from messages.worker import ExecuteTasks
from tests.hand_worker import ALL_BUT_THE_WORKER, HandWorker, a_job, shared

POLICIES = ["provider_aware", "bounded_borrow", "strict_fair"]
ROAD = [
    "dependency_ready",
    "ready_enqueued",
    "selected",
    "task_lease_acquired",
    "worker_spawned",
    "task_completed",
    "task_lease_released",
]


@pytest.fixture
def by_hand():
    """A job whose tasks are run by hand."""
    harnesses = []

    def begin(job):
        harnesses.append(Harness.start(ALL_BUT_THE_WORKER))
        return HandWorker(harnesses[-1], job)

    yield begin
    for harness in harnesses:
        harness.system.router.unregister("worker")  # nobody is left to end what runs
        harness.stop()


# -- T4, T5: one road for all work -----------------------------------------------------------------------


def keep(rows):
    return [True] * len(rows)


async def waits(story):
    await asyncio.sleep(0.001)
    return story


def sums(n):
    return [sum(n)] * len(n)


def makes(rows):
    return list(range(rows))


def everything_under(policy):
    return Job(
        name="everything",
        rows=12,
        row_group_size=4,
        providers={"sim": SimulatedProvider(latency_ms=Latency(mean=1.0))},
        models={"m": ModelConfig(provider="sim", model="m", max_parallel_requests=1)},
        columns={
            "n": SequenceColumn(),
            "made": PythonColumn(function=makes, scope="from_scratch"),
            "mood": CategoryColumn(values=("calm", "glad")),
            "story": ChatColumn(model="m", prompt="Tell of {{ n }}."),
            "slow": PythonColumn(function=waits, needs=("story",)),
            "sum": PythonColumn(function=sums, scope="batch"),
            "text": ExpressionColumn(template="{{ n }} {{ mood }}"),
        },
        processors={
            "first": Processor(stage="pre_batch", function=keep),
            "last": Processor(stage="post_batch", function=keep),
        },
        limits=Limits(submission=3, local=2, llm_wait=2, threads=1, policy=policy),
    )


@pytest.fixture(scope="module", params=POLICIES)
def everything(request, tmp_path_factory):
    """A run with every type of task in which every capacity is short: its transcript and its log."""
    log = tmp_path_factory.mktemp("everything") / "actors.jsonl"
    with Harness.start(log=log) as harness:
        harness.send("scheduler", SubmitJob(everything_under(request.param)))
        assert harness.expect("harness", JobFinished, timeout=20).result.status == "succeeded"
    return harness.transcript, log


def selected(transcript):
    """Return the type of task of every execution that a lease was asked for."""
    return {
        selection.item.correlation.task_execution_id: selection.item.task.task_type
        for delivery in transcript.deliveries()
        if isinstance(delivery.message, AcquireTaskLeases)
        for selection in delivery.message.selections
    }


def test_t4_from_scratch_work_takes_the_same_road_as_all_other_work(everything):
    transcript, log = everything
    roads = {execution: [] for execution in selected(transcript)}
    for line in read_log(log):
        if isinstance(line.record, EventRecord) and line.record.event_kind in ROAD:
            road = roads[line.record.execution]
            if line.record.event_kind not in road:  # after a denial it is selected again
                road.append(line.record.event_kind)
    assert set(selected(transcript).values()) == set(get_args(TaskType))
    assert all(road == ROAD for road in roads.values())


def test_t4_the_scheduler_alone_starts_work_and_only_what_it_has_asked_a_lease_for(everything):
    transcript, _ = everything
    started = []
    for delivery in transcript.deliveries():
        if isinstance(delivery.message, ExecuteTasks):
            assert delivery.sender == "scheduler"
            started += [start.lease.correlation.task_execution_id for start in delivery.message.starts]
    assert sorted(started) == sorted(selected(transcript))


def test_t5_what_has_started_asks_task_admission_for_nothing(everything):
    transcript, log = everything
    asked = {
        type(delivery.message)
        for delivery in transcript.deliveries()
        if (delivery.sender, delivery.receiver) == ("worker", "task_admission")
    }
    assert asked == {ReturnTaskLeases}
    report = verify_log(log)
    assert report.ok
    assert report.counts.hidden_scheduler_resource_waiters == 0
    assert all(report.counts.most_held[name] <= most for name, most in {"submission": 3, "local": 2}.items())


# -- T10 to T14: who may start ---------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_t10_a_single_group_uses_all_of_what_is_free(by_hand, policy):
    """A group's own limit (2 here) holds it only while there is somebody else."""
    worker = by_hand(a_job({"a": shared()}, policy=policy, llm_wait=5))
    assert worker.take() == []
    assert worker.running_of("a") == 5


@pytest.mark.parametrize("policy", POLICIES)
def test_t10_t13_one_slot_is_enough_to_finish_and_never_idles(by_hand, policy):
    worker = by_hand(a_job({"a": shared(), "b": shared("a")}, rows=3, policy=policy, submission=1))
    for _ in range(5):
        (running,) = worker.running
        assert len(worker.end(running.task.column)) == 1, "the slot that becomes free is taken"
    worker.end(worker.running[0].task.column)
    assert worker.harness.system.snapshot("scheduler").state.rows_written == 3


def test_t11_a_group_above_its_limit_waits_only_while_a_peer_is_queued(by_hand):
    worker = by_hand(a_job({"a": shared(), "b": shared("a")}, policy="strict_fair", llm_wait=5))
    assert worker.running_of("a") == 5, "beyond its limit of 2: nobody else is there"
    assert worker.end("a") == [("b", 0)], "a peer is queued, and a is above its limit"
    assert worker.end("b") == [("a", 5)], "the peer is gone"


def test_t12_a_group_alone_borrows_and_pays_back_before_it_gets_more(by_hand):
    """Four slots, two groups of equal weight: a share is two."""
    worker = by_hand(a_job({"a": shared(weight=2), "b": shared("a", weight=2)}, llm_wait=4))
    assert worker.running_of("a") == 4
    assert worker.debt_of("a") == {"llm_wait": 2}
    assert worker.end("a") == [("b", 0)]
    assert worker.debt_of("a") == {"llm_wait": 1}
    assert worker.end("a") == [("b", 1)]
    assert worker.debt_of("a") == {}
    assert (worker.running_of("a"), worker.running_of("b")) == (2, 2), "the shares are right again"


def test_t12_under_pressure_shares_are_by_weight(by_hand):
    worker = by_hand(a_job({"a": shared(weight=1), "b": shared(weight=3)}, llm_wait=8))
    assert (worker.running_of("a"), worker.running_of("b")) == (2, 6)
    assert worker.debt_of("a") == worker.debt_of("b") == {}


def test_t12_a_share_is_at_least_one(by_hand):
    worker = by_hand(a_job({"a": shared(weight=1), "b": shared(weight=50)}, llm_wait=3))
    assert (worker.running_of("a"), worker.running_of("b")) == (1, 2)


def test_t12_every_return_repays_and_debt_stops_at_zero(by_hand):
    worker = by_hand(a_job({"a": shared(weight=2)}, rows=4, llm_wait=4))
    assert worker.debt_of("a") == {"llm_wait": 2}
    for debt in ({"llm_wait": 1}, {}, {}, {}):
        worker.end("a")
        assert worker.debt_of("a") == debt


def test_t14_a_further_try_is_asked_for_after_its_lease_has_been_accounted_for(by_hand):
    worker = by_hand(a_job({"a": shared()}, rows=1))
    (first,) = worker.running
    worker.end("a", kind="retryable_failure")
    again = worker.harness.expect(
        "worker", ExecuteTasks, where=lambda sent: sent.starts[0].lease != first.lease
    )
    assert again.starts[0].lease.task_id == first.lease.task_id
    about = [
        type(delivery.message)
        for delivery in worker.harness.transcript.deliveries()
        if isinstance(delivery.message, AcquireTaskLeases | TaskLeasesReturned)
    ]
    assert about == [AcquireTaskLeases, TaskLeasesReturned, AcquireTaskLeases]


# -- Q1: in which order ----------------------------------------------------------------------------------


def order_of_starts(worker):
    while worker.running:
        worker.end(worker.running[0].task.column)
    return [(start.task.column, start.task.row_index) for start in worker.started]


def test_q1_equal_groups_take_turns_and_each_is_first_in_first_out(by_hand):
    worker = by_hand(a_job({"a": shared(), "b": shared()}, rows=3, submission=1))
    assert order_of_starts(worker) == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_q1_a_group_of_three_times_the_weight_has_three_times_the_turns(by_hand):
    worker = by_hand(a_job({"a": shared(weight=1), "b": shared(weight=3)}, rows=8, submission=1))
    begun = [column for column, _ in order_of_starts(worker)[:8]]
    assert (begun.count("a"), begun.count("b")) == (2, 6)
