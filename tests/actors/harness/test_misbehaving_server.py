"""The server that misbehaves does so as told, and counts; the kit sees through clients that are not right."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading

import pytest

from actors.harness.behaviours import Answer, Arrival, Break, Drip, Hang, in_order, storm
from actors.harness.conformance import ProviderConformance
from actors.harness.misbehaving_server import MisbehavingServer
from actors.worker.providers.base import ChatReply, ProviderError, request_sent
from tests.actors.worker.providers.plain_client import PlainClient

CHAT = {"model": "small", "messages": [{"role": "user", "content": "one two"}]}


def connect(server):
    return http.client.HTTPConnection(server.base_url.split("/")[2], timeout=10)


def post(connection, body=CHAT, path="/v1/chat/completions"):
    connection.request("POST", path, json.dumps(body))
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read()), answer.headers


def test_requests_and_connections_are_counted_apart():
    with MisbehavingServer() as server:
        first, second = connect(server), connect(server)
        answers = [post(first)[1], post(first)[1], post(second)[1]]
        first.close()
        second.close()
        server.wait_until(lambda seen: seen.open_connections == 0)
        assert (server.requests, server.connections, server.most_in_flight) == (3, 2, 1)
        assert [each.connection for each in server.seen] == [1, 1, 2]
    assert answers[0] == answers[1] == answers[2], "equal requests get equal answers"
    assert answers[0]["usage"]["prompt_tokens"] == 2


def test_behaviours_come_in_order_and_then_all_is_well():
    rule = in_order(Answer(429, retry_after=2), Answer(503), Answer(body=b"{}"))
    with MisbehavingServer(rule) as server:
        connection = connect(server)
        answers = [post(connection) for _ in range(4)]
        connection.close()
    assert [status for status, _, _ in answers] == [429, 503, 200, 200]
    assert [headers["Retry-After"] for _, _, headers in answers] == ["2", None, None, None]
    assert answers[2][1] == {}
    assert answers[3][1]["choices"]


def test_what_it_does_not_know_it_refuses():
    with MisbehavingServer() as server:
        connection = connect(server)
        assert post(connection, {**CHAT, "model": "large"})[0] == 404
        assert post(connection, [])[0] == 400
        assert post(connection, path="/v1/elsewhere")[0] == 404
        connection.close()


def test_it_sees_how_many_are_with_it_and_who_goes():
    with MisbehavingServer(lambda _: Hang()) as server:
        connections = [connect(server) for _ in range(3)]
        for connection in connections:
            connection.request("POST", "/v1/chat/completions", json.dumps(CHAT))
        server.wait_until(lambda seen: seen.in_flight == 3)
        connections[0].close()
        server.wait_until(lambda seen: seen.gone == 1)
        assert (server.in_flight, server.most_in_flight) == (2, 3)
        for connection in connections[1:]:
            connection.close()


@pytest.mark.parametrize("when", ["before", "headers", "body"])
@pytest.mark.parametrize("reset", [True, False])
def test_a_broken_connection_is_broken_and_noted(when, reset):
    with MisbehavingServer(in_order(Break(when, reset=reset))) as server:
        connection = connect(server)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            post(connection)
        connection.close()
        server.wait_until(lambda seen: seen.seen[0].end == "broken")


def test_a_drip_comes_to_an_end():
    with MisbehavingServer(in_order(Drip(seconds=0.0))) as server:
        connection = connect(server)
        assert post(connection)[1]["choices"]
        connection.close()
        server.wait_until(lambda seen: seen.seen[0].end == "answered")
        assert server.seen[0].sent > 100


def test_a_storm_passes():
    def at(number, seconds):
        return storm(60.0)(Arrival(number, seconds, "POST", "/chat/completions", CHAT))

    during = [at(number, 59.9) for number in range(1, 101)]
    assert sum(behaviour.status == 429 for behaviour in during) == 50
    assert {at(number, 60.0).status for number in range(1, 101)} == {200}


def test_waiting_for_what_does_not_come_ends_with_what_was_seen():
    with MisbehavingServer() as server, pytest.raises(TimeoutError, match="0 requests, 0 of 0 connections"):
        server.wait_until(lambda seen: seen.requests == 1, timeout=0.01)


def test_it_leaves_no_thread_behind_whoever_is_still_there():
    before = threading.active_count()
    with MisbehavingServer(lambda _: Hang()) as server:
        connection = connect(server)
        connection.request("POST", "/v1/chat/completions", json.dumps(CHAT))
        server.wait_until(lambda seen: seen.in_flight == 1)
    connection.close()
    assert threading.active_count() == before


# -- the kit sees what is wrong ------------------------------------------------------------------------


class Retrying(PlainClient):
    async def chat(self, request):
        try:
            return await super().chat(request)
        except ProviderError:
            return await super().chat(request)


class Careless(PlainClient):
    """Tells what it was answered, takes anything for a reply, and says too early that it has sent it."""

    async def chat(self, request):
        request_sent()
        try:
            return await super().chat(request)
        except ProviderError as error:
            if error.status is None:
                return ChatReply("")
            raise ProviderError(f"{self._key} was refused", status=error.status) from error


class Stubborn(PlainClient):
    async def chat(self, request):
        """Go on, though the call is cancelled, until the client is closed."""
        self.going_on = asyncio.ensure_future(super().chat(request))
        return await asyncio.shield(self.going_on)

    async def close(self):
        self.going_on.cancel()


def kit_of(client, patience=5.0):
    class Kit(ProviderConformance):
        patience_seconds = patience

        def make_client(self, base_url):
            return client(base_url, self.api_key)

    return Kit()


@pytest.mark.parametrize(
    ("client", "check"),
    [
        (Retrying, lambda kit: kit.test_a1_an_error_is_told_and_not_tried_again(500, "chat")),
        (Retrying, lambda kit: kit.test_a1_a_broken_connection_is_told_and_not_tried_again(Break())),
        (
            Careless,
            lambda kit: kit.test_a1_what_cannot_be_read_is_told_and_not_asked_for_again(Answer(body=b"x")),
        ),
        (Careless, lambda kit: kit.test_a11_retry_after_in_seconds(429, "2")),
        (Careless, lambda kit: kit.test_no_error_tells_the_key_or_what_was_asked(401)),
        (Careless, lambda kit: kit.test_a11_waiting_for_a_connection_is_not_the_providers_time()),
        (
            Stubborn,
            lambda kit: kit.test_a11_a_cancelled_call_ends_at_once_and_lets_go_of_its_connection("chat"),
        ),
        (Careless, lambda kit: kit.test_a11_every_request_of_a_kept_connection_is_reported()),
    ],
)
def test_a_client_that_is_not_right_does_not_pass(client, check):
    check(kit_of(PlainClient))
    with pytest.raises((AssertionError, TimeoutError, pytest.fail.Exception)):
        check(kit_of(client, patience=0.3))
