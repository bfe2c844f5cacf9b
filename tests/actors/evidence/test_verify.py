"""`verify` proves a legal run, and names the lines of every way in which a run is not legal."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.evidence.lifecycle import ATTEMPT_STATE_AFTER, TASK_STATE_AFTER
from actors.evidence.reader import read_log
from actors.evidence.report import LISTED_VIOLATIONS, render
from actors.evidence.verify import Verifier, verify_log
from actors.telemetry.core import TelemetryCore
from actors.telemetry.log_codec import LogFormatError
from actors.telemetry.sinks import open_log_file
from messages.telemetry import CloseRunLog, LogEntry, OpenRunLog, RecordLog
from tests.actors.evidence.log_script import (
    Script,
    a_plan,
    a_run,
    line_of,
    some_capacity,
    tell,
    write_log,
)


@pytest.fixture
def verified(tmp_path):
    """Write events as a log and verify it."""

    def verify(events, plan=None):
        path = tmp_path / "log.jsonl"
        path.unlink(missing_ok=True)
        return verify_log(write_log(path, events, plan))

    return verify


def found(report):
    return {(violation.rule, violation.lines) for violation in report.violations}


def rules(report):
    return {violation.rule for violation in report.violations}


def changed(event, **fields):
    return msgspec.structs.replace(event, **fields)


# -- what is legal ------------------------------------------------------------------------------


def test_a_run_without_a_fault_verifies_and_is_counted(verified):
    report = verified(a_run().events)

    assert report.ok, report.violations
    assert report.counts.jobs == 1
    assert report.counts.task_executions == report.counts.task_leases == report.counts.workers_started == 8
    assert report.counts.request_leases == report.counts.model_requests == 4
    assert report.counts.hidden_scheduler_resource_waiters == 0
    assert report.counts.rows_written == 4
    assert report.counts.most_held == {"llm_wait": 1, "submission": 1, "local": 1}
    assert report.counts.most_requests == {"sim/writer-1/chat": 1, "sim/writer-1": 1}


@pytest.mark.parametrize(
    "outcome",
    [
        "success",
        "retryable_failure",
        "non_retryable_failure",
        "cancelled",
        "shutdown",
        "stale_discard",
        "worker_spawn_failed",
        "worker_lost",
    ],
)
def test_t2_a_lease_returned_with_any_outcome_is_legal(verified, outcome):
    script = Script().start()
    script.run(script.correlation("story"), outcome=outcome)
    script.complete("cancelled", rows_written=0, rows_pending=4)

    report = verified(script.events)

    assert report.ok, report.violations


def test_a7_a_lease_granted_to_a_task_that_has_given_up_comes_back_unsent(verified):
    script = Script().start()
    about = script.correlation("story")
    steps = script.steps(about, outcome="cancelled")
    while script.events[-1].event_kind != "worker_spawned":
        next(steps)
    script.emit("request_wait_started", about, request_attempt_id=1)
    for _ in steps:
        pass
    script.emit("request_wait_completed", about, request_attempt_id=1)
    lease = {"request_lease_id": 1, "resource": "sim/writer-1/chat"}
    script.emit("request_lease_acquired", about, request_attempt_id=1, **lease)
    script.emit("request_lease_released", about, **lease, reason_or_outcome="local_cancelled")
    script.complete("cancelled", rows_written=0, rows_pending=4)

    report = verified(script.events)

    assert report.ok, report.violations


def test_a7_a_wait_may_end_without_a_lease(verified):
    script = Script().start()
    about = script.correlation("story")
    steps = script.steps(about, outcome="retryable_failure")
    while script.events[-1].event_kind != "worker_spawned":
        next(steps)
    for attempt, end in enumerate(("request_wait_timeout", "request_wait_cancelled"), 1):
        script.emit("request_wait_started", about, request_attempt_id=attempt)
        script.emit(end, about, request_attempt_id=attempt)
    script.emit("request_acquire_denied", about, request_attempt_id=3, reason_or_outcome="hard_policy_denial")
    for _ in steps:
        pass
    script.complete("cancelled", rows_written=0, rows_pending=4)

    assert verified(script.events).ok


def test_a_request_of_a_lost_worker_may_have_no_known_end(verified):
    script = Script().start()
    about = script.correlation("story")
    steps = script.steps(about, outcome="worker_lost", attempts=1)
    while script.events[-1].event_kind != "model_request_started":
        next(steps)
    lease = {"request_lease_id": 1, "reason_or_outcome": "unexpected_exception"}
    script.emit("request_lease_released", about, **lease)
    script.emit("task_lease_released", about, task_lease_id=1, reason_or_outcome="worker_lost")
    script.complete("failed", rows_written=0, rows_pending=4)

    assert verified(script.events).ok


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("outcome", ["local_cancelled", "rate_limited"])
def test_a11_only_a_lost_workers_answered_request_is_taken_back_as_cancelled(tmp_path, lost, outcome):
    """Its own return was lost with it: request admission knows no more than that nobody holds the lease."""
    events = a_run().events
    at = line_of(events, "request_lease_released")
    events[at - 2] = changed(events[at - 2], reason_or_outcome=outcome)
    log = tmp_path / "actors.jsonl"
    core = TelemetryCore(open_log=open_log_file, system_log=open_log_file(log))
    tell(core, events)
    if lost:
        core.handle(RecordLog([LogEntry(9.0, "worker", "error", "actor_crashed", {})]), now=9.0)
    core.close(now=99.0)
    legal = lost and outcome == "local_cancelled"
    answered = line_of(events, "model_request_completed")
    assert found(verify_log(log)) == (set() if legal else {("outcome", (answered, at))})


def test_several_jobs_in_one_system_log_and_each_run_log_verify_alone(tmp_path):
    system, first, second = (tmp_path / name for name in ("system.jsonl", "first.jsonl", "second.jsonl"))
    core = TelemetryCore(open_log=open_log_file, system_log=open_log_file(system))
    leases = requests = 0
    for run, path in (("run-1", first), ("run-2", second)):
        plan = a_plan(run_id=run)
        script = a_run(plan)
        events = [
            changed(
                event,
                task_lease_id=event.task_lease_id and event.task_lease_id + leases,
                request_lease_id=event.request_lease_id and event.request_lease_id + requests,
            )
            for event in script.events
        ]
        leases, requests = script.leases, script.request_leases
        core.handle(OpenRunLog(run, plan, some_capacity(), str(path)), now=0.0)
        tell(core, events)
        core.handle(CloseRunLog(run), now=1.0)
    core.close(now=2.0)

    reports = [verify_log(path) for path in (system, first, second)]

    assert [report.ok for report in reports] == [True, True, True], [r.violations for r in reports]
    assert [report.counts.jobs for report in reports] == [2, 1, 1]


KNOWN_ENDS = ["success", "retryable_failure", "cancelled", "stale_discard", "worker_spawn_failed"]


@st.composite
def interleaved_runs(draw, outcomes=(*KNOWN_ENDS, "worker_lost")):
    """Up to seven executions over four slots and two requests at once, in any order of steps."""
    script = Script(a_plan(rows=0)).start()
    live = []
    for _ in range(draw(st.integers(1, 7))):
        column = draw(st.sampled_from(["story", "words"]))
        attempts = draw(st.integers(0, 2)) if column == "story" else 0
        outcome = draw(st.sampled_from(outcomes))
        live.append(script.steps(script.correlation(column), outcome=outcome, attempts=attempts))
    while live:
        steps = live[draw(st.integers(0, len(live) - 1))]
        if next(steps, live) is live:
            live.remove(steps)
    return script.complete().events


@settings(max_examples=40, deadline=None)
@given(events=interleaved_runs())
def test_any_interleaving_of_legal_executions_verifies(events, tmp_path_factory):
    report = verify_log(write_log(tmp_path_factory.mktemp("log") / "log.jsonl", events, a_plan(rows=0)))

    assert report.ok, report.violations


# -- a log whose lines were changed -------------------------------------------------------------


def verify_lines(lines, path):
    path.write_bytes(b"".join(lines))
    return verify_log(path)


@settings(max_examples=40, deadline=None)
@given(events=interleaved_runs(), data=st.data())
def test_any_line_missing_doubled_or_swapped_with_one_it_depends_on_is_caught(events, data, tmp_path_factory):
    path = write_log(tmp_path_factory.mktemp("log") / "log.jsonl", events, a_plan(rows=0))
    lines = path.read_bytes().splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1), label="line")
    streams = [b'"stream":"request"' in line for line in lines]
    dependent = [other for other in range(1, len(lines) - 1) if streams[other] == streams[at] and other != at]

    assert not verify_lines(lines[:at] + lines[at + 1 :], path).ok
    assert not verify_lines(lines[: at + 1] + lines[at:], path).ok
    if dependent and 0 < at < len(lines) - 1:
        other = data.draw(st.sampled_from(dependent), label="swapped with")
        lines[at], lines[other] = lines[other], lines[at]
        assert not verify_lines(lines, path).ok


LIFECYCLE_KINDS = (TASK_STATE_AFTER.keys() | ATTEMPT_STATE_AFTER.keys()) - {"request_acquire_denied"}


@settings(max_examples=40, deadline=None)
@given(events=interleaved_runs(KNOWN_ENDS), data=st.data())
def test_a_lifecycle_event_lost_or_told_twice_is_caught_by_the_rules_alone(events, data, tmp_path_factory):
    """Sequences are made anew, so that only what may follow what can tell.

    A lost worker is left out: no rule can say how far it had come.
    """
    candidates = [at for at, event in enumerate(events) if event.event_kind in LIFECYCLE_KINDS]
    at = data.draw(st.sampled_from(candidates))
    folder = tmp_path_factory.mktemp("log")

    lost = verify_log(write_log(folder / "lost.jsonl", events[:at] + events[at + 1 :]))
    twice = verify_log(write_log(folder / "twice.jsonl", events[: at + 1] + events[at:]))

    assert not rules(lost) <= {"rows_conserved"}
    assert not rules(twice) <= {"rows_conserved"}


def test_a_missing_line_is_a_gap_in_its_stream(tmp_path):
    path = write_log(tmp_path / "log.jsonl", a_run().events)
    lines = path.read_bytes().splitlines(keepends=True)

    report = verify_lines(lines[:1] + lines[2:], path)

    assert ("sequence", (2,)) in found(report)
    assert "scheduler event 2 where 1 was expected" in report.violations[0].message


def test_a_torn_last_line_is_named(tmp_path):
    path = write_log(tmp_path / "log.jsonl", a_run().events)
    data = path.read_bytes()
    path.write_bytes(data[:-7])

    report = verify_log(path)

    assert found(report) == {("log_end", (len(data.splitlines()),))}
    assert "ends within its last line" in report.violations[0].message


def test_a_missing_closing_line_is_named(tmp_path):
    path = write_log(tmp_path / "log.jsonl", a_run().events)
    lines = path.read_bytes().splitlines(keepends=True)

    assert found(verify_lines(lines[:-1], path)) == {("log_end", (len(lines) - 1,))}


def test_a_log_that_was_cut_and_closed_again_is_caught(tmp_path):
    path = write_log(tmp_path / "log.jsonl", a_run().events)
    lines = path.read_bytes().splitlines(keepends=True)

    report = verify_lines([*lines[:-2], lines[-1]], path)

    assert ("sequence", (len(lines) - 1,)) in found(report)
    assert "run" in rules(report)


def test_lines_after_the_closing_line_are_caught(tmp_path):
    path = write_log(tmp_path / "log.jsonl", a_run().events)
    lines = path.read_bytes().splitlines(keepends=True)

    report = verify_lines([*lines, lines[-1]], path)

    assert ("log_end", (len(lines), len(lines) + 1)) in found(report)


def test_a_line_that_is_no_record_is_named_and_the_rest_is_read(tmp_path):
    path = write_log(tmp_path / "log.jsonl", a_run().events)
    lines = path.read_bytes().splitlines(keepends=True)
    lines.insert(3, b'{"event_kind":"no_such_kind"}\n')

    assert found(verify_lines(lines, path)) == {("line", (4,))}


def test_an_empty_file_is_no_log(tmp_path):
    path = tmp_path / "log.jsonl"
    path.touch()

    assert rules(verify_log(path)) == {"header"}


def test_a_missing_log_is_an_error_with_its_path(tmp_path):
    with pytest.raises(LogFormatError, match="does not exist; expected a run folder or a log file"):
        verify_log(tmp_path / "nothing")
    with pytest.raises(LogFormatError, match=r"holds no actors\.jsonl"):
        verify_log(tmp_path)


# -- a run that went wrong, well recorded -------------------------------------------------------


def test_t2_a_doubled_return_is_caught_with_its_line(verified):
    events = a_run().events
    at = line_of(events, "task_lease_released")
    events.insert(at - 1, events[at - 2])

    assert ("lease_returned_once", (at + 1,)) in found(verified(events))


def test_t2_a_missing_return_is_caught_with_the_line_of_the_lease(verified):
    events = a_run().events
    del events[line_of(events, "task_lease_released") - 2]

    assert ("lease_not_returned", (line_of(events, "task_lease_acquired"),)) in found(verified(events))


def test_t1_a_start_before_its_lease_is_caught(verified):
    events = a_run().events
    acquired, spawned = (line_of(events, kind) - 2 for kind in ("task_lease_acquired", "worker_spawned"))
    lease, start = events[acquired], events[spawned]
    events[acquired] = changed(start, captured_at=lease.captured_at)
    events[spawned] = changed(lease, captured_at=start.captured_at)

    report = verified(events)

    assert any(rule == "start_before_lease" and acquired + 2 in lines for rule, lines in found(report))


def test_t1_a_start_under_another_lease_is_caught(verified):
    events = a_run().events
    at = line_of(events, "worker_spawned", 1)
    events[at - 2] = changed(events[at - 2], task_lease_id=1)

    assert found(verified(events)) == {("wrong_lease", (at,))}


def test_t2_a_lease_issued_twice_is_caught(verified):
    events = a_run().events
    events = [changed(event, task_lease_id=1) if event.task_lease_id == 2 else event for event in events]

    assert found(verified(events)) == {("lease_reused", (line_of(events, "task_lease_acquired", 1),))}


def test_t5_a_started_worker_that_wants_a_scheduler_resource_is_a_hidden_waiter(verified):
    events = a_run().events
    at = line_of(events, "worker_spawned")
    selected = events[line_of(events, "selected") - 2]
    events.insert(at - 1, changed(selected, captured_at=events[at - 2].captured_at))

    report = verified(events)

    assert any(rule == "hidden_waiter" and at + 1 in lines for rule, lines in found(report))
    assert report.counts.hidden_scheduler_resource_waiters == 1


def test_t7_a_task_capacity_that_is_exceeded_is_caught_at_the_moment(verified):
    plan = a_plan(rows=0, submission=1)
    script = Script(plan).start()
    both = [script.steps(script.correlation("words")) for _ in range(2)]
    for steps in both:
        for _ in range(5):
            next(steps)
    for steps in both:
        list(steps)
    script.complete()

    report = verified(script.events, plan)

    assert found(report) == {("capacity", (line_of(script.events, "task_lease_acquired", 1),))}
    assert "2 of submission are held; the limit is 1" in report.violations[0].message


def test_a3_a_request_cap_that_is_exceeded_is_caught(verified):
    plan = a_plan(rows=0, cap=1)
    script = Script(plan).start()
    both = [script.steps(script.correlation("story"), attempts=1) for _ in range(2)]
    for steps in both:
        for _ in range(7):  # up to model_request_started
            next(steps)
        script.in_flight = 0
    for steps in both:
        list(steps)
    script.complete()

    report = verified(script.events, plan)

    assert found(report) == {("capacity", (line_of(script.events, "request_lease_acquired", 1),))}
    assert len(report.violations) == 2  # the resource, and its endpoint


def test_r2_too_many_row_groups_in_flight_are_caught(verified):
    script = Script(a_plan(rows=6)).start()
    script.admit_row_groups(0, 1, 2)
    for row_group in range(3):
        script.checkpoint(row_group)

    report = verified(script.complete().events, script.plan)

    assert found(report) == {("capacity", (line_of(script.events, "row_group_admitted", 2),))}


@pytest.mark.parametrize("kind", ["selected", "worker_spawned", "task_completed", "model_request_completed"])
def test_a_timeline_that_goes_backwards_is_caught(verified, kind):
    events = a_run().events
    at = line_of(events, kind)
    events[at - 2] = changed(events[at - 2], captured_at=0.0)

    report = verified(events)

    assert any(rule == "timeline" and at in lines for rule, lines in found(report))


def test_a_task_that_completes_while_its_request_is_under_way_is_caught(verified):
    events = a_run().events
    released = events.pop(line_of(events, "request_lease_released") - 2)
    completed = events.pop(line_of(events, "model_request_completed") - 2)
    at = line_of(events, "task_completed")
    events[at - 1 : at - 1] = [completed, released]

    assert ("timeline", (at,)) in found(verified(events))


def test_a_request_after_its_task_has_completed_is_caught(verified):
    events = a_run().events
    started, ended = (
        line_of(events, kind) - 2 for kind in ("model_request_started", "request_lease_released")
    )
    request = events[started : ended + 1]
    del events[started : ended + 1]
    at = line_of(events, "task_lease_released")
    events[at - 1 : at - 1] = request

    assert ("lifecycle", (at + 1,)) in found(verified(events))


def test_the_return_of_a_request_lease_may_arrive_after_its_task_has_ended(verified):
    events = a_run().events
    released = events.pop(line_of(events, "request_lease_released") - 2)
    at = line_of(events, "task_lease_released")
    events.insert(at - 1, changed(released, captured_at=events[at - 2].captured_at))

    report = verified(events)

    assert report.ok, report.violations


def test_a1_a_request_lease_that_is_never_returned_is_caught(verified):
    events = a_run().events
    del events[line_of(events, "request_lease_released") - 2]

    lines = [
        line
        for rule, lines in found(verified(events))
        if rule == "request_lease_not_returned"
        for line in lines
    ]

    assert lines == [line_of(events, "model_request_completed")]


def test_a1_a_request_lease_returned_twice_is_caught(verified):
    events = a_run().events
    at = line_of(events, "request_lease_released")
    events.insert(at - 1, events[at - 2])

    assert ("request_lease_returned_once", (at + 1,)) in found(verified(events))


def test_a1_a_second_request_under_one_lease_is_caught(verified):
    events = a_run().events
    at = line_of(events, "model_request_started")
    events.insert(at - 1, events[at - 2])

    report = verified(events)

    assert ("one_attempt_per_request_lease", (at, at + 1)) in found(report)


def test_a1_a_request_lease_used_for_nothing_is_caught(verified):
    events = a_run().events
    del events[line_of(events, "model_request_started") - 2]
    del events[line_of(events, "model_request_completed") - 2]

    at = line_of(events, "request_lease_released")
    assert ("one_attempt_per_request_lease", (at,)) in found(verified(events))


def test_a7_a_waiter_that_is_left_behind_is_caught(verified):
    events = a_run().events
    at = line_of(events, "request_wait_completed", -1)
    lost = events[at - 2].request_attempt_id
    events = [
        event
        for event in events
        if event.event_kind == "request_wait_started"
        or (event.request_attempt_id or event.request_lease_id) != lost
    ]

    report = verified(events)

    assert found(report) == {("waiter_left", (line_of(events, "request_wait_started", -1),))}


def test_t6_a_stale_lease_is_returned_as_such(verified):
    script = Script().start()
    script.run(script.correlation("words"), outcome="stale_discard")
    script.complete("cancelled", rows_written=0, rows_pending=4)
    events = script.events
    at = line_of(events, "task_lease_released")
    events[at - 2] = changed(events[at - 2], reason_or_outcome="success")

    assert found(verified(events)) == {("outcome", (at,))}


def test_a_lease_returned_with_another_outcome_than_its_task_had_is_caught(verified):
    events = a_run().events
    at = line_of(events, "task_lease_released")
    events[at - 2] = changed(events[at - 2], reason_or_outcome="cancelled")

    assert found(verified(events)) == {("outcome", (at,))}


def test_t14_a_retry_before_the_return_of_its_lease_is_caught(verified):
    script = Script().start()
    script.run(script.correlation("words"), outcome="retryable_failure")
    script.complete("cancelled", rows_written=0, rows_pending=4)
    events = script.events
    at = line_of(events, "retry_deferred")
    events[at - 2], events[at - 3] = events[at - 3], events[at - 2]

    report = verified(events)

    assert ("replacement_before_return", (at - 2, at - 1)) in found(report)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ({"rows_written": 3}, "3 are accounted for"),
        ({"rows_written": 3, "rows_dropped": 1}, "the checkpoints hold 4"),
        ({"rows_written": 3, "rows_pending": 1}, "the run has ended with 1 rows pending"),
        ({"rows_requested": 5, "rows_written": 5}, "the run began with 4"),
    ],
)
def test_r13_rows_that_are_not_conserved_are_caught(verified, rows, what):
    events = a_run().events[:-1]
    script = Script()
    script.events = events
    script._time = 1.0
    script.complete(**rows)

    report = verified(script.events)

    assert rules(report) == {"rows_conserved"}
    assert what in "\n".join(violation.message for violation in report.violations)


def test_r13_a_log_that_is_cut_off_tells_the_rows_that_its_checkpoints_hold(verified):
    script = Script().start()
    script.admit_row_groups(0)
    script.checkpoint(0, rows=1, dropped=1)

    report = verified(script.events)

    assert (report.counts.rows_written, report.counts.rows_dropped) == (1, 1)


def test_r13_a_checkpoint_that_loses_a_row_is_caught(verified):
    events = a_run().events
    at = line_of(events, "row_group_checkpointed")
    events[at - 2] = changed(events[at - 2], diagnostics={"row_group": 0, "rows": 1, "dropped": 0})

    assert ("rows_conserved", (at,)) in found(verified(events))


def test_a_run_without_an_end_is_caught(verified):
    assert found(verified(a_run().events[:-1])) == {("run", (2,))}


# -- the report ---------------------------------------------------------------------------------


def test_all_violations_are_counted_but_not_all_are_listed(verified):
    script = Script(a_plan(rows=0)).start()
    for _ in range(150):
        script.run(script.correlation("words"))
    events = [event for event in script.complete().events if event.event_kind != "selected"]

    report = verified(events, script.plan)

    assert report.violations_total == 150
    assert len(report.violations) == LISTED_VIOLATIONS
    assert render(report)[-1] == "  ... and 50 more"


def test_a_refused_return_is_counted_and_is_no_violation(verified):
    script = a_run()
    script.events.insert(
        -1,
        changed(
            script.events[-2], event_kind="release_diagnostic", reason_or_outcome="duplicate", task_lease_id=1
        ),
    )

    report = verified(script.events)

    assert report.ok
    assert report.counts.refused_returns == 1


def test_the_report_names_lines_for_people_and_is_plain_data_for_programs(verified):
    events = a_run().events
    del events[line_of(events, "task_lease_released") - 2]
    report = verified(events)

    assert render(report)[0].endswith("NOT verified")
    assert any("lease_not_returned: line 7: task lease 1" in line for line in render(report))
    assert msgspec.json.decode(msgspec.json.encode(report.to_builtins()))["ok"] is False


def test_lines_may_come_from_anywhere(tmp_path):
    verifier = Verifier()
    for line in read_log(write_log(tmp_path / "log.jsonl", a_run().events)):
        verifier.take(line)

    assert verifier.finish("a simulated run").ok
