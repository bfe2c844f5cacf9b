"""Events become lines and come back whole, and cost little on the way."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.telemetry.log_codec import (
    EventRecord,
    LogClosing,
    LogDecoder,
    LogFormatError,
    LogHeader,
    decode_line,
    encode_closing,
    encode_entries,
    encode_events,
    encode_header,
)
from messages.describe import describe_run
from messages.tasks import RuntimeCorrelation
from messages.telemetry import (
    Event,
    LogEntry,
    RequestEventKind,
    RunDescriptor,
    SchedulerEventKind,
    SequencedEvent,
)
from tests.actors.evidence.log_script import Script, a_plan

PLAN = a_plan()


def decoded(lines: bytes):
    decoder = LogDecoder()
    return [decoder.decode(decode_line(line)) for line in lines.splitlines()]


plain = st.one_of(st.none(), st.booleans(), st.integers(-1000, 1000), st.text(max_size=8))
details = st.none() | st.dictionaries(st.text(max_size=5), plain | st.lists(plain, max_size=3), max_size=3)
ids = st.integers(0, 2**53)


@st.composite
def streams_of_events(draw):
    """Executions introduced first; then any kinds about them, about the job, and about nothing."""
    script = Script(PLAN)
    rows = draw(st.lists(st.none() | st.integers(0, 10**6), min_size=1, max_size=4))
    abouts = [script.correlation(draw(st.sampled_from(["story", "words"])), 3, row) for row in rows]
    script.start()
    for about in abouts:
        script.emit("dependency_ready", about)
    job = RuntimeCorrelation("run-1", 3, None, "", "batch", "", "", 0)
    kinds = sorted({*get_args(SchedulerEventKind), *get_args(RequestEventKind)} - {"scheduler_job_started"})
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(kinds))
        about = draw(st.sampled_from(abouts))
        if kind != "dependency_ready":
            about = draw(st.sampled_from([None, job, about]))
        script.emit(
            kind,
            about,
            task_lease_id=draw(ids),
            request_lease_id=draw(ids),
            request_attempt_id=draw(ids),
            resource=draw(st.text(max_size=10)),
            reason_or_outcome=draw(st.sampled_from(["", "success", "stale_discard"])),
            snapshot=draw(details),
            diagnostics=draw(details),
        )
    return script.events


@settings(max_examples=50, deadline=None)
@given(
    events=streams_of_events(), stream=st.sampled_from(["scheduler", "request"]), first=st.integers(1, 10**9)
)
def test_events_come_back_from_their_lines_as_they_were_told(events, stream, first):
    lines = encode_events(stream, first, events)

    assert decoded(lines) == [
        SequencedEvent(stream, sequence, event) for sequence, event in enumerate(events, first)
    ]


def test_the_seven_events_of_a_task_cost_less_than_a_kilobyte():
    script = Script(PLAN).start()
    script.executions = script.leases = 999_000
    script._time = 12345.0
    script.run(script.correlation("words", row_group=9_990, row_index=99))
    task = script.events[1:]

    assert len(task) == 7
    assert len(encode_events("scheduler", 6_999_000, task)) < 1024


def test_what_is_at_its_default_is_not_written():
    assert encode_events("scheduler", 17, [Event("selected", 1.25)]) == (
        b'{"sequence":17,"event_kind":"selected","captured_at":1.25}\n'
    )
    assert encode_events("request", 2, [Event("request_queue_drained", 1.0, resource="a/b/chat")]) == (
        b'{"sequence":2,"event_kind":"request_queue_drained","captured_at":1.0,"stream":"request",'
        b'"resource":"a/b/chat"}\n'
    )


def test_an_execution_is_introduced_once_and_named_from_then_on():
    about = Script(PLAN).correlation("story", 1, 7)

    introduced, enqueued = encode_events(
        "scheduler", 1, [Event("dependency_ready", 0.5, about), Event("ready_enqueued", 0.5, about)]
    ).splitlines()

    assert (
        b'"correlation":{"row_group":1,"row_index":7,"task_column":"story","task_execution_id":1}'
        in introduced
    )
    assert b'"task_execution_id":1' in enqueued
    assert b"correlation" not in enqueued


def test_a_rare_event_carries_its_correlation_in_full_and_needs_no_introduction():
    event = Event("release_diagnostic", 3.0, Script(PLAN).correlation("story"), reason_or_outcome="duplicate")

    assert decoded(encode_events("scheduler", 5, [event])) == [SequencedEvent("scheduler", 5, event)]


def test_a_value_that_json_cannot_hold_costs_no_event_and_tells_no_secret():
    event = Event("admission_blocked", 1.0, diagnostics={"value": object()})

    assert b'"diagnostics":{"value":"<object>"}' in encode_events("scheduler", 1, [event])


def test_headers_closings_and_log_lines_come_back():
    following = {"scheduler": 12, "request": 3}
    entry = LogEntry(1.0, "worker", "warning", "thread_abandoned", {"seconds": 4})

    assert decode_line(encode_header("2026-01-01T00:00:00", following)) == LogHeader(
        "leasehold", 1, "2026-01-01T00:00:00", following
    )
    assert decode_line(encode_closing(following)) == LogClosing(log_closed=True, next_sequence=following)
    assert decode_line(encode_entries([entry])) == entry


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"sequence":1,"event_kind":"sel', "not JSON"),
        (b"7", "expected a JSON object, found int"),
        (b'{"sequence":1,"event_kind":"selected"}', "missing required field `captured_at`"),
        (b'{"sequence":1,"event_kind":"no_such","captured_at":1.0}', "no_such"),
        (b'{"log":"leasehold"}', "bad LogHeader: Object missing required field `version`"),
        (b'{"log_closed":true}', "bad LogClosing"),
        (b'{"actor":"worker"}', "bad LogEntry"),
        (b'"\xff"', "not JSON"),
    ],
)
def test_a_line_that_is_none_says_why(line, problem):
    with pytest.raises(LogFormatError, match=problem):
        decode_line(line)


def test_a_task_of_a_run_that_is_not_described_is_refused():
    about = Script(PLAN).correlation("story")

    with pytest.raises(LogFormatError, match="no scheduler_job_started before it describes"):
        decoded(encode_events("scheduler", 1, [Event("dependency_ready", 1.0, about)]))


def test_a_decoder_forgets_executions_some_time_after_they_have_ended():
    script = Script(PLAN).start()
    decoder = LogDecoder()
    for _ in range(5000):
        script.run(script.correlation("words"))
    for line in encode_events("scheduler", 1, script.events).splitlines():
        decoder.decode(decode_line(line))

    with pytest.raises(LogFormatError, match="of task execution 1,"):
        decoder.decode(EventRecord(1, "selected", 1.0, task_execution_id=1))
    assert decoder.decode(
        EventRecord(1, "request_lease_released", 9.0, task_execution_id=4999)
    ).event.correlation


def test_a_run_descriptor_survives_being_plain_data():
    descriptor = describe_run(PLAN)

    assert RunDescriptor.from_builtins(descriptor.to_builtins()) == descriptor
    assert descriptor.row_groups == 2
    assert descriptor.generators["story"].resources == {"llm_wait": 1, "submission": 1}
    assert descriptor.request_resources["sim/writer-1/chat"].endpoint == "sim/writer-1"
