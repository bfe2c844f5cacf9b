"""The words in which a refusal says what would have been possible."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_LISTED = 20


def possible(found: str, options: Iterable[str]) -> str:
    """Return what could have stood in place of `found`: the nearest of `options`, then all of them.

    A long list is cut short. The text is empty where there is nothing to choose from.
    """
    known = list(options)
    if not known:
        return ""
    listed = ", ".join(known[:_MOST_LISTED])
    if len(known) > _MOST_LISTED:
        listed += f" and {len(known) - _MOST_LISTED} more"
    meant = nearest(found, known)
    hint = f"did you mean {meant!r}? " if meant is not None else ""
    return f"{hint}possible: {listed}"


def nearest(found: str, options: Iterable[str]) -> str | None:
    """Return the one of `options` that `found` looks like, None where none is near."""
    return next(iter(difflib.get_close_matches(found, list(options), n=1)), None)
