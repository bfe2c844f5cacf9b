"""What has changed in a job since its folder was begun, and whether that stands against resuming it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from actors.storage.manifest import canonical
from messages.job import JobError, Problem
from messages.job_file import job_from_builtins

_TABLES = ("limits", "failure", "output", "rows", "on_provider_exhausted", "health_check")
_OF_A_MODEL = (
    "max_parallel_requests",
    "requests_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "timeout_seconds",
    "queue_timeout_seconds",
    "limit",
)
_OF_A_PROVIDER = (
    "latency_ms",
    "script",
    "repeat_seconds",
    "when_full",
    "base_url",
    "api_key_env",
    "connect_timeout_seconds",
    "overload_statuses",
)
"""How fast, how patiently, where and how far; never what a row's values are: that is the model's id, what is
sent to it and what has to come back. That `rows` does not shrink is checked where the number of rows is
known: a source may give it."""

_AS_BEFORE = "run the job as it was, or choose another folder with --out"
_SHOWN_CHARACTERS = 60


def changes(before: Any, now: Any) -> tuple[Problem, ...]:
    """Return a problem for everything in the job that makes its rows other rows, by its place.

    `before` and `now` are canonical jobs (`manifest.canonical`). `limits`, `failure`, `output`, `rows`, what
    is done about providers that are exhausted or not there, a model's caps, budgets and timeouts, and where
    and how fast a provider answers may differ; the order of the columns may not: it is that of a row's
    fields. What a job could not say yet when `before` was written is what it is by default.
    """
    before = _completed(before)
    found = [
        Problem(_path(keys), f"{_shown(old)} -> {_shown(new)}", _AS_BEFORE)
        for keys, old, new in _differences(before, now, ())
        if not _may_change(keys)
    ]
    orders = [list(job.get("columns", {})) for job in (before, now)]
    if not found and orders[0] != orders[1]:
        found.append(Problem("columns", f"{', '.join(orders[0])} -> {', '.join(orders[1])}", _AS_BEFORE))
    return tuple(found)


class _Nothing:
    """The type of `_ABSENT`: there is no such key."""


_ABSENT = _Nothing()


def _completed(content: Any) -> Any:
    """Return a canonical job of any earlier time with the keys that have come since."""
    try:
        return canonical(job_from_builtins(content, base_dir=""))
    except JobError:
        return content


_Keys = tuple[str | int, ...]
"""Where something is in a job: names of tables and keys, and positions in lists."""


def _may_change(keys: _Keys) -> bool:
    match keys:
        case ("models", _, setting, *_):
            return setting in _OF_A_MODEL
        case ("providers", _, setting, *_):
            return setting in _OF_A_PROVIDER
        case (table, *_):
            return table in _TABLES
        case _:
            return False


def _differences(before: Any, now: Any, keys: _Keys) -> Iterator[tuple[_Keys, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from _differences(before.get(key, _ABSENT), now.get(key, _ABSENT), (*keys, str(key)))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _differences(old, new, (*keys, index))
    elif before != now or isinstance(before, bool) != isinstance(now, bool):
        yield keys, before, now


def _path(keys: _Keys) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def _shown(value: Any) -> str:
    if isinstance(value, _Nothing):
        return "nothing"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
