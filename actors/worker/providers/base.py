"""What a provider client is: one call, one attempt, one reply or one exception."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, Protocol

import msgspec


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One chat call.

    `messages` in order, at least one. `seed` determines the reply where the provider can be determined.
    `parameters` are the model's (`temperature`, `max_tokens`, ...). `output_schema`: the JSON Schema that the
    reply has to fit; a provider that cannot be asked for that leaves it out, and the reply is judged anyway.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    seed: int
    parameters: dict[str, Any] = {}
    output_schema: dict[str, Any] | None = None

    @property
    def prompt(self) -> str:
        """What the user said last."""
        return next((each.content for each in reversed(self.messages) if each.role == "user"), "")

    @property
    def system(self) -> str:
        """What the model was told beforehand; empty where it was told nothing."""
        return next((each.content for each in self.messages if each.role == "system"), "")


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One embedding call."""

    model: str
    text: str
    seed: int
    parameters: dict[str, Any] = {}


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call for an image."""

    model: str
    prompt: str
    seed: int
    parameters: dict[str, Any] = {}


class Usage(msgspec.Struct, frozen=True):
    """Tokens that a call was billed for, as the provider counted them; None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class ChatReply(msgspec.Struct, frozen=True):
    """What a chat call returned."""

    text: str
    usage: Usage = Usage()


class EmbeddingReply(msgspec.Struct, frozen=True):
    """What an embedding call returned."""

    vector: list[float]
    usage: Usage = Usage()


class ImageReply(msgspec.Struct, frozen=True):
    """What a call for an image returned: the picture in base64, or where it can be fetched."""

    base64: str | None = None
    url: str | None = None
    usage: Usage = Usage()


class ProviderError(Exception):
    """The provider answered with an error, or could not be reached.

    `status` is the HTTP status, None where there was no answer that could be read; `retry_after_seconds`
    what it asked for. `sent` is False where nothing of the request has left. The message is told to people:
    no key, and nothing of the provider's body.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.sent = sent


class ProviderClient(Protocol):
    """One provider. Called on the worker's event loop, many calls at once, one attempt per call.

    It makes no retries of its own (A1), and a call that is cancelled ends at once. Whatever a call raises
    ends its attempt: `ProviderError` says how, anything else is taken for a defect of the client.

    A client that has to wait for a connection calls `request_sent()` when the request leaves, and has a
    class attribute `reports_sending = True`: only from then on does the provider's time run (A11).
    """

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Make one chat call."""
        ...

    async def embed(self, request: EmbeddingRequest) -> EmbeddingReply:
        """Make one embedding call."""
        ...

    async def image(self, request: ImageRequest) -> ImageReply:
        """Make one call for an image."""
        ...

    async def healthcheck(self, model: str) -> None:
        """Return if the provider is there, takes the key and knows `model`.

        Raises:
            ProviderError: it is not; `status` 401 or 403 for the key, 404 for the model.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


on_request_sent: ContextVar[Callable[[], None] | None] = ContextVar("on_request_sent", default=None)
"""What the executor wants to hear when the attempt under way in this context is sent."""


def request_sent() -> None:
    """Say that the request of the attempt under way leaves now: the wait for a connection is over."""
    noted = on_request_sent.get()
    if noted is not None:
        noted()
