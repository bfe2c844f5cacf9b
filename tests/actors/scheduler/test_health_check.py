"""Every provider is asked whether it is there before any row is made, and before anything is written."""

from __future__ import annotations

import msgspec
import pytest

from messages.job import Problem, RequestAdmissionTuning
from messages.request_admission import (
    RegisterRequestResources,
    RequestAdmissionConfig,
    RequestBudgets,
    RequestResourceSpec,
)
from messages.scheduler import JobAccepted, JobCancelling, JobChecked, JobRejected
from messages.storage import FilesInspected, InspectFiles
from messages.supervision import ActorRestarted, HandlerFailed
from messages.tasks import RequestResourceKey
from messages.worker import CancelTasks, ExecuteTasks, ModelsProbed, ProbeModels, ReleaseJob
from tests.actors.evidence.log_script import some_capacity
from tests.actors.scheduler.control_builders import a_generator, a_job_plan
from tests.actors.scheduler.scheduler_world import ACTORS, World

CHAT = RequestResourceKey("storm", "small", "chat")
EMBED = RequestResourceKey("storm", "small", "embedding")
HEALTH = RequestResourceKey("storm", "small", "healthcheck")
SPECS = (
    RequestResourceSpec(CHAT, 4, ("writer",), {"writer": 4}, RequestBudgets(60)),
    RequestResourceSpec(EMBED, 4, ("writer",), {"writer": 4}, RequestBudgets(60)),
)
CONFIG = RequestAdmissionConfig(default_tuning=RequestAdmissionTuning(algorithm="fixed"))
KEY = Problem("providers.storm.api_key_env", "the key is refused (401)", "give another")
MODEL = Problem("models.writer.model", "the provider knows no such model", "name another")
OPENED = {"OpenRunLog", "OpenRun", "ConfigureTaskAdmission"}


def a_plan(run_id, *, health_check=True, specs=SPECS):
    plan = a_job_plan(
        a_generator("a"), rows=2, run_id=run_id, health_check=health_check, warnings=("beware",)
    )
    return msgspec.structs.replace(plan, request_resources=specs, request_admission=CONFIG)


def a_world(**how):
    return World(lambda run_id: a_plan(run_id, **how))


@pytest.fixture
def world():
    return a_world()


@pytest.fixture
def probing(world):
    """A world in which the worker has been asked to probe, and has not answered."""
    world.answers[ProbeModels] = lambda _: []
    world.submit()
    assert world.sent_to("worker", ProbeModels) == [ProbeModels("run-1", reply_to="scheduler")]
    world.answers.clear()
    return world


def asked(world):
    return [type(item.message).__name__ for item in world.sent if item.to in ACTORS]


def registered(world):
    """Return what was registered with request admission, one after the other, by name."""
    return [
        [spec.resource.name for spec in message.resources]
        for message in world.sent_to("request_admission", RegisterRequestResources)
    ]


def opened(world):
    return OPENED & set(asked(world))


def test_a_healthy_job_is_probed_under_leases_before_anything_is_opened(world):
    world.answers[ProbeModels] = lambda message: [ModelsProbed(message.run_id, (), ("slow",))]
    world.submit()
    assert world.client == [JobAccepted("run-1", 2, ("beware", "slow"))]
    steps = [
        "InspectFiles",
        "PrepareJob",
        "RegisterRequestResources",
        "ProbeModels",
        "RegisterRequestResources",
        "OpenRunLog",
        "OpenRun",
        "ConfigureTaskAdmission",
        "RegisterRequestResources",
    ]
    assert asked(world)[: len(steps)] == steps
    assert world.tasks() == [("a", 0), ("a", 1)]


def test_a1_every_endpoint_gets_one_resource_to_be_probed_under_and_the_run_none_of_them(world):
    world.submit()
    first, settled, second = world.sent_to("request_admission", RegisterRequestResources)
    assert settled.resources == ()
    assert first.resources == (*SPECS, RequestResourceSpec(HEALTH, 4, *msgspec.structs.astuple(SPECS[0])[2:]))
    assert second.resources == SPECS
    assert first.config == second.config == CONFIG


def test_an_unhealthy_job_is_refused_with_all_problems_and_leaves_nothing(world):
    world.answers[ProbeModels] = lambda message: [ModelsProbed(message.run_id, (KEY, MODEL))]
    world.submit()
    assert world.client == [JobRejected((KEY, MODEL))]
    assert (world.phase, opened(world)) == ("idle", set())
    assert registered(world)[-1] == []
    assert len(world.sent_to("worker", ReleaseJob)) == 1
    world.answers.clear()
    world.client.clear()
    world.submit()
    world.finish_all()
    assert world.result.status == "succeeded"


def test_what_probes_have_to_tell_is_told_before_the_runs_own_log_is_opened(probing):
    probing.hold_back("request_admission")
    probing.tell(ModelsProbed("run-1", ()))
    assert (probing.phase, opened(probing)) == ("preparing", set())
    probing.let_through("request_admission")
    assert probing.phase == "running"


def test_r11_a_job_that_was_found_unhealthy_is_refused_though_it_is_cancelled_then(probing):
    probing.hold_back("request_admission")
    probing.tell(ModelsProbed("run-1", (KEY,)))
    probing.cancel()
    probing.let_through("request_admission")
    assert probing.client == [JobCancelling("run-1"), JobRejected((KEY,))]
    assert (probing.phase, opened(probing)) == ("idle", set())


@pytest.mark.parametrize("how", [{"health_check": False}, {"specs": ()}])
def test_a_job_that_wants_no_health_check_or_calls_no_model_is_not_probed(how):
    world = a_world(**how)
    world.submit()
    assert world.phase == "running"
    assert world.sent_to("worker", ProbeModels) == []
    assert len(registered(world)) == 1


@pytest.mark.parametrize("finished", [True, False])
def test_r10_a_resumed_run_is_probed_only_where_something_is_missing(world, finished):
    world.answers[InspectFiles] = lambda message: [FilesInspected(message.run_id, (), 0, finished=finished)]
    world.answers[ProbeModels] = lambda message: [ModelsProbed(message.run_id, (KEY,))]
    world.submit()
    assert isinstance(world.client[0], JobAccepted if finished else JobRejected)


def test_problems_of_the_job_file_are_told_before_any_provider_is_asked(world):
    world.answers[InspectFiles] = lambda message: [FilesInspected(message.run_id, None, 0, (MODEL,))]
    world.submit()
    assert world.client == [JobRejected((MODEL,))]
    assert (registered(world), world.sent_to("worker", ProbeModels)) == ([], [])


def test_a_second_submission_while_the_first_is_probed_is_refused(probing):
    probing.submit(reply_to="another")
    (refused,) = probing.client
    assert "another job is running" in refused.problems[0].message
    probing.tell(ModelsProbed("run-1", ()))
    assert probing.phase == "running"


@pytest.mark.parametrize("answer", [ModelsProbed("run-0", (KEY,)), ModelsProbed("run-0", ())])
def test_probes_of_another_run_are_no_answer(probing, answer):
    probing.tell(answer)
    assert (probing.phase, probing.client) == ("preparing", [])


def test_an_answer_that_comes_twice_opens_nothing_twice(probing):
    probing.hold_back("telemetry")
    probing.tell(ModelsProbed("run-1", ()))
    probing.tell(ModelsProbed("run-1", (KEY,)))
    probing.let_through("telemetry")
    assert probing.phase == "running"
    assert asked(probing).count("OpenRunLog") == 1


# -- what may happen meanwhile ---------------------------------------------------------------------------


def test_r11_a_job_cancelled_while_it_is_probed_ends_its_probes_and_starts_nothing(probing):
    probing.cancel("changed my mind")
    probing.cancel("again")
    assert probing.client == [JobCancelling("run-1")] * 2
    assert probing.sent_to("worker", CancelTasks) == [CancelTasks("run-1")]
    assert (probing.phase, opened(probing)) == ("preparing", set())
    probing.tell(ModelsProbed("run-1", (KEY,)))
    assert probing.result.status == "cancelled"
    assert probing.result.first_error == "changed my mind"
    assert probing.sent_to("worker", ExecuteTasks) == []


def test_r11_a_cancelled_job_does_not_wait_for_its_probes_for_ever(probing):
    probing.now = 100.0
    probing.cancel()
    deadline = probing.core.next_deadline()
    assert deadline > 100.0
    probing.at(deadline)
    assert probing.result.status == "cancelled"
    probing.tell(ModelsProbed("run-1", ()))
    assert probing.phase == "idle"


@pytest.mark.parametrize("where", ["storage", "worker", "request_admission"])
def test_r11_a_job_cancelled_before_its_probes_is_not_probed(world, where):
    world.hold_back(where)
    world.submit()
    world.cancel("changed my mind")
    world.let_through(where)
    assert world.result.status == "cancelled"
    assert world.sent_to("worker", ProbeModels) == []


@pytest.mark.parametrize(
    "lost",
    [
        ActorRestarted("worker", 2),
        ActorRestarted("request_admission", 2),
        HandlerFailed("worker", "ProbeModels", "KeyError at x:1"),
    ],
)
def test_a_job_whose_actor_is_lost_while_it_is_probed_is_refused_and_its_resources_withdrawn(probing, lost):
    probing.tell(lost)
    (rejected,) = probing.client
    assert isinstance(rejected, JobRejected)
    assert lost.actor in rejected.problems[0].message
    assert (probing.phase, opened(probing)) == ("idle", set())
    assert registered(probing)[-1] == []
    probing.tell(ModelsProbed("run-1", ()))
    probing.client.clear()
    probing.submit()
    probing.finish_all()
    assert probing.result.status == "succeeded"


# -- checking ------------------------------------------------------------------------------------------


def test_a_check_asks_no_provider_unless_it_is_told_to(world):
    world.check_job()
    assert isinstance(world.client[0], JobChecked)
    assert (registered(world), world.sent_to("worker", ProbeModels)) == ([], [])


@pytest.mark.parametrize("health_check", [True, False])
def test_a_check_that_probes_tells_what_is_wrong_or_that_nothing_is(health_check):
    world = a_world(health_check=health_check)
    world.answers[ProbeModels] = lambda message: [ModelsProbed(message.run_id, (KEY, MODEL))]
    world.check_job(probe=True)
    world.answers[ProbeModels] = lambda message: [ModelsProbed(message.run_id, (), ("slow",))]
    world.check_job(probe=True)
    assert world.client == [
        JobChecked((KEY, MODEL)),
        JobChecked((), 2, 1, ("a",), ("beware", "slow"), world.plan("run-2"), some_capacity()),
    ]
    assert (world.phase, opened(world)) == ("idle", set())
    assert registered(world)[-1] == []


def test_a_check_of_a_job_without_models_has_nothing_to_probe():
    world = a_world(specs=())
    world.check_job(probe=True)
    assert world.client == [JobChecked((), 2, 1, ("a",), ("beware",), world.plan("run-1"), some_capacity())]
    assert world.sent_to("worker", ProbeModels) == []


def test_r11_a_check_cancelled_while_it_probes_is_no_clean_bill_of_health(world):
    world.answers[ProbeModels] = lambda _: []
    world.check_job(probe=True)
    world.cancel("changed my mind")
    world.tell(ModelsProbed("run-1", ()))
    assert world.client[-1] == JobChecked((Problem("", "the check was cancelled: changed my mind"),))
    assert world.phase == "idle"
