"""What a provider client is: one call, one attempt, one reply or one exception."""

from __future__ import annotations

from typing import Protocol

import msgspec


class ChatRequest(msgspec.Struct, frozen=True):
    """One chat call. `seed` determines the reply where the provider can be determined."""

    model: str
    prompt: str
    system: str
    seed: int


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """One embedding call."""

    model: str
    text: str
    seed: int


class Usage(msgspec.Struct, frozen=True):
    """Tokens that a call was billed for, as the provider counted them."""

    input_tokens: int = 0
    output_tokens: int = 0


class ChatReply(msgspec.Struct, frozen=True):
    """What a chat call returned."""

    text: str
    usage: Usage = Usage()


class EmbeddingReply(msgspec.Struct, frozen=True):
    """What an embedding call returned."""

    vector: list[float]
    usage: Usage = Usage()


class ProviderError(Exception):
    """The provider answered with an error, or could not be reached.

    `status` is the HTTP status, None where there was no answer; `retry_after_seconds` what it asked for.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class ProviderClient(Protocol):
    """One provider. Called on the worker's event loop, many calls at once.

    A call that is cancelled must end at once. Whatever a call raises ends its attempt.
    """

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Make one chat call."""
        ...

    async def embed(self, request: EmbeddingRequest) -> EmbeddingReply:
        """Make one embedding call."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
