"""What may be a row's value: what JSON can hold, and nothing that two rows could share by accident."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import NoneType
from typing import Any

ATOMS = frozenset({NoneType, bool, int, float, str})
"""The types whose values nobody can change: they are handed over as they are."""

_LEAST_INTEGER = -(2**63)
_GREATEST_INTEGER = 2**64 - 1
_DEEPEST = 64


class NotJsonError(ValueError):
    """A value that JSON cannot hold. `place` says where inside the value, empty for the value itself."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.place = ""

    def __str__(self) -> str:
        """Return the place and what is wrong there."""
        return f"{self.place}: {self.message}" if self.place else self.message


def json_value(value: Any, depth: int = 0) -> Any:
    """Return `value` as plain JSON data; lists and tables are new, so the giver cannot change them.

    Subclasses of text and numbers become the plain type, tuples become lists.

    Raises:
        NotJsonError: naming the place, what was found and what to return instead.
    """
    kind = type(value)
    if kind is str:
        if value.isascii() or _encodable(value):
            return value
        raise NotJsonError("text with a lone surrogate cannot be written as UTF-8; encode it properly")
    if kind is bool or value is None:
        return value
    if kind is int:
        if _LEAST_INTEGER <= value <= _GREATEST_INTEGER:
            return value
        raise NotJsonError("an integer beyond 64 bits would be cut off by readers; return it as text")
    if kind is float:
        if math.isfinite(value):
            return value
        raise NotJsonError(f"{value} is not a JSON number; return None or text instead")
    if depth >= _DEEPEST:
        raise NotJsonError(f"nested deeper than {_DEEPEST} levels, or contains itself; flatten it")
    return _container(value, depth + 1)


def isolated(value: Any) -> Any:
    """Return a copy of a row's value that can be changed without changing the row."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is list:
        return [item if type(item) in ATOMS else isolated(item) for item in value]
    if kind is dict:
        return {key: item if type(item) in ATOMS else isolated(item) for key, item in value.items()}
    return json_value(value)


def _container(value: Any, depth: int) -> Any:
    if isinstance(value, list | tuple):
        items = []
        for index, item in enumerate(value):
            try:
                items.append(json_value(item, depth))
            except NotJsonError as error:
                error.place = f"[{index}]{error.place}"
                raise
        return items
    if isinstance(value, Mapping):
        return _table(value, depth)
    if isinstance(value, str):
        return json_value(str.__str__(value))
    if isinstance(value, int):
        return json_value(int(value))
    if isinstance(value, float):
        return json_value(float(value))
    raise NotJsonError(f"a value of type {_type_name(value)} is not JSON; {_remedy(value)}")


def _table(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise NotJsonError(
                f"the key {key!r} is of type {_type_name(key)}; keys must be text: use str(key)"
            )
        try:
            table[json_value(key)] = json_value(item, depth)
        except NotJsonError as error:
            error.place = f"[{str(key)!r}]{error.place}"
            raise
    return table


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _remedy(value: Any) -> str:
    if isinstance(value, set | frozenset):
        return "return sorted(...) or list(...) of it"
    if isinstance(value, bytes | bytearray):
        return "return text: decode it"
    if hasattr(value, "tolist"):
        return "return .tolist() of it"
    if hasattr(value, "isoformat"):
        return "return .isoformat() of it"
    return "return text, numbers, booleans, None, lists or dicts of them"
