"""The embedded provider: real waiting, scripted trouble, replies determined by the request alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from hashlib import blake2b
from typing import Literal, NamedTuple, NoReturn, TypeVar

import msgspec

from actors.worker.providers.base import (
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    ImageReply,
    ImageRequest,
    ProviderError,
)
from actors.worker.providers.made_up import chance_of, chat_reply, determined, embedding_reply, image_reply
from actors.worker.providers.script import Conditions, Script
from actors.worker.providers.slots import Slots
from messages.job import SimulatedProvider

Request = TypeVar("Request", ChatRequest, EmbeddingRequest, ImageRequest)
Reply = TypeVar("Reply")
Fate = Literal["answer", "refuse", "error", "hang", "reset"]

_REFUSAL_SHARE = 0.1
"""How long a refusal takes, in shares of the latency that a reply would have had."""


class _Try(NamedTuple):
    """One try of a request: how many before it were made to fail, and what becomes of it."""

    key: bytes
    number: int
    fate: Fate


_UNTROUBLED = _Try(b"", 0, "answer")


class SimulatedClient:
    """Waits as long as the configuration says, then replies. Equal requests get equal replies.

    `elapsed` gives the seconds since the job's start, 0 before it: what the script goes by. Which tries of a
    request fail is decided by `seed`, the request, and how many of its tries were made to fail before: so
    trying again may succeed, and whatever the interleaving the same tries fail. What is remembered are the
    requests that have failed and not succeeded since.
    """

    def __init__(
        self, config: SimulatedProvider, *, seed: int = 0, elapsed: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._mean = config.latency_ms.mean / 1000.0
        self._jitter = config.latency_ms.jitter / 1000.0
        self._script = Script(config.script, config.repeat_seconds)
        self._queues = config.when_full == "queue"
        self._seed = seed
        self._elapsed = elapsed
        self._slots = Slots(lambda: self._now().capacity, self._seconds_to_change)
        self._failed: dict[bytes, int] = {}

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return a made-up sentence about the prompt, or made-up JSON that fits the request's schema."""
        return await self._served(request, chat_reply)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingReply:
        """Return a vector of unit length that only equal texts share."""
        return await self._served(request, embedding_reply)

    async def image(self, request: ImageRequest) -> ImageReply:
        """Return a picture of one colour, in base64."""
        return await self._served(request, image_reply)

    async def healthcheck(self, model: str) -> None:  # noqa: ARG002 - it knows every model
        """Be there, unless the script has an outage just now."""
        if self._now().outage:
            raise _unreachable()

    async def close(self) -> None:
        """Stop looking out for the script's next step."""
        self._slots.close()

    # -- one call --------------------------------------------------------------------------------------

    async def _served(self, request: Request, reply: Callable[[Request, random.Random], Reply]) -> Reply:
        chance = chance_of(request)
        latency = max(0.0, self._mean + self._jitter * (2.0 * chance.random() - 1.0))
        now = self._now()
        if now.outage:
            await asyncio.sleep(latency * _REFUSAL_SHARE)
            raise _unreachable()
        present = self._try_of(request, now)
        if present.fate == "refuse" or not (self._queues or self._slots.try_take()):
            self._remember(present, failed=present.fate == "refuse")
            await asyncio.sleep(latency * now.latency_factor * _REFUSAL_SHARE)
            raise ProviderError(
                "the simulated endpoint is full", status=429, retry_after_seconds=now.retry_after
            )
        if self._queues:
            await self._slots.take()
        try:
            self._remember(present, failed=present.fate != "answer")
            await self._endure(present.fate, latency * self._now().latency_factor)
        finally:
            self._slots.give_back()
        self._failed.pop(present.key, None)
        return reply(request, chance)

    async def _endure(self, fate: Fate, seconds: float) -> None:
        match fate:
            case "hang":
                await _for_ever()
            case "reset":
                await asyncio.sleep(seconds / 2)
                raise ProviderError("the simulated connection broke")
            case _:
                await asyncio.sleep(seconds)
        if fate == "error":
            raise ProviderError("the simulated endpoint failed", status=500)

    def _try_of(self, request: Request, now: Conditions) -> _Try:
        """Return what is to become of a request's present try."""
        shares: tuple[tuple[Fate, float], ...] = (
            ("refuse", now.refuse_rate),
            ("error", now.error_rate),
            ("hang", now.hang_rate),
            ("reset", now.reset_rate),
        )
        if not self._failed and not any(share for _, share in shares):
            return _UNTROUBLED
        key = blake2b(msgspec.msgpack.encode(request, order="sorted"), digest_size=16).digest()
        number = self._failed.get(key, 0)
        drawn = determined(self._seed, key.hex(), number).random()
        for fate, share in shares:
            if drawn < share:
                return _Try(key, number, fate)
            drawn -= share
        return _Try(key, number, "answer")

    def _remember(self, present: _Try, *, failed: bool) -> None:
        """Count a try that was made to fail. One that found no place is not: that is no lot of its own."""
        if failed:
            self._failed[present.key] = present.number + 1

    def _now(self) -> Conditions:
        return self._script.at(self._elapsed())

    def _seconds_to_change(self) -> float | None:
        elapsed = self._elapsed()
        change = self._script.next_change(elapsed)
        return None if change is None else change - elapsed


def _unreachable() -> ProviderError:
    return ProviderError("the simulated endpoint cannot be reached", sent=False)


async def _for_ever() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nothing ends this but being cancelled")
