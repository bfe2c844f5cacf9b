"""What a well-behaved server that speaks the OpenAI API answers. Pure: equal requests get equal answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from actors.worker.providers.pictures import picture
from actors.worker.providers.schema_example import fitting

CHAT, EMBEDDINGS, IMAGES, MODELS = "/chat/completions", "/embeddings", "/images/generations", "/models"
_DIMENSIONS = 8


class Said(msgspec.Struct, frozen=True):
    """An HTTP status and the JSON beside it."""

    status: int
    body: dict[str, Any]


def answer(route: str, body: Any, models: Sequence[str]) -> Said:
    """Return the answer to a request for `route`, a path without the base URL's, with a decoded body."""
    if route == MODELS:
        return Said(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in models]})
    if route not in {CHAT, EMBEDDINGS, IMAGES}:
        return error(404, f"there is no {route}", "invalid_request_error")
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return error(400, "you must say a model", "invalid_request_error")
    if body["model"] not in models:
        return error(404, f"there is no model {body['model']}", "invalid_request_error", "model_not_found")
    rng = random.Random(msgspec.json.encode(body, order="sorted"))  # noqa: S311 - determined, not secret
    if route == CHAT:
        return _chat(body, rng)
    return _embedding(body, rng) if route == EMBEDDINGS else _image(body, rng)


def error(status: int, message: str, kind: str, code: str | None = None) -> Said:
    """Return an error as the API puts it."""
    return Said(status, {"error": {"message": message, "type": kind, "code": code, "param": None}})


def usage_of(said: Said) -> tuple[int, int]:
    """Return the tokens that an answer was billed for: those of the request, those of the reply."""
    usage = said.body["usage"]
    if "input_tokens" in usage:
        return usage["input_tokens"], usage["output_tokens"]
    return usage["prompt_tokens"], usage.get("completion_tokens", 0)


def text_of(said: Said) -> str:
    """Return the text of a chat answer."""
    return str(said.body["choices"][0]["message"]["content"])


def _chat(body: dict[str, Any], rng: random.Random) -> Said:
    turns = [str(turn["content"]) for turn in body["messages"]]
    asked = body.get("response_format", {}).get("json_schema", {}).get("schema")
    if asked is None:
        text = f"You said {len(turns[-1].split())} words; I say {rng.getrandbits(64):016x}."
    else:
        text = msgspec.json.encode(fitting(asked, rng)).decode()
    taken, made = sum(len(turn.split()) for turn in turns), len(text.split())
    return Said(
        200,
        {
            "id": f"chatcmpl-{rng.getrandbits(32):08x}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": taken, "completion_tokens": made, "total_tokens": taken + made},
        },
    )


def _embedding(body: dict[str, Any], rng: random.Random) -> Said:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    taken = sum(len(str(text).split()) for text in texts)
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": [round(rng.uniform(-1.0, 1.0), 6) for _ in range(_DIMENSIONS)],
        }
        for index in range(len(texts))
    ]
    usage = {"prompt_tokens": taken, "total_tokens": taken}
    return Said(200, {"object": "list", "model": body["model"], "data": data, "usage": usage})


def _image(body: dict[str, Any], rng: random.Random) -> Said:
    if body.get("response_format") == "url":
        found = {"url": f"http://127.0.0.1/{rng.getrandbits(32):08x}.png"}
    else:
        found = {"b64_json": picture((rng.randrange(256), rng.randrange(256), rng.randrange(256)))}
    taken = len(str(body["prompt"]).split())
    return Said(
        200,
        {
            "created": 0,
            "data": [found],
            "usage": {"input_tokens": taken, "output_tokens": 1, "total_tokens": taken + 1},
        },
    )
