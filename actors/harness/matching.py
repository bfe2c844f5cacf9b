"""Partial matches on plain data: what a script's `where` means."""

from __future__ import annotations

from typing import Any

import msgspec

from messages import codec
from messages._base import Message


class Where:
    """A predicate over messages: the fields that a message has to have, as plain data."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._wanted = wanted

    def __call__(self, message: Message) -> bool:
        """Return whether `message` has them."""
        return matches(self._wanted, codec.to_builtins(message))

    def __str__(self) -> str:
        """Return the wanted fields as JSON."""
        return msgspec.json.encode(self._wanted).decode()


def matches(wanted: Any, found: Any) -> bool:
    """Return whether `found` holds everything that `wanted` asks for.

    An object matches if each of its wanted fields does; others do not matter. A list matches if the
    wanted items match some of its items, in the same order; a wanted empty list only an empty one.
    Everything else has to be equal, and of the same kind: `1` is not `true`.
    """
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            key in found and matches(value, found[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        if not isinstance(found, (list, tuple)) or not wanted:
            return bool(wanted == found)
        rest = iter(found)
        return all(any(matches(item, candidate) for candidate in rest) for item in wanted)
    return isinstance(wanted, bool) == isinstance(found, bool) and bool(wanted == found)
