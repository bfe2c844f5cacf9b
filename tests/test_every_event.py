"""Every kind of event is told by running actors, and each is plain data from the moment when it is made."""

from __future__ import annotations

import asyncio
import threading
from typing import get_args

import msgspec
import pytest

from actors import ActorSystem
from actors.evidence.reader import read_events
from actors.harness import Harness
from messages import (
    CancelJob,
    ChatColumn,
    Job,
    Latency,
    Limits,
    ModelConfig,
    PythonColumn,
    RequestAdmissionTuning,
    ScriptStep,
    SequenceColumn,
    SimulatedProvider,
    SubmitJob,
)
from messages._base import ACTOR_NAMES
from messages.job import FailurePolicy
from messages.request_admission import (
    CancelRequestWait,
    RegisterRequestResources,
    RequestLeaseDenied,
    RequestLeaseGranted,
    RequestResourceSpec,
)
from messages.task_admission import AcquireTaskLeases, ReturnTaskLeases, TaskLease, TaskLeasesDecided
from messages.tasks import Task
from messages.telemetry import Event, RequestEventKind, SchedulerEventKind
from messages.worker import ExecuteTasks, TaskStart
from tests.actors.harness.lease_builders import (
    CHAT,
    NOTHING_CHANGED,
    RequestSide,
    TaskSide,
    a_selection,
    configure_by_hand,
)
from tests.actors.scheduler.control_builders import a_pressure
from tests.hand_worker import ALL_BUT_THE_WORKER, HandWorker
from tests.test_provider_pressure import A, press, run_of
from tests.test_provider_pressure import a_job as a_job_of_two_providers

FEW = {"retry_after": 0.01, "capacity": 9}
TUNING = RequestAdmissionTuning(
    cooldown_seconds=0.01,
    successes_until_increase=1,
    ceiling_hold_seconds=0.05,
    circuit_after_seconds=0.05,
    circuit_probe_seconds=0.02,
)


async def odd_ones_fail(n):
    if n % 6 == 5:
        raise ValueError
    return n


def a_storm(**limits):
    """A provider that refuses everything for a while, rows that fail, and row groups that come one by one."""
    return Job(
        name="storm",
        rows=40,
        row_group_size=5,
        providers={
            "sim": SimulatedProvider(
                latency_ms=Latency(3, 2),
                script=(ScriptStep(refuse_rate=1.0, **FEW), ScriptStep(at=0.3, refuse_rate=0.0)),
            )
        },
        models={"m": ModelConfig(provider="sim", model="m", max_parallel_requests=4, limit=TUNING)},
        columns={
            "n": SequenceColumn(),
            "checked": PythonColumn(function=odd_ones_fail),
            "told": ChatColumn(model="m", prompt="about {{ n }}"),
        },
        limits=Limits(**limits),
        failure=FailurePolicy(max_retries=1, backoff_seconds=0.01),
    )


def two_capped_models():
    return Job(
        name="caps",
        rows=10,
        providers={"sim": SimulatedProvider(latency_ms=Latency(2, 1))},
        models={name: ModelConfig(provider="sim", model=name, max_parallel_requests=1) for name in "ab"},
        columns={name: ChatColumn(model=name, prompt="tell") for name in "ab"},
        limits=Limits(group_limit_factor=1),
        health_check=False,
    )


def of_runs(tmp_path):
    """Return the events that whole runs leave in their logs."""
    found = []
    for number, job in enumerate((a_storm(), a_storm(row_group_admission="adaptive"), two_capped_models())):
        log = tmp_path / f"{number}.jsonl"
        with ActorSystem.start() as system:
            system.run(job, log=log)
        found += [placed.event for placed in read_events(log)]
    return found


def of_a_cancelled_run(tmp_path):
    """Return those of a run that is cancelled in the midst of its work: running, asked for, and queued."""
    running = threading.Event()

    async def waits():
        running.set()
        await asyncio.Event().wait()

    job = Job(
        name="cancelled",
        rows=4,
        columns={"a": PythonColumn(function=waits)},
        limits=Limits(submission=1),
    )
    log = tmp_path / "cancelled.jsonl"
    with ActorSystem.start() as system:
        handle = system.submit(job, log=log)
        assert running.wait(30)
        handle.cancel("enough")
        handle.result(timeout=30)
    return [placed.event for placed in read_events(log)]


def of_pressure(_):
    """Return those of a scheduler that hears of a provider under pressure."""
    with Harness.start(ALL_BUT_THE_WORKER) as harness:
        worker = HandWorker(harness, a_job_of_two_providers())
        press(harness, run_of(worker), a_pressure(A, cooldown=60.0))
        worker.end("b")
        worker.end("a")
        found = harness.emitted("scheduler")
        harness.system.router.unregister("worker")
    return found


def of_a_stale_selection(_):
    """Return those of a scheduler that is granted a lease for what it has discarded."""
    with Harness.start([name for name in ACTOR_NAMES if name != "task_admission"]) as harness:
        admission = harness.probe("task_admission")
        harness.send("scheduler", SubmitJob(two_capped_models()))
        configure_by_hand(admission)
        item = admission.expect(AcquireTaskLeases).selections[0].item
        harness.send("scheduler", CancelJob())
        harness.settle()
        lease = TaskLease(1, 1, item.task_id, item.group, item.resource_request, 0.0, item.correlation)
        admission.send("scheduler", TaskLeasesDecided([lease], [], NOTHING_CHANGED))
        admission.expect(ReturnTaskLeases, sender="scheduler")
        harness.settle()
        return harness.emitted("scheduler")


def of_leases_by_hand(_):
    """Return those of task admission and a worker that are sent what no scheduler of ours sends."""
    with Harness.start(["task_admission", "worker"]) as harness:
        tasks = TaskSide(harness, submission=1)
        decided = tasks.acquire(a_selection(1), a_selection(2))
        (lease,) = decided.leases
        tasks.give_back(lease)
        tasks.give_back(lease)  # T2: twice
        nothing = TaskStart(lease, Task("story", 0, 1, "cell"), {}, 0, 1)
        tasks.probe.send("worker", ExecuteTasks([nothing]))
        harness.settle()
        return (*harness.emitted("task_admission"), *harness.emitted("worker"))


def of_requests_by_hand(_):
    """Return those of request admission and a worker that gives up, waits too long and returns twice."""
    with Harness.start(["request_admission"]) as harness:
        requests = RequestSide(harness)
        requests.ask(1)
        granted = requests.probe.expect(RequestLeaseGranted)
        requests.ask(2)
        requests.probe.send("request_admission", CancelRequestWait(2))
        requests.probe.expect(RequestLeaseDenied)
        requests.ask(3, timeout=0.01)
        requests.probe.expect(RequestLeaseDenied)
        requests.ask(4, resource=msgspec.structs.replace(CHAT, model_id="other"))
        requests.probe.expect(RequestLeaseDenied)
        requests.give_back(granted)
        requests.give_back(granted)
        wider = RegisterRequestResources("run", (RequestResourceSpec(CHAT, 3),))
        harness.probe("scheduler").send("request_admission", wider)
        harness.settle()
        return harness.emitted("request_admission")


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    scenes = (
        of_runs,
        of_a_cancelled_run,
        of_pressure,
        of_a_stale_selection,
        of_leases_by_hand,
        of_requests_by_hand,
    )
    return [event for scene in scenes for event in scene(folder)]


@pytest.mark.parametrize("kinds", [SchedulerEventKind, RequestEventKind], ids=["scheduler", "request"])
def test_every_kind_of_event_is_told_by_running_actors(events, kinds):
    assert set(get_args(kinds)) - {event.event_kind for event in events} == set()


def test_o2_what_json_makes_of_an_event_is_the_event(events):
    for event in events:
        assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


def test_o2_an_event_about_a_task_carries_what_it_is_about(events):
    about_tasks = {
        "dependency_ready",
        "selected",
        "worker_spawned",
        "model_request_started",
        "retry_deferred",
    }
    found = [event for event in events if event.event_kind in about_tasks]
    assert {event.event_kind for event in found} == about_tasks
    for event in found:
        about = event.correlation
        assert about.run_id
        assert about.task_execution_id
        assert about.task_column
        assert about.scheduling_group_identity_hash


def test_limits_and_refusals_say_what_was_in_use(events):
    kinds = {
        "request_rate_limited",
        "request_limit_decreased",
        "request_limit_increased",
        "request_circuit_opened",
        "request_circuit_closed",
    }
    found = [event for event in events if event.event_kind in kinds]
    assert {event.event_kind for event in found} == kinds
    for event in found:
        assert set(event.snapshot) == {"current_limit", "in_flight", "waiters", "aggregate_in_flight"}
