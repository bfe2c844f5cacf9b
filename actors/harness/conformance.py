"""What every provider client must keep to, as tests of yours: run with pytest.

    from actors.harness.conformance import ProviderConformance

    class TestMyClient(ProviderConformance):
        def make_client(self, base_url):
            return MyClient(base_url, key=self.api_key)

They run the client against a real server on loopback that speaks the OpenAI API and misbehaves
(`actors.harness.misbehaving_server`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import pytest

from actors.harness import openai_api
from actors.harness.behaviours import BREAKS, GARBAGE, GOOD, Answer, Break, Drip, Hang, Rule, in_order
from actors.harness.misbehaving_server import MisbehavingServer, full_listener, nobody_there
from actors.worker.providers.base import (
    ChatMessage,
    ChatRequest,
    EmbeddingRequest,
    ImageRequest,
    ProviderClient,
    ProviderError,
    on_request_sent,
)

T = TypeVar("T")
Call = Callable[[ProviderClient], Awaitable[Any]]

_REFUSALS = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)
_GUARD_SECONDS = 20.0
"""No call here takes long; one that never ends fails its test instead of stopping all of them."""


class ProviderConformance:
    """The tests. A subclass gives `make_client`, and says what its client can do.

    model: a model that the server knows. api_key: what the client is to send as its key; no error may tell
    it, nor the prompt. domains: which calls the client can make. parallel: calls that it can make at once
    without one waiting for another. patience_seconds: how soon the server has to see that a cancelled call is
    gone.
    """

    model: ClassVar[str] = "small"
    api_key: ClassVar[str] = "sk-conformance-7f3a"
    prompt: ClassVar[str] = "the quick brown fox is confidential"
    domains: ClassVar[tuple[str, ...]] = ("chat", "embedding", "image")
    parallel: ClassVar[int] = 8
    patience_seconds: ClassVar[float] = 5.0

    def make_client(self, base_url: str) -> ProviderClient:
        """Return a new client for the server at `base_url`. Called on the event loop that it will run on."""
        raise NotImplementedError("give the client that is to be tested")

    # -- one attempt, one request (A1) -----------------------------------------------------------------

    @pytest.mark.parametrize("domain", ["chat", "embedding", "image"])
    def test_a1_one_attempt_is_one_request(self, domain: str) -> None:
        """A call that works is one request for the right thing."""
        call = self._call(domain)
        with self._server() as server:
            self._run(server.base_url, call)
            assert [(each.method, each.path) for each in server.seen] == [("POST", _ROUTES[domain])]
            assert server.seen[0].body["model"] == self.model

    @pytest.mark.parametrize("domain", ["chat", "embedding", "image"])
    @pytest.mark.parametrize("status", _REFUSALS)
    def test_a1_an_error_is_told_and_not_tried_again(self, status: int, domain: str) -> None:
        """Each status arrives as it was sent, after one request, though the next would be answered."""
        call = self._call(domain)
        with self._server(in_order(Answer(status))) as server:
            error = self._failure(server.base_url, call)
            assert error.status == status
            assert error.retry_after_seconds is None, "nobody said when to come back"
            assert error.sent, "the request had left"
            assert server.requests == 1, "retries are the executor's"

    @pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS.keys())
    def test_a1_a_broken_connection_is_told_and_not_tried_again(self, broken: Break) -> None:
        """A connection that ends too soon has no status."""
        with self._server(in_order(broken)) as server:
            error = self._failure(server.base_url, self._chat)
            assert (error.status, error.sent) == (None, True)
            assert server.requests == 1, "retries are the executor's"

    @pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
    def test_a1_what_cannot_be_read_is_told_and_not_asked_for_again(self, garbage: Answer) -> None:
        """A 200 that holds no reply is an error without a status, not a reply and not a crash."""
        with self._server(in_order(garbage)) as server:
            error = self._failure(server.base_url, self._chat)
            assert (error.status, error.sent) == (None, True)
            assert server.requests == 1, "retries are the executor's"

    @pytest.mark.parametrize("domain", ["embedding", "image"])
    def test_a1_garbage_is_garbage_in_every_domain(self, domain: str) -> None:
        """No kind of call takes an unreadable answer for a reply."""
        call = self._call(domain)
        for garbage in GARBAGE.values():
            with self._server(in_order(garbage)) as server:
                assert self._failure(server.base_url, call).status is None

    # -- what a refusal asks for (A11) -----------------------------------------------------------------

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("said", ["2", "0", "1.5"])
    def test_a11_retry_after_in_seconds(self, status: int, said: str) -> None:
        """A number is seconds, whole or not."""
        with self._server(in_order(Answer(status, headers={"Retry-After": said}))) as server:
            error = self._failure(server.base_url, self._chat)
            assert (error.status, error.retry_after_seconds) == (status, float(said))

    @pytest.mark.parametrize("status", [429, 503])
    def test_a11_retry_after_as_an_http_date(self, status: int) -> None:
        """A date becomes the seconds until then."""
        with self._server(in_order(Answer(status, retry_after=600, as_date=True))) as server:
            error = self._failure(server.base_url, self._chat)
            assert error.status == status
            assert error.retry_after_seconds is not None, "a date says when to come back"
            assert 500 <= error.retry_after_seconds <= 601

    @pytest.mark.parametrize("said", ["soon", "", "-", "31 February"])
    def test_a11_a_retry_after_that_says_nothing_is_none(self, said: str) -> None:
        """Nonsense is no time, and no crash."""
        with self._server(in_order(Answer(429, headers={"Retry-After": said}))) as server:
            error = self._failure(server.base_url, self._chat)
            assert (error.status, error.retry_after_seconds) == (429, None)

    @pytest.mark.parametrize("as_date", [False, True])
    def test_a11_a_retry_after_that_has_passed_asks_for_no_time(self, as_date: bool) -> None:  # noqa: FBT001 - pytest's
        """No wait is shorter than none."""
        with self._server(in_order(Answer(429, retry_after=-30, as_date=as_date))) as server:
            assert not self._failure(server.base_url, self._chat).retry_after_seconds

    # -- replies ---------------------------------------------------------------------------------------

    def test_a_reply_and_its_usage_are_what_the_server_said(self) -> None:
        """Text and tokens arrive as they were sent."""
        if "chat" not in self.domains:
            pytest.skip("this client makes no chat calls")
        with self._server() as server:
            reply = self._run(server.base_url, lambda client: client.chat(self._chat_request()))
            said = openai_api.answer(openai_api.CHAT, server.seen[0].body, (self.model,))
            assert reply.text == openai_api.text_of(said)
            assert (reply.usage.input_tokens, reply.usage.output_tokens) == openai_api.usage_of(said)

    def test_an_embedding_and_its_usage_are_what_the_server_said(self) -> None:
        """Numbers and tokens arrive as they were sent."""
        call = self._call("embedding")
        with self._server() as server:
            reply = self._run(server.base_url, call)
            said = openai_api.answer(openai_api.EMBEDDINGS, server.seen[0].body, (self.model,))
            assert reply.vector == pytest.approx(said.body["data"][0]["embedding"])
            assert reply.usage.input_tokens == openai_api.usage_of(said)[0]

    def test_an_image_is_what_the_server_said(self) -> None:
        """A picture comes in base64 or as an address."""
        call = self._call("image")
        with self._server() as server:
            reply = self._run(server.base_url, call)
            [said] = openai_api.answer(openai_api.IMAGES, server.seen[0].body, (self.model,)).body["data"]
            assert {"b64_json": reply.base64, "url": reply.url}.items() >= said.items()

    def test_calls_at_once_get_each_its_own_reply(self) -> None:
        """Replies do not get mixed up, and no connection is waited for."""
        prompts = [f"{self.prompt} {number}" for number in range(self.parallel)]

        async def all_at_once(client: ProviderClient) -> list[Any]:
            return await asyncio.gather(*(client.chat(self._chat_request(prompt)) for prompt in prompts))

        with self._server() as server:
            replies = self._run(server.base_url, all_at_once)
            said = {
                each.body["messages"][-1]["content"]: openai_api.answer(
                    openai_api.CHAT, each.body, (self.model,)
                )
                for each in server.seen
            }
            assert [reply.text for reply in replies] == [openai_api.text_of(said[each]) for each in prompts]

    # -- cancelling (A11) ------------------------------------------------------------------------------

    @pytest.mark.parametrize("domain", ["chat", "embedding", "image"])
    def test_a11_a_cancelled_call_ends_at_once_and_lets_go_of_its_connection(self, domain: str) -> None:
        """The server sees its client go while it has not said a word."""
        call = self._call(domain)
        with self._server(lambda _: Hang()) as server:
            self._cancelled(server, call, lambda seen: seen.in_flight == 1)
            assert server.requests == 1

    def test_a11_a_slow_drip_is_cut_by_cancelling(self) -> None:
        """An answer that trickles in does not keep a cancelled call."""
        with self._server(lambda _: Drip(seconds=0.2)) as server:
            self._cancelled(server, self._chat, lambda seen: any(each.sent for each in seen.seen))

    def test_a11_all_calls_reach_the_server_at_once(self) -> None:
        """No call waits for another's connection: `parallel` of them are with the server together."""

        async def all_at_once(client: ProviderClient) -> None:
            await asyncio.gather(*(client.chat(self._chat_request()) for _ in range(self.parallel)))

        with self._server(lambda _: Hang()) as server:
            self._cancelled(server, all_at_once, lambda seen: seen.in_flight == self.parallel, self.parallel)

    def test_a11_a_client_goes_on_after_a_cancelled_call(self) -> None:
        """What was cancelled leaves nothing behind that the next call would trip over."""

        async def cancel_and_ask_again(client: ProviderClient) -> Any:
            hanging = asyncio.ensure_future(self._chat(client))
            await asyncio.to_thread(server.wait_until, lambda seen: seen.requests == 1)
            hanging.cancel()
            await asyncio.wait([hanging])
            return await self._chat(client)

        with self._server(in_order(Hang())) as server:
            assert self._run(server.base_url, cancel_and_ask_again).text
            assert server.requests == 2

    # -- three clocks that never mix (A11) -------------------------------------------------------------

    def test_a11_a_request_is_reported_when_it_is_sent_and_not_when_it_is_answered(self) -> None:
        """The server has the request and is silent: by then the client has said `request_sent`, once."""
        self._needs_reports()
        with self._server(lambda _: Hang()) as server:
            sent = self._cancelled(server, self._chat, lambda seen: seen.requests == 1)
            assert sent == 1

    def test_a11_every_request_of_a_kept_connection_is_reported(self) -> None:
        """It is the request that counts, not the connection."""
        self._needs_reports()
        told = _Told()

        async def ask_thrice(client: ProviderClient) -> None:
            for _ in range(3):
                await self._chat(client)

        with self._server() as server:
            self._run(server.base_url, ask_thrice, told)
            assert told.times == 3

    def test_a11_waiting_for_a_connection_is_not_the_providers_time(self) -> None:
        """A host that takes no connection has been sent nothing, and a cancelled wait for it ends at once."""
        self._needs_reports()
        told = _Told()

        async def wait_in_vain(client: ProviderClient) -> None:
            with pytest.raises((TimeoutError, ProviderError)):
                await asyncio.wait_for(self._chat(client), timeout=0.3)

        with full_listener() as base_url:
            self._run(base_url, wait_in_vain, told)
        assert told.times == 0

    def test_a11_where_nobody_listens_nothing_is_sent(self) -> None:
        """A refused connection is an error without a status, of a request that has not left."""
        told = _Told()
        error = self._failure(nobody_there(), self._chat, told)
        assert (error.status, error.sent, told.times) == (None, False, 0)

    # -- health ----------------------------------------------------------------------------------------

    def test_a_healthy_provider_is_healthy(self) -> None:
        """It is there, takes the key and knows the model."""
        with self._server() as server:
            self._run(server.base_url, self._healthcheck)

    @pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
    def test_a_health_check_tells_what_is_wrong(self, status: int) -> None:
        """A key that is refused is told apart from a server that has trouble."""
        with self._server(in_order(Answer(status))) as server:
            assert self._failure(server.base_url, self._healthcheck).status == status
            assert server.requests == 1, "retries are the executor's"

    def test_a_health_check_knows_an_unknown_model(self) -> None:
        """A model that the server does not have is a 404."""
        with MisbehavingServer(models=("another",)) as server:
            assert self._failure(server.base_url, self._healthcheck).status == 404

    def test_a_health_check_of_a_host_that_is_not_there(self) -> None:
        """It cannot be reached: no status."""
        assert self._failure(nobody_there(), self._healthcheck).status is None

    def test_a_health_check_can_be_cancelled(self) -> None:
        """Like every call."""
        with self._server(lambda _: Hang()) as server:
            self._cancelled(server, self._healthcheck, lambda seen: seen.in_flight == 1)

    # -- secrets and ends ------------------------------------------------------------------------------

    @pytest.mark.parametrize("status", [400, 401, 429, 500])
    def test_no_error_tells_the_key_or_what_was_asked(self, status: int) -> None:
        """The server repeats both in its error; neither the error nor what led to it does."""
        with self._server(in_order(Answer(status))) as server:
            error = self._failure(server.base_url, self._chat)
            assert server.requests == 1
        assert self._leaks(error) == []

    def test_no_unreadable_answer_is_told(self) -> None:
        """What a provider says instead of a reply is not told on."""
        text = f"{self.api_key} asked {self.prompt}"
        for body in (text.encode(), b'{"error": "%s"}' % text.encode()):
            with self._server(in_order(Answer(body=body))) as server:
                assert self._leaks(self._failure(server.base_url, self._chat)) == []

    def test_closing_lets_go_of_every_connection(self) -> None:
        """After `close` the server has no connection of this client."""
        with self._server() as server:
            self._run(server.base_url, self._chat)
            server.wait_until(lambda seen: seen.open_connections == 0)
            assert server.connections == 1

    # -- how -------------------------------------------------------------------------------------------

    @contextmanager
    def _server(self, rule: Rule | None = None) -> Iterator[MisbehavingServer]:
        with MisbehavingServer(rule or (lambda _: GOOD), models=(self.model,)) as server:
            yield server

    def _run(self, base_url: str, call: Call, told: _Told | None = None) -> Any:
        """Make a client on a loop of its own, make a call, close the client; return what the call did."""

        async def within() -> Any:
            on_request_sent.set(told)
            client = self.make_client(base_url)
            try:
                async with asyncio.timeout(_GUARD_SECONDS):
                    return await call(client)
            finally:
                await client.close()

        return asyncio.run(within())

    def _failure(self, base_url: str, call: Call, told: _Told | None = None) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            self._run(base_url, call, told)
        assert str(caught.value), "an error says what has happened"
        return caught.value

    def _cancelled(
        self,
        server: MisbehavingServer,
        call: Call,
        ready: Callable[[MisbehavingServer], bool],
        requests: int = 1,
    ) -> int:
        """Cancel a call as soon as the server is `ready`; return how often it had said that it was sent.

        The server has to see all its `requests` go, while the client is still open.
        """
        told = _Told()

        async def start_and_cancel(client: ProviderClient) -> int:
            calling = asyncio.ensure_future(call(client))
            await asyncio.to_thread(server.wait_until, ready)
            times = told.times
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            await asyncio.to_thread(
                server.wait_until, lambda seen: seen.gone == requests, self.patience_seconds
            )
            return times

        times = self._run(server.base_url, start_and_cancel, told)
        assert isinstance(times, int)
        return times

    def _needs_reports(self) -> None:
        async def within() -> bool:
            client = self.make_client(nobody_there())
            await client.close()
            return bool(getattr(client, "reports_sending", False))

        if not asyncio.run(within()):
            pytest.skip("this client does not say when a request leaves: all of its time is the provider's")

    def _leaks(self, error: BaseException) -> list[str]:
        """Return what of `error`, and of everything that led to it, holds a secret."""
        texts: list[str] = []
        told: BaseException | None = error
        while told is not None:
            texts += [str(told), repr(told)]
            told = told.__cause__ or told.__context__
        return [text for text in texts if self.api_key in text or self.prompt in text]

    def _chat_request(self, prompt: str = "") -> ChatRequest:
        turns = (ChatMessage("system", "be brief"), ChatMessage("user", prompt or self.prompt))
        return ChatRequest(model=self.model, messages=turns, seed=7)

    def _chat(self, client: ProviderClient) -> Awaitable[Any]:
        return client.chat(self._chat_request())

    def _healthcheck(self, client: ProviderClient) -> Coroutine[Any, Any, None]:
        return client.healthcheck(self.model)

    def _call(self, domain: str) -> Call:
        if domain not in self.domains:
            pytest.skip(f"this client makes no {domain} calls")
        if domain == "embedding":
            return lambda client: client.embed(EmbeddingRequest(model=self.model, text=self.prompt, seed=7))
        if domain == "image":
            return lambda client: client.image(ImageRequest(model=self.model, prompt=self.prompt, seed=7))
        return self._chat


_ROUTES = {"chat": openai_api.CHAT, "embedding": openai_api.EMBEDDINGS, "image": openai_api.IMAGES}


class _Told:
    """Counts how often a client said that a request leaves."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        """Count once more."""
        self.times += 1
