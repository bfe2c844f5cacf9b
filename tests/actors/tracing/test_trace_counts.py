"""A trace holds what its log holds: slices, arrows and counter samples, counted anew from the events."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections import Counter, defaultdict

import pytest

from actors import ActorSystem
from actors.evidence.reader import read_events
from actors.harness import Harness
from actors.tracing import write_trace
from messages import (
    ChatColumn,
    FailurePolicy,
    Job,
    Latency,
    Limits,
    ModelConfig,
    PythonColumn,
    ScriptStep,
    SequenceColumn,
    SimulatedProvider,
    SubmitJob,
)
from messages.request_admission import RequestLeaseGranted
from messages.scheduler import JobFinished
from messages.supervision import CrashActor

WAIT_ENDS = ("request_wait_completed", "request_wait_timeout", "request_wait_cancelled")
tried = Counter()


async def fails_at_first(n: int) -> int:
    tried[n] += 1
    await asyncio.sleep(0)
    if n % 3 == 0 and tried[n] == 1:
        raise TimeoutError
    if n % 11 == 10:
        raise ValueError
    return n


def a_job(rows=40, **more):
    tried.clear()
    return Job(
        name="traced",
        rows=rows,
        row_group_size=10,
        providers={
            "sim": SimulatedProvider(
                latency_ms=Latency(4, 2),
                script=(ScriptStep(refuse_rate=0.2, retry_after=0.02), ScriptStep(at=0.1, refuse_rate=0.0)),
            )
        },
        models={"m": ModelConfig(provider="sim", model="one", max_parallel_requests=3)},
        columns={
            "n": SequenceColumn(),
            "checked": PythonColumn(function=fails_at_first),
            "told": ChatColumn(model="m", prompt="about {{ n }}"),
        },
        limits=Limits(local=3, row_group_concurrency=2),
        failure=FailurePolicy(max_retries=2, backoff_seconds=0.005),
        **more,
    )


def kinds(events, kind):
    return [each for each in events if each.event_kind == kind]


def held_by_log(path):
    """Count slices, arrows and counter samples that a log is good for, with no part of what is tested."""
    events = [placed.event for placed in read_events(path)]
    first = min(each.captured_at for each in events)
    stale = Counter(
        each.correlation.task_execution_id
        for each in kinds(events, "task_lease_released")
        if each.reason_or_outcome == "stale_discard"
    )
    leased = Counter(
        each.correlation.task_execution_id
        for each in kinds(events, "task_lease_acquired")
        if each.reason_or_outcome != "recovered"
    )
    executions = {execution for execution, count in leased.items() if count > stale[execution]}
    of_task = [
        each for each in events if each.correlation and each.correlation.task_execution_id in executions
    ]
    asked = asked_under_a_lease(events, executions)
    of_task = [each for each in of_task if each.request_attempt_id in asked]
    waits = {each.request_attempt_id: each.captured_at for each in kinds(of_task, "request_wait_started")}
    granted = {
        each.request_attempt_id: each.captured_at
        for each in kinds(of_task, "request_lease_acquired")
        if each.reason_or_outcome != "recovered"
    }
    waited = {each for each, at in waits.items() if round((granted.get(each, at + 1) - at) * 1e6) > 0}
    expected = {
        "tasks": len(executions),
        "calls": len(granted),
        "waits": len(waited),
        "provider": len(kinds(of_task, "model_request_started")),
        "row groups": len(kinds(events, "row_group_admitted")),
        "arrows": len(waited | granted.keys()) + next_tries(events, executions),
    }
    return expected, counter_samples(events, first)


def asked_under_a_lease(events, executions):
    """Return the attempts that began while their task held its lease."""
    held, asked = set(), set()
    for event in events:
        execution = event.correlation.task_execution_id if event.correlation else 0
        if event.event_kind == "task_lease_acquired":
            held.add(execution)
        elif event.event_kind == "task_lease_released":
            held.discard(execution)
        elif event.event_kind == "request_wait_started" and execution in held & executions:
            asked.add(event.request_attempt_id)
    return asked


def next_tries(events, executions):
    """Count the tries that follow a failed try of the same task."""
    failed, found, seen = set(), 0, set()
    for event in events:
        about = event.correlation
        if about is None or about.task_execution_id not in executions:
            continue
        task = (about.row_group, about.task_column, about.row_index)
        if event.event_kind == "task_lease_acquired" and about.task_execution_id not in seen:
            seen.add(about.task_execution_id)
            found += task in failed
        elif event.event_kind == "task_lease_released" and event.reason_or_outcome != "success":
            failed.add(task)
    return found


def counter_samples(events, first):
    """Return, for each model's counter, how many times there are at which it changed."""
    moments, asked = defaultdict(list), {}
    for event in events:
        at, kind = round((event.captured_at - first) * 1e6), event.event_kind
        if kind in ("request_resource_registered", "request_limit_increased", "request_limit_decreased"):
            moments["limit", event.resource].append(at)
        elif kind == "request_lease_released" or (
            kind == "request_lease_acquired" and event.reason_or_outcome != "recovered"
        ):
            moments["in flight", event.resource].append(at)
        elif kind == "request_wait_started":
            asked[event.request_attempt_id] = event.resource
            moments["waiting", event.resource].append(at)
        elif kind in WAIT_ENDS and event.request_attempt_id in asked:
            moments["waiting", asked.pop(event.request_attempt_id)].append(at)
    samples = Counter()
    for (name, _), times in moments.items():
        samples[name] += sum(a != b for a, b in itertools.zip_longest(times, [None, *times[:-1]]))
    return dict(samples)


def held_by_trace(path):
    events = json.loads(path.read_bytes())["traceEvents"]
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    slices = [event for event in events if event["ph"] == "X"]
    counted = {
        "tasks": sum("task_execution_id" in e.get("args", {}) for e in slices),
        "calls": sum("request_attempt_id" in e.get("args", {}) for e in slices),
        "waits": sum(e["name"].startswith("waits") for e in slices),
        "provider": sum(e["name"] == "provider" for e in slices),
        "row groups": sum(e["name"].startswith("row group") for e in slices),
        "arrows": sum(e["ph"] == "s" for e in events),
    }
    samples = Counter(e["name"] for e in events if e["ph"] == "C" and processes[e["pid"]].startswith("model"))
    return counted, dict(samples), events


def assert_slices_nest(events):
    """Slices on one track follow one another or lie within one another: others would be refused."""
    tracks = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append((event["ts"], -event["dur"], event["name"]))
    for track, slices in tracks.items():
        open_until = []
        for start, minus, name in sorted(slices, key=lambda each: each[:2]):
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or start - minus <= open_until[-1], (track, name, start)
            open_until.append(start - minus)


def assert_arrows_begin_and_end_in_slices(events):
    slices = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            slices[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    ends = defaultdict(set)
    for event in events:
        if event["ph"] in "sf":
            ends[event["id"]].add(event["ph"])
            on_track = slices[event["pid"], event["tid"]]
            assert any(start <= event["ts"] < end for start, end in on_track), event
    assert all(each == {"s", "f"} for each in ends.values())


def assert_equal_to_log(log, trace):
    expected, expected_samples = held_by_log(log)
    counted, samples, events = held_by_trace(trace)
    assert counted == expected
    assert samples == expected_samples
    assert_slices_nest(events)
    assert_arrows_begin_and_end_in_slices(events)


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "actors.jsonl", tmp_path / "trace.json"


def test_a_run_with_refusals_retries_and_drops_is_traced_as_its_log_tells(paths):
    log, trace = paths
    with ActorSystem.start() as system:
        result = system.run(a_job(), log=log)
    assert result.rows_dropped
    assert result.models["m"].outcomes["rate_limited"]
    counts = write_trace(log, trace)
    assert_equal_to_log(log, trace)
    expected = held_by_log(log)[0]
    assert counts.arrows == expected["arrows"]
    assert expected["arrows"] > expected["calls"]  # tasks that were tried again, too


def test_a_cancelled_run_is_traced_to_its_end(paths):
    log, trace = paths
    with ActorSystem.start() as system:
        handle = system.submit(a_job(rows=400), log=log)
        handle.cancel("enough")
        handle.result(timeout=20)
    write_trace(log, trace)
    assert_equal_to_log(log, trace)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_log_that_was_cut_off_is_traced_as_far_as_it_goes(paths, share):
    log, trace = paths
    with ActorSystem.start() as system:
        system.run(a_job(), log=log)
    whole = log.read_bytes()
    log.write_bytes(whole[: int(len(whole) * share)])
    write_trace(log, trace)
    assert_slices_nest(held_by_trace(trace)[2])
    assert_arrows_begin_and_end_in_slices(held_by_trace(trace)[2])
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(line for line in lines if line.endswith(b"\n")))
    assert_equal_to_log(log, trace)


@pytest.mark.parametrize("lost", ["task_admission", "request_admission", "worker", "telemetry"])
def test_leases_that_outlive_their_actor_are_one_slice_each(paths, lost):
    log, trace = paths
    with Harness.start(log=log) as harness:
        harness.send("scheduler", SubmitJob(a_job(rows=60)))
        for _ in range(8):
            harness.expect(None, RequestLeaseGranted, timeout=10)
        harness.send(lost, CrashActor())
        harness.expect(None, JobFinished, timeout=30)
    write_trace(log, trace)
    assert_equal_to_log(log, trace)


def test_a_compressed_trace_holds_the_same(paths):
    log, trace = paths
    with ActorSystem.start() as system:
        system.run(a_job(rows=10), log=log)
    write_trace(log, trace)
    compressed = trace.with_suffix(".json.gz")
    write_trace(log, compressed)
    assert gzip.decompress(compressed.read_bytes()) == trace.read_bytes()


def test_models_and_columns_go_by_the_names_of_the_job_file(paths):
    log, trace = paths
    with ActorSystem.start() as system:
        system.run(a_job(rows=10), log=log)
    write_trace(log, trace)
    events = held_by_trace(trace)[2]
    processes = {e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert processes == {"actors of traced", "model m (sim/one/chat)", "tasks, on the worker", "row groups"}
    assert {"n", "checked", "told"} <= {e["name"] for e in events if e["ph"] == "X"}
