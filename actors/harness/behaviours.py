"""What a misbehaving server may do with one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True)
class Answer:
    """Answer with `status`; a 200 with no `body` is what a well-behaved server would say.

    An error's body says what was asked, key and all, as servers sometimes do. `retry_after`: seconds, told as
    a number or, with `as_date`, as an HTTP date by the server's clock. `headers` are further ones. `delay`:
    seconds before anything is said.
    """

    status: int = 200
    retry_after: float | None = None
    as_date: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    delay: float = 0.0


@dataclass(frozen=True)
class Hang:
    """Say nothing until the client goes away."""


@dataclass(frozen=True)
class Break:
    """End the connection: before a word, after the headers, or in the middle of a good answer.

    `reset` breaks it off; otherwise it is closed in good order.
    """

    when: Literal["before", "headers", "body"] = "body"
    reset: bool = True


@dataclass(frozen=True)
class Drip:
    """Give a good answer byte by byte, with `seconds` before each."""

    seconds: float = 0.05


Behaviour: TypeAlias = Answer | Hang | Break | Drip

GOOD = Answer()
NOT_JSON = Answer(body=b"I am afraid I cannot do that")
NOT_JSON_BY_TYPE = Answer(body=b"<html>welcome to the hotel</html>", content_type="text/html")
TORN_JSON = Answer(body=b'{"choices": [{"index": 0, "message": {"role": "assi')
EMPTY_OBJECT = Answer(body=b"{}")
NOTHING_CHOSEN = Answer(body=b'{"choices": [], "data": [], "usage": null}')
WRONG_SHAPE = Answer(body=b'{"choices": 7, "data": "none"}')
NOTHING = Answer(body=b"")

GARBAGE: Mapping[str, Answer] = {
    "not JSON": NOT_JSON,
    "not even called JSON": NOT_JSON_BY_TYPE,
    "torn JSON": TORN_JSON,
    "an empty object": EMPTY_OBJECT,
    "empty lists": NOTHING_CHOSEN,
    "another shape": WRONG_SHAPE,
    "nothing": NOTHING,
}
"""Answers that say 200 and cannot be used."""

BREAKS: Mapping[str, Break] = {
    "closed before a word": Break("before", reset=False),
    "reset before a word": Break("before"),
    "closed after the headers": Break("headers", reset=False),
    "reset mid-body": Break("body"),
    "closed mid-body": Break("body", reset=False),
}
"""Connections that end too soon."""


@dataclass(frozen=True)
class Arrival:
    """A request as a rule sees it: `number` counts from 1, `seconds` since the server's start."""

    number: int
    seconds: float
    method: str
    path: str
    body: Any


Rule: TypeAlias = Callable[[Arrival], Behaviour]


def in_order(*behaviours: Behaviour) -> Rule:
    """Return a rule: one behaviour per request, in their order; every further one is answered."""
    return lambda arrival: behaviours[arrival.number - 1] if arrival.number <= len(behaviours) else GOOD


def always(behaviour: Behaviour) -> Rule:
    """Return a rule: the same for every request."""
    return lambda _: behaviour


def storm(seconds: float, *, every: int = 2, behaviour: Behaviour | None = None) -> Rule:
    """Return a rule: for `seconds` one in `every` requests gets `behaviour` (a 429); then all is well."""
    refusal = Answer(429) if behaviour is None else behaviour
    return lambda arrival: refusal if arrival.seconds < seconds and arrival.number % every == 0 else GOOD
