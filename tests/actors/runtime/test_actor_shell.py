"""The base actor: what it rejects, what it survives, and in which order it sends."""

from __future__ import annotations

import logging
import threading

import pytest
import structlog

from messages._base import SCHEDULER, TELEMETRY, MessageRejected, Outgoing
from messages.scheduler import CancelJob
from messages.supervision import ActorSnapshot, DeadlineReached, GetSnapshot, HandlerFailed
from messages.telemetry import LogEntry, RecordLog
from tests.actors.runtime.scripted_actor import EMPTY, NAME, Do, ScriptedCore, Stage, Told, told

BASE_EXCEPTIONS = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration]


def raising(kind):
    def step(_message=None):
        raise kind("what went wrong")

    return step


@pytest.fixture
def start():
    """Start an actor around a scripted core."""
    stages = []

    def begin(core=None, **steps):
        stage = Stage(core or ScriptedCore(echo=lambda message: [told(message.value)], **steps))
        stages.append(stage)
        return stage

    yield begin
    for stage in stages:
        stage.stop()


def assert_lives(stage):
    """The actor answers."""
    stage.tell(Do("echo", 4711))
    assert stage.client.next(Told)[-1] == Told(4711)


def entries(stage):
    found = [message for message in stage.telemetry.drain() if isinstance(message, RecordLog)]
    return [entry for message in found for entry in message.entries]


# -- rejecting -------------------------------------------------------------------------------------


def test_a_message_that_is_not_handled_is_rejected_to_whoever_asked(start):
    stage = start()
    stage.tell(CancelJob(reply_to="client"))
    (rejected,) = stage.client.next(MessageRejected)
    assert rejected == MessageRejected(
        actor=NAME,
        message_type="CancelJob",
        reason="unknown_message",
        detail=f"{NAME} does not handle CancelJob",
    )
    assert_lives(stage)


def test_a_message_that_nobody_wants_answered_is_rejected_in_the_log_alone(start):
    stage = start()
    stage.tell(CancelJob())
    assert_lives(stage)
    stage.stop()
    assert stage.client.drain() == []
    (entry,) = [entry for entry in entries(stage) if entry.event == "message_rejected"]
    assert entry.level == "warning"
    assert entry.fields == {"message_type": "CancelJob", "reason": "unknown_message"}


def test_a_stray_deadline_is_nobodys_mistake(start):
    stage = start()
    stage.tell(DeadlineReached())
    assert_lives(stage)
    stage.stop()
    assert [entry.event for entry in entries(stage)] == ["actor_started", "actor_stopped"]


@pytest.mark.parametrize("rubbish", [None, 17, "text", object()])
def test_an_entry_that_is_no_message_at_all_does_not_end_the_actor(start, rubbish):
    stage = start()
    stage.ref.tell(rubbish)
    assert_lives(stage)


# -- handlers that raise ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
def test_a_handler_may_raise_anything_and_the_actor_lives(start, kind):
    stage = start(fail=raising(kind))
    stage.tell(Do("fail", reply_to="client"))
    (rejected,) = stage.client.next(MessageRejected)
    assert (rejected.reason, rejected.message_type) == ("handler_error", "Do")
    assert rejected.detail.startswith(f"{kind.__name__} at ")
    (failed,) = stage.scheduler.next(HandlerFailed)
    assert (failed.actor, failed.message_type, failed.error) == (NAME, "Do", rejected.detail)
    assert_lives(stage)
    stage.stop()
    (entry,) = [entry for entry in entries(stage) if entry.event == "handler_failed"]
    assert (entry.level, entry.fields["error"]) == ("error", rejected.detail)


@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
def test_a_handler_that_raises_leaves_the_other_actors_of_the_process_alone(start, kind):
    """Pykka stops every actor of the process on a `SystemExit` in one of them."""
    broken, other = start(fail=raising(kind)), start()
    broken.tell(Do("fail", reply_to="client"))
    broken.client.next(MessageRejected)
    assert_lives(other)
    assert_lives(broken)


def test_o4_the_text_of_an_exception_is_told_to_nobody(start):
    """It may hold row data."""
    stage = start(fail=raising(ValueError))
    stage.tell(Do("fail", reply_to="client"))
    stage.client.next(MessageRejected)
    assert_lives(stage)
    stage.stop()
    everything = [*stage.telemetry.drain(), *stage.scheduler.drain(), *stage.client.drain()]
    assert "what went wrong" not in repr(everything)


def test_messages_after_one_that_raises_are_handled(start):
    stage = start(fail=raising(ValueError))
    stage.tell(Do("fail"), Do("echo", 1), Do("fail"), Do("echo", 2))
    assert stage.client.next(Told) == [Told(1), Told(2)]


@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
def test_an_idle_step_may_raise_and_the_actor_lives(start, kind):
    stage = start(
        once=lambda _message: setattr(stage.core, "on_idle", raising(kind)),
        mend=lambda _message: setattr(stage.core, "on_idle", None),
    )
    stage.tell(Do("once"))
    (failed,) = stage.scheduler.next(HandlerFailed)
    assert failed.error.startswith(kind.__name__)
    stage.tell(Do("mend"))
    assert_lives(stage)


def test_an_idle_step_that_always_raises_is_told_once_not_for_ever(start):
    stage = start(once=lambda _message: setattr(stage.core, "on_idle", raising(ValueError)))
    stage.tell(Do("once"))
    stage.scheduler.next(HandlerFailed)
    for number in range(20):
        stage.tell(Do("echo", number))
        stage.client.next(Told)
    assert stage.scheduler.drain() == []


def test_a_scheduler_that_fails_on_being_told_of_a_failure_is_not_told_again():
    """Otherwise it would tell itself, and fail on that, for ever."""
    core = ScriptedCore(accepts=(HandlerFailed,))
    core.handle = raising(ValueError)
    core.handle = lambda message, *, now: raising(ValueError)()
    stage = Stage(core)
    try:
        stage.tell(HandlerFailed("storage", "StoreRowGroup", "ValueError at x.py:1"))
        stage.tell(GetSnapshot(reply_to="client"))
        stage.client.next(ActorSnapshot)
        assert stage.scheduler.drain() == []
    finally:
        stage.stop()


def test_a_snapshot_that_cannot_be_made_is_rejected(start):
    stage = start()
    stage.core.on_snapshot = raising(ValueError)
    stage.tell(GetSnapshot(reply_to="client"))
    (rejected,) = stage.client.next(MessageRejected)
    assert (rejected.reason, rejected.message_type) == ("handler_error", "GetSnapshot")
    assert_lives(stage)


def test_a_core_that_cannot_close_still_ends_with_its_actor(start, caplog):
    stage = start()
    stage.core.on_close = raising(ValueError)
    assert_lives(stage)
    assert stage.stop()
    assert [record.name for record in caplog.records if record.name == "pykka"] == []
    assert "handler_failed" in [entry.event for entry in entries(stage)]


def test_a_message_that_cannot_be_sent_is_reported_and_the_actor_lives():
    """Serialising, it may hold what cannot be encoded; the other messages go their way."""
    core = ScriptedCore(
        bad=lambda _message: [Outgoing("client", MessageRejected(actor=object(), message_type="", reason=""))]
    )
    core.steps["echo"] = lambda message: [
        Outgoing("client", MessageRejected(actor="x", message_type="", reason=""))
    ]
    stage = Stage(core, serialize=False)
    stage.router._serialize = True
    core.accepts = frozenset((GetSnapshot, CancelJob))
    core.handle = lambda message, *, now: core.steps["bad" if message.reason == "bad" else "echo"](message)
    try:
        stage.tell(CancelJob("bad"))
        (failed,) = stage.scheduler.next(HandlerFailed)
        assert failed.error.startswith("TypeError at ")
        stage.tell(CancelJob("good"))
        assert stage.client.next(MessageRejected)[0].actor == "x"
    finally:
        stage.stop()


# -- sending ---------------------------------------------------------------------------------------


def test_events_reach_telemetry_before_the_messages_that_were_sent_with_them(start):
    event = RecordLog([LogEntry(0.0, NAME, "info", "x", {})])

    def step(_message):
        return [told(1), told(2, SCHEDULER), Outgoing(TELEMETRY, Told(3))]

    stage = start(step=step, log=lambda _message: [told(1), Outgoing(TELEMETRY, event)])
    assert_lives(stage)
    stage.order.clear()
    stage.tell(Do("step"))
    stage.client.next(Told)
    stage.scheduler.next(Told)
    assert stage.order == [TELEMETRY, "client", SCHEDULER]
    stage.tell(Do("log"))
    stage.client.next(Told)
    assert stage.order[3:] == [TELEMETRY, "client"]


def test_batches_form_under_load(start):
    """Many messages handled without a pause leave as one mailbox entry, in their order."""
    may_go, began = threading.Event(), threading.Event()

    def block(_message):
        began.set()
        assert may_go.wait(5)

    stage = start(block=block)
    stage.tell(Do("block"))
    assert began.wait(5)
    for number in range(100):
        stage.tell(Do("echo", number))
    may_go.set()
    assert stage.client.next(Told) == [Told(number) for number in range(100)]


def test_a_mailbox_that_never_runs_empty_does_not_hold_work_back(start):
    may_go, began = threading.Event(), threading.Event()

    def block(_message):
        began.set()
        assert may_go.wait(5)

    stage = start(block=block)
    stage.tell(Do("block"))
    assert began.wait(5)
    for number in range(1000):
        stage.tell(Do("echo", number))
    may_go.set()
    batches, got = 0, []
    while len(got) < 1000:
        got += stage.client.next(Told)
        batches += 1
    assert got == [Told(number) for number in range(1000)]
    assert 3 <= batches <= 10


def test_what_a_core_batches_is_not_overtaken_by_what_it_sends_later(start):
    def hold(message):
        stage.core.idle_with.append(told(message.value))

    stage = start(hold=hold)
    stage.tell(Do("hold", 1))
    assert stage.client.next(Told) == [Told(1)]


def test_the_deadline_of_a_core_wakes_it(start):
    """Nothing is in the mailbox when the deadline comes: only the core's idle step hears of it."""

    def ask(_message):
        stage.core.deadline = 0.0
        stage.core.on_idle = first

    def first():
        stage.core.on_idle = second

    def second():
        stage.core.deadline, stage.core.on_idle = None, None
        stage.core.idle_with.append(told(1))

    stage = start(ask=ask)
    stage.tell(Do("ask"))
    assert stage.client.next(Told) == [Told(1)]
    assert_lives(stage)


# -- snapshots and logs ----------------------------------------------------------------------------


def test_a_snapshot_tells_of_the_mailbox(start):
    may_go, began = threading.Event(), threading.Event()

    def block(_message):
        began.set()
        assert may_go.wait(5)

    stage = start(block=block)
    stage.tell(Do("block"))
    assert began.wait(5)
    stage.tell(GetSnapshot(reply_to="client"))
    for number in range(3):
        stage.tell(Do("echo", number))
    may_go.set()
    (snapshot,) = stage.client.next(ActorSnapshot)
    assert (snapshot.actor, snapshot.generation, snapshot.state) == (NAME, 1, EMPTY)
    assert snapshot.mailbox.depth == 3
    assert snapshot.mailbox.oldest_age_seconds > 0
    assert snapshot.mailbox.handled == 2


def test_a_snapshot_without_anybody_to_tell_it_to_is_not_made(start):
    stage = start()
    stage.core.on_snapshot = raising(ValueError)
    stage.tell(GetSnapshot())
    assert_lives(stage)
    assert stage.scheduler.drain() == []


def test_a_cores_log_lines_carry_the_actors_name(start):
    line = LogEntry(0.0, "", "info", "it_happened", {"rows": 3})
    stage = start(log=lambda _message: [Outgoing(TELEMETRY, RecordLog([line]))])
    stage.tell(Do("log"))
    assert_lives(stage)
    stage.stop()
    (entry,) = [entry for entry in entries(stage) if entry.event == "it_happened"]
    assert (entry.actor, entry.level, entry.fields) == (NAME, "info", {"rows": 3})


def test_o8_nothing_global_is_configured(start):
    root = logging.getLogger()
    before = (list(root.handlers), root.level, structlog.get_config(), structlog.is_configured())
    stage = start(fail=raising(ValueError))
    stage.tell(Do("fail", reply_to="client"))
    stage.client.next(MessageRejected)
    stage.stop()
    assert (list(root.handlers), root.level, structlog.get_config(), structlog.is_configured()) == before
    assert logging.getLogger(f"leasehold.{NAME}").handlers == []


def test_warnings_are_heard_by_a_program_that_never_reads_the_log(start, caplog):
    stage = start(fail=raising(ValueError))
    stage.tell(Do("fail"))
    assert_lives(stage)
    assert [record.levelname for record in caplog.records if record.name == f"leasehold.{NAME}"] == [
        "ERROR",
        "WARNING",
    ]
