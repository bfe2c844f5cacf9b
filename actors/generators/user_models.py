"""What a user's function is given as `models`: the job's models by their aliases, ready to be called."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, get_args

import msgspec

from actors.generators.base import ModelCalls, Role, Turn
from actors.generators.json_values import NotJsonError, json_value
from actors.generators.output_schema import OutputSchema, fitting_reply
from actors.generators.seeds import call_seed
from messages.hints import possible

_ROLES: tuple[str, ...] = get_args(Role)
_EXPECTED = "expected text, or a list of (role, text) pairs or of dicts with `role` and `content`"

Deliver = Callable[[Coroutine[Any, Any, Any]], Any]
"""From a call that has not begun to what the user's function gets: that, to be awaited, or its result."""


class UserModels:
    """The job's models as one task calls them: `models.writer`, or `models["writer"]`.

    Iterating gives the aliases. A call whose `seed` is left out carries one that depends on the job's seed,
    the column, the row, what is asked, and on how often the same was asked before within the task (R12):
    whichever of several calls is made first, each carries the same.
    """

    _named: tuple[str, ...] = ()  # what `__getattr__` finds in a copy that is not complete

    def __init__(self, aliases: tuple[str, ...], calls: ModelCalls, *, seed: int, deliver: Deliver) -> None:
        self._named = aliases
        self._calling = _Calling(calls, seed, deliver)

    def __getattr__(self, alias: str) -> UserModel:
        if alias not in self._named:
            raise AttributeError(self._missing(alias))
        return UserModel(alias, self._calling)

    def __getitem__(self, alias: str) -> UserModel:
        if alias not in self._named:
            raise KeyError(self._missing(alias))
        return UserModel(alias, self._calling)

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._named]

    def __repr__(self) -> str:
        return f"<models {', '.join(self._named)}>"

    def _missing(self, alias: object) -> str:
        return f"the job has no model {alias!r}; {possible(str(alias), self._named)}"


class UserModel:
    """One model as one task calls it.

    In an `async` function its methods return what is to be awaited, in a plain one what the call brings.
    Further keywords are the call's parameters, such as `temperature=0.2`; they go over the model's own.
    """

    __slots__ = ("_alias", "_calling")

    def __init__(self, alias: str, calling: _Calling) -> None:
        self._alias = alias
        self._calling = calling

    def chat(
        self,
        prompt: Any,
        *,
        system: str = "",
        output_schema: dict[str, Any] | None = None,
        max_corrections: int = 2,
        seed: int | None = None,
        **parameters: Any,
    ) -> Any:
        """Return the model's reply to `prompt`: its text or, with a schema, what its text decodes to.

        `prompt` is text, or a conversation: a list of (role, text) pairs or of dicts with `role` and
        `content`. A reply that does not fit `output_schema` is answered with what is wrong with it, up to
        `max_corrections` times, each a call of its own.

        Raises:
            TypeError, ValueError: the arguments cannot be used; the message says which.
            GeneratorError: no reply fits the schema.
        """
        calls, parameters = self._calling.calls, _plain(parameters, "parameters")
        conversation = _conversation(prompt, system)
        if max_corrections < 0:
            raise ValueError(f"max_corrections is {max_corrections}; expected at least 0")
        output_schema = _plain(output_schema, "output_schema")
        schema = None if output_schema is None else _schema_of(_encoded(output_schema))
        asked = ("chat", self._alias, conversation, output_schema, parameters)
        seed = self._calling.seed_of(asked, seed)
        if schema is None:
            call = calls.chat(model=self._alias, messages=conversation, seed=seed, parameters=parameters)
            return self._calling.deliver(call)
        return self._calling.deliver(
            fitting_reply(
                calls,
                model=self._alias,
                messages=conversation,
                seed=seed,
                schema=schema,
                max_corrections=max_corrections,
                parameters=parameters,
            )
        )

    def embed(self, text: str, *, seed: int | None = None, **parameters: Any) -> Any:
        """Return the model's embedding of `text`, a list of numbers. Raises as `chat`."""
        text, parameters = _text(text, "text"), _plain(parameters, "parameters")
        seed = self._calling.seed_of(("embed", self._alias, text, parameters), seed)
        return self._calling.deliver(
            self._calling.calls.embed(model=self._alias, input=text, seed=seed, parameters=parameters)
        )

    def image(self, prompt: str, *, seed: int | None = None, **parameters: Any) -> Any:
        """Return the model's picture of `prompt`: in base64, or where it can be fetched. Raises as `chat`."""
        prompt, parameters = _text(prompt, "prompt"), _plain(parameters, "parameters")
        seed = self._calling.seed_of(("image", self._alias, prompt, parameters), seed)
        return self._calling.deliver(
            self._calling.calls.image(model=self._alias, prompt=prompt, seed=seed, parameters=parameters)
        )

    def __repr__(self) -> str:
        return f"<model {self._alias}>"


class _Calling:
    """What the calls of one task have in common."""

    __slots__ = ("_asked", "_seed", "calls", "deliver")

    def __init__(self, calls: ModelCalls, seed: int, deliver: Deliver) -> None:
        self.calls = calls
        self.deliver = deliver
        self._seed = seed
        self._asked: dict[bytes, Iterator[int]] = {}

    def seed_of(self, asked: tuple[Any, ...], given: int | None) -> int:
        """Return the seed of a call that asks this: the one that is given, or one of its own."""
        if given is None:
            request = _encoded(asked)
            # One step each, so that threads of the user's own cannot be given the same number.
            return call_seed(self._seed, request, next(self._asked.setdefault(request, itertools.count())))
        if type(given) is not int:
            raise TypeError(f"seed is a {type(given).__name__}; expected an integer")
        return given


def _conversation(prompt: Any, system: str) -> tuple[Turn, ...]:
    system = _text(system, "system")
    begin: tuple[Turn, ...] = (("system", system),) if system else ()
    if isinstance(prompt, str):
        return (*begin, ("user", _text(prompt, "prompt")))
    if not isinstance(prompt, Sequence) or not prompt:
        what = "is empty" if isinstance(prompt, Sequence) else f"is a {type(prompt).__name__}"
        raise TypeError(f"prompt {what}; {_EXPECTED}")
    return (*begin, *(_turn(entry, f"prompt[{index}]") for index, entry in enumerate(prompt)))


def _turn(entry: Any, place: str) -> Turn:
    if isinstance(entry, Mapping) and entry.keys() == {"role", "content"}:
        role, content = entry["role"], entry["content"]
    elif isinstance(entry, list | tuple) and len(entry) == 2:
        role, content = entry
    else:
        raise TypeError(f"{place} is a {type(entry).__name__}; {_EXPECTED}")
    if role not in _ROLES:
        raise ValueError(f"the role of {place} is {role!r}; {possible(str(role), _ROLES)}")
    return role, _text(content, f"the content of {place}")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is a {type(value).__name__}; expected text")
    text: str = _plain(value, what)
    return text


def _plain(value: Any, what: str) -> Any:
    """Return `value` as plain JSON data, a copy; TypeError where it is none and cannot be sent."""
    try:
        return json_value(value)
    except NotJsonError as error:
        raise TypeError(f"{what}{error.place} cannot be sent: {error.message}") from error


def _encoded(value: Any) -> bytes:
    """Return JSON text that is the same for equal values."""
    return msgspec.json.encode(value, order="sorted")


@lru_cache(maxsize=128)
def _schema_of(encoded: bytes) -> OutputSchema:
    definition = msgspec.json.decode(encoded)
    if not isinstance(definition, dict):
        raise TypeError(f"output_schema is a {type(definition).__name__}; expected a dict, a JSON Schema")
    return OutputSchema(definition)
