"""What the OpenAI API says, as far as it is read here, and how JSON is asked for. Pure."""

from __future__ import annotations

from typing import Any

import msgspec


class _Message(msgspec.Struct, frozen=True):
    """What a model said; None where it refused or called a tool instead."""

    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    """One of a call's replies."""

    message: _Message


class Completion(msgspec.Struct, frozen=True):
    """The answer to a chat call."""

    choices: list[_Choice]
    usage: Any = None


class _Vector(msgspec.Struct, frozen=True):
    """One text's embedding."""

    embedding: list[float]


class Embeddings(msgspec.Struct, frozen=True):
    """The answer to an embedding call."""

    data: list[_Vector]
    usage: Any = None


class _Picture(msgspec.Struct, frozen=True):
    """A picture, or where it is."""

    b64_json: str | None = None
    url: str | None = None


class Images(msgspec.Struct, frozen=True):
    """The answer to a call for images."""

    data: list[_Picture]
    usage: Any = None


class _Model(msgspec.Struct, frozen=True):
    """A model that a server knows."""

    id: str

    @property
    def names(self) -> tuple[str, ...]:
        """What the server lets it be called: some list it with a prefix or a tag that calls may leave out."""
        return (self.id, self.id.removeprefix("models/"), self.id.removesuffix(":latest"))


class Models(msgspec.Struct, frozen=True):
    """The answer to the question which models there are."""

    data: list[_Model]


def response_format(schema: dict[str, Any], wanted: Any = None) -> dict[str, Any]:
    """Return how a chat call asks for JSON of this JSON Schema.

    It asks for strictness where the schema allows for it: servers refuse a strict schema with an object that
    has optional properties or may have further ones. `wanted` is what the model's parameters say, for servers
    that know no `json_schema`: the type `json_object` is given the schema beside it, `text` asks for nothing.
    """
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return dict(wanted)
    if kind == "json_object":
        return {**wanted, "schema": schema}
    described = {"name": "reply", "schema": schema, "strict": _is_strict(schema)}
    return {"type": "json_schema", "json_schema": described}


def _is_strict(part: Any) -> bool:
    if isinstance(part, list):
        return all(map(_is_strict, part))
    if not isinstance(part, dict):
        return True
    if part.get("type") == "object" or isinstance(part.get("properties"), dict):
        properties = part.get("properties", {})
        if part.get("additionalProperties") is not False or set(properties) != set(part.get("required", ())):
            return False
    return all(map(_is_strict, part.values()))
