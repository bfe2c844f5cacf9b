"""The embedded provider: real waiting, replies determined by the request alone."""

from __future__ import annotations

import asyncio
import random

from actors.worker.providers.base import (
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    ImageReply,
    ImageRequest,
    Usage,
)
from messages.job import SimulatedProvider

_OPENINGS = ("Under a pale sky", "Long after the storm", "By the edge of the ice", "On an ordinary morning")
_VERBS = ("considers", "remembers", "doubts", "celebrates", "questions", "describes")
_OBJECTS = ("the sea", "an old promise", "its neighbours", "the shape of the wind", "a missing pebble")
_CLOSINGS = ("and says so twice.", "without a word.", "as if nothing had happened.", "and is right.")
_DIMENSIONS = 16


class SimulatedClient:
    """Waits as long as the configuration says, then replies. Equal requests get equal replies."""

    def __init__(self, config: SimulatedProvider) -> None:
        self._mean = config.latency_ms.mean / 1000.0
        self._jitter = config.latency_ms.jitter / 1000.0

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return a made-up sentence about the prompt."""
        system, prompt = request.system, request.prompt
        rng = _rng("chat", request.model, system, prompt, request.seed)
        await asyncio.sleep(self._latency(rng))
        words = prompt.split()
        subject = " ".join(words[-6:]).rstrip(".?!") or "nobody"
        text = (
            f"{rng.choice(_OPENINGS)}, {subject} {rng.choice(_VERBS)} "
            f"{rng.choice(_OBJECTS)} {rng.choice(_CLOSINGS)}"
        )
        return ChatReply(text, Usage(len(words) + len(system.split()), len(text.split())))

    async def embed(self, request: EmbeddingRequest) -> EmbeddingReply:
        """Return a vector of unit length that only equal texts share."""
        rng = _rng("embedding", request.model, request.text, request.seed)
        await asyncio.sleep(self._latency(rng))
        vector = [rng.gauss(0.0, 1.0) for _ in range(_DIMENSIONS)]
        length = sum(value * value for value in vector) ** 0.5
        return EmbeddingReply(
            [round(value / length, 6) for value in vector], Usage(len(request.text.split()), 0)
        )

    async def image(self, request: ImageRequest) -> ImageReply:
        """Return no picture at all yet."""
        raise NotImplementedError(request.model)

    async def healthcheck(self, model: str) -> None:
        """Be there."""

    async def close(self) -> None:
        """Hold nothing, let go of nothing."""

    def _latency(self, rng: random.Random) -> float:
        return max(0.0, self._mean + self._jitter * (2.0 * rng.random() - 1.0))


def _rng(*parts: object) -> random.Random:
    return random.Random("\x1f".join(str(part) for part in parts))  # noqa: S311 - determined, not secret
