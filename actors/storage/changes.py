"""What has changed in a job since its folder was begun, and whether that stands against resuming it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from messages.job import Problem

_MAY_CHANGE = re.compile(
    r"(limits|failure|output)(\..*)?"
    r"|models\.[^.]+\.(max_parallel_requests|timeout_seconds|queue_timeout_seconds)"
    r"|rows"
)
"""How fast, how patiently and how far; never what a row's values are. That `rows` does not shrink is
checked where the number of rows is known: a source may give it."""

_AS_BEFORE = "run the job as it was, or choose another folder with --out"
_SHOWN_CHARACTERS = 60


def changes(before: Any, now: Any) -> tuple[Problem, ...]:
    """Return a problem for everything in the job that makes its rows other rows, by its place.

    `before` and `now` are canonical jobs (`manifest.canonical`). `limits`, `failure`, `output`, and a model's
    cap and timeouts may differ, and `rows`; the order of the columns may not: it is that of a row's fields.
    """
    found = [
        Problem(path, f"{_shown(old)} -> {_shown(new)}", _AS_BEFORE)
        for path, old, new in _differences(before, now, "")
        if not _MAY_CHANGE.fullmatch(path)
    ]
    orders = [list(job.get("columns", {})) for job in (before, now)]
    if not found and orders[0] != orders[1]:
        found.append(Problem("columns", f"{', '.join(orders[0])} -> {', '.join(orders[1])}", _AS_BEFORE))
    return tuple(found)


class _Nothing:
    """The type of `_ABSENT`: there is no such key."""


_ABSENT = _Nothing()


def _differences(before: Any, now: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            place = f"{path}.{key}" if path else str(key)
            yield from _differences(before.get(key, _ABSENT), now.get(key, _ABSENT), place)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _differences(old, new, f"{path}[{index}]")
    elif before != now or isinstance(before, bool) != isinstance(now, bool):
        yield path, before, now


def _shown(value: Any) -> str:
    if isinstance(value, _Nothing):
        return "nothing"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
