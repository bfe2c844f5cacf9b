"""Provider pressure through real actors: cross-provider cooldown, and work that flows in any case (A12)."""

from __future__ import annotations

import threading

import msgspec
import pytest

from actors.evidence.reader import read_log
from actors.evidence.verify import verify_log
from actors.harness import Harness
from actors.telemetry.log_codec import EventRecord
from messages import (
    ChatColumn,
    Job,
    JobFinished,
    Latency,
    Limits,
    ModelConfig,
    PythonColumn,
    SimulatedProvider,
    SubmitJob,
)
from messages.request_admission import RequestPressureChanged
from messages.supervision import ActorRestarted, CrashActor
from messages.task_admission import TaskAdmissionViewChanged, TaskLeasesDecided
from tests.actors.scheduler.control_builders import a_pressure
from tests.hand_worker import ALL_BUT_THE_WORKER, HandWorker

POLICY = "provider_aware"
A, B = "east/m", "west/m"


GATE = threading.Event()
"""What a gated job waits for before its models are called."""


def local():
    return 1


def gate():
    return GATE.wait(30)


@pytest.fixture
def closed_gate():
    GATE.clear()
    yield GATE
    GATE.set()


def a_job(*, rows=8, submission=2):
    """Two columns, each on a model of a provider of its own, and few slots for both."""
    return Job(
        name="two providers",
        rows=rows,
        providers={
            "east": SimulatedProvider(latency_ms=Latency(mean=1.0)),
            "west": SimulatedProvider(latency_ms=Latency(mean=1.0)),
        },
        models={
            "a": ModelConfig(provider="east", model="m", max_parallel_requests=4),
            "b": ModelConfig(provider="west", model="m", max_parallel_requests=4),
        },
        columns={
            "a": ChatColumn(model="a", prompt="Tell of nothing."),
            "b": ChatColumn(model="b", prompt="Tell of something."),
        },
        health_check=False,  # nobody answers probes where the tasks are run by hand
        limits=Limits(submission=submission, policy=POLICY),
    )


def gated(job):
    """The same job, whose models are called once the gate is open."""
    columns = {
        "gate": PythonColumn(function=gate),
        "a": ChatColumn(model="a", prompt="Tell of {{ gate }}."),
        "b": ChatColumn(model="b", prompt="Tell {{ gate }}."),
    }
    return msgspec.structs.replace(job, columns=columns)


def press(harness, run_id, *snapshots):
    """Tell task admission of pressure, as request admission does."""
    harness.send("task_admission", RequestPressureChanged(run_id, snapshots), sender="request_admission")


@pytest.fixture
def by_hand():
    """The job with its tasks run by hand."""
    harnesses = []

    def begin(job):
        harnesses.append(Harness.start(ALL_BUT_THE_WORKER))
        return HandWorker(harnesses[-1], job)

    yield begin
    for harness in harnesses:
        harness.system.router.unregister("worker")  # nobody is left to end what runs
        harness.stop()


def run_of(worker):
    return worker.started[0].lease.correlation.run_id


def columns(started):
    return [column for column, _ in started]


def test_a12_while_one_provider_cools_down_the_other_keeps_getting_leases(by_hand):
    worker = by_hand(a_job())
    assert sorted(columns((start.task.column, 0) for start in worker.started)) == ["a", "b"]
    press(worker.harness, run_of(worker), a_pressure(A, cooldown=60.0))
    assert worker.take() == []
    assert columns(worker.end("a")) == ["b"]
    for _ in range(6):
        assert columns(worker.end("b")) == ["b"]
    assert columns(worker.end("b")) == ["a"], "nobody else is queued"
    advised = [
        event
        for event in worker.harness.emitted("scheduler")
        if event.event_kind == "request_pressure_advisory_skipped"
    ]
    assert [event.correlation.task_column for event in advised] == ["a"]
    assert advised[0].reason_or_outcome == "provider_pressure"
    assert advised[0].diagnostics == {"resource": f"request:{A}", "until": 60.0}


def test_a12_t13_a_provider_that_recovers_gets_its_turn_again(by_hand):
    worker = by_hand(a_job())
    press(worker.harness, run_of(worker), a_pressure(A, cooldown=60.0))
    worker.take()
    assert columns(worker.end("a")) == ["b"]
    press(worker.harness, run_of(worker), a_pressure(A))
    worker.take()
    assert columns(worker.end("b")) == ["a"]


def test_a12_when_every_provider_is_pressed_the_work_flows_as_ever(by_hand):
    worker = by_hand(a_job())
    press(worker.harness, run_of(worker), a_pressure(A, cooldown=60.0), a_pressure(B, probe_at=90.0))
    worker.take()
    for column in "abababab":
        assert columns(worker.end(column)) == [column]
    assert not any("advisory" in event.event_kind for event in worker.harness.emitted("scheduler"))


def test_a12_a_local_column_is_a_peer_too_and_never_passed_over(by_hand):
    job = a_job(submission=1)
    job = msgspec.structs.replace(job, columns={"a": job.columns["a"], "b": PythonColumn(function=local)})
    worker = by_hand(job)
    press(worker.harness, run_of(worker), a_pressure(A, waiters=3))
    worker.take()
    order = []
    while worker.running:
        order.append(worker.running[0].task.column)
        worker.end(order[-1])
    assert sorted(order) == ["a"] * 8 + ["b"] * 8
    assert order[1:9] == ["b"] * 8


@pytest.mark.parametrize("pressed", [(A,), (A, B)], ids=["one", "all"])
@pytest.mark.parametrize("serialize", [False, True])
def test_a12_t10_pressure_that_never_ends_stops_nothing(tmp_path, closed_gate, pressed, serialize):
    log = tmp_path / "actors.jsonl"
    with Harness.start(log=log, serialize_messages=serialize) as harness:
        harness.send("scheduler", SubmitJob(gated(a_job(rows=20))))
        begun = harness.expect("scheduler", TaskLeasesDecided)
        run_id = begun.leases[0].correlation.run_id
        press(harness, run_id, *(a_pressure(name, cooldown=1000.0) for name in pressed))
        changed = harness.expect("scheduler", TaskAdmissionViewChanged)
        assert set(changed.view.pressed) == {f"request:{name}" for name in pressed}
        closed_gate.set()
        result = harness.expect("harness", JobFinished, timeout=20).result
    assert (result.status, result.rows_written) == ("succeeded", 20)
    assert verify_log(log).ok
    told = [
        line.record.correlation.task_column
        for line in read_log(log)
        if isinstance(line.record, EventRecord)
        and line.record.event_kind == "request_pressure_advisory_skipped"
    ]
    assert set(told) == ({"a"} if len(pressed) == 1 else {"a", "b"}), "the gate's own tasks go first"


@pytest.mark.parametrize("actor", ["task_admission", "request_admission"])
def test_a12_a_lost_admission_leaves_no_stale_pressure(closed_gate, actor):
    with Harness.start() as harness:
        harness.send("scheduler", SubmitJob(gated(a_job(rows=20))))
        run_id = harness.expect("scheduler", TaskLeasesDecided).leases[0].correlation.run_id
        press(harness, run_id, a_pressure(A, cooldown=1000.0))
        harness.expect("scheduler", TaskAdmissionViewChanged)
        harness.send(actor, CrashActor())
        harness.expect("scheduler", ActorRestarted, timeout=10)
        if actor == "request_admission":
            changed = harness.expect("scheduler", TaskAdmissionViewChanged)
            assert changed.view.pressed == {}
        closed_gate.set()
        assert harness.expect("harness", JobFinished, timeout=30).result.rows_written == 20
        assert harness.system.snapshot("task_admission").state.view.pressed == {}
