"""User code that holds the event loop, or a thread, is named while it does."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest

from actors import ActorSystem
from actors.evidence.reader import read_log
from actors.evidence.verify import verify_log
from messages import ExpressionColumn, Job, PythonColumn
from messages._base import TELEMETRY
from messages.telemetry import LogEntry, RecordLog
from messages.worker import JobPrepared
from tests.actors.worker.lone_worker import LoneWorker

PATIENCE = 0.06


class Gate:
    """Where a function blocks until the test lets it go on."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def block(self):
        self.entered.release()
        assert self.go_on.acquire(timeout=10)

    def reached(self):
        assert self.entered.acquire(timeout=5)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def watched(gate):
    """A lone worker that is watched closely."""
    made = LoneWorker(loop_blocked_after_seconds=PATIENCE)
    yield made
    for _ in range(20):
        gate.go_on.release()
    made.system.stop()


def warning(worker, event, timeout=5.0):
    """Return the fields of the next warning of this name."""
    while True:
        for message in worker.boxes[TELEMETRY].next(RecordLog, timeout):
            for entry in message.entries:
                if entry.event == event:
                    assert (entry.actor, entry.level) == ("worker", "warning")
                    return entry.fields


def assert_no_warning(worker, event):
    with pytest.raises(queue.Empty):
        warning(worker, event, timeout=PATIENCE * 4)


def test_a_coroutine_that_blocks_the_loop_is_named_while_it_still_does(watched, gate):
    async def stubborn():
        gate.block()
        return "done"

    async def fine():
        return "fine"

    watched.functions(fine=fine, stubborn=stubborn)
    leases = watched.start("fine", "stubborn", "fine")
    gate.reached()
    told = warning(watched, "event_loop_blocked")  # nobody has let it go on yet
    assert told["column"] == "stubborn"
    assert PATIENCE <= told["seconds"] < 5
    assert any(line.endswith(" block") and "test_blocked_loop.py:" in line for line in told["stack"])
    assert any(line.endswith(" stubborn") for line in told["stack"])
    assert told["at"] == told["stack"][-1]
    gate.go_on.release()
    assert [outcome.value for outcome in watched.outcomes(*leases)] == ["fine", "done", "fine"]


def test_an_episode_is_told_once_and_the_next_one_again(watched, gate):
    async def stubborn():
        gate.block()
        await asyncio.sleep(PATIENCE)  # so that the loop turns: another episode
        gate.block()

    watched.functions(stubborn=stubborn)
    leases = watched.start("stubborn")
    gate.reached()
    warning(watched, "event_loop_blocked")
    assert_no_warning(watched, "event_loop_blocked")
    gate.go_on.release()
    gate.reached()
    assert warning(watched, "event_loop_blocked")["column"] == "stubborn"
    gate.go_on.release()
    watched.outcomes(*leases)


def test_a_template_that_takes_long_is_named_too(watched, gate):
    class Slow:
        def __str__(self):
            gate.block()
            return "slow"

    columns = {
        "text": ExpressionColumn(template="{{ word }}!"),
        "word": PythonColumn(function=lambda: "x"),
    }
    assert isinstance(watched.prepare(columns), JobPrepared)
    leases = watched.start("text", inputs={"word": Slow()})
    gate.reached()
    assert warning(watched, "event_loop_blocked")["column"] == "text"
    gate.go_on.release()
    assert watched.outcomes(*leases)[0].value == "slow!"


def test_what_a_function_has_left_on_the_loop_is_told_with_its_place_and_no_column(watched, gate):
    async def leaves_behind():
        asyncio.get_running_loop().call_later(0.001, gate.block)

    watched.functions(leaves_behind=leaves_behind)
    watched.outcomes(*watched.start("leaves_behind"))
    gate.reached()
    told = warning(watched, "event_loop_blocked")
    assert told["column"] == ""
    assert any(line.endswith(" block") for line in told["stack"])


def test_waiting_is_not_blocking(watched):
    release = []

    async def patient():
        event = asyncio.Event()
        release.append((asyncio.get_running_loop(), event))
        await event.wait()

    watched.functions(patient=patient)
    leases = watched.start("patient")
    assert_no_warning(watched, "event_loop_blocked")
    loop, event = release[0]
    loop.call_soon_threadsafe(event.set)
    watched.outcomes(*leases)


def test_a_function_that_blocks_its_thread_does_not_block_the_loop(watched, gate):
    watched.functions(blocking=gate.block)
    leases = watched.start("blocking")
    gate.reached()
    assert_no_warning(watched, "event_loop_blocked")
    gate.go_on.release()
    watched.outcomes(*leases)


def test_r5_a_thread_given_up_at_its_timeout_is_told_with_its_column(watched, gate):
    column = PythonColumn(function=gate.block, timeout_seconds=0.02)
    assert isinstance(watched.prepare({"stuck": column}, threads=1), JobPrepared)
    leases = watched.start("stuck")
    outcome = watched.outcomes(*leases)[0]
    gate.reached()
    assert (outcome.kind, outcome.error.kind) == ("non_retryable_failure", "task_timeout")
    told = warning(watched, "thread_abandoned")
    assert told == {"column": "stuck", "timeout_seconds": 0.02, "threads_abandoned": 1}


def test_a_task_that_times_out_before_it_has_a_thread_leaves_none_behind(watched, gate):
    columns = {
        "first": PythonColumn(function=gate.block),
        "second": PythonColumn(function=lambda: "never", timeout_seconds=0.02),
    }
    assert isinstance(watched.prepare(columns, threads=1), JobPrepared)
    (first,) = watched.start("first")
    gate.reached()
    (second,) = watched.start("second")
    assert watched.outcomes(second)[0].error.kind == "task_timeout"
    assert_no_warning(watched, "thread_abandoned")
    gate.go_on.release()
    watched.outcomes(first)


def test_a_blocked_loop_stands_in_the_log_of_the_whole_system(tmp_path, gate):
    async def stubborn():
        gate.block()

    log = tmp_path / "actors.jsonl"
    job = Job(name="blocking", rows=1, columns={"stubborn": PythonColumn(function=stubborn)})
    with ActorSystem.start(log=log, loop_blocked_after_seconds=PATIENCE) as system:
        written = threading.Event()

        def watch(_sender, _to, message):
            if isinstance(message, RecordLog) and "event_loop_blocked" in [
                entry.event for entry in message.entries
            ]:
                written.set()

        system.router.add_tap(watch)
        handle = system.submit(job)
        gate.reached()
        assert written.wait(5)
        gate.go_on.release()
        assert handle.result(timeout=5).status == "succeeded"
    blocked = [
        line.record.fields["column"]
        for line in read_log(log)
        if isinstance(line.record, LogEntry) and line.record.event == "event_loop_blocked"
    ]
    assert blocked == ["stubborn"]
    assert verify_log(log).ok
