"""Partial matches on plain data: what a script's `where` means."""

from __future__ import annotations

from typing import Any


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
            return wanted == found
        rest = iter(found)
        return all(any(matches(item, candidate) for candidate in rest) for item in wanted)
    return isinstance(wanted, bool) == isinstance(found, bool) and bool(wanted == found)
