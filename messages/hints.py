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
    nearest = difflib.get_close_matches(found, known, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{hint}possible: {listed}"
