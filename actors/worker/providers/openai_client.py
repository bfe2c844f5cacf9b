"""Any endpoint that speaks the OpenAI API, through the official client with its own retries off (A1)."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Awaitable, Iterator
from http import HTTPStatus
from typing import Any, TypeVar

import httpx2
import msgspec
import openai

from actors.worker.providers.base import (
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    ImageReply,
    ImageRequest,
    ProviderError,
    Usage,
    request_sent,
)
from actors.worker.providers.openai_replies import Completion, Embeddings, Images, Models, response_format
from actors.worker.providers.retry_after import retry_after_seconds
from messages.job import OpenAIProvider

T = TypeVar("T")

_OWN_URL = "https://api.openai.com/v1"
_NO_KEY = "none"
_NAME = re.compile(r"[a-z]+(_[a-z]+)*")
_LONGEST_NAME = 48
_NO_MODEL_LIST = frozenset({404, 405, 501})


class OpenAIClient:
    """One endpoint. A request is made once: neither an error nor a redirect is followed by another.

    `connections` is how many there may be at once: as many as attempts, so that none waits for another's.
    Parameters go into the request's body as they are, those of a table `extra_body` too; what makes the call
    itself (model, messages, input, prompt, stream) is not theirs to say. `seed = false` leaves the seed out,
    for servers that refuse it; `response_format = { type = "json_object" }` is for those that know no other
    way to ask for JSON.
    """

    reports_sending = True

    def __init__(self, config: OpenAIProvider, *, api_key: str | None, connections: int) -> None:
        base_url = config.base_url or _OWN_URL
        self._key = api_key
        self._where = httpx2.URL(base_url).netloc.decode("ascii", "replace")
        self._patience = config.connect_timeout_seconds
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or _NO_KEY,
            max_retries=0,
            # How long an attempt may take is the executor's to say.
            timeout=openai.Timeout(None, connect=self._patience, pool=self._patience),
            http_client=httpx2.AsyncClient(
                limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
                follow_redirects=False,
                event_hooks={"request": [_watch]},
            ),
        )
        if config.base_url is not None:  # what the environment says of OpenAI is no business of others
            self._client.organization = self._client.project = None

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Make one chat call."""
        body: dict[str, Any] = {"seed": request.seed, **_flat(request.parameters)}
        if body["seed"] is False:
            del body["seed"]
        if request.output_schema is not None:
            body["response_format"] = response_format(request.output_schema, body.get("response_format"))
        turns = [{"role": each.role, "content": each.content} for each in request.messages]
        body |= {"model": request.model, "messages": turns, "stream": False}
        found = await self._asked(self._post("/chat/completions", body), Completion)
        text = found.choices[0].message.content if found.choices else None
        if text is None:
            raise ProviderError(f"{self._where} answered without a text")
        return ChatReply(text, _usage(found.usage))

    async def embed(self, request: EmbeddingRequest) -> EmbeddingReply:
        """Make one embedding call."""
        body = _flat(request.parameters)
        body |= {"model": request.model, "input": request.text, "encoding_format": "float"}
        found = await self._asked(self._post("/embeddings", body), Embeddings)
        if not found.data:
            raise ProviderError(f"{self._where} answered without an embedding")
        return EmbeddingReply(found.data[0].embedding, _usage(found.usage))

    async def image(self, request: ImageRequest) -> ImageReply:
        """Make one call for an image."""
        body = _flat(request.parameters) | {"model": request.model, "prompt": request.prompt, "stream": False}
        found = await self._asked(self._post("/images/generations", body), Images)
        picture = found.data[0] if found.data else None
        if picture is None or (picture.b64_json is None and picture.url is None):
            raise ProviderError(f"{self._where} answered without an image")
        return ImageReply(picture.b64_json, picture.url, _usage(found.usage))

    async def healthcheck(self, model: str) -> None:
        """Ask for the list of models. A server that has none to give counts as healthy.

        Raises:
            ProviderError: it is not there, refuses the key, or does not know `model` (404).
        """
        try:
            found = await self._asked(self._client.get("/models", cast_to=httpx2.Response), Models)
        except ProviderError as error:
            if error.status not in _NO_MODEL_LIST:
                raise
            return
        if not any(model in each.names for each in found.data):
            raise ProviderError(f"{self._where} does not know model {model!r}", status=404)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    # -- one request -----------------------------------------------------------------------------------

    def _post(self, path: str, body: dict[str, Any]) -> Awaitable[httpx2.Response]:
        return self._client.post(path, cast_to=httpx2.Response, body=body)

    async def _asked(self, response: Awaitable[httpx2.Response], kind: type[T]) -> T:
        """Return what a request is answered with, as a `kind`.

        What the libraries raise holds the provider's words and ours: the error that leaves here must not lead
        to it, so it is made while theirs is handled and raised afterwards.
        """
        try:
            return msgspec.json.decode((await response).content, type=kind)
        except openai.APIStatusError as error:
            failure = self._refusal(error)
        except openai.APIConnectionError as error:
            failure = self._loss(error)
        except (openai.APIError, msgspec.DecodeError, UnicodeDecodeError):
            failure = ProviderError(
                f"{self._where} answered with something that is no {kind.__name__.lower()}"
            )
        raise failure

    def _refusal(self, error: openai.APIStatusError) -> ProviderError:
        status = error.status_code
        phrase = f" {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else ""
        names = dict.fromkeys(name for name in (error.type, error.code) if name and self._is_tellable(name))
        named = f" ({', '.join(names)})" if names else ""
        return ProviderError(
            f"{self._where} answered {status}{phrase}{named}",
            status=status,
            retry_after_seconds=retry_after_seconds(error.response.headers, wall_now=time.time()),
        )

    def _is_tellable(self, name: str) -> bool:
        """Whether an error's name is one, and no place for what the provider has to say about the request."""
        if len(str(name)) > _LONGEST_NAME or _NAME.fullmatch(str(name)) is None:
            return False
        return self._key is None or self._key not in str(name)

    def _loss(self, error: openai.APIConnectionError) -> ProviderError:
        watch = error.request.extensions.get("trace")
        if isinstance(watch, _Sending) and watch.begun:
            return ProviderError(f"the connection to {self._where} broke before the whole answer was there")
        causes = list(_causes(error))
        if any(isinstance(cause, httpx2.TimeoutException) for cause in causes):
            text = f"no connection to {self._where} within {self._patience:g} s"
        else:
            text = f"no connection to {self._where}{next(filter(None, map(_reason, causes)), '')}"
        return ProviderError(text, sent=False)


class _Sending:
    """Hears from the transport how a request goes, and says when it leaves."""

    def __init__(self) -> None:
        self.begun = False

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        """Take note of one step of the transport."""
        if self.begun or not event.endswith(".send_request_headers.started"):
            return
        if getattr(info.get("request"), "method", b"") != b"CONNECT":  # that is to a proxy, for a connection
            self.begun = True
            request_sent()


async def _watch(request: httpx2.Request) -> None:
    request.extensions["trace"] = _Sending()


def _flat(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return a model's parameters with those of its `extra_body` among them."""
    further = parameters.get("extra_body")
    if not isinstance(further, dict):
        return dict(parameters)
    return {key: value for key, value in parameters.items() if key != "extra_body"} | further


def _usage(said: Any) -> Usage:
    """Return the tokens that a reply says were used; None for what cannot be read."""

    def count(*names: str) -> int | None:
        found = (said.get(name) for name in names) if isinstance(said, dict) else ()
        return next((value for value in found if type(value) is int and value >= 0), None)

    return Usage(count("prompt_tokens", "input_tokens"), count("completion_tokens", "output_tokens"))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _reason(error: BaseException) -> str:
    match error:
        case ConnectionRefusedError():
            return ": it was refused"
        case socket.gaierror():
            return ": there is no host of this name"
        case ssl.SSLError():
            return ": TLS failed"
        case httpx2.LocalProtocolError():
            return ": the request cannot be put into HTTP"
        case _:
            return ""
