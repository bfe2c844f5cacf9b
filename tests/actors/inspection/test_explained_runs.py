"""Stories of real runs: the charges add up to the task-seconds, however the runs went."""

from __future__ import annotations

import asyncio
import itertools

import msgspec
import pytest

from actors import ActorSystem
from actors.evidence.reader import read_events
from actors.harness import Harness
from actors.inspection.charges import micros
from actors.inspection.reading import LogStory
from actors.inspection.verdict import findings
from actors.tracing import write_trace
from bench.noop_jobs import one_column
from messages import (
    ChatColumn,
    FailurePolicy,
    Job,
    Latency,
    Limits,
    ModelConfig,
    Processor,
    PythonColumn,
    SequenceColumn,
    SimulatedProvider,
    SubmitJob,
)
from messages.capacity import CapacityPlan
from messages.request_admission import RequestLeaseGranted
from messages.scheduler import JobFinished
from messages.supervision import CrashActor


async def odd_ones_fail(n: int) -> int:
    await asyncio.sleep(0)
    if n % 7 == 3:
        raise ValueError
    return n


def reversed_batch(told: list) -> list:
    return told[::-1]


def a_busy_job(**more) -> Job:
    return Job(
        name="busy",
        rows=60,
        row_group_size=10,
        providers={"sim": SimulatedProvider(latency_ms=Latency(4, 3))},
        models={"m": ModelConfig(provider="sim", model="one", max_parallel_requests=2)},
        columns={
            "n": SequenceColumn(),
            "checked": PythonColumn(function=odd_ones_fail),
            "told": ChatColumn(model="m", prompt="about {{ n }}"),
            "last": PythonColumn(function=reversed_batch, scope="batch"),
        },
        limits=Limits(local=3, row_group_concurrency=2, group_limit_factor=2, policy="strict_fair"),
        failure=FailurePolicy(backoff_seconds=0.02),
        **more,
    )


def run(job: Job, path):
    with ActorSystem.start() as system:
        result = system.run(job, log=path)
    story = LogStory(path)
    story.read_on()
    return result, story.story.explain()


def task_microseconds(path) -> int:
    """Add up lives and checkpoints anew, from the events alone and with no part of what is tested."""
    admitted, ended, last_end, alive, leased = {}, {}, {}, {}, set()
    total = 0
    for event in (placed.event for placed in read_events(path)):
        at, about, said = micros(event.captured_at), event.correlation, event.diagnostics or {}
        task = None if about is None else (about.task_column, about.row_group, about.row_index)
        kind = event.event_kind
        if kind == "row_group_admitted":
            admitted[said["row_group"]] = last_end[said["row_group"]] = at
        elif kind == "dependency_ready":
            alive[about.task_execution_id] = about
        elif kind == "task_lease_acquired":
            leased.add(about.task_execution_id)
        elif kind == "task_lease_released" and event.reason_or_outcome != "stale_discard":
            total += at - ended.get(task, admitted[about.row_group])
            last_end[about.row_group] = max(last_end[about.row_group], at)
            del alive[about.task_execution_id]
            if event.reason_or_outcome != "success":
                ended[task] = at
        elif kind == "non_retryable_dropped":
            row = (about.row_group, about.row_index)
            of_row = [each for each in alive.values() if (each.row_group, each.row_index) == row]
            for each in (queued for queued in of_row if queued.task_execution_id not in leased):
                total += at - admitted[each.row_group]
                del alive[each.task_execution_id]
                last_end[about.row_group] = max(last_end[about.row_group], at)
        elif kind == "row_group_checkpointed":
            assert not [each for each in alive.values() if each.row_group == said["row_group"]]
            total += at - last_end[said["row_group"]]
    return total


@pytest.mark.parametrize("job", [one_column(300), a_busy_job()], ids=["noop", "busy"])
def test_o7_the_charges_of_a_run_are_its_task_seconds_to_the_microsecond(job, tmp_path):
    path = tmp_path / "log.jsonl"

    result, told = run(job, path)

    assert told.task_microseconds == sum(told.charges.values())
    by_column = itertools.chain.from_iterable(column.charges.values() for column in told.columns.values())
    assert sum(by_column) + told.charges["checkpoint"] == told.task_microseconds
    assert told.task_microseconds == task_microseconds(path)
    assert (told.run.rows_written, told.run.rows_dropped) == (result.rows_written, result.rows_dropped)
    assert told.run.status == result.status
    assert told.proof.task_leases == told.proof.task_leases_returned
    assert told.proof.request_leases == told.proof.request_leases_returned
    assert told.unreadable_lines == 0


def test_what_a_run_explains_is_what_its_result_says(tmp_path):
    result, told = run(a_busy_job(), tmp_path / "log.jsonl")

    usage = result.models["m"]
    assert told.models["sim/one/chat"].outcomes == usage.outcomes
    assert told.models["sim/one/chat"].caps == {"m": 2}
    assert sum(each.count for each in told.drops if each.column == "checked") == result.rows_dropped
    assert told.columns["checked"].dropped_rows == result.rows_dropped
    assert told.resources["local"].most_at_once <= 3
    assert told.row_groups.most_in_flight == 2
    assert told.completion[-1][3] == result.rows_written


def test_a_log_that_is_read_while_it_grows_tells_the_same_story_in_the_end(tmp_path):
    whole = tmp_path / "whole.jsonl"
    _, told = run(a_busy_job(), whole)
    lines = whole.read_bytes()
    growing = tmp_path / "growing.jsonl"
    story = None
    for end in (400, 5_000, len(lines) // 2, len(lines) - 1, len(lines)):
        growing.write_bytes(lines[:end])  # most of these end within a line
        story = story or LogStory(growing)
        story.read_on()

    assert story.story.explain() == told


def test_a_damaged_line_is_counted_and_passed_over(tmp_path):
    path = tmp_path / "log.jsonl"
    run(one_column(20), path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[20:20] = [b"what is this\n", b'{"sequence":1}\n', b"[1]\n"]
    path.write_bytes(b"".join(lines))

    story = LogStory(path)
    story.read_on()

    assert story.story.explain().unreadable_lines == 3
    assert story.story.explain().run.status == "succeeded"


def keep_odd_ones(rows):
    return [row["n"] % 2 == 1 for row in rows]


def test_r8_a_run_tells_which_processor_did_not_keep_its_rows(tmp_path):
    path = tmp_path / "log.jsonl"
    job = Job(
        name="sorted",
        rows=10,
        row_group_size=5,
        columns={"n": SequenceColumn()},
        processors={"tidy": Processor(stage="post_batch", function=keep_odd_ones)},
    )
    run(job, path)

    story = LogStory(path)
    story.read_on()

    assert [(each.column, each.kind, each.count) for each in story.story.explain().drops] == [
        ("tidy", "processor", 5)
    ]


BROKEN = {
    "captured_at": 1e308,
    "resource": "",
    "task_execution_id": {},
    "diagnostics": {"reasons": 7, "short_of": 0.5, "input_tokens": [1], "cooldown": "x", "row_group": {}},
}


@pytest.mark.parametrize("field", BROKEN)
def test_o7_whatever_a_damaged_line_holds_the_rest_is_told_and_the_charges_add_up(field, tmp_path):
    path = tmp_path / "log.jsonl"
    run(a_busy_job(), path)
    lines = path.read_bytes().splitlines()
    for place in range(3, len(lines) - 1, 5):
        told = msgspec.json.decode(lines[place])
        if field in told:
            lines[place] = msgspec.json.encode(told | {field: BROKEN[field]})
    lines += lines[3:-1]  # and a part of it twice
    path.write_bytes(b"\n".join(lines) + b"\n")

    story = LogStory(path)
    story.read_on()
    told = story.story.explain()
    write_trace(path, tmp_path / "trace.json")

    assert findings(told) is not None
    assert told.task_microseconds == sum(told.charges.values())
    by_column = sum(sum(column.charges.values()) for column in told.columns.values())
    assert told.task_microseconds == by_column + told.charges["checkpoint"]


@pytest.mark.parametrize("actor", ["task_admission", "request_admission", "worker", "telemetry"])
def test_o7_the_charges_add_up_when_an_actor_was_lost(actor, tmp_path):
    path = tmp_path / "log.jsonl"
    with Harness.start(log=path) as harness:
        harness.send("scheduler", SubmitJob(a_busy_job()))
        for _ in range(12):
            harness.expect(None, RequestLeaseGranted, timeout=10)
        harness.send(actor, CrashActor())
        result = harness.expect(None, JobFinished, timeout=30).result
    story = LogStory(path)
    story.read_on()
    told = story.story.explain()

    assert told.task_microseconds == sum(told.charges.values()) == task_microseconds(path)
    assert told.run.rows_written == result.rows_written
    assert told.proof.task_leases == told.proof.task_leases_returned
    assert told.proof.request_leases == told.proof.request_leases_returned
    assert "actor_restarted" in {warning.event for warning in told.warnings}


def without_its_end(path):
    """Return the story of a log whose last event was not written: what it has counted on its own."""
    lines = path.read_bytes().splitlines(keepends=True)
    ends = [number for number, line in enumerate(lines) if b'"scheduler_job_completed"' in line]
    path.write_bytes(b"".join(lines[: ends[0]]))
    story = LogStory(path)
    story.read_on()
    return story.story.explain()


def test_the_log_tells_the_capacity_plan_and_its_maxima_agree_with_what_the_story_has_counted(tmp_path):
    path = tmp_path / "log.jsonl"
    job = a_busy_job()
    del job.columns["checked"]  # whose drops leave the queue untold
    _, told = run(job, path)
    cut_off = without_its_end(path)

    assert cut_off.run.status == "unfinished"
    assert told.capacity.configured == cut_off.capacity.configured
    assert told.capacity.configured.submission_capacity.source == "default"
    assert told.capacity.configured.task_resource_limits["local"].source == "job"
    assert told.capacity.observed_maxima == cut_off.capacity.observed_maxima
    assert told.capacity.observed_maxima.provider_model_aggregate_in_flight == {"sim/one": 2}
    assert told.capacity.runtime_snapshot is not None


@pytest.mark.parametrize("actor", ["task_admission", "request_admission", "worker", "telemetry", "scheduler"])
def test_the_capacity_plan_is_completed_and_its_maxima_agree_when_an_actor_was_lost(actor, tmp_path):
    path, out = tmp_path / "log.jsonl", tmp_path / "out"
    job = a_busy_job()
    del job.columns["checked"]  # whose drops leave the queue untold
    with Harness.start(log=path) as harness:
        harness.send("scheduler", SubmitJob(job, out=str(out)))
        for _ in range(12):
            harness.expect(None, RequestLeaseGranted, timeout=10)
        harness.send(actor, CrashActor())
        harness.expect(None, JobFinished, timeout=30)
    story = LogStory(path)
    story.read_on()
    told = story.story.explain().capacity

    assert told.observed_maxima == without_its_end(path).capacity.observed_maxima
    assert told.observed_maxima.request_in_flight_by_resource == {"sim/one/chat": 2}
    written = (out / "capacity_plan.json").read_bytes()
    assert msgspec.json.decode(written, type=CapacityPlan) == told
