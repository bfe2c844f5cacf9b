"""Model calls made in user code: each is admitted, correlated and returned, and none outlives its task."""

from __future__ import annotations

import asyncio
import threading

import pytest

from actors.worker.failures import ModelCallRefusedError, RequestFailedError
from messages import PythonColumn
from messages._base import REQUEST_ADMISSION
from messages.job import Latency, ModelConfig, SimulatedProvider
from messages.request_admission import AcquireRequestLease, CancelRequestWait, ReturnRequestLease
from messages.worker import JobPrepared, JobReleased

ENDED = "the task that this model call belongs to has ended"


def prepared(worker, *, latency_ms=0.0, threads=4, timeout_seconds=None, scope="cell", **functions):
    """Prepare a job of two models with one column per function."""
    answer = worker.prepare(
        {
            name: PythonColumn(function=function, timeout_seconds=timeout_seconds, scope=scope)
            for name, function in functions.items()
        },
        threads=threads,
        providers={"sim": SimulatedProvider(latency_ms=Latency(mean=latency_ms))},
        models={
            "writer": ModelConfig(provider="sim", model="sim-writer"),
            "judge": ModelConfig(provider="sim", model="sim-judge"),
        },
    )
    assert isinstance(answer, JobPrepared), answer.problems
    return worker


def asked(worker, count=1):
    """Return the next `count` questions for request leases."""
    items = []
    while len(items) < count:
        items += [message.item for message in worker.boxes[REQUEST_ADMISSION].next(AcquireRequestLease)]
    assert len(items) == count
    return items


def grant_all(worker, count):
    """Grant the next `count` questions as they come."""
    while count > 0:
        for message in worker.boxes[REQUEST_ADMISSION].next(AcquireRequestLease):
            worker.grant(message.item)
            count -= 1


def sent(worker, kind):
    """Return the messages of `kind` that have been sent to request admission and were not read."""
    return [message for message in worker.boxes[REQUEST_ADMISSION].drain() if isinstance(message, kind)]


class Note:
    """What a task or a thread that is left behind found out."""

    def __init__(self):
        self.found = None
        self._noted = threading.Event()

    def take(self, found):
        self.found = found
        self._noted.set()

    def error(self):
        """Wait for the error that was found and return it as text."""
        assert self._noted.wait(5)
        assert isinstance(self.found, Exception), self.found
        return f"{type(self.found).__name__}: {self.found}"


# -- zero, one, many ---------------------------------------------------------------------------------


async def asks_nothing(models):
    return len(models)


async def asks_once(models):
    return await models.writer.chat("Hi")


def asks_once_in_the_pool(models):
    return models.writer.chat("Hi")


async def asks_at_once(models):
    return await asyncio.gather(models.writer.chat("a"), models.judge.chat("b"), models.writer.embed("c"))


async def asks_from_children(models):
    first = asyncio.create_task(models.writer.chat("a"))
    async with asyncio.TaskGroup() as group:
        second = group.create_task(models.judge.chat("b"))
        third = group.create_task(models.writer.embed("c"))
    return [await first, second.result(), third.result()]


def asks_from_threads(models):
    found = [None] * 3
    calls = [
        lambda: models.writer.chat("a"),
        lambda: models.judge.chat("b"),
        lambda: models.writer.embed("c"),
    ]

    def call(index):
        found[index] = calls[index]()

    threads = [threading.Thread(target=call, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_function_that_asks_nothing_needs_no_lease(worker):
    prepared(worker, none=asks_nothing)
    outcome = worker.outcome("none")
    assert (outcome.value, outcome.calls) == (2, 0)
    assert sent(worker, AcquireRequestLease) == []


@pytest.mark.parametrize("function", [asks_once, asks_once_in_the_pool])
def test_a1_r14_a_call_is_made_under_a_lease_of_its_own_and_counted(worker, function):
    prepared(worker, one=function)
    (task,) = worker.start("one")
    (item,) = asked(worker)
    assert item.resource.name == "sim/sim-writer/chat"
    assert item.event_context.correlation.task_execution_id == task
    assert item.group.key == "one"
    lease = worker.grant(item)
    (outcome,) = worker.outcomes(task)
    assert (outcome.kind, type(outcome.value), outcome.calls) == ("success", str, 1)
    (returned,) = sent(worker, ReturnRequestLease)
    assert (returned.lease, returned.outcome.kind) == (lease, "success")
    assert worker.release().models["writer"].attempts == 1


@pytest.mark.parametrize("function", [asks_at_once, asks_from_children, asks_from_threads])
def test_a1_calls_at_once_each_have_a_lease_and_are_all_their_tasks(worker, function):
    prepared(worker, many=function)
    (task,) = worker.start("many")
    items = asked(worker, 3)
    assert sorted(item.resource.name for item in items) == [
        "sim/sim-judge/chat",
        "sim/sim-writer/chat",
        "sim/sim-writer/embedding",
    ]
    assert {item.event_context.correlation.task_execution_id for item in items} == {task}
    assert len({item.event_context.request_attempt_id for item in items}) == 3
    granted = [worker.grant(item) for item in reversed(items)]
    (outcome,) = worker.outcomes(task)
    assert [type(value) for value in outcome.value] == [str, str, list]
    assert outcome.calls == 3
    assert {returned.lease.lease_id for returned in sent(worker, ReturnRequestLease)} == {
        lease.lease_id for lease in granted
    }


def test_r12_the_same_functions_give_the_same_values_in_whatever_way_they_ask(worker):
    """Whether from children or threads, and in whichever order they are admitted."""
    prepared(worker, children=asks_from_children)
    prepared_values = []
    for backwards in (False, True):
        (task,) = worker.start("children")
        items = asked(worker, 3)
        for item in reversed(items) if backwards else items:
            worker.grant(item)
        prepared_values.append(worker.outcomes(task)[0].value)
    assert prepared_values[0] == prepared_values[1]


@pytest.mark.parametrize("scope", ["batch", "from_scratch"])
@pytest.mark.parametrize("in_pool", [False, True])
def test_row_groups_may_ask_too(worker, scope, in_pool):
    def words(models):
        return [models.writer.chat(name) for name in "ab"]

    async def words_at_once(models):
        return await asyncio.gather(*(models.writer.chat(name) for name in "ab"))

    def of_batch(number, models):
        return words(models)

    async def of_batch_at_once(number, models):
        return await words_at_once(models)

    functions = {
        ("batch", True): of_batch,
        ("batch", False): of_batch_at_once,
        ("from_scratch", True): words,
        ("from_scratch", False): words_at_once,
    }
    columns = {
        "number": PythonColumn(function=lambda row_index: [row_index, row_index], scope="from_scratch"),
        "made": PythonColumn(function=functions[scope, in_pool], scope=scope),
    }
    models = {"writer": ModelConfig(provider="sim", model="m")}
    worker.prepare(columns, providers={"sim": SimulatedProvider()}, models=models)
    inputs = {"number": [0, 1]} if scope == "batch" else {}
    (task,) = worker.start("made", rows=2, inputs=inputs)
    grant_all(worker, 2)
    (outcome,) = worker.outcomes(task)
    assert (len(outcome.value), outcome.calls) == (2, 2)


# -- failures ----------------------------------------------------------------------------------------


async def in_a_group(models):
    async with asyncio.TaskGroup() as group:
        group.create_task(models.writer.chat("a"))


async def in_a_child(models):
    await asyncio.create_task(models.writer.chat("a"))


async def in_gather(models):
    await asyncio.gather(models.writer.chat("a"))


@pytest.mark.parametrize("function", [asks_once, asks_once_in_the_pool, in_a_group, in_a_child, in_gather])
@pytest.mark.parametrize(
    ("reason", "kind"),
    [("queue_timeout", "retryable_failure"), ("hard_policy_denial", "non_retryable_failure")],
)
def test_r4_r5_a_calls_failure_that_nobody_catches_keeps_its_kind(worker, function, reason, kind):
    prepared(worker, fails=function)
    (task,) = worker.start("fails")
    worker.deny(worker.asked(), reason, retry_after_seconds=1.5)
    (outcome,) = worker.outcomes(task)
    assert (outcome.kind, outcome.error.kind, outcome.calls) == (kind, reason, 0)
    assert outcome.error.retry_after_seconds == 1.5


def test_a_failure_that_is_caught_is_the_functions_own_business(worker):
    async def catches(models):
        try:
            return await models.writer.chat("a")
        except RequestFailedError as error:
            return f"{error.kind}, {await models.judge.chat('b')}"

    def catches_in_the_pool(models):
        try:
            return models.writer.chat("a")
        except RequestFailedError as error:
            return f"{error.kind}, {models.judge.chat('b')}"

    prepared(worker, catches=catches, in_the_pool=catches_in_the_pool)
    for column in ("catches", "in_the_pool"):
        (task,) = worker.start(column)
        worker.deny(worker.asked(), "queue_timeout")
        worker.grant(worker.asked())
        (outcome,) = worker.outcomes(task)
        assert outcome.value.startswith("queue_timeout, ")
        assert outcome.calls == 1


NEVER = {"type": "string", "pattern": "^no reply of the simulated provider$"}


@pytest.mark.parametrize("in_pool", [False, True])
def test_r5_a_reply_that_never_fits_its_schema_ends_the_task_as_such(worker, in_pool):
    async def graded(models):
        async with asyncio.TaskGroup() as group:
            group.create_task(models.judge.chat("a", output_schema=NEVER, max_corrections=1))

    def graded_in_the_pool(models):
        return models.judge.chat("a", output_schema=NEVER, max_corrections=1)

    prepared(worker, graded=graded_in_the_pool if in_pool else graded)
    (task,) = worker.start("graded")
    worker.grant(worker.asked())
    worker.grant(worker.asked())
    (outcome,) = worker.outcomes(task)
    assert (outcome.kind, outcome.error.kind) == ("non_retryable_failure", "invalid_output")
    assert len(sent(worker, ReturnRequestLease)) == 1, "the other was read before its correction"


def test_an_alias_that_is_not_there_ends_the_task_with_those_that_are(worker):
    async def typed_wrong(models):
        return await models.jugde.chat("x")

    prepared(worker, typed_wrong=typed_wrong)
    assert "did you mean 'judge'" in worker.outcome("typed_wrong").error.message


# -- after the end -----------------------------------------------------------------------------------


def test_a_call_after_its_task_has_ended_is_refused(worker):
    note, ended = Note(), {}

    async def leaves_a_child(models):
        async def late():
            await ended["event"].wait()
            try:
                note.take(await models.writer.chat("late"))
            except ModelCallRefusedError as error:
                note.take(error)

        ended["loop"], ended["event"] = asyncio.get_running_loop(), asyncio.Event()
        ended["child"] = asyncio.create_task(late())
        return "left"

    prepared(worker, leaves=leaves_a_child)
    assert worker.outcome("leaves").value == "left"
    ended["loop"].call_soon_threadsafe(ended["event"].set)
    assert note.error() == f"ModelCallRefusedError: {ENDED}"
    assert sent(worker, AcquireRequestLease) == []


def test_a_call_of_a_thread_that_is_left_behind_is_refused(worker):
    note, go_on = Note(), threading.Event()

    def leaves_a_thread(models):
        def late():
            assert go_on.wait(5)
            try:
                note.take(models.writer.chat("late"))
            except ModelCallRefusedError as error:
                note.take(error)

        threading.Thread(target=late).start()
        return "left"

    prepared(worker, leaves=leaves_a_thread)
    assert worker.outcome("leaves").value == "left"
    go_on.set()
    assert note.error() == f"ModelCallRefusedError: {ENDED}"
    assert sent(worker, AcquireRequestLease) == []


@pytest.mark.parametrize("granted", [False, True])
def test_a7_t2_a_call_under_way_when_its_task_ends_is_over_before_the_task_is(worker, granted):
    note, begun, go_on = Note(), threading.Event(), {}

    async def leaves_a_child(models):
        async def asks():
            try:
                note.take(await models.writer.chat("late"))
            except ModelCallRefusedError as error:
                note.take(error)

        go_on["loop"], go_on["event"] = asyncio.get_running_loop(), asyncio.Event()
        go_on["child"] = asyncio.create_task(asks())
        begun.set()
        await go_on["event"].wait()
        return "left"

    prepared(worker, latency_ms=60_000.0, leaves=leaves_a_child)
    (task,) = worker.start("leaves")
    item = worker.asked()
    if granted:
        lease = worker.grant(item)
        while worker.snapshot().attempts_in_flight == 0:
            pass
    go_on["loop"].call_soon_threadsafe(go_on["event"].set)
    assert worker.outcomes(task)[0].value == "left"
    if granted:
        (returned,) = sent(worker, ReturnRequestLease)
        assert (returned.lease, returned.outcome.kind) == (lease, "local_cancelled")
    else:
        (cancelled,) = sent(worker, CancelRequestWait)
        assert cancelled.request_attempt_id == item.event_context.request_attempt_id
    assert note.error() == f"ModelCallRefusedError: {ENDED}"
    assert worker.snapshot().attempts_in_flight == 0


def blocked_call(note):
    """Return a plain function that asks, and notes what became of it."""

    def function(models):
        try:
            note.take(models.writer.chat("Hi"))
        except Exception as error:
            note.take(error)
            raise

    return function


@pytest.mark.parametrize("granted", [False, True])
@pytest.mark.parametrize("ending", ["timeout", "cancel", "stop"])
def test_a7_t2_a_thread_that_waits_for_a_model_is_let_go_when_its_task_ends(worker, ending, granted):
    note = Note()
    timeout = 0.05 if ending == "timeout" else None
    prepared(worker, latency_ms=60_000.0, timeout_seconds=timeout, waits=blocked_call(note))
    (task,) = worker.start("waits")
    item = worker.asked()
    if granted:
        worker.grant(item)
        while ending != "timeout" and worker.snapshot().attempts_in_flight == 0:
            pass
    if ending == "cancel":
        worker.cancel()
    elif ending == "stop":
        worker.system.stop()
    (outcome,) = worker.outcomes(task)
    if ending == "timeout":
        assert outcome.error.kind == "task_timeout"
    else:
        assert outcome.kind == "cancelled"
    assert note.error() == f"ModelCallRefusedError: {ENDED}"
    if granted:
        returned = worker.sent_to_requests(ReturnRequestLease)
        assert returned.outcome.kind in ("local_cancelled", "local_timeout")
    else:
        assert len(sent(worker, CancelRequestWait)) == 1


def test_a_thread_that_asks_after_it_was_given_up_is_refused(worker):
    note, go_on = Note(), threading.Event()

    def late(models):
        assert go_on.wait(5)
        blocked_call(note)(models)

    prepared(worker, timeout_seconds=0.02, late=late)
    assert worker.outcome("late").error.kind == "task_timeout"
    go_on.set()
    assert note.error() == f"ModelCallRefusedError: {ENDED}"
    assert sent(worker, AcquireRequestLease) == []


def test_r11_a_coroutine_that_is_cancelled_while_it_asks_ends_with_its_call(worker):
    prepared(worker, latency_ms=60_000.0, asks=asks_at_once)
    (task,) = worker.start("asks")
    for item in asked(worker, 3):
        worker.grant(item)
    while worker.snapshot().attempts_in_flight < 3:
        pass
    worker.cancel()
    assert worker.outcomes(task)[0].kind == "cancelled"
    returned = sent(worker, ReturnRequestLease)
    assert [each.outcome.kind for each in returned] == ["local_cancelled"] * 3


def test_a_call_that_the_function_gives_up_itself_returns_its_lease(worker):
    async def impatient(models):
        try:
            async with asyncio.timeout(0.02):
                return await models.writer.chat("Hi")
        except TimeoutError:
            return "too slow"

    prepared(worker, latency_ms=60_000.0, impatient=impatient)
    (task,) = worker.start("impatient")
    worker.asked()
    assert worker.outcomes(task)[0].value == "too slow"
    assert len(sent(worker, CancelRequestWait)) == 1


class Deaf:
    """A provider client whose calls do not let themselves be cancelled until they are told to end."""

    def __init__(self):
        self.called = threading.Event()
        self._loop = self._end = None

    async def chat(self, request):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self.called.set()
        while not self._end.is_set():
            try:
                await self._end.wait()
            except asyncio.CancelledError:
                continue
        raise asyncio.CancelledError

    def let_go(self):
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)

    async def close(self):
        pass


@pytest.fixture
def deaf(worker, monkeypatch):
    """Put a client in the place of every provider's that cannot be cancelled; end its call at last."""
    made = Deaf()
    monkeypatch.setattr("actors.worker.model_calls.client_of", lambda _job, _name, **_how: made)
    monkeypatch.setattr("actors.worker.runner._CANCEL_GRACE_SECONDS", 0.05)
    yield made
    made.let_go()


@pytest.mark.parametrize("function", [asks_once, asks_once_in_the_pool])
def test_t2_a_call_that_ignores_its_cancel_does_not_keep_the_token(worker, deaf, function):
    prepared(worker, waits=function, fine=lambda: "fine")
    (task,) = worker.start("waits")
    worker.grant(worker.asked())
    assert deaf.called.wait(5)
    worker.cancel()
    assert worker.outcomes(task)[0].kind == "cancelled"
    deaf.let_go()
    assert worker.outcome("fine").value == "fine"
    assert worker.returned() == [task, task + 1]
    assert isinstance(worker.release(), JobReleased)


# -- where a call may be made ------------------------------------------------------------------------


def test_a_plain_functions_models_are_refused_on_the_loops_own_thread(worker):
    """It would wait for itself."""
    given, lent, used = {}, threading.Event(), threading.Event()

    def lends(models):
        given["models"] = models
        lent.set()
        assert used.wait(5)
        return models.writer.chat("mine")

    async def borrows():
        assert await asyncio.to_thread(lent.wait, 5)
        try:
            given["models"].writer.chat("yours")
        finally:
            used.set()

    prepared(worker, lends=lends, borrows=borrows)
    lender, borrower = worker.start("lends", "borrows")
    worker.grant(worker.asked())
    refused, fine = worker.outcomes(borrower, lender)
    assert fine.kind == "success"
    assert refused.error.kind == "user_exception"
    assert "ModelCallRefusedError: a plain function's models were called on the worker's own thread" in (
        refused.error.message
    )


def test_an_async_functions_models_are_refused_on_another_loop(worker):
    async def elsewhere(models):
        async def asks():
            return await models.writer.chat("x")

        return await asyncio.to_thread(lambda: asyncio.run(asks()))

    prepared(worker, elsewhere=elsewhere)
    outcome = worker.outcome("elsewhere")
    assert "event loop that is not the worker's" in outcome.error.message
    assert sent(worker, AcquireRequestLease) == []


def test_a_plain_function_may_have_a_loop_of_its_own(worker):
    def own_loop(models):
        async def asks():
            return models.writer.chat("x")

        return asyncio.run(asks())

    prepared(worker, own_loop=own_loop)
    (task,) = worker.start("own_loop")
    worker.grant(worker.asked())
    assert worker.outcomes(task)[0].kind == "success"


def test_an_async_call_that_is_not_awaited_is_told_so(worker):
    async def forgets(models):
        return models.writer.chat("x")

    prepared(worker, forgets=forgets)
    outcome = worker.outcome("forgets")
    assert outcome.error.kind == "wrong_type"
    assert "await it" in outcome.error.message
    assert sent(worker, AcquireRequestLease) == []


def test_more_plain_functions_than_threads_all_get_their_turn(worker):
    prepared(worker, threads=2, asks=asks_once_in_the_pool)
    tasks = worker.start(*["asks"] * 10)
    grant_all(worker, 10)
    assert [outcome.calls for outcome in worker.outcomes(*tasks)] == [1] * 10


def test_refusals_are_errors_that_a_function_can_tell_apart():
    assert not issubclass(ModelCallRefusedError, RequestFailedError)
