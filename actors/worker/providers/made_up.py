"""The replies of the embedded provider: made up, and determined by the request alone (R12). Pure."""

from __future__ import annotations

import random

import msgspec

from actors.worker.providers.base import (
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    ImageReply,
    ImageRequest,
    Usage,
)
from actors.worker.providers.pictures import picture
from actors.worker.providers.schema_example import fitting

_OPENINGS = ("Under a pale sky", "Long after the storm", "By the edge of the ice", "On an ordinary morning")
_VERBS = ("considers", "remembers", "doubts", "celebrates", "questions", "describes")
_OBJECTS = ("the sea", "an old promise", "its neighbours", "the shape of the wind", "a missing pebble")
_CLOSINGS = ("and says so twice.", "without a word.", "as if nothing had happened.", "and is right.")
_DIMENSIONS = 16


def chance_of(request: ChatRequest | EmbeddingRequest | ImageRequest) -> random.Random:
    """Return the chance that decides everything about a request; equal requests have an equal one."""
    further: tuple[str, ...] = () if not request.parameters else (_written(request.parameters),)
    match request:
        case ChatRequest():
            if len(request.messages) > 1 + bool(request.system):
                further += tuple(f"{each.role}: {each.content}" for each in request.messages)
            if request.output_schema is not None:
                further += (_written(request.output_schema),)
            return determined("chat", request.model, request.system, request.prompt, request.seed, *further)
        case EmbeddingRequest():
            return determined("embedding", request.model, request.text, request.seed, *further)
        case _:
            return determined("image", request.model, request.prompt, request.seed, *further)


def chat_reply(request: ChatRequest, chance: random.Random) -> ChatReply:
    """Return a sentence about the prompt, or JSON that fits the request's schema."""
    words = request.prompt.split()
    if request.output_schema is not None:
        text = msgspec.json.encode(fitting(request.output_schema, chance)).decode()
    else:
        subject = " ".join(words[-6:]).rstrip(".?!") or "nobody"
        text = (
            f"{chance.choice(_OPENINGS)}, {subject} {chance.choice(_VERBS)} "
            f"{chance.choice(_OBJECTS)} {chance.choice(_CLOSINGS)}"
        )
    taken = sum(len(each.content.split()) for each in request.messages)
    return ChatReply(text, Usage(taken, len(text.split())))


def embedding_reply(request: EmbeddingRequest, chance: random.Random) -> EmbeddingReply:
    """Return a vector of unit length that only equal texts share."""
    vector = [chance.gauss(0.0, 1.0) for _ in range(_DIMENSIONS)]
    length = sum(value * value for value in vector) ** 0.5
    numbers = [round(value / length, 6) for value in vector]
    return EmbeddingReply(numbers, Usage(len(request.text.split()), 0))


def image_reply(request: ImageRequest, chance: random.Random) -> ImageReply:
    """Return a picture of one colour."""
    colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
    return ImageReply(base64=picture(colour), usage=Usage(len(request.prompt.split()), 1))


def determined(*parts: object) -> random.Random:
    """Return the chance that `parts` determine."""
    return random.Random("\x1f".join(str(part) for part in parts))  # noqa: S311 - determined, not secret


def _written(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
