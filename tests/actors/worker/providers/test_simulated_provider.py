"""The embedded provider: replies that depend on the request alone, and waiting that is real."""

from __future__ import annotations

import asyncio
import base64
import struct
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.worker.providers.base import ChatMessage, ChatRequest, EmbeddingRequest, ImageRequest
from actors.worker.providers.registry import make_client
from actors.worker.providers.simulated import SimulatedClient
from bench.virtual.event_loop import run_virtually
from messages.job import Latency, SimulatedProvider

AT_ONCE = SimulatedProvider(latency_ms=Latency(mean=0.0))
TEXT = st.text(max_size=40)


def asked(model, prompt, system, seed, **more):
    turns = (ChatMessage("system", system),) if system else ()
    return ChatRequest(model=model, messages=(*turns, ChatMessage("user", prompt)), seed=seed, **more)


def chat(request, config=AT_ONCE):
    return asyncio.run(SimulatedClient(config).chat(request))


def embed(text, seed=1):
    request = EmbeddingRequest(model="model", text=text, seed=seed)
    return asyncio.run(SimulatedClient(AT_ONCE).embed(request))


@settings(max_examples=30, deadline=None)
@given(prompt=TEXT, system=TEXT, seed=st.integers(-(2**63), 2**63 - 1))
def test_r12_equal_requests_get_equal_replies_from_any_client(prompt, system, seed):
    reply = chat(asked("model", prompt, system, seed))
    assert reply == chat(asked("model", prompt, system, seed))
    assert reply.text
    assert reply.usage.input_tokens == len(prompt.split()) + len(system.split())
    assert reply.usage.output_tokens == len(reply.text.split())


@settings(max_examples=30, deadline=None)
@given(text=TEXT, seed=st.integers(-(2**63), 2**63 - 1))
def test_r12_equal_texts_get_equal_vectors_of_unit_length(text, seed):
    reply = embed(text, seed)
    assert reply == embed(text, seed)
    assert sum(value * value for value in reply.vector) == pytest.approx(1.0, abs=1e-4)
    assert reply.usage.input_tokens == len(text.split())


@pytest.mark.parametrize(
    "other",
    [
        {"model": "other"},
        {"prompt": "other"},
        {"system": "other"},
        {"seed": 1001},
        {"parameters": {"temperature": 0.3}},
    ],
)
def test_each_part_of_a_request_counts(other):
    plain = {"model": "model", "prompt": "prompt", "system": "system", "seed": 1}

    def replies(parts):
        return [chat(asked(**{**parts, "seed": parts["seed"] + 100 * n})) for n in range(4)]

    assert replies(plain) != replies({**plain, **other})


def test_what_was_said_before_counts():
    """A reply that is to be mended is not the reply that was wrong."""
    first = asked("m", "tell me", "", 1)
    turns = (*first.messages, ChatMessage("assistant", "no"), ChatMessage("user", "tell me"))
    assert chat(msgspec.structs.replace(first, messages=turns)).text != chat(first).text


def test_a_prompt_and_a_system_text_are_not_interchangeable():
    assert chat(asked("m", "a", "b c", 1)).text != chat(asked("m", "b c", "a", 1)).text
    vectors = [embed(text).vector for text in ("a", "b", "a b", "")]
    assert len({tuple(vector) for vector in vectors}) == 4


def test_r12_a_schema_is_answered_with_json_that_fits_it():
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["calm", "wild"]}, "age": {"type": "integer", "minimum": 3}},
        "required": ["mood", "age"],
    }
    replies = [chat(asked("m", "p", "", seed, output_schema=schema)) for seed in range(5)]
    assert replies == [chat(asked("m", "p", "", seed, output_schema=schema)) for seed in range(5)]
    for reply in replies:
        value = msgspec.json.decode(reply.text)
        assert value["mood"] in ("calm", "wild")
        assert value["age"] >= 3


def test_r12_a_picture_is_a_png_that_the_request_determines():
    def picture(prompt):
        request = ImageRequest(model="m", prompt=prompt, seed=1)
        return asyncio.run(SimulatedClient(AT_ONCE).image(request)).base64

    assert picture("ice") == picture("ice") != picture("sea")
    data = base64.b64decode(picture("ice"), validate=True)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, kinds = 8, []
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunk = data[place + 4 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length]) == (zlib.crc32(chunk),)
        kinds.append(chunk[:4])
        place += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), mean=st.floats(0, 30), share=st.floats(0, 1))
def test_the_latency_is_within_its_bounds(seed, mean, share):
    jitter = mean * share
    slept = run_virtually(_slept(seed, SimulatedProvider(latency_ms=Latency(mean=mean, jitter=jitter))))
    assert (mean - jitter) / 1000 - 1e-6 <= slept <= (mean + jitter) / 1000 + 2e-6


async def _slept(seed, config):
    await SimulatedClient(config).chat(asked("m", "p", "s", seed))
    return asyncio.get_running_loop().time()


def test_a_call_that_is_cancelled_ends_at_once():
    async def run():
        client = SimulatedClient(SimulatedProvider(latency_ms=Latency(mean=60_000.0)))
        call = asyncio.create_task(client.chat(asked("m", "p", "s", 1)))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.close()

    asyncio.run(run())


def test_a_simulated_provider_of_a_job_gets_this_client():
    assert isinstance(make_client(AT_ONCE), SimulatedClient)
