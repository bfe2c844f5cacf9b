"""What the client for the OpenAI API sends and makes of the answers, beyond what every client must."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from actors.harness.behaviours import Answer, Hang, in_order
from actors.harness.misbehaving_server import MisbehavingServer, full_listener, nobody_there
from actors.worker.providers.base import (
    ChatMessage,
    ChatRequest,
    EmbeddingRequest,
    ImageRequest,
    ProviderError,
)
from actors.worker.providers.openai_client import OpenAIClient
from messages.job import OpenAIProvider

KEY = "sk-very-secret"


def talk(base_url, call, *, api_key=None, connections=4, **config):
    async def run():
        provider = OpenAIProvider(base_url=base_url, **config)
        client = OpenAIClient(provider, api_key=api_key, connections=connections)
        try:
            return await call(client)
        finally:
            await client.close()

    return asyncio.run(run())


def asked(**changes):
    plain = {"model": "small", "messages": (ChatMessage("user", "hello"),), "seed": 11}
    return ChatRequest(**{**plain, **changes})


def sent(**changes):
    """Return the body that a chat request with these changes is sent as."""
    with MisbehavingServer() as server:
        talk(server.base_url, lambda client: client.chat(asked(**changes)))
        return server.seen[0].body


def failure(base_url, call, **how):
    with pytest.raises(ProviderError) as caught:
        talk(base_url, call, **how)
    return caught.value


# -- what is sent --------------------------------------------------------------------------------------


def test_a_chat_call_is_sent_as_it_is():
    turns = (ChatMessage("system", "s"), ChatMessage("user", "u"), ChatMessage("assistant", "a"))
    assert sent(messages=turns) == {
        "model": "small",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": "a"},
        ],
        "seed": 11,
        "stream": False,
    }


def test_parameters_are_sent_whether_they_are_known_or_not():
    body = sent(
        parameters={"temperature": 0.2, "max_tokens": 64, "grammar": "root", "extra_body": {"min_p": 0.1}}
    )
    assert (body["temperature"], body["max_tokens"], body["grammar"], body["min_p"]) == (0.2, 64, "root", 0.1)
    assert "extra_body" not in body


def test_parameters_do_not_make_another_call_of_it():
    body = sent(parameters={"model": "large", "stream": True, "messages": [], "extra_body": {"stream": True}})
    assert (body["model"], body["stream"], len(body["messages"])) == ("small", False, 1)


def test_the_seed_can_be_said_otherwise_or_left_out():
    assert sent(parameters={"seed": 5})["seed"] == 5
    assert "seed" not in sent(parameters={"seed": False})


CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({**CLOSED, "properties": {"a": {"type": "object", "properties": {}}}}, False),
        ({"type": "string"}, True),
    ],
)
def test_a_schema_is_asked_for_as_strictly_as_it_allows(schema, strict):
    body = sent(output_schema=schema)
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": schema, "strict": strict},
    }


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"type": "json_object"}, {"type": "json_object", "schema": CLOSED}),
        ({"type": "text"}, {"type": "text"}),
        (
            {"type": "json_schema"},
            {"type": "json_schema", "json_schema": {"name": "reply", "schema": CLOSED, "strict": True}},
        ),
    ],
)
def test_a_server_that_knows_another_way_can_be_asked_in_it(wanted, expected):
    assert sent(output_schema=CLOSED, parameters={"response_format": wanted})["response_format"] == expected


def test_an_answer_to_a_schema_is_json():
    with MisbehavingServer() as server:
        reply = talk(server.base_url, lambda client: client.chat(asked(output_schema=CLOSED)))
    assert set(msgspec.json.decode(reply.text)) == {"a"}


def test_embeddings_and_images_take_parameters_too():
    with MisbehavingServer() as server:
        embedding = EmbeddingRequest(model="small", text="t", seed=1, parameters={"dimensions": 8})
        picture = ImageRequest(model="small", prompt="p", seed=1, parameters={"response_format": "url"})
        talk(server.base_url, lambda client: client.embed(embedding))
        image = talk(server.base_url, lambda client: client.image(picture))
        bodies = [each.body for each in server.seen]
    assert bodies[0] == {"model": "small", "input": "t", "encoding_format": "float", "dimensions": 8}
    assert image.url.startswith("http://")
    assert image.base64 is None


def test_the_key_is_sent_and_a_server_without_keys_gets_none_of_ours():
    with MisbehavingServer(api_key=KEY) as server:
        talk(server.base_url, lambda client: client.chat(asked()), api_key=KEY)
        assert failure(server.base_url, lambda client: client.chat(asked())).status == 401


def test_what_the_environment_says_of_openai_is_not_told_to_others(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project")
    monkeypatch.setenv("OPENAI_BASE_URL", nobody_there())
    with MisbehavingServer() as server:
        talk(server.base_url, lambda client: client.chat(asked()))
        headers = server.seen[0].headers
    assert not {"openai-organization", "openai-project"} & set(headers)
    assert KEY not in str(headers)


def test_a1_a_redirect_is_not_followed():
    with MisbehavingServer() as other:
        moved = Answer(307, headers={"Location": f"{other.base_url}/chat/completions"})
        with MisbehavingServer(in_order(moved)) as server:
            assert failure(server.base_url, lambda client: client.chat(asked())).status == 307
        assert other.requests == 0


def test_connections_are_kept_for_the_next_call():
    async def five(client):
        for _ in range(5):
            await client.chat(asked())

    with MisbehavingServer() as server:
        talk(server.base_url, five)
        assert (server.requests, server.connections) == (5, 1)


# -- what is made of the answers -----------------------------------------------------------------------


def test_a11_milliseconds_of_some_servers_are_read():
    with MisbehavingServer(in_order(Answer(429, headers={"Retry-After-Ms": "1250"}))) as server:
        assert failure(server.base_url, lambda client: client.chat(asked())).retry_after_seconds == 1.25


def test_a11_a_date_is_reckoned_by_the_servers_clock():
    with MisbehavingServer(in_order(Answer(503, retry_after=90, as_date=True))) as server:
        assert failure(server.base_url, lambda client: client.chat(asked())).retry_after_seconds == 90


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, " (insufficient_quota)"),
        ({"type": "requests", "code": "rate_limit_exceeded"}, " (requests, rate_limit_exceeded)"),
        ({"type": "hello is what you asked", "code": KEY}, ""),
        ({"type": {"a": 1}, "code": 7}, ""),
        ("no object", ""),
    ],
)
def test_an_error_tells_the_providers_name_for_it_and_no_more(body, said):
    answer = Answer(429, body=msgspec.json.encode({"error": body}))
    with MisbehavingServer(in_order(answer)) as server:
        error = failure(server.base_url, lambda client: client.chat(asked()), api_key=KEY)
        host = server.base_url.split("/")[2]
    assert str(error) == f"{host} answered 429 Too Many Requests{said}"


def test_an_error_that_repeats_a_key_that_looks_like_a_name_does_not_tell_it():
    key = "abcdefgh"
    answer = Answer(401, body=msgspec.json.encode({"error": {"code": f"no_{key}"}}))
    with MisbehavingServer(in_order(answer)) as server:
        assert key not in str(failure(server.base_url, lambda client: client.chat(asked()), api_key=key))


def test_an_error_leads_to_nothing_that_holds_more():
    for base_url, rule in ((nobody_there(), None), (None, in_order(Answer(500)))):
        with MisbehavingServer(rule) as server:
            error = failure(base_url or server.base_url, lambda client: client.chat(asked()))
        assert (error.__cause__, error.__context__) == (None, None)


def test_a_reply_without_a_text_is_no_reply():
    said = {"choices": [{"message": {"role": "assistant", "content": None, "refusal": "I will not"}}]}
    with MisbehavingServer(in_order(Answer(body=msgspec.json.encode(said)))) as server:
        error = failure(server.base_url, lambda client: client.chat(asked()))
    assert (error.status, str(error).endswith("answered without a text")) == (None, True)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, (None, None)),
        ("much", (None, None)),
        ({"prompt_tokens": 3}, (3, None)),
        ({"prompt_tokens": "3", "completion_tokens": -1}, (None, None)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, (3, 4)),
    ],
)
def test_usage_is_read_as_far_as_it_can_be(usage, expected):
    said = {"choices": [{"message": {"content": "yes"}}], "usage": usage}
    with MisbehavingServer(in_order(Answer(body=msgspec.json.encode(said)))) as server:
        reply = talk(server.base_url, lambda client: client.chat(asked()))
    assert (reply.text, (reply.usage.input_tokens, reply.usage.output_tokens)) == ("yes", expected)


def test_a11_a_host_that_takes_no_connection_is_given_up_and_nothing_was_sent():
    with full_listener() as base_url:
        error = failure(base_url, lambda client: client.chat(asked()), connect_timeout_seconds=0.2)
    assert (error.status, error.sent) == (None, False)
    assert str(error).endswith("within 0.2 s")


def test_a11_a_wait_for_a_connection_of_the_pool_is_not_the_providers_time():
    """A pool that is too small shows as a connection that was not to be had: nothing was sent."""

    async def two(client):
        first = asyncio.ensure_future(client.chat(asked()))
        await asyncio.to_thread(server.wait_until, lambda seen: seen.requests == 1)
        try:
            with pytest.raises(ProviderError) as caught:
                await client.chat(asked())
        finally:
            first.cancel()
        return caught.value

    with MisbehavingServer(lambda _: Hang()) as server:
        error = talk(server.base_url, two, connections=1, connect_timeout_seconds=0.2)
        assert (error.status, error.sent, server.requests) == (None, False, 1)


def test_a_refused_connection_says_so():
    assert str(failure(nobody_there(), lambda client: client.chat(asked()))).endswith(": it was refused")


def test_a_host_that_does_not_exist_says_so():
    error = failure("http://no-such-host.invalid/v1", lambda client: client.healthcheck("m"))
    assert str(error) == "no connection to no-such-host.invalid: there is no host of this name"


# -- health --------------------------------------------------------------------------------------------


def test_a_health_check_asks_for_the_models_and_for_nothing_else():
    with MisbehavingServer() as server:
        talk(server.base_url, lambda client: client.healthcheck("small"))
        assert [(each.method, each.path) for each in server.seen] == [("GET", "/models")]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_a_list_of_models_counts_as_healthy(status):
    with MisbehavingServer(in_order(Answer(status))) as server:
        talk(server.base_url, lambda client: client.healthcheck("small"))


@pytest.mark.parametrize("listed", ["models/small", "small:latest", "small"])
def test_a_model_may_be_listed_under_a_longer_name(listed):
    with MisbehavingServer(models=(listed,)) as server:
        talk(server.base_url, lambda client: client.healthcheck("small"))


def test_an_unknown_model_is_named():
    with MisbehavingServer() as server:
        error = failure(server.base_url, lambda client: client.healthcheck("tiny"))
    assert (error.status, str(error).partition(" ")[2]) == (404, "does not know model 'tiny'")


def test_a_health_check_of_a_wrong_key():
    with MisbehavingServer(api_key=KEY) as server:
        error = failure(server.base_url, lambda client: client.healthcheck("small"), api_key="sk-wrong")
    assert (error.status, "sk-wrong" in str(error)) == (401, False)


# -- logs ----------------------------------------------------------------------------------------------


def test_the_libraries_log_neither_key_nor_prompt_unless_they_are_asked_to(caplog):
    caplog.set_level(logging.INFO)
    request = asked(messages=(ChatMessage("user", "confidential words"),))
    with MisbehavingServer(in_order(Answer(500))) as server:
        failure(server.base_url, lambda client: client.chat(request), api_key=KEY)
        talk(server.base_url, lambda client: client.chat(request), api_key=KEY)
    assert KEY not in caplog.text
    assert "confidential" not in caplog.text
