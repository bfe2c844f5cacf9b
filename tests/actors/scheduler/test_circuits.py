"""A provider that refuses everything: the job waits for it, or ends; no row is lost either way (A9)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.scheduler.circuits import Circuits
from messages.request_admission import RequestCircuitChanged, RequestResourceSpec
from messages.scheduler import OpenCircuit
from messages.storage import CloseRun
from messages.supervision import ActorRestarted
from messages.tasks import RequestResourceKey
from messages.telemetry import RecordLog
from messages.worker import CancelTasks
from tests.actors.scheduler.control_builders import a_generator, a_job_plan
from tests.actors.scheduler.scheduler_world import World, failure

STORM = RequestResourceKey("storm", "small", "chat")
CALM = RequestResourceKey("calm", "small", "chat")
EMBED = RequestResourceKey("storm", "small", "embedding")
REPLICAS = {"request:storm+calm/small": ("storm/small", "calm/small")}


def a_plan(run_id="run-1", *, policy="stop", resources=(STORM,), replicas=None, **how):
    plan = a_job_plan(
        a_generator("a"),
        rows=2,
        row_group_size=1,
        run_id=run_id,
        on_provider_exhausted=policy,
        replicas=replicas or {},
        **how,
    )
    specs = tuple(RequestResourceSpec(resource, 4) for resource in resources)
    return msgspec.structs.replace(plan, request_resources=specs, health_check=False)


def opened(resource=STORM, *, since=10.0, probe=76.0, refused=214, run_id="run-1"):
    return RequestCircuitChanged(run_id, resource, "open", since, refused, 35, probe)


def closed(resource=STORM):
    return RequestCircuitChanged("run-1", resource, "closed", 10.0, 220, 36)


# -- the judgement -------------------------------------------------------------------------------------


def test_a9_stop_names_the_provider_the_time_and_the_counts():
    circuits = Circuits(a_plan())
    circuits.note(opened(), 71.0)
    assert circuits.verdict(71.0) == (
        "provider storm refused every call to storm/small/chat for 61 s (214 rate limits, 35 successes "
        "before): its circuit is open and on_provider_exhausted is 'stop'; what has finished is kept"
    )


def test_a9_wait_never_ends_the_job():
    circuits = Circuits(a_plan(policy="wait"))
    circuits.note(opened(), 71.0)
    assert circuits.verdict(10_000.0) is None


def test_a9_a_model_is_exhausted_only_when_all_its_providers_refuse():
    circuits = Circuits(a_plan(resources=(STORM, CALM), replicas=REPLICAS))
    circuits.note(opened(STORM), 71.0)
    assert circuits.verdict(71.0) is None
    circuits.note(opened(CALM), 71.0)
    told = circuits.verdict(71.0)
    assert "provider storm refused" in told
    assert "; provider calm refused" in told
    assert ": their circuits are open" in told
    circuits.note(closed(STORM), 72.0)
    assert circuits.verdict(72.0) is None


def test_a9_a_provider_with_a_model_of_its_own_beside_a_replicated_one_ends_the_job_alone():
    replicas = {**REPLICAS, "request:storm/small": ("storm/small",)}
    circuits = Circuits(a_plan(resources=(STORM, CALM), replicas=replicas))
    circuits.note(opened(STORM), 71.0)
    assert "provider storm refused" in circuits.verdict(71.0)


def test_a9_one_domain_of_a_replica_is_no_stand_in_for_another():
    other = RequestResourceKey("calm", "small", "embedding")
    circuits = Circuits(a_plan(resources=(STORM, CALM, EMBED, other), replicas=REPLICAS))
    circuits.note(opened(STORM), 71.0)
    circuits.note(opened(other), 71.0)
    assert circuits.verdict(71.0) is None
    circuits.note(opened(EMBED), 71.0)
    assert "storm/small/embedding" in circuits.verdict(71.0)


def test_a9_a_lost_request_admission_begins_with_closed_circuits():
    circuits = Circuits(a_plan())
    circuits.note(opened(), 71.0)
    circuits.forget()
    assert (circuits.verdict(71.0), circuits.snapshot()) == (None, ())


@given(st.lists(st.tuples(st.sampled_from([STORM, CALM, EMBED]), st.booleans())))
def test_a9_what_is_open_is_what_was_last_said_and_every_change_is_told_once(changes):
    circuits = Circuits(a_plan(resources=(STORM, CALM, EMBED), replicas=REPLICAS))
    now_open = set()
    for resource, opens in changes:
        news = circuits.note(opened(resource) if opens else closed(resource), 71.0)
        assert (news is not None) == (opens != (resource in now_open))
        (now_open.add if opens else now_open.discard)(resource)
        assert {circuit.resource for circuit in circuits.snapshot()} == {each.name for each in now_open}
        assert (circuits.verdict(71.0) is not None) == ({STORM, CALM} <= now_open or EMBED in now_open)


# -- in a run ------------------------------------------------------------------------------------------


def a_world(**how):
    world = World(lambda run_id: a_plan(run_id, **how))
    world.submit()
    return world


def logged(world):
    lines = [entry for message in world.sent_to("telemetry", RecordLog) for entry in message.entries]
    return [(line.level, line.event, line.fields) for line in lines if line.event.startswith("provider_")]


def test_a9_wait_is_told_once_with_the_counts_and_again_when_it_is_over():
    world = a_world(policy="wait")
    world.at(71.0)
    world.tell(opened())
    world.tell(opened(probe=86.0, refused=215))
    assert world.core.snapshot(now=71.0).circuits == (OpenCircuit("storm/small/chat", 10.0, 215, 86.0),)
    assert world.phase == "running"
    world.at(100.0)
    world.tell(closed())
    assert world.core.snapshot(now=100.0).circuits == ()
    counts = {"resource": "storm/small/chat", "rate_limited": 214, "succeeded": 35, "seconds": 61.0}
    after = {**counts, "rate_limited": 220, "succeeded": 36, "seconds": 90.0}
    assert logged(world) == [
        ("warning", "provider_exhausted", {**counts, "next_probe_in": 5.0, "on_provider_exhausted": "wait"}),
        ("info", "provider_recovered", after),
    ]
    world.finish_all()
    assert world.result.status == "succeeded"


def test_a9_r13_stop_ends_the_job_keeps_what_is_finished_and_loses_no_row():
    world = a_world()
    world.finish("a", 0)
    world.at(71.0)
    world.tell(opened())
    result = world.result
    assert result.status == "failed"
    assert (result.rows_written, result.rows_dropped, result.rows_pending) == (1, 0, 1)
    assert result.first_error.startswith(
        "provider storm refused every call to storm/small/chat for 61 s (214 "
    )
    assert world.sent_to("worker", CancelTasks) == [CancelTasks("run-1")]
    assert list(world.stored) == [0]
    assert world.leases_out() == 0
    assert [level for level, _, _ in logged(world)] == ["warning"]


def test_a9_stop_ends_an_early_shutdown_that_would_wait_for_the_provider():
    world = a_world(early_shutdown_rate=0.5, early_shutdown_window=1)
    world.finish("a", 0, failure())
    assert world.phase == "stopping"
    world.tell(opened())
    assert world.result.status == "failed"


@pytest.mark.parametrize("when", ["stopping", "closing", "idle"])
def test_a9_a_circuit_that_opens_late_changes_nothing(when):
    world = a_world()
    world.hold_back({"stopping": "worker", "closing": "telemetry", "idle": "none"}[when])
    if when == "stopping":
        world.cancel()
    else:
        world.finish_all()
    assert world.phase == when
    world.tell(opened())
    world.let_through("worker", "telemetry")
    assert world.result.status == ("cancelled" if when == "stopping" else "succeeded")


def test_a9_the_circuit_of_another_run_is_no_concern_of_this_one():
    world = a_world()
    world.tell(opened(run_id="run-0"))
    assert (world.phase, logged(world)) == ("running", [])


def test_a9_open_circuits_are_forgotten_with_the_request_admission_that_kept_them():
    world = a_world(policy="wait")
    world.tell(opened())
    world.tell(ActorRestarted("request_admission", 2))
    assert world.core.snapshot(now=0.0).circuits == ()


def test_a9_the_result_that_is_stored_is_the_failed_one():
    world = a_world()
    world.tell(opened())
    (close,) = world.sent_to("storage", CloseRun)
    assert close.result.status == "failed"
