"""The telemetry core: gapless streams, logs that stand alone, sinks that may fail, maxima, subscribers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.evidence.reader import read_events, read_log
from actors.evidence.verify import verify_log
from actors.telemetry.core import SYSTEM_LOG, TelemetryCore
from actors.telemetry.log_codec import LogHeader, decode_line
from actors.telemetry.logs import WRITE_BYTES, WRITE_SECONDS
from actors.telemetry.sinks import open_log_file
from messages._base import Outgoing
from messages.supervision import DeadlineReached
from messages.telemetry import (
    CloseRunLog,
    Event,
    EventsPublished,
    GetCapacityPlan,
    LogEntry,
    OpenRunLog,
    RecordEvents,
    RecordLog,
    RunLogClosed,
    RunLogOpened,
    RunLogRefused,
    SequencedEvent,
    Subscribe,
    Unsubscribe,
)
from tests.actors.evidence.log_script import Script, a_plan, a_run, some_capacity, tell, write_log


class MemoryLog:
    """A log in memory that fails from the `fails_at`th write on, if it is told to."""

    opened_at = "2026-01-01T00:00:00+00:00"

    def __init__(self, fails_at=None):
        self.writes = []
        self.closed = None
        self.fails_at = fails_at

    def write(self, lines):
        if self.fails_at is not None and len(self.writes) >= self.fails_at:
            raise OSError(28, "No space left on device")
        self.writes.append(lines)

    def close(self, *, sync):
        self.closed = sync

    @property
    def records(self):
        return [decode_line(line) for line in b"".join(self.writes).splitlines()]


def no_files(path):
    raise AssertionError(f"opened {path}")


@pytest.fixture
def core_of():
    made = []

    def make(**how):
        core = TelemetryCore(**{"open_log": no_files, **how})
        made.append(core)
        return core

    yield make
    for core in made:
        core.check()


def opening(path, run_id="run-1"):
    return OpenRunLog(run_id, a_plan(run_id=run_id), some_capacity(), path, reply_to="scheduler")


def record(*kinds, stream="scheduler"):
    return RecordEvents(stream, [Event(kind, 1.0) for kind in kinds])


# -- streams and logs ---------------------------------------------------------------------------


def test_each_stream_is_numbered_from_one_without_gaps_in_order_of_arrival(core_of):
    log = MemoryLog()
    core = core_of(system_log=log)

    core.handle(record("queue_empty", "queue_drained"), now=1.0)
    core.handle(record("request_queue_formed", stream="request"), now=1.0)
    core.handle(record(), now=1.0)
    core.handle(record("queue_empty"), now=1.0)
    core.close(now=2.0)

    header, *events, closing = log.records
    assert header.next_sequence == {"scheduler": 1, "request": 1}
    assert [(event.stream, event.sequence) for event in events] == [
        ("scheduler", 1),
        ("scheduler", 2),
        ("request", 1),
        ("scheduler", 3),
    ]
    assert closing.next_sequence == {"scheduler": 4, "request": 2}
    assert log.closed is True
    assert core.snapshot(now=2.0).sequences == {"scheduler": 3, "request": 1}


def test_o2_a_run_log_opened_in_mid_stream_says_where_it_starts(core_of, tmp_path):
    system = MemoryLog()
    core = core_of(system_log=system, open_log=open_log_file)
    path = str(tmp_path / "deep" / "run.jsonl")

    core.handle(record("queue_empty"), now=1.0)
    assert core.handle(opening(path), now=1.0) == [Outgoing("scheduler", RunLogOpened("run-1"))]
    tell(core, a_run().events)
    closed = core.handle(CloseRunLog("run-1", reply_to="scheduler"), now=2.0)
    core.handle(record("queue_empty"), now=3.0)
    core.close(now=3.0)

    assert closed == [Outgoing("scheduler", RunLogClosed("run-1"))]
    header = next(iter(read_log(path))).record
    assert isinstance(header, LogHeader)
    assert header.next_sequence == {"scheduler": 2, "request": 1}
    assert verify_log(path).ok
    assert len(system.records) == len(list(read_log(path))) + 2


def test_a_run_log_never_replaces_a_file(core_of, tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("precious")
    core = core_of(open_log=open_log_file)

    [answer] = core.handle(opening(str(path)), now=1.0)

    assert isinstance(answer.message, RunLogRefused)
    assert answer.message.reason == f"the log {path} cannot be written: File exists"
    assert path.read_text() == "precious"


def test_a_run_log_that_cannot_be_made_is_refused_with_its_path(core_of, tmp_path):
    (tmp_path / "file").touch()
    core = core_of(open_log=open_log_file)

    [answer] = core.handle(opening(str(tmp_path / "file" / "run.jsonl")), now=1.0)

    assert isinstance(answer.message, RunLogRefused)
    assert str(tmp_path / "file" / "run.jsonl") in answer.message.reason


def test_one_run_log_is_open_at_a_time(core_of):
    core = core_of()

    core.handle(opening(None), now=1.0)
    [second] = core.handle(opening(None, "run-2"), now=1.0)
    [closed] = core.handle(CloseRunLog("run-2", reply_to="x"), now=1.0)

    assert second.message == RunLogRefused("run-2", "the log of run run-1 is still open; close it first")
    assert closed.message == RunLogClosed("run-2", "no log of run run-2 is open")
    assert core.snapshot(now=1.0).run_id == "run-1"


def test_a_query_without_an_address_is_not_answered(core_of):
    core = core_of()

    assert core.handle(CloseRunLog("run-1"), now=1.0) == []
    assert core.handle(GetCapacityPlan("run-1"), now=1.0) == []


def test_log_lines_stand_among_the_events(core_of):
    log = MemoryLog()
    core = core_of(system_log=log)
    entry = LogEntry(1.0, "scheduler", "info", "job_accepted", {"rows": 4})

    core.handle(RecordLog([entry]), now=1.0)
    core.close(now=1.0)

    assert log.records[1] == entry


def test_lines_are_written_together_when_due_or_when_there_are_many(core_of):
    log = MemoryLog()
    core = core_of(system_log=log)
    assert core.next_deadline() is None

    core.handle(record("queue_empty"), now=1.0)
    assert core.idle(now=1.1) == []
    assert len(log.writes) == 1  # the header
    assert core.next_deadline() == 1.0 + WRITE_SECONDS

    core.handle(DeadlineReached(), now=1.0 + WRITE_SECONDS)
    assert len(log.writes) == 2
    assert core.next_deadline() is None

    core.handle(record(*["queue_empty"] * (WRITE_BYTES // 50)), now=2.0)
    assert len(log.writes) == 3
    assert core.snapshot(now=2.0).bytes_written == sum(map(len, log.writes))


def test_a_mailbox_that_never_runs_empty_does_not_hold_lines_back(core_of):
    log = MemoryLog()
    core = core_of(system_log=log)

    core.handle(record("queue_empty"), now=1.0)
    core.handle(record("queue_empty"), now=1.0 + WRITE_SECONDS)

    assert len(log.writes) == 2


def test_with_observing_off_events_are_counted_and_nothing_else(core_of):
    log = MemoryLog()
    core = core_of(system_log=log, observing=False)

    core.handle(Subscribe(reply_to="probe"), now=1.0)
    assert core.handle(opening("never.jsonl"), now=1.0)[0].message == RunLogOpened("run-1")
    core.handle(record("queue_empty", "queue_empty"), now=1.0)

    assert core.idle(now=2.0) == []
    assert core.close(now=2.0) == []
    assert log.writes == []
    assert core.snapshot(now=2.0).sequences == {"scheduler": 2, "request": 0}


# -- sinks that fail ----------------------------------------------------------------------------


def test_o1_a_failing_log_is_reported_and_left_behind_and_the_others_go_on(core_of):
    run_log = MemoryLog(fails_at=1)
    system = MemoryLog()
    core = core_of(system_log=system, open_log=lambda _path: run_log)
    core.handle(opening("run.jsonl"), now=1.0)

    for moment in (1.0, 2.0, 3.0):
        core.handle(record("queue_empty"), now=moment)
        core.idle(now=moment + 0.5)
    [closed] = core.handle(CloseRunLog("run-1", reply_to="scheduler"), now=4.0)
    core.close(now=5.0)

    assert closed.message == RunLogClosed("run-1", "OSError: [Errno 28] No space left on device")
    assert core.snapshot(now=5.0).sink_failures == {
        "run.jsonl": "OSError: [Errno 28] No space left on device"
    }
    assert len(run_log.records) == 1
    assert run_log.closed is False
    entries = [record for record in system.records if isinstance(record, LogEntry)]
    assert [(entry.level, entry.event, entry.fields["log"]) for entry in entries] == [
        ("error", "log_failed", "run.jsonl")
    ]
    assert len([record for record in system.records if record not in entries]) == 5


def test_o1_a_system_log_that_fails_at_once_stops_nothing(core_of):
    core = core_of(system_log=MemoryLog(fails_at=0))

    core.handle(record("queue_empty"), now=1.0)
    core.close(now=2.0)

    assert core.snapshot(now=2.0).sequences["scheduler"] == 1
    assert SYSTEM_LOG in core.snapshot(now=2.0).sink_failures


# -- subscribers --------------------------------------------------------------------------------


def test_a_subscriber_gets_the_kinds_it_asked_for_in_one_message_per_quiet_moment(core_of):
    core = core_of()
    core.handle(Subscribe(kinds=("queue_empty",), reply_to="some"), now=1.0)
    core.handle(Subscribe(reply_to="all"), now=1.0)

    core.handle(record("queue_empty", "queue_drained"), now=1.0)
    core.handle(record("queue_empty"), now=1.0)
    sent = core.idle(now=1.0)

    empty, drained = Event("queue_empty", 1.0), Event("queue_drained", 1.0)
    first, second, third = (
        SequencedEvent("scheduler", at, event) for at, event in enumerate((empty, drained, empty), 1)
    )
    assert sent == [
        Outgoing("some", EventsPublished([first, third])),
        Outgoing("all", EventsPublished([first, second, third])),
    ]
    assert core.idle(now=1.0) == []


def test_whoever_unsubscribes_is_sent_nothing_more(core_of):
    core = core_of()
    core.handle(Subscribe(reply_to="probe"), now=1.0)
    core.handle(record("queue_empty"), now=1.0)
    core.handle(Unsubscribe(reply_to="probe"), now=1.0)

    assert core.idle(now=1.0) == []


def test_a_subscriber_is_not_kept_waiting_by_a_mailbox_that_never_runs_empty(core_of):
    core = core_of()
    core.handle(Subscribe(reply_to="probe"), now=1.0)

    [sent] = core.handle(record(*["queue_empty"] * 5000), now=1.0)

    assert len(sent.message.events) == 5000


# -- the capacity plan --------------------------------------------------------------------------


def maxima_of(core, run_id="run-1"):
    [answer] = core.handle(GetCapacityPlan(run_id, reply_to="x"), now=9.0)
    return answer.message.plan.observed_maxima


def test_the_most_that_was_seen_at_once_is_kept_beside_what_was_configured(core_of):
    core = core_of()
    core.handle(opening(None), now=0.0)
    script = Script(a_plan()).start()
    script.admit_row_groups(0, 1)
    three = [script.steps(script.correlation("story"), attempts=1) for _ in range(3)]
    for _ in range(6):
        for steps in three:
            next(steps)
    while three:
        three = [steps for steps in three if next(steps, three) is not three]
    tell(core, script.events)

    maxima = maxima_of(core)

    assert maxima.row_groups_in_flight == 2
    assert maxima.queued_tasks_by_group == {"model:default/story": 3}
    assert maxima.task_leases_by_resource == {"llm_wait": 3, "submission": 3}
    assert maxima.request_waiters_by_resource == {"sim/writer-1/chat": 1}
    assert maxima.request_in_flight_by_resource == {"sim/writer-1/chat": 2}
    assert maxima.provider_model_aggregate_in_flight == {"sim/writer-1": 2}
    assert core.snapshot(now=9.0).open_task_executions == 0


def test_a_request_that_is_granted_at_once_has_waited_for_nobody(core_of):
    core = core_of()
    core.handle(opening(None), now=0.0)

    tell(core, a_run().events)

    assert maxima_of(core).request_waiters_by_resource == {}


def test_the_plan_of_the_last_run_stays_known_until_the_next_one_opens(core_of):
    core = core_of()
    core.handle(opening(None), now=0.0)
    tell(core, a_run().events)
    core.handle(CloseRunLog("run-1"), now=1.0)
    assert maxima_of(core).task_leases_by_resource["submission"] == 1

    core.handle(opening(None, "run-2"), now=2.0)

    [answer] = core.handle(GetCapacityPlan("run-1", reply_to="x"), now=2.0)
    assert answer.message.plan is None
    assert maxima_of(core, "run-2").task_leases_by_resource == {}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=40))
def test_maxima_are_what_a_count_by_hand_gives(order):
    """Executions step forward in any order; what they hold is counted after every step."""
    core = TelemetryCore(open_log=no_files)
    core.handle(opening(None), now=0.0)
    script = Script(a_plan(cap=9)).start()
    live = [script.steps(script.correlation("story"), attempts=1) for _ in range(6)]
    held = in_flight = 0
    for which in order:
        next(live[which], None)
        held, in_flight = max(held, script.held), max(in_flight, script.in_flight)
    tell(core, script.events)

    maxima = maxima_of(core)

    assert maxima.task_leases_by_resource.get("submission", 0) == held
    assert maxima.request_in_flight_by_resource.get("sim/writer-1/chat", 0) == in_flight


def test_a_written_log_is_the_same_however_events_were_batched(tmp_path):
    events = a_run(attempts=0).events
    singly = write_log(tmp_path / "singly.jsonl", events)
    core = TelemetryCore(open_log=open_log_file)
    core.handle(opening(str(tmp_path / "batch.jsonl")), now=0.0)
    core.handle(RecordEvents("scheduler", events), now=1.0)
    core.handle(CloseRunLog("run-1"), now=2.0)

    assert list(read_events(tmp_path / "batch.jsonl")) == list(read_events(singly))
