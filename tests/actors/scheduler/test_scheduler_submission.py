"""From a submitted job to its first task: every way it can be refused, or stopped before it starts."""

from __future__ import annotations

import msgspec
import pytest

from messages.job import Problem
from messages.request_admission import RegisterRequestResources, RequestAdmissionConfig
from messages.scheduler import (
    JobAccepted,
    JobCancelling,
    JobChecked,
    JobFinished,
    JobRejected,
)
from messages.storage import CloseRun, FilesInspected, InspectFiles, OpenRun, RunRefused, WithdrawRun
from messages.supervision import ActorRestarted, HandlerFailed
from messages.task_admission import ConfigureTaskAdmission, RecoverTaskLeases
from messages.telemetry import CloseRunLog, OpenRunLog, RunLogRefused
from messages.worker import ExecuteTasks, JobUnpreparable, PrepareJob, ReleaseJob
from tests.actors.evidence.log_script import some_capacity
from tests.actors.scheduler.control_builders import a_generator, a_job_plan
from tests.actors.scheduler.scheduler_world import ACTORS, World

BROKEN = Problem("columns.x", "it is broken", "mend it")
UNREADABLE = Problem("source.path", "it cannot be read", "give another")


def a_plan(run_id):
    return a_job_plan(a_generator("a"), rows=2, run_id=run_id, warnings=("beware",))


@pytest.fixture
def world():
    return World(a_plan)


def test_an_accepted_job_is_opened_one_step_at_a_time_and_then_begins(world):
    world.submit()
    assert world.client == [JobAccepted("run-1", 2, ("beware",))]
    assert world.phase == "running"
    assert world.tasks() == [("a", 0), ("a", 1)]
    order = [type(item.message).__name__ for item in world.sent if item.to in ACTORS]
    steps = [
        "InspectFiles",
        "PrepareJob",
        "OpenRunLog",
        "OpenRun",
        "ConfigureTaskAdmission",
        "RegisterRequestResources",
    ]
    assert order[: len(steps)] == steps
    assert ("scheduler_job_started", "") in world.events


def test_a2_a12_admissions_learn_how_the_jobs_models_are_tuned_and_served_and_again_when_they_are_lost():
    admission = RequestAdmissionConfig(initial_limits={"p/m/chat": 2})
    replicas = {"request:p+q/m": ("p/m", "q/m")}
    world = World(
        lambda run_id: msgspec.structs.replace(a_plan(run_id), request_admission=admission, replicas=replicas)
    )
    world.submit()
    (registered,) = world.sent_to("request_admission", RegisterRequestResources)
    (configured,) = world.sent_to("task_admission", ConfigureTaskAdmission)
    assert (registered.config, configured.config.replicas) == (admission, replicas)

    world.hold_back("request_admission", "task_admission")
    world.tell(ActorRestarted("request_admission", 2))
    world.tell(ActorRestarted("task_admission", 2))
    assert world.sent_to("request_admission", RegisterRequestResources) == [registered] * 2
    (recovering,) = world.sent_to("task_admission", RecoverTaskLeases)
    assert recovering.config == configured.config


def test_before_anything_it_is_idle_and_wants_no_waking(world):
    assert world.phase == "idle"
    assert world.core.next_deadline() is None
    assert world.core.idle(now=5.0) == []


@pytest.mark.parametrize("late", ["preparing", "running", "closing"])
def test_a_second_job_is_refused_while_there_is_a_first(world, late):
    if late == "preparing":
        world.hold_back("worker")
    world.submit()
    if late == "closing":
        world.hold_back("telemetry")
        world.finish_all()
    assert world.phase == late
    world.client.clear()
    world.submit()
    world.check_job()
    assert [type(message) for message in world.client] == [JobRejected, JobRejected]
    assert "another job is running" in world.client[0].problems[0].message
    world.client.clear()
    world.let_through("worker", "telemetry")
    world.finish_all()
    assert world.result.status == "succeeded"


@pytest.mark.parametrize(
    ("lost_at", "closed"),
    [
        ("storage", {WithdrawRun}),
        ("worker", {WithdrawRun}),
        ("telemetry", {WithdrawRun, CloseRunLog}),
        ("task_admission", {CloseRunLog, CloseRun}),
        ("request_admission", {CloseRunLog, CloseRun, RegisterRequestResources}),
    ],
)
def test_what_a_lost_scheduler_had_opened_for_a_job_is_closed_and_the_job_is_refused(world, lost_at, closed):
    world.hold_back(lost_at)
    world.submit(out="out")
    world.sent.clear()
    world.lose_the_scheduler()
    (rejected,) = world.client
    assert isinstance(rejected, JobRejected)
    assert "the scheduler was lost while the job was prepared" in str(rejected.problems[0])
    kinds = {CloseRunLog, CloseRun, WithdrawRun, RegisterRequestResources}
    assert {type(item.message) for item in world.sent} & kinds == closed
    assert world.sent_to("worker") == [ReleaseJob("run-1")]
    world.let_through(lost_at)
    world.submit()
    assert world.phase == "running", "the next job can be run"


@pytest.mark.parametrize("ask", [World.submit, World.check_job])
def test_a_folder_that_was_looked_into_is_let_go_of_when_nothing_is_run_in_it(world, ask):
    world.answers[PrepareJob] = lambda message: [JobUnpreparable(message.run_id, (BROKEN,))]
    ask(world, out="out")
    assert world.sent_to("storage", WithdrawRun) == [WithdrawRun("run-1")]
    ask(world)
    assert len(world.sent_to("storage", WithdrawRun)) == 1, "there was none the second time"


def test_a_check_whose_scheduler_is_lost_is_answered(world):
    world.hold_back("worker")
    world.check_job()
    world.lose_the_scheduler()
    (checked,) = world.client
    assert isinstance(checked, JobChecked)
    assert "the scheduler was lost" in str(checked.problems[0])


def test_jobs_run_one_after_another_and_never_share_ids(world):
    for number in (1, 2):
        world.submit()
        starts = list(world.running.values())
        assert {start.lease.correlation.run_id for start in starts} == {f"run-{number}"}
        world.finish_all()
        assert world.phase == "idle"
        assert world.result.run_id == f"run-{number}"
        world.client.clear()
        first = {start.lease.correlation.task_execution_id for start in starts}
        assert first == {2 * number - 1, 2 * number}


def test_an_unpreparable_job_is_refused_with_all_of_its_problems(world):
    world.answers[InspectFiles] = lambda message: [FilesInspected(message.run_id, None, 0, (UNREADABLE,))]
    world.answers[PrepareJob] = lambda message: [JobUnpreparable(message.run_id, (BROKEN,))]
    world.submit()
    assert world.client == [JobRejected((UNREADABLE, BROKEN))]
    assert world.phase == "idle"
    assert world.kinds_sent_to("worker") == ["PrepareJob", "ReleaseJob"]
    assert world.sent_to("storage", OpenRun) == []


def test_a_job_whose_files_are_the_only_problem_is_refused_too(world):
    world.answers[InspectFiles] = lambda message: [FilesInspected(message.run_id, (), 0, (UNREADABLE,))]
    world.submit()
    assert world.client == [JobRejected((UNREADABLE,))]
    assert world.sent_to("telemetry", OpenRunLog) == []


def test_a_refused_log_leaves_no_folder_behind(world):
    world.answers[OpenRunLog] = lambda message: [RunLogRefused(message.run_id, "x.jsonl: no such folder")]
    world.submit()
    (rejected,) = world.client
    assert "x.jsonl: no such folder" in rejected.problems[0].message
    assert world.sent_to("storage", OpenRun) == []
    assert world.phase == "idle"


def test_a_refused_folder_closes_the_log(world):
    world.answers[OpenRun] = lambda message: [RunRefused(message.run_id, (BROKEN,))]
    world.submit()
    assert world.client == [JobRejected((BROKEN,))]
    assert world.kinds_sent_to("telemetry")[-1] == "CloseRunLog"
    assert world.sent_to("task_admission") == []
    world.answers.clear()
    world.client.clear()
    world.submit()
    assert isinstance(world.client[0], JobAccepted)


@pytest.mark.parametrize(
    ("step", "opened"),
    [
        (PrepareJob, []),
        (OpenRunLog, ["log"]),
        (OpenRun, ["log", "run"]),
        (ConfigureTaskAdmission, ["log", "run"]),
    ],
)
def test_a_handler_that_fails_while_opening_refuses_the_job_and_closes_what_was_opened(world, step, opened):
    actor = "the actor"
    world.answers[step] = lambda message: [HandlerFailed(actor, type(message).__name__, "KeyError at x:1")]
    world.submit()
    (rejected,) = world.client
    assert f"actor {actor} failed on {step.__name__}: KeyError at x:1" in rejected.problems[0].message
    assert world.phase == "idle"
    closed = (
        world.kinds_sent_to("telemetry").count("CloseRunLog"),
        world.kinds_sent_to("storage").count("CloseRun"),
    )
    assert closed == ("log" in opened, "run" in opened)
    world.answers.clear()
    world.client.clear()
    world.submit()
    world.finish_all()
    assert world.result.status == "succeeded"


def test_answers_about_another_run_are_ignored(world):
    world.hold_back("storage")
    world.submit()
    world.tell(FilesInspected("run-0", (), 0))
    world.tell(JobUnpreparable("run-0", (BROKEN,)))
    world.tell(RunRefused("run-0", (BROKEN,)))
    assert (world.client, world.phase) == ([], "preparing")
    world.let_through("storage")
    assert world.phase == "running"


def test_answers_when_nothing_is_asked_are_ignored(world):
    world.tell(FilesInspected("run-1", (), 0))
    world.tell(JobUnpreparable("run-1", (BROKEN,)))
    world.tell(HandlerFailed("worker", "CancelTasks", "x"))
    assert (world.sent, world.phase) == ([], "idle")


def test_nobody_is_answered_who_does_not_ask_to_be(world):
    world.submit(reply_to="")
    world.finish_all()
    assert world.client == []
    assert world.phase == "idle"


# -- checking ------------------------------------------------------------------------------------------


def test_a_check_says_what_there_is_and_starts_nothing(world):
    world.check_job()
    plan = world.plan("run-1")
    assert world.client == [JobChecked((), 2, 1, ("a",), ("beware",), plan, some_capacity())]
    assert world.kinds_sent_to("worker") == ["PrepareJob", "ReleaseJob"]
    assert world.kinds_sent_to("storage") == ["InspectFiles"]
    assert world.phase == "idle"


def test_a_check_tells_all_problems(world):
    world.answers[InspectFiles] = lambda message: [FilesInspected(message.run_id, None, 0, (UNREADABLE,))]
    world.answers[PrepareJob] = lambda message: [JobUnpreparable(message.run_id, (BROKEN,))]
    world.check_job()
    assert world.client == [JobChecked((UNREADABLE, BROKEN))]


# -- R11: cancelled before it begins -------------------------------------------------------------------


@pytest.mark.parametrize("where", ["storage", "worker", "telemetry", "task_admission", "request_admission"])
def test_r11_a_job_cancelled_while_it_is_prepared_never_starts_a_task(world, where):
    world.hold_back(where)
    world.submit()
    world.cancel("changed my mind")
    world.cancel("again")
    assert world.client == [JobCancelling("run-1")] * 2
    world.let_through(where)
    assert world.result.status == "cancelled"
    assert world.result.first_error == "changed my mind"
    assert (world.result.rows_written, world.result.rows_pending) == (0, 2)
    assert world.sent_to("worker", ExecuteTasks) == []
    assert world.phase == "idle"


def test_r11_cancelling_nothing_is_harmless(world):
    world.cancel()
    assert world.client == [JobCancelling(None)]
    world.submit()
    assert world.phase == "running"
    assert not any(isinstance(message, JobFinished) for message in world.client)
