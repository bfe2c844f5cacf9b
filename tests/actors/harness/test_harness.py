"""The harness itself: what can be sent, seen and waited for."""

from __future__ import annotations

import threading

import pytest

from actors.harness import ExpectationFailed, Harness
from actors.harness.render import render_transcript
from messages import CategoryColumn, GetSnapshot, Job, JobAccepted, JobFinished, SubmitJob, Subscribe
from messages._base import ACTOR_NAMES, MessageRejected
from messages.request_admission import CancelRequestWait, RequestLeaseGranted
from messages.scheduler import CancelJob, JobCancelling
from messages.supervision import ActorSnapshot
from messages.task_admission import ConfigureTaskAdmission, TaskAdmissionConfig, TaskLeasesDecided
from messages.telemetry import EventsPublished, RecordTaskEvents
from messages.worker import ExecuteTasks
from tests.actors.harness.lease_builders import RequestSide, TaskSide, a_chat_job, a_selection


def test_a_full_system_runs_a_job_that_is_sent_by_hand(start):
    harness = start()
    harness.send("scheduler", SubmitJob(a_chat_job()))
    accepted = harness.expect("harness", JobAccepted)
    finished = harness.expect("harness", JobFinished, sender="scheduler")
    assert accepted.rows == 6
    assert finished.result.status == "succeeded"
    assert len(list(finished.result.rows())) == 6


def test_every_actor_that_was_not_started_is_a_probe(start):
    harness = start("storage", "worker")
    for name in set(ACTOR_NAMES) - {"storage", "worker"}:
        assert harness.probe(name).name == name
    assert harness.probe("harness").received == ()


def test_a_query_is_answered_to_whoever_sent_it(start):
    harness = start("scheduler", "telemetry")
    harness.send("scheduler", CancelJob())
    harness.probe("worker").send("scheduler", CancelJob())
    assert harness.expect("harness", JobCancelling).run_id is None
    assert harness.probe("worker").expect(JobCancelling, sender="scheduler").run_id is None


def test_an_answer_can_be_asked_for_and_waited_for(start):
    harness = start("task_admission")
    answer = harness.ask("task_admission", GetSnapshot())
    assert isinstance(answer, ActorSnapshot)
    assert answer.actor == "task_admission"


def test_asking_a_probe_is_refused_at_once_instead_of_timing_out(start):
    harness = start("task_admission")
    with pytest.raises(ValueError, match="'worker' is a probe here and answers nothing; start the actor"):
        harness.ask("worker", GetSnapshot())


def test_a_message_that_an_actor_does_not_handle_is_rejected_with_a_typed_reply(start):
    harness = start("storage")
    harness.send("storage", ConfigureTaskAdmission("run", TaskAdmissionConfig({"submission": 1})))
    rejected = harness.expect("harness", MessageRejected)
    assert (rejected.actor, rejected.reason) == ("storage", "unknown_message")


def test_unknown_names_are_refused_with_what_is_possible():
    with pytest.raises(ValueError, match="no actor 'schedular'; did you mean 'scheduler'"):
        Harness.start(actors=["schedular"])
    with (
        Harness.start(actors=["storage"]) as harness,
        pytest.raises(ValueError, match=r"no probe 'storage' here; possible: .*scheduler"),
    ):
        harness.probe("storage")


def test_one_actor_may_be_named_without_a_list():
    with Harness.start("storage") as harness:
        assert harness.ask("storage", GetSnapshot()).actor == "storage"


# -- expectations --------------------------------------------------------------------------------------


def test_a_failed_expectation_says_what_was_wanted_and_shows_the_transcript(start):
    harness = start("task_admission")
    tasks = TaskSide(harness, submission=1)
    tasks.acquire(a_selection(1))
    with pytest.raises(ExpectationFailed) as caught:
        tasks.probe.expect(TaskLeasesDecided, sender="task_admission", timeout=0.01)
    assert caught.value.expectation == (
        "scheduler gets TaskLeasesDecided from task_admission: not within 0.01 s"
    )
    lines = caught.value.transcript.splitlines()
    assert any(
        " scheduler -> task_admission AcquireTaskLeases {selections: [{item: story[" in at for at in lines
    )
    assert any(" task_admission -> scheduler TaskLeasesDecided {leases: [lease 1 (" in at for at in lines)
    assert caught.value.transcript in str(caught.value)


def test_expectations_about_two_parties_are_met_in_order(start):
    harness = start("scheduler", "telemetry")
    harness.send("scheduler", CancelJob())
    harness.send("scheduler", GetSnapshot())
    harness.expect("harness", ActorSnapshot)
    with pytest.raises(ExpectationFailed):
        harness.expect("harness", JobCancelling, timeout=0.0)


def test_an_expectation_is_met_only_once(start):
    harness = start("scheduler", "telemetry")
    harness.send("scheduler", CancelJob())
    harness.expect("harness", JobCancelling)
    harness.expect_none("harness", JobCancelling)


def test_expectations_about_different_senders_ask_nothing_of_their_order(start):
    harness = start("scheduler", "storage", "telemetry")
    harness.send("scheduler", GetSnapshot())
    harness.send("storage", GetSnapshot())
    for actor in ("storage", "scheduler"):
        assert harness.expect("harness", ActorSnapshot, sender=actor).actor == actor


def test_an_expectation_may_be_a_predicate_about_anybodys_messages(start):
    harness = start("task_admission")
    tasks = TaskSide(harness, submission=1)
    tasks.acquire(a_selection(1))
    harness.expect(None, lambda message: getattr(message, "task_lease_ids", None) == [1])
    harness.expect_none(None, RecordTaskEvents, where=lambda told: told.event_kind == "task_lease_released")


def test_expecting_none_fails_when_the_message_is_there_and_says_when_it_came(start):
    harness = start("scheduler", "telemetry")
    harness.send("scheduler", CancelJob())
    with pytest.raises(ExpectationFailed, match=r"harness gets JobCancelling: at \d+\.\d+, and should not"):
        harness.expect_none("harness", JobCancelling)


# -- what is seen --------------------------------------------------------------------------------------


def test_messages_between_two_actors_keep_their_order(start):
    harness = start("request_admission")
    requests = RequestSide(harness, cap=40)
    for attempt in range(1, 41):
        requests.ask(attempt)
    harness.settle()
    granted = [m for m in requests.probe.received if isinstance(m, RequestLeaseGranted)]
    assert [grant.request_attempt_id for grant in granted] == list(range(1, 41))
    assert [grant.lease.lease_id for grant in granted] == list(range(1, 41))


def test_settling_waits_for_what_the_worker_runs(start):
    harness = start()
    harness.send("scheduler", SubmitJob(a_chat_job(rows=3, latency_ms=20)))
    harness.settle()
    assert isinstance(harness.probe("harness").received[-1], JobFinished)


def test_settling_leaves_no_trace_in_the_transcript(start):
    harness = start("storage")
    harness.settle()
    before = len(harness.transcript)
    harness.settle()
    assert len(harness.transcript) == before


def test_a_subscription_sees_what_an_actor_receives_from_then_on(start):
    harness = start("task_admission")
    tasks = TaskSide(harness, submission=2)
    seen = harness.subscribe(receiver="scheduler", sender="task_admission")
    tasks.acquire(a_selection(1))
    tasks.acquire(a_selection(2))
    assert [lease.task_id for lease in seen.get().message.leases] == [1]
    assert [lease.task_id for lease in seen.get().message.leases] == [2]
    with pytest.raises(TimeoutError, match="no message from task_admission to scheduler within 0 s"):
        seen.get(timeout=0)


def test_the_transcript_says_what_each_actor_sent_received_and_emitted(start):
    harness = start()
    harness.send("scheduler", SubmitJob(a_chat_job(rows=2)))
    harness.expect("harness", JobFinished)
    harness.settle()
    asked = [type(message) for message in harness.transcript.received("worker")]
    assert ExecuteTasks in asked
    assert harness.transcript.sent("harness") == harness.transcript.received("scheduler")[:1]
    spawned = [event for event in harness.emitted("worker") if event.event_kind == "worker_spawned"]
    assert len(spawned) == 1 + 2 + 2
    assert [event.event_kind for event in harness.emitted("request_admission")].count(
        "request_lease_acquired"
    ) == 4


def test_a_client_may_subscribe_to_the_event_streams_themselves(start):
    harness = start("telemetry", "task_admission")
    harness.send("telemetry", Subscribe(("task_lease_acquired",)))
    TaskSide(harness, submission=1).acquire(a_selection(7))
    published = harness.expect("harness", EventsPublished).events
    assert [(found.stream, found.event.event_kind) for found in published] == [
        ("scheduler", "task_lease_acquired")
    ]


def test_row_values_do_not_stand_in_a_rendered_transcript():
    job = Job(name="secrets", rows=2, columns={"key": CategoryColumn(values=("s3cr3t",))})
    with Harness.start() as harness:
        harness.send("scheduler", SubmitJob(job))
        harness.expect("harness", JobFinished)
    told = [at for at in harness.transcript.deliveries() if "s3cr3t" in str(at.message)]
    lines = render_transcript([at for at in told if not hasattr(at.message, "job")])
    assert len(told) > 3
    assert "<list of 2>" in lines
    assert "s3cr3t" not in lines


# -- ending --------------------------------------------------------------------------------------------


def test_stopping_leaves_no_thread_also_when_the_body_raises():
    before = set(threading.enumerate())

    def leave_in_the_middle():
        with Harness.start() as harness:
            harness.send("scheduler", SubmitJob(a_chat_job(rows=50, latency_ms=200)))
            harness.expect("harness", JobAccepted)
            raise KeyError

    with pytest.raises(KeyError):
        leave_in_the_middle()
    assert set(threading.enumerate()) <= before


def test_stopping_twice_is_harmless():
    harness = Harness.start()
    harness.stop()
    harness.stop()


def test_the_transcript_stays_readable_after_the_end():
    with Harness.start("request_admission") as harness:
        harness.probe("worker").send("request_admission", CancelRequestWait(1))
    assert harness.transcript.received("request_admission") == (CancelRequestWait(1),)
