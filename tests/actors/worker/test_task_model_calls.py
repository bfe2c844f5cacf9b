"""The calls of one task: at once or in turn, cut off with it, and none after it (A1, A11)."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque

import pytest

from actors.worker.executor import ModelRequestExecutor
from actors.worker.failures import ModelCallRefusedError, RequestFailedError
from actors.worker.job_clock import JobClock
from actors.worker.model_calls import JobModels
from actors.worker.providers.base import ChatReply, EmbeddingReply, ImageReply, ProviderError, Usage
from messages import FailurePolicy, Job, ModelConfig, SimulatedProvider
from messages.request_admission import (
    AcquireRequestLease,
    CancelRequestWait,
    RequestAdmissionDenied,
    RequestLease,
    RequestLeaseDenied,
    RequestLeaseGranted,
    ReturnRequestLease,
)
from messages.tasks import RuntimeCorrelation
from tests.actors.worker.held_client import HeldClient

ABOUT = RuntimeCorrelation("run-1", 0, 3, "story", "cell", "model", "0" * 12, 77)


async def until(condition):
    """Let the loop turn until it is so; the test's own timeout ends what never is."""
    while not condition():
        await a_turn()


async def within(limit, call):
    async with limit:
        return await call


async def a_turn():
    await asyncio.sleep(0)


class LoneCalls:
    """One task's calls on a real loop; a test is request admission."""

    def __init__(self, *, request_retries=0, **model):
        job = Job(
            name="a job",
            providers={"sim": SimulatedProvider()},
            models={"writer": ModelConfig(provider="sim", model="m", **model)},
            failure=FailurePolicy(request_retries=request_retries),
        )
        loop = asyncio.get_running_loop()
        self._attention = asyncio.Event()
        self.executor = ModelRequestExecutor(loop, now=time.monotonic, attend=self._attention.set)
        self._models = JobModels(job, self.executor, JobClock(time.monotonic))
        self.calls = self._models.calls_of(ABOUT)
        self._mail = deque()
        self._leases = 0

    def chat(self, **changes):
        call = {"model": "writer", "messages": [("user", "Tell me.")], "seed": 1, **changes}
        return self.calls.chat(**call)

    def try_again(self):
        """End the task's calls and begin its next try."""
        self.calls.end()
        self.calls = self._models.calls_of(ABOUT, self.calls.kept())

    def deny(self, item, reason="queue_timeout"):
        denied = RequestAdmissionDenied(reason)
        self.executor.decided(RequestLeaseDenied(item.event_context.request_attempt_id, denied))

    def sent(self):
        """Return what has been sent to request admission, oldest first, and was not returned yet."""
        self._mail += [each.message for each in self.executor.take_outgoing() if each.to != "telemetry"]
        found = list(self._mail)
        self._mail.clear()
        return found

    async def asked(self):
        while not self._mail:
            self._mail += [each.message for each in self.executor.take_outgoing() if each.to != "telemetry"]
            if not self._mail:
                self._attention.clear()
                await asyncio.wait_for(self._attention.wait(), 5.0)
        message = self._mail.popleft()
        assert isinstance(message, AcquireRequestLease)
        return message.item

    def grant(self, item):
        self._leases += 1
        lease = RequestLease(self._leases, 1, item.resource, 0.0, 4, 4)
        self.executor.decided(RequestLeaseGranted(item.event_context.request_attempt_id, lease))
        return lease

    async def begun(self, client, call):
        """Begin a call, grant its lease; return the call's task, the lease and what the client holds."""
        task = asyncio.ensure_future(call)
        lease = self.grant(await self.asked())
        await until(lambda: not client.untouched)
        return task, lease, client.next()


@pytest.fixture(scope="module", autouse=True)
def what_others_have_left_behind_is_told_before():
    gc.collect()


@pytest.fixture(autouse=True)
def nothing_goes_unseen(caplog):
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


@pytest.fixture
def run(provide):
    """Run a test's coroutine with a lone task's calls and the client that they are made with."""

    def run(test, client=None, **how):
        client = provide(client or HeldClient())

        async def in_loop():
            await asyncio.wait_for(test(LoneCalls(**how), client), 20.0)

        asyncio.run(in_loop())

    return run


def test_a1_calls_made_at_once_have_leases_of_their_own(run):
    async def test(lone, client):
        together = asyncio.ensure_future(asyncio.gather(*(lone.chat(seed=seed) for seed in range(3))))
        items = [await lone.asked() for _ in range(3)]
        for item in items:
            lone.grant(item)
        calls = []
        for _ in range(3):
            await until(lambda: not client.untouched)
            calls.append(client.next())
        for call in reversed(calls):
            call.answer(ChatReply(str(call.request.seed)))
        assert await together == ["0", "1", "2"]
        assert lone.calls.answered == 3
        assert {item.event_context.correlation for item in items} == {ABOUT}
        assert {item.group.key for item in items} == {"story"}
        assert sorted(message.lease.lease_id for message in lone.sent()) == [1, 2, 3]

    run(test)


def test_r14_a_call_that_was_answered_is_not_made_again_in_the_tasks_next_try(run):
    async def test(lone, client):
        task, _, call = await lone.begun(client, lone.chat())
        call.answer(ChatReply("the first reply"))
        assert await task == "the first reply"
        lone.sent()
        refused = asyncio.ensure_future(lone.chat(seed=2))
        lone.deny(await lone.asked())
        with pytest.raises(RequestFailedError):
            await refused
        lone.sent()

        lone.try_again()
        assert await lone.chat() == "the first reply"
        assert lone.sent() == []
        assert lone.calls.answered == 1, "it was paid for, and is kept with the cell"
        task, _, call = await lone.begun(client, lone.chat(seed=2))
        call.answer()
        assert await task == "the reply"
        assert lone.calls.answered == 2

    run(test)


def test_r14_a_vector_that_its_caller_has_changed_is_given_again_as_it_was(run):
    async def test(lone, client):
        task, _, call = await lone.begun(client, lone.calls.embed(model="writer", input="text", seed=4))
        call.answer(EmbeddingReply([1.0, 2.0]))
        (await task).clear()
        lone.try_again()
        assert await lone.calls.embed(model="writer", input="text", seed=4) == [1.0, 2.0]

    run(test)


@pytest.mark.parametrize("answered", [True, False])
def test_r14_a_refusal_is_told_once_the_calls_under_way_are_over(run, answered):
    async def test(lone, client):
        task, _, call = await lone.begun(client, lone.chat())
        refused, waiting = asyncio.ensure_future(lone.chat(seed=2)), asyncio.ensure_future(lone.chat(seed=3))
        lone.deny(await lone.asked())
        await lone.asked()
        for _ in range(20):
            await a_turn()
        assert not refused.done(), "it would end the task, and cut off a call that will be billed"
        if answered:
            call.answer()
        else:
            call.fail(ProviderError("status 400", status=400))
        with pytest.raises(RequestFailedError, match="was not admitted: queue_timeout"):
            await refused
        assert task.done()
        assert not waiting.done(), "who waits for a lease is not waited for"
        if answered:
            lone.try_again()
            assert await lone.chat() == "the reply"
        lone.calls.end()
        await asyncio.gather(task, waiting, return_exceptions=True)

    run(test)


def test_r14_the_end_of_a_task_ends_a_refusal_that_waits_for_other_calls(run):
    async def test(lone, client):
        task, _, _ = await lone.begun(client, lone.chat())
        refused = asyncio.ensure_future(lone.chat(seed=2))
        lone.deny(await lone.asked())
        await a_turn()
        lone.calls.end()
        with pytest.raises(RequestFailedError):
            await refused
        with pytest.raises(asyncio.CancelledError):
            await task

    run(test)


def test_parameters_of_a_call_go_over_those_of_its_model(run):
    async def test(lone, client):
        parameters = {"max_tokens": 9, "top_p": 1}
        task, _, call = await lone.begun(
            client, lone.chat(parameters=parameters, output_schema={"type": "object"})
        )
        assert call.request.parameters == {"temperature": 0.5, "max_tokens": 9, "top_p": 1}
        assert call.request.output_schema == {"type": "object"}
        call.answer()
        assert await task == "the reply"

    run(test, parameters={"temperature": 0.5, "max_tokens": 64})


@pytest.mark.parametrize(
    ("reply", "found"),
    [(ImageReply(base64="aGk="), "aGk="), (ImageReply(url="http://there"), "http://there")],
)
def test_an_image_is_its_data_or_its_address(run, reply, found):
    async def test(lone, client):
        task, lease, call = await lone.begun(client, lone.calls.image(model="writer", prompt="a cat", seed=4))
        assert (lease.resource.domain, call.request.prompt, call.request.seed) == ("image", "a cat", 4)
        call.answer(reply)
        assert await task == found

    run(test)


def test_an_image_that_is_none_is_a_failed_call(run):
    async def test(lone, client):
        task, _, call = await lone.begun(client, lone.calls.image(model="writer", prompt="a cat", seed=4))
        call.answer(ImageReply())
        with pytest.raises(RequestFailedError, match="model writer: the reply holds no image"):
            await task

    run(test)


def test_an_embedding_is_its_vector(run):
    async def test(lone, client):
        task, lease, call = await lone.begun(client, lone.calls.embed(model="writer", input="text", seed=4))
        assert (lease.resource.domain, call.request.text) == ("embedding", "text")
        call.answer(EmbeddingReply([1.0, 2.0], Usage(1)))
        assert await task == [1.0, 2.0]

    run(test)


def test_a_model_that_the_job_does_not_have_is_named_with_those_that_it_has(run):
    async def test(lone, _):
        with pytest.raises(ModelCallRefusedError, match=r"the job has no model 'wirter'; .*writer"):
            await lone.chat(model="wirter")
        assert lone.sent() == []

    run(test)


def test_a11_a_call_after_its_task_has_ended_is_refused(run):
    async def test(lone, _):
        lone.calls.end()
        with pytest.raises(ModelCallRefusedError, match="the task that this belongs to has ended"):
            await lone.chat()
        assert lone.sent() == []

    run(test)


@pytest.mark.parametrize("stubborn", [True, False])
def test_a11_the_end_of_a_task_returns_the_leases_of_its_calls_at_once(run, stubborn):
    async def test(lone, client):
        left_behind, lease, call = await lone.begun(client, lone.chat())
        lone.calls.end()
        (returned,) = lone.sent()
        assert (returned.lease, returned.outcome.kind) == (lease, "local_cancelled")
        with pytest.raises(asyncio.CancelledError):
            await left_behind
        call.answer()
        await until(lambda: not lone.executor._calls)
        assert lone.sent() == []
        assert lone.executor.in_flight == 0

    run(test, HeldClient(stubborn=stubborn))


def test_a7_the_end_of_a_task_ends_its_calls_waits(run):
    async def test(lone, client):
        waiting = asyncio.ensure_future(lone.chat())
        item = await lone.asked()
        lone.calls.end()
        (cancelled,) = lone.sent()
        assert isinstance(cancelled, CancelRequestWait)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        lone.grant(item)
        (returned,) = lone.sent()
        assert isinstance(returned, ReturnRequestLease)
        assert client.untouched

    run(test)


def test_a7_a_lease_that_comes_with_the_end_of_its_task_goes_back_at_once(run):
    async def test(lone, client):
        waiting = asyncio.ensure_future(lone.chat())
        lease = lone.grant(await lone.asked())
        lone.calls.end()
        (returned,) = lone.sent()
        assert (returned.lease, returned.outcome.sent) == (lease, False)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert lone.sent() == []
        assert client.untouched

    run(test)


def test_a11_the_end_of_a_task_ends_the_pause_before_a_retry(run):
    async def test(lone, client):
        left_behind, _, call = await lone.begun(client, lone.chat())
        call.fail(ProviderError("status 500", status=500))
        await until(lambda: not lone.executor.in_flight)
        lone.sent()
        lone.calls.end()
        with pytest.raises(asyncio.CancelledError):
            await left_behind
        assert lone.sent() == []

    run(test, request_retries=5)


def test_a11_the_tasks_own_deadline_is_no_timeout_of_the_provider(run):
    async def test(lone, client):
        call, _, _ = await lone.begun(client, lone.chat())
        limit = asyncio.timeout(0.02)
        lone.calls.watch(limit.expired)
        with pytest.raises(TimeoutError):
            await within(limit, call)
        (returned,) = lone.sent()
        assert (returned.outcome.kind, returned.outcome.sent) == ("local_timeout", True)
        assert lone.executor.usage()["writer"].outcomes == {"local_timeout": 1}

    run(test)


def test_a11_the_tasks_own_deadline_ends_the_calls_of_its_children(run):
    async def test(lone, client):
        overdue = False
        lone.calls.watch(lambda: overdue)
        child, _, _ = await lone.begun(client, lone.chat())
        overdue = True
        lone.calls.end()
        (returned,) = lone.sent()
        assert returned.outcome.kind == "local_timeout"
        with pytest.raises(asyncio.CancelledError):
            await child

    run(test)


def test_a_context_variable_of_the_caller_reaches_the_client(run):
    import contextvars

    who = contextvars.ContextVar("who", default="nobody")
    seen = []

    class Curious(HeldClient):
        async def chat(self, request):
            seen.append(who.get())
            who.set("the client")
            return ChatReply("x")

    async def test(lone, _):
        who.set("the caller")
        task = asyncio.ensure_future(lone.chat())
        lone.grant(await lone.asked())
        await task
        assert (seen, who.get()) == (["the caller"], "the caller")

    run(test, Curious())
