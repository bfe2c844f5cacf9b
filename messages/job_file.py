"""A job file, TOML or JSON, becomes a `Job`; every mistake in its structure is reported at once."""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from messages.job import Job, JobError, Problem
from messages.job_structure import BAD, StructureReader, shape_of
from messages.stand_ins import judged


def load_job(path: str | Path, *, rows: int | None = None) -> Job:
    """Read the job file at `path`; `rows`, where given, takes the place of the file's own.

    The job's `base_dir` is the file's folder, absolute (a `base_dir` in the file is relative to it).

    Raises:
        JobError: the file cannot be read or is no job; `problems` holds everything found.
    """
    place = Path(path)
    parse = _PARSERS.get(place.suffix.lower())
    if parse is None:
        raise JobError((Problem("", f"{place} does not end in .toml or .json", "rename the job file"),))
    try:
        text = place.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise JobError((_unreadable(place, error.strerror or type(error).__name__),)) from error
    except UnicodeDecodeError as error:
        raise JobError((_unreadable(place, f"byte {error.start} is not UTF-8"),)) from error
    try:
        data = parse(text)
    except (ValueError, RecursionError) as error:
        raise JobError((Problem("", f"{place} is not valid {place.suffix[1:].upper()}: {error}"),)) from error
    try:
        job = job_from_builtins(data, base_dir=str(place.absolute().parent))
    except JobError as error:
        readable = None if error.readable is None else _with_rows(error.readable, rows)
        raise JobError(error.problems, readable=readable, unsure=error.unsure) from None
    return _with_rows(job, rows)


def job_from_builtins(data: Any, *, base_dir: str) -> Job:
    """Return the job that decoded TOML or JSON stands for, with `base_dir` as its folder.

    Raises:
        JobError: `data` is no job; `problems` holds every mistake of structure, each with its path, and
            `readable` the rest of the job.
    """
    try:
        job = _read(data)
    except JobError as error:
        if error.readable is None:
            raise
        readable = _in_folder(error.readable, base_dir)
        raise JobError(error.problems, readable=readable, unsure=error.unsure) from None
    return _in_folder(job, base_dir)


def normalized(job: Job) -> Job:
    """Return a job made by hand as a job file would have given it.

    Constructors check no types: lists may stand for tuples, and text for numbers.

    Raises:
        JobError: as `job_from_builtins`.
    """
    try:
        data = msgspec.to_builtins(job, builtin_types=_KEPT)
    except (TypeError, ValueError, RecursionError) as error:
        raise JobError(_unencodable(job, error)) from error
    return _read(data)


def _read(data: Any) -> Job:
    reader = StructureReader()
    job = reader.read(shape_of(Job), data, "")
    if job is BAD:
        raise JobError(tuple(reader.problems))
    if reader.problems:
        readable, unsure = judged(job, data, reader.unsure)
        raise JobError(tuple(reader.problems), readable=readable, unsure=unsure)
    made: Job = job
    return made


def _in_folder(job: Job, base_dir: str) -> Job:
    return msgspec.structs.replace(job, base_dir=str(Path(base_dir, job.base_dir))) if base_dir else job


def _with_rows(job: Job, rows: int | None) -> Job:
    return job if rows is None else msgspec.structs.replace(job, rows=rows)


def _unencodable(job: Job, error: Exception) -> tuple[Problem, ...]:
    """Name the tables that hold what no job file could."""
    problems = []
    for table in ("providers", "models", "columns", "processors"):
        entries = getattr(job, table)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            try:
                msgspec.to_builtins(entry, builtin_types=_KEPT)
            except (TypeError, ValueError, RecursionError) as cause:
                problems.append(Problem(f"{table}.{name}", str(cause), "use values that JSON can hold"))
    return tuple(problems) or (Problem("", str(error), "use values that JSON can hold"),)


def _unreadable(place: Path, why: str) -> Problem:
    return Problem("", f"{place} cannot be read: {why}")


def _from_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_number)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


_PARSERS: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": _from_json}
# Left as they are, so that they are refused by name and do not silently become text.
_KEPT = (dt.datetime, dt.date, dt.time, dt.timedelta, bytes, Decimal)
