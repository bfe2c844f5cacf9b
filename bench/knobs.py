"""Settings laid over every job that is run, so that two configurations can be compared.

Set by the environment variable `LEASEHOLD_BENCH_CONFIG`, a JSON object of settings by their place in a job
file: `{"limits.policy": "strict_fair", "row_group_size": 500}`.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from bench.results import BenchError
from messages import Job
from messages.job import Limits

VARIABLE = "LEASEHOLD_BENCH_CONFIG"

_LIMITS = frozenset(field.name for field in msgspec.structs.fields(Limits))
_FIELDS = frozenset(field.name for field in msgspec.structs.fields(Job))
_TABLES = ("limits", "failure", "output")


def parse_settings(texts: list[str]) -> dict[str, Any]:
    """Return settings by place. A text is `place=value`; a name of `[limits]` needs no `limits.` before it.

    Raises:
        BenchError: there is no such place in every job, or no value.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        place = f"limits.{place}" if place in _LIMITS else place
        table, _, name = place.partition(".")
        if not equals or (name and table not in _TABLES) or table not in _FIELDS:
            places = ", ".join(sorted(_LIMITS))
            raise BenchError(
                f"{text!r} is no setting: expected PLACE=VALUE, such as policy=strict_fair or "
                f"failure.max_retries=0; places of [limits] are {places}"
            )
        settings[place] = _value(value)
    tuned(Job(name="check"), settings)
    return settings


def in_environment() -> dict[str, Any]:
    """Return the settings that the environment lays over all jobs."""
    text = os.environ.get(VARIABLE)
    return msgspec.json.decode(text, type=dict[str, Any]) if text else {}


def tuned(job: Job, settings: dict[str, Any] | None = None) -> Job:
    """Return the job with the settings, those of the environment where none are given.

    Raises:
        BenchError: a setting is no setting of a job.
    """
    settings = in_environment() if settings is None else settings
    if not settings:
        return job
    built: dict[str, Any] = msgspec.to_builtins(job)
    for place, value in settings.items():
        *tables, name = place.split(".")
        table = built
        for each in tables:
            table = table[each]
        table[name] = value
    try:
        return msgspec.convert(built, Job)
    except msgspec.ValidationError as error:
        raise BenchError(f"the settings make no job: {error}") from error


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
