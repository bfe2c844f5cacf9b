"""User code is never trusted: every way in which it can end has an outcome, and returns the token."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading

import msgspec
import pytest

from messages import PythonColumn
from messages._base import SCHEDULER
from messages.job import ExpressionColumn, SequenceColumn
from messages.scheduler import ModelUsage
from messages.worker import JobPrepared, JobReleased, JobUnpreparable
from tests.actors.worker.bad_exceptions import RAISED

WAITS = ["at once", "after waiting"]


def raising(make, mode):
    """Return a function that raises what `make` makes: on a thread, as a coroutine at once or later."""
    if mode == "thread":

        def function():
            raise make()
    else:

        async def function():
            if mode == "after waiting":
                await asyncio.sleep(0)
            raise make()

    return function


async def fine():
    await asyncio.sleep(0)
    return "fine"


async def fine_at_once():
    return "fine"


# -- what it raises --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["thread", *WAITS])
@pytest.mark.parametrize("name", RAISED)
def test_r5_t2_whatever_is_raised_ends_the_task_and_nothing_else(worker, name, mode):
    worker.functions(
        bad=raising(RAISED[name], mode), fine=fine, fine_at_once=fine_at_once, blocking=lambda: 1
    )
    columns = ["fine", "bad", "fine_at_once", "bad", "blocking", "fine"]
    leases = worker.start(*columns)
    outcomes = worker.outcomes(*leases)
    for column, outcome in zip(columns, outcomes, strict=True):
        if column != "bad":
            assert outcome.kind == "success"
            continue
        assert (outcome.kind, outcome.error.kind) == ("non_retryable_failure", "user_exception")
        assert 0 < len(outcome.error.message) <= 2_000
        assert len(outcome.error.causes) <= 10
        msgspec.json.encode(outcome)
    assert worker.outcome("fine").value == "fine"
    assert sorted(worker.returned()) == [*leases, leases[-1] + 1]
    assert worker.snapshot().tokens_held == 0


def test_r5_the_cause_chain_is_kept_nearest_first(worker):
    def bad():
        try:
            _raise_from(OSError("second"), KeyError("first"))
        except OSError as second:
            raise ValueError("last") from second

    worker.functions(bad=bad)
    error = worker.outcome("bad").error
    assert error.message == "ValueError: last"
    assert error.causes == ("OSError: second", "KeyError: 'first'")


@pytest.mark.parametrize("template", ["{{ 1 / 0 }}", "{{ nothing.at.all }}", "{{ 'x' * 10**12 }}"])
def test_r5_a_template_that_fails_ends_its_task(worker, template):
    known = worker.prepare({"text": ExpressionColumn(template=template), "fine": PythonColumn(function=fine)})
    if isinstance(known, JobUnpreparable):
        assert known.problems
        return
    outcome = worker.outcome("text")
    assert outcome.kind == "non_retryable_failure"
    assert worker.outcome("fine").kind == "success"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_task_of_the_users_own_that_ends_the_program_ends_nothing(worker, kind):
    """asyncio lets these two out of the loop: they must not take the actor's thread with them."""

    async def end():
        raise kind

    async def starts_and_waits():
        await asyncio.create_task(end())

    async def starts_and_leaves():
        asyncio.create_task(end()).add_done_callback(lambda task: task.exception())
        await asyncio.sleep(0)
        return "left"

    async def leaves_a_callback():
        asyncio.get_running_loop().call_soon(functools.partial(_raise, kind))
        return "left"

    worker.functions(waits=starts_and_waits, leaves=starts_and_leaves, callback=leaves_a_callback, fine=fine)
    waits, leaves, callback, good = worker.outcomes(*worker.start("waits", "leaves", "callback", "fine"))
    assert waits.error.kind == "user_exception"
    assert (leaves.value, callback.value, good.value) == ("left", "left", "fine")
    assert worker.outcome("fine").value == "fine"


def _raise(kind):
    raise kind


def _raise_from(error, cause):
    raise error from cause


# -- what it returns -------------------------------------------------------------------------------

WRONG_VALUES = {
    "a set": ({1}, "wrong_type"),
    "an object": (object(), "wrong_type"),
    "not a number": (float("nan"), "wrong_type"),
    "bytes": (b"x", "wrong_type"),
    "a great integer": (10**30, "wrong_type"),
    "a lone surrogate": ("\ud800", "wrong_type"),
}


@pytest.mark.parametrize("name", WRONG_VALUES)
@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "async"])
def test_r5_a_value_that_no_row_can_hold_ends_the_task(worker, name, is_async):
    value, kind = WRONG_VALUES[name]

    async def coroutine():
        return value

    worker.functions(bad=coroutine if is_async else lambda: value)
    outcome = worker.outcome("bad")
    assert (outcome.kind, outcome.error.kind) == ("non_retryable_failure", kind)
    assert "'bad'" in outcome.error.message


@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "async"])
@pytest.mark.parametrize("scope", ["batch", "from_scratch"])
@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ([1, 2], "wrong_shape"),
        (7, "wrong_type"),
        (None, "wrong_type"),
        ("abc", "wrong_type"),
        ([1, 2, 3], None),
    ],
)
def test_r5_a_row_group_needs_a_list_with_one_value_per_row(worker, is_async, scope, found, kind):
    async def batch_coroutine(number):
        return found

    async def coroutine():
        return found

    functions = {
        ("batch", True): batch_coroutine,
        ("batch", False): lambda number: found,
        ("from_scratch", True): coroutine,
        ("from_scratch", False): lambda: found,
    }
    column = PythonColumn(function=functions[scope, is_async], scope=scope)
    worker.prepare({"number": SequenceColumn(), "many": column})
    outcome = worker.outcome("many", rows=3, inputs={"number": [0, 1, 2]})
    assert (outcome.error.kind if outcome.error else None) == kind
    assert outcome.value == (found if kind is None else None)


def test_a_job_module_that_ends_the_program_is_a_problem_of_the_job(worker, tmp_path):
    (tmp_path / "ends_here.py").write_text("import sys\nsys.exit(3)\n")
    answer = worker.prepare({"x": PythonColumn(function="ends_here:function")}, base_dir=str(tmp_path))
    assert isinstance(answer, JobUnpreparable)
    assert [problem.path for problem in answer.problems] == ["columns.x.function"]


# -- how long it takes -----------------------------------------------------------------------------


class Blocker:
    """Blocks threads until it is told to let them go."""

    def __init__(self):
        self.began = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self):
        self.began.release()
        assert self.go_on.wait(20)
        return "late"


@pytest.fixture
def blocker(worker):
    made = Blocker()
    yield made
    made.go_on.set()


async def never():
    await asyncio.Event().wait()


class Stubborn:
    """A coroutine that does not let itself be cancelled, until it is told to end."""

    def __init__(self):
        self.began = threading.Event()
        self.ended = threading.Event()
        self.asked = 0
        self._loop = self._end = None

    async def __call__(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self.began.set()
        while not self._end.is_set():
            try:
                await self._end.wait()
            except asyncio.CancelledError:
                self.asked += 1
        self.ended.set()
        return "at last"

    def end(self):
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)
            assert self.ended.wait(5)


@pytest.fixture
def stubborn(worker):
    made = Stubborn()
    yield made
    made.end()


@pytest.fixture
def short_grace(monkeypatch):
    """Make the grace of a cancelled coroutine short."""
    monkeypatch.setattr("actors.worker.runner._CANCEL_GRACE_SECONDS", 0.05)


def timed(function, seconds=0.05):
    return PythonColumn(function=function, timeout_seconds=seconds)


def test_r5_a_coroutine_that_takes_too_long_ends(worker):
    worker.prepare({"slow": timed(never), "fine": PythonColumn(function=fine)})
    slow, good = worker.outcomes(*worker.start("slow", "fine"))
    assert (slow.kind, slow.error.kind) == ("non_retryable_failure", "task_timeout")
    assert slow.error.message == "did not end within 0.05 s (timeout_seconds)"
    assert good.value == "fine"


def test_r5_a_thread_that_takes_too_long_is_given_up(worker, blocker):
    worker.prepare({"slow": timed(blocker), "fine": PythonColumn(function=lambda: "fine")}, threads=1)
    slow = worker.outcome("slow")
    assert slow.error.kind == "task_timeout"
    assert worker.snapshot().threads_abandoned == 1
    assert worker.outcome("fine").value == "fine"


def test_t2_what_an_abandoned_thread_returns_is_thrown_away(worker, blocker):
    worker.prepare({"slow": timed(blocker), "fine": PythonColumn(function=lambda: "fine")}, threads=1)
    (lease,) = worker.start("slow")
    worker.outcomes(lease)
    blocker.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "leasehold-task":
            thread.join(0.2)
    worker.outcome("fine")
    assert worker.returned() == [lease, lease + 1]
    assert worker.snapshot().threads_abandoned == 0


def test_the_pool_keeps_its_full_capacity_when_threads_block_for_ever(worker, blocker):
    """Two at once must go on running two at once, however many were given up before."""
    both = threading.Barrier(2)
    worker.prepare(
        {"slow": timed(blocker, 0.1), "meet": PythonColumn(function=lambda: both.wait(5))}, threads=2
    )
    for _ in range(3):
        slow = worker.outcomes(*worker.start("slow", "slow"))
        assert {outcome.error.kind for outcome in slow} == {"task_timeout"}
    assert worker.snapshot().threads_abandoned == 6
    met = worker.outcomes(*worker.start("meet", "meet"))
    assert sorted(outcome.value for outcome in met) == [0, 1]


def test_a_user_timeout_error_is_the_users_own(worker):
    async def raises():
        raise TimeoutError("mine")

    worker.prepare({"own": timed(raises, 30.0)})
    outcome = worker.outcome("own")
    assert (outcome.error.kind, outcome.error.message) == ("user_exception", "TimeoutError: mine")


def test_r5_t2_a_coroutine_that_ignores_its_timeout_does_not_keep_its_token(worker, stubborn, short_grace):
    worker.prepare({"slow": timed(stubborn), "fine": PythonColumn(function=fine)})
    slow = worker.outcome("slow")
    assert (slow.kind, slow.error.kind) == ("non_retryable_failure", "task_timeout")
    assert worker.outcome("fine").value == "fine"
    stubborn.end()
    assert worker.returned() == [1, 2]


# -- cancel ----------------------------------------------------------------------------------------


def test_r11_cancel_returns_every_token_once_whatever_its_task_does(worker, blocker):
    began = threading.Event()

    async def waits():
        began.set()
        await asyncio.Event().wait()

    worker.functions(threads=1, waits=waits, never=never, blocks=blocker)
    leases = worker.start("blocks", "waits", "never", "never", "blocks")
    assert began.wait(5)
    assert blocker.began.acquire(timeout=5)
    worker.cancel()
    worker.cancel()
    assert [outcome.kind for outcome in worker.outcomes(*leases)] == ["cancelled"] * 5
    assert sorted(worker.returned()) == leases
    assert worker.snapshot().tokens_held == 0


def test_r11_what_has_not_begun_when_the_cancel_comes_never_begins(worker, blocker):
    calls = []
    worker.functions(threads=1, blocks=blocker, count=lambda: calls.append(1))
    (first,) = worker.start("blocks")
    assert blocker.began.acquire(timeout=5)
    queued = worker.start("count", "count", "count")
    worker.cancel()
    assert {outcome.kind for outcome in worker.outcomes(first, *queued)} == {"cancelled"}
    worker.outcome("count")
    assert calls == [1]


def test_r11_a_coroutine_that_ends_well_on_being_cancelled_has_ended_well(worker):
    began = threading.Event()

    async def saves():
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "saved"

    worker.functions(saves=saves)
    (lease,) = worker.start("saves")
    assert began.wait(5)
    worker.cancel()
    (outcome,) = worker.outcomes(lease)
    assert (outcome.kind, outcome.value) == ("success", "saved")


def test_r11_a_coroutine_that_raises_on_being_cancelled_has_failed(worker):
    began = threading.Event()

    async def fails():
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cleaning up")

    worker.functions(fails=fails)
    (lease,) = worker.start("fails")
    assert began.wait(5)
    worker.cancel()
    assert worker.outcomes(lease)[0].error.message == "ValueError: while cleaning up"


def test_r11_t2_a_coroutine_that_ignores_the_cancel_does_not_keep_its_token(worker, stubborn, short_grace):
    worker.functions(stubborn=stubborn, fine=fine)
    (lease,) = worker.start("stubborn")
    assert stubborn.began.wait(5)
    worker.cancel()
    assert worker.outcomes(lease)[0].kind == "cancelled"
    assert isinstance(worker.release(), JobReleased)
    worker.functions(fine=fine)
    assert worker.outcome("fine").value == "fine"
    stubborn.end()
    assert worker.returned() == [1, 2]


def test_the_worker_can_run_on_after_a_cancel(worker):
    worker.functions(never=never, fine=fine, blocking=lambda: "fine")
    leases = worker.start(*["never"] * 50)
    worker.cancel()
    assert {outcome.kind for outcome in worker.outcomes(*leases)} == {"cancelled"}
    after = worker.outcomes(*worker.start("fine", "blocking", "fine"))
    assert [outcome.value for outcome in after] == ["fine"] * 3


# -- neighbours ------------------------------------------------------------------------------------


def test_context_variables_do_not_pass_between_cells(worker):
    name = contextvars.ContextVar("name", default="nobody")

    async def sets():
        found = name.get()
        name.set("somebody")
        return found

    async def sets_and_waits():
        found = name.get()
        name.set("somebody else")
        await asyncio.sleep(0)
        assert name.get() == "somebody else"
        return found

    worker.functions(sets=sets, sets_and_waits=sets_and_waits)
    outcomes = worker.outcomes(*worker.start(*["sets", "sets_and_waits"] * 10))
    assert {outcome.value for outcome in outcomes} == {"nobody"}


def test_a_tasks_children_see_its_own_context_variables(worker):
    name = contextvars.ContextVar("name", default="nobody")

    async def child():
        return name.get()

    async def parent():
        name.set("somebody")
        return await asyncio.create_task(child())

    worker.functions(parent=parent)
    assert worker.outcome("parent").value == "somebody"


def test_asyncio_is_all_there_for_a_cell(worker):
    async def child(value):
        await asyncio.sleep(0)
        return value

    async def uses_all():
        assert asyncio.current_task() is not None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        gathered = await asyncio.gather(child(1), child(2))
        async with asyncio.TaskGroup() as group:
            third = group.create_task(child(3))
        with pytest.raises(ExceptionGroup):
            await a_group_in_which_a_child_fails()
        return [*gathered, third.result(), await asyncio.to_thread(lambda: 4)]

    worker.functions(uses_all=uses_all)
    outcomes = worker.outcomes(*worker.start(*["uses_all"] * 5))
    assert [outcome.value for outcome in outcomes] == [[1, 2, 3, 4]] * 5


async def a_group_in_which_a_child_fails():
    async with asyncio.TaskGroup() as group:
        group.create_task(fails())
        await asyncio.Event().wait()


async def fails():
    raise ValueError("a child fails")


def test_a_cell_that_cancels_itself_leaves_its_neighbours_alone(worker):
    """Cells that do not wait share one asyncio task: a cancel that is still due must not hit the next."""

    async def cancels_itself_and_returns():
        asyncio.current_task().cancel()
        return "returned"

    async def cancels_itself_and_waits():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    worker.functions(returns=cancels_itself_and_returns, waits=cancels_itself_and_waits, fine=fine)
    columns = ["returns", "fine", "waits", "fine", "returns", "fine"] * 5
    outcomes = worker.outcomes(*worker.start(*columns))
    for column, outcome in zip(columns, outcomes, strict=True):
        assert outcome.value == {"returns": "returned", "fine": "fine", "waits": None}[column], column
        if column == "waits":
            assert outcome.error.kind == "user_exception"


def test_a_cell_that_waits_lets_the_others_go_on(worker):
    order = []
    gates = {}

    async def waits():
        gates["open"] = asyncio.Event()
        await gates["open"].wait()
        order.append("waited")

    async def opens():
        gates["open"].set()
        order.append("opened")

    worker.functions(waits=waits, opens=opens)
    worker.outcomes(*worker.start("waits", "opens"))
    assert order == ["opened", "waited"]


def test_a_cell_goes_on_while_messages_never_pause(worker):
    """Messages keep coming to the worker's mailbox; its coroutines must get their turns."""
    turns = threading.Event()

    async def takes_many_turns():
        for _ in range(50):
            await asyncio.sleep(0)
        turns.set()

    worker.functions(many=takes_many_turns, fine=fine_at_once)
    (lease,) = worker.start("many")
    started = []
    while not turns.is_set():
        started += worker.start("fine")
        assert len(started) < 50_000
    worker.outcomes(lease, timeout=5)


def test_a_task_of_a_column_that_is_not_there_comes_back(worker):
    worker.functions(fine=fine)
    unknown, good = worker.outcomes(*worker.start("unknown", "fine"))
    assert unknown.kind == "worker_spawn_failed"
    assert good.kind == "success"


# -- stopping --------------------------------------------------------------------------------------


def test_a_worker_that_is_stopped_returns_every_token_and_leaves_no_thread(worker, blocker, caplog):
    began = threading.Event()

    async def waits():
        began.set()
        await asyncio.Event().wait()

    worker.functions(threads=2, waits=waits, never=never, blocks=blocker, fine=lambda: 1)
    worker.outcome("fine")
    leases = worker.start("blocks", "waits", "never")
    assert began.wait(5)
    assert blocker.began.acquire(timeout=5)
    worker.system.stop()
    assert [outcome.kind for outcome in worker.outcomes(*leases)] == ["cancelled"] * 3
    assert [record.name for record in caplog.records] == []


def test_a_worker_can_be_stopped_while_a_coroutine_does_not_let_itself_be_cancelled(
    worker, stubborn, monkeypatch, caplog
):
    monkeypatch.setattr("actors.worker.body._STOP_SECONDS", 0.05)
    worker.functions(stubborn=stubborn)
    leases = worker.start("stubborn")
    assert stubborn.began.wait(5)
    worker.system.stop()
    assert [outcome.kind for outcome in worker.outcomes(*leases)] == ["cancelled"]
    assert [record.name for record in caplog.records if record.name == "pykka"] == []


def test_a_worker_without_work_holds_nothing(worker):
    state = worker.snapshot()
    assert (state.run_id, state.tokens_held, state.threads_busy, state.models) == (None, 0, 0, {})
    worker.functions(fine=fine)
    assert worker.release().models == {}
    assert worker.boxes[SCHEDULER].drain() == []
    assert isinstance(worker.prepare({}), JobPrepared | JobUnpreparable)
    assert all(isinstance(usage, ModelUsage) for usage in worker.release().models.values())
