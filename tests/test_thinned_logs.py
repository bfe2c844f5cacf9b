"""Rule O6: telemetry that cannot keep up leaves out events of low value, counts them, and says where."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import ActorSystem
from actors.evidence.reader import read_events, read_log
from actors.evidence.report import render
from actors.evidence.verify import Verifier, verify_log
from actors.inspection.reading import LogStory
from actors.inspection.verdict import findings
from actors.report.figures import figures
from actors.telemetry.gate import EventGate
from actors.telemetry.log_codec import LEFT_OUT
from actors.tracing.writing import write_trace
from messages import ChatColumn, Job, Latency, ModelConfig, PythonColumn, SequenceColumn, SimulatedProvider
from messages._base import TELEMETRY
from messages.job import FailurePolicy
from messages.telemetry import (
    LOW_VALUE_KINDS,
    Event,
    GetCapacityPlan,
    LogEntry,
    RecordEvents,
    RecordLeftOut,
    RecordLog,
)

TASKS = 6 + 60 + 50
MOST = 300
"""Events that telemetry takes before it counts as overloaded, in these tests."""


async def odd_ones_fail(n):
    if n % 6 == 5:
        raise ValueError
    return n


def a_job(rows=60):
    return Job(
        name="too much",
        rows=rows,
        row_group_size=10,
        providers={"sim": SimulatedProvider(latency_ms=Latency(1, 1))},
        models={"m": ModelConfig(provider="sim", model="m", max_parallel_requests=2)},
        columns={
            "n": SequenceColumn(),
            "checked": PythonColumn(function=odd_ones_fail),
            "told": ChatColumn(model="m", prompt="about {{ n }}"),
        },
        failure=FailurePolicy(early_shutdown_rate=None),
        health_check=False,
    )


def run_overloaded(log):
    """Run a job before a telemetry that never seems to get on; return the result and telemetry's state."""

    def never_on(deliver, _taken, **how):
        return EventGate(deliver, lambda: 0, most=MOST, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actors.system.parts.EventGate", never_on)
        system = ActorSystem.start()
    with system:
        result = system.run(a_job(), log=log)
        return result, system.snapshot(TELEMETRY).state


@pytest.fixture(scope="module")
def overloaded(tmp_path_factory):
    log = tmp_path_factory.mktemp("thin") / "actors.jsonl"
    return log, *run_overloaded(log)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The lines of the log of the same job, none of its events left out."""
    log = tmp_path_factory.mktemp("whole") / "actors.jsonl"
    with ActorSystem.start() as system:
        system.run(a_job(), log=log)
    return list(read_log(log))


def kinds_of(log):
    return Counter(placed.event.event_kind for placed in read_events(log))


def test_o6_lease_events_are_never_left_out(overloaded):
    log, result, _ = overloaded
    kinds = kinds_of(log)
    assert kinds["task_lease_acquired"] == kinds["task_lease_released"] == kinds["worker_spawned"] == TASKS
    assert kinds["request_lease_acquired"] == kinds["request_lease_released"] == result.models["m"].attempts
    assert kinds["selected"] < kinds["task_lease_acquired"]


def test_o6_what_is_left_out_is_counted_and_told_where_it_is_missing(overloaded):
    log, _, state = overloaded
    told = [line.record for line in read_log(log) if isinstance(line.record, LogEntry)]
    left_out = Counter()
    for entry in told:
        if entry.event == LEFT_OUT:
            left_out.update(entry.fields["events"])
    assert left_out.total() == state.dropped_events > 0
    assert left_out.keys() <= LOW_VALUE_KINDS
    assert kinds_of(log)["selected"] + left_out["selected"] >= TASKS
    assert [entry.event for entry in told if entry.level == "warning"] == ["telemetry_overloaded"]


def test_o6_verify_proves_the_leases_of_a_thinned_log_and_says_that_it_is_thin(overloaded):
    log, _, state = overloaded
    report = verify_log(log)
    assert report.violations == ()
    assert report.counts.events_left_out == state.dropped_events
    assert report.counts.task_leases == TASKS
    assert any(f"thinned: {state.dropped_events} events" in line for line in render(report))


def test_o6_every_reader_reads_a_thinned_log(overloaded, tmp_path):
    log, result, _ = overloaded
    story = LogStory(log)
    story.read_on()
    run = story.story.explain()
    assert run.unreadable_lines == 0
    assert run.run.rows_written == result.rows_written
    assert sum(run.charges.values()) == run.task_microseconds
    write_trace(log, tmp_path / "trace.json")
    assert findings(run)
    assert figures(run)
    assert json.loads((tmp_path / "trace.json").read_bytes())["traceEvents"]


def is_low(line):
    return getattr(line.record, "event_kind", None) in LOW_VALUE_KINDS


def verified(lines):
    verifier = Verifier()
    for line in lines:
        verifier.take(line)
    return verifier.finish("log")


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_o6_whichever_events_of_low_value_are_missing_leases_can_be_proved(whole, data):
    chance = data.draw(st.randoms(use_true_random=False))
    start = data.draw(st.integers(2, len(whole) // 2))
    said = LogEntry(0.0, TELEMETRY, "debug", LEFT_OUT, {"events": {"selected": 1}})
    rest = [line for line in whole[start:] if not is_low(line) or chance.random() < 0.5]
    lines = [*whole[:start], whole[start]._replace(record=said), *rest]
    found = [each.rule for each in verified(lines).violations]
    assert set(found) <= {"sequence"}, "the lines that were taken out had numbers"


def test_o6_what_is_missing_without_a_word_is_no_thinned_log(whole):
    lines = [line for line in whole if getattr(line.record, "event_kind", None) != "selected"]
    assert "lifecycle" in {each.rule for each in verified(lines).violations}


def test_o6_the_gate_lets_everything_in_again_once_telemetry_has_caught_up():
    taken, delivered = [0], []
    gate = EventGate(lambda messages: not delivered.extend(messages), lambda: taken[0], most=4)
    noise, lease = Event("queue_empty", 0.0), Event("task_lease_released", 0.0)
    gate([RecordEvents("scheduler", [noise, lease])] * 2)
    gate([RecordEvents("scheduler", [noise, lease])])
    gate([RecordEvents("scheduler", [noise])])
    taken[0] = 5
    gate([RecordEvents("scheduler", [noise, lease])])
    whole, thin, out = RecordEvents("scheduler", [noise, lease]), RecordEvents("scheduler", [lease]), noise
    left_out = RecordLeftOut({out.event_kind: 1})
    assert delivered == [whole, whole, left_out, thin, left_out, whole]


def test_facts_alone_are_in_no_hurry():
    hurried, unhurried = [], []
    gate = EventGate(
        lambda messages: not hurried.append(messages),
        lambda: 0,
        deliver_facts=lambda messages: not unhurried.append(messages),
    )
    facts = [RecordEvents("scheduler", [Event("queue_empty", 0.0)]), RecordLog([])]
    question = GetCapacityPlan("run-1", reply_to="asker")
    gate(facts)
    gate([*facts, question])
    gate([question])
    assert (unhurried, hurried) == ([facts], [[*facts, question], [question]])
