"""The embedded provider: replies that depend on the request alone, and waiting that is real."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.worker.providers.base import ChatRequest, EmbeddingRequest
from actors.worker.providers.registry import make_client
from actors.worker.providers.simulated import SimulatedClient
from messages.job import Latency, SimulatedProvider

AT_ONCE = SimulatedProvider(latency_ms=Latency(mean=0.0))
TEXT = st.text(max_size=40)


def chat(request, config=AT_ONCE):
    return asyncio.run(SimulatedClient(config).chat(request))


def embed(request, config=AT_ONCE):
    return asyncio.run(SimulatedClient(config).embed(request))


@settings(max_examples=30, deadline=None)
@given(prompt=TEXT, system=TEXT, seed=st.integers(-(2**63), 2**63 - 1))
def test_r12_equal_requests_get_equal_replies_from_any_client(prompt, system, seed):
    request = ChatRequest("model", prompt, system, seed)
    reply = chat(request)
    assert reply == chat(ChatRequest("model", prompt, system, seed))
    assert reply.text
    assert reply.usage.input_tokens == len(prompt.split()) + len(system.split())
    assert reply.usage.output_tokens == len(reply.text.split())


@settings(max_examples=30, deadline=None)
@given(text=TEXT, seed=st.integers(-(2**63), 2**63 - 1))
def test_r12_equal_texts_get_equal_vectors_of_unit_length(text, seed):
    reply = embed(EmbeddingRequest("model", text, seed))
    assert reply == embed(EmbeddingRequest("model", text, seed))
    assert sum(value * value for value in reply.vector) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    "other",
    [
        ChatRequest("other", "prompt", "system", 1),
        ChatRequest("model", "other", "system", 1),
        ChatRequest("model", "prompt", "other", 1),
        ChatRequest("model", "prompt", "system", 2),
    ],
)
def test_each_part_of_a_request_counts(other):
    def replies(request):
        return [
            chat(ChatRequest(request.model, request.prompt, request.system, request.seed + 100 * n))
            for n in range(4)
        ]

    assert replies(ChatRequest("model", "prompt", "system", 1)) != replies(other)


def test_a_prompt_and_a_system_text_are_not_interchangeable():
    assert [chat(ChatRequest("m", "a", "b c", n)).usage for n in range(3)] == [
        chat(ChatRequest("m", "a", "b c", n)).usage for n in range(3)
    ]
    vectors = [embed(EmbeddingRequest("m", text, 1)).vector for text in ("a", "b", "a b", "")]
    assert len({tuple(vector) for vector in vectors}) == 4


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), mean=st.floats(0, 30), share=st.floats(0, 1))
def test_the_latency_is_within_its_bounds(seed, mean, share):
    """The client sleeps on the loop's clock: the loop is asked how long, instead of the wall."""
    jitter = mean * share
    slept = asyncio.run(_slept(seed, SimulatedProvider(latency_ms=Latency(mean=mean, jitter=jitter))))
    assert (mean - jitter) / 1000 - 1e-9 <= slept <= (mean + jitter) / 1000 + 1e-9


async def _slept(seed, config):
    loop, asked = asyncio.get_running_loop(), []
    call_later = loop.call_later

    def at_once(delay, *arguments, **keywords):
        asked.append(delay)
        return call_later(0, *arguments, **keywords)

    loop.call_later = at_once
    await SimulatedClient(config).chat(ChatRequest("m", "p", "s", seed))
    return asked[0] if asked else 0.0


def test_a_call_that_is_cancelled_ends_at_once():
    async def run():
        client = SimulatedClient(SimulatedProvider(latency_ms=Latency(mean=60_000.0)))
        call = asyncio.create_task(client.chat(ChatRequest("m", "p", "s", 1)))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.close()

    asyncio.run(run())


def test_a_simulated_provider_of_a_job_gets_this_client():
    assert isinstance(make_client(AT_ONCE), SimulatedClient)
