"""Reads a script of typed messages: one JSON object a line.

A first line may choose which actors are started (all, where there is none), and whether messages
between them cross as bytes:

    {"actors": ["task_admission"], "serialize_messages": true}

Every other line sends a message, waits for one, or first the one and then the other:

    {"to": "scheduler", "message": {"type": "SubmitJob", "job_file": "penguins.toml", "rows": 10}}
    {"expect": {"type": "JobAccepted", "from": "scheduler", "where": {"rows": 10}, "timeout": 5}}
    {"to": "scheduler", "message": {"type": "CancelJob"}, "expect": {"type": "JobCancelling"}}

`to`       the actor that is sent the message; `script` is the script's own address.
`from`     in whose name it is sent: `script` where it is absent. A query without `reply_to` is
           answered there.
`message`  its `type`, and its fields as `leasehold schema` lists them. Where it has a `job`, a
           `job_file` beside the script can stand in its place, with `rows` to change how many.
`expect`   `type`, and what it may be narrowed by: `from` (anybody, where it is absent), `to` (the
           script), `where` (a partial match), `timeout` in seconds (5). With `"absent": true` no such
           message may be there once the actors have settled.

Empty lines do not count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from messages import codec
from messages._base import ACTOR_NAMES, ActorName, Message
from messages.hints import possible
from messages.job import JobError, Problem
from messages.job_file import job_from_builtins, load_job

T = TypeVar("T")

SCRIPT: ActorName = "script"
"""The script's own address."""

_PARTIES = (SCRIPT, *ACTOR_NAMES)
_HEADER_KEYS = ("actors", "serialize_messages")
_STEP_KEYS = ("to", "from", "message", "expect")
_EXPECT_KEYS = ("type", "from", "to", "where", "timeout", "absent")


class ScriptError(ValueError):
    """A script that cannot be played. `problems` holds everything found, each with its line."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ExpectStep(NamedTuple):
    """A message that has to come, or with `absent` must not."""

    type: type[Message]
    sender: ActorName | None
    receiver: ActorName
    where: dict[str, Any]
    timeout: float
    absent: bool


class Step(NamedTuple):
    """One line: a message to send, then a message to wait for; one of them may be missing."""

    line: int
    to: ActorName
    sender: ActorName
    message: Message | None
    expect: ExpectStep | None


class Script(NamedTuple):
    """A script that can be played."""

    actors: tuple[ActorName, ...]
    serialize_messages: bool
    steps: tuple[Step, ...]


def read_script(path: str | os.PathLike[str]) -> Script:
    """Read the script at `path`.

    Raises:
        ScriptError: it cannot be read, or is no script.
    """
    place = Path(path)
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ScriptError((f"{place} cannot be read: {error.strerror or type(error).__name__}",)) from error
    except UnicodeDecodeError as error:
        raise ScriptError((f"{place} cannot be read: byte {error.start} is not UTF-8",)) from error
    actors, serialize = ACTOR_NAMES, False
    steps: list[Step] = []
    problems: list[str] = []
    numbered = [(number, text) for number, text in enumerate(lines, 1) if text.strip()]
    for number, text in numbered:
        try:
            data = _object(text)
            if number == numbered[0][0] and not data.keys().isdisjoint(_HEADER_KEYS):
                actors, serialize = _header(data)
            else:
                steps.append(_step(number, data, place.absolute().parent))
        except JobError as error:
            problems += [f"line {number}: {_in_job(problem)}" for problem in error.problems]
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if not steps and not problems:
        problems.append(f"{place} holds no message and no expectation")
    if problems:
        raise ScriptError(tuple(problems))
    return Script(actors, serialize, tuple(steps))


def _in_job(problem: Problem) -> str:
    return f"message.job{'.' if problem.path else ': '}{problem}"


def _object(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from error
    return _typed("", data, dict, 'an object such as {"to": ..., "message": ...}')


def _header(data: dict[str, Any]) -> tuple[tuple[ActorName, ...], bool]:
    _check_keys("", data, _HEADER_KEYS)
    names = _typed("actors", data.get("actors", list(ACTOR_NAMES)), list, "a list of names")
    for name in names:
        _check_name("actors", name, ACTOR_NAMES)
    serialize = data.get("serialize_messages", False)
    return tuple(names), _typed("serialize_messages", serialize, bool, "true or false")


def _step(line: int, data: dict[str, Any], folder: Path) -> Step:
    if not data.keys().isdisjoint(_HEADER_KEYS):
        raise ValueError(f"{' and '.join(_HEADER_KEYS)} may stand in the first line only")
    _check_keys("", data, _STEP_KEYS)
    if "message" not in data and "expect" not in data:
        raise ValueError("nothing to do; expected a message, an expect or both")
    if ("message" in data) != ("to" in data):
        raise ValueError("a message has to have a `to`, and a `to` a message")
    if "from" in data and "message" not in data:
        raise ValueError("from: there is no message to send; expect has a `from` of its own")
    to, sender = data.get("to", SCRIPT), data.get("from", SCRIPT)
    _check_name("to", to, _PARTIES)
    _check_name("from", sender, _PARTIES)
    message = _message(data["message"], folder) if "message" in data else None
    expect = _expect(data["expect"]) if "expect" in data else None
    return Step(line, to, sender, message, expect)


def _message(data: Any, folder: Path) -> Message:
    _typed("message", data, dict, 'an object such as {"type": "GetSnapshot"}')
    kind = _message_type("message", data)
    fields = dict(data)
    if "job" in kind.__struct_fields__:
        fields["job"] = _job(fields, folder)
    try:
        message = codec.from_builtins(fields)
    except msgspec.ValidationError as error:
        raise ValueError(f"message: {error}".replace("`$.", "`message.")) from error
    _check_known("message", fields, codec.to_builtins(message))
    return message


def _job(fields: dict[str, Any], folder: Path) -> Any:
    """Take the job out of a message's `fields`, from the file it names or as it stands there."""
    if "job_file" not in fields:
        if "job" not in fields:
            raise ValueError("message has no job; expected a `job`, or a `job_file` beside the script")
        return msgspec.to_builtins(job_from_builtins(fields["job"], base_dir=str(folder)))
    name, rows = fields.pop("job_file"), fields.pop("rows", None)
    if not isinstance(name, str) or "job" in fields:
        raise ValueError("message.job_file: expected the path of a job file, and no `job` beside it")
    if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int)):
        raise ValueError(f"message.rows: found {_kind(rows)}; expected a whole number")
    return msgspec.to_builtins(load_job(folder / name, rows=rows))


def _expect(data: Any) -> ExpectStep:
    _typed("expect", data, dict, 'an object such as {"type": "JobAccepted"}')
    _check_keys("expect.", data, _EXPECT_KEYS)
    kind = _message_type("expect", data)
    sender, receiver = data.get("from"), data.get("to", SCRIPT)
    if sender is not None:
        _check_name("expect.from", sender, _PARTIES)
    _check_name("expect.to", receiver, _PARTIES)
    where = _typed("expect.where", data.get("where", {}), dict, "an object of the message's fields")
    _check_keys("expect.where.", where, kind.__struct_fields__)
    timeout = data.get("timeout", 5.0)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 <= timeout < 1e6:
        raise ValueError(f"expect.timeout: found {timeout!r}; expected seconds, from 0 to 1e6")
    absent = _typed("expect.absent", data.get("absent", False), bool, "true or false")
    return ExpectStep(kind, sender, receiver, where, float(timeout), absent)


def _message_type(place: str, data: dict[str, Any]) -> type[Message]:
    known, name = codec.message_types(), data.get("type")
    if name is None:
        raise ValueError(f"{place}.type is missing; {possible('', known)}")
    found = known.get(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"{place}.type: {name!r} is no message; {possible(str(name), known)}")
    return found


def _typed(place: str, value: Any, kind: type[T], expected: str) -> T:
    if isinstance(value, kind):
        return value
    prefix = f"{place}: " if place else ""
    raise ValueError(f"{prefix}found {_kind(value)}; expected {expected}")


def _check_keys(place: str, data: Mapping[str, Any], known: Iterable[str]) -> None:
    names = tuple(known)
    for key in data:
        if key not in names:
            raise ValueError(f"{place}{key} is not known; {possible(key, names)}")


def _check_known(place: str, given: Any, built: Any) -> None:
    """Refuse fields that the message left out: it would ignore a name that was mistyped."""
    if isinstance(given, dict) and isinstance(built, dict):
        _check_keys(f"{place}.", given, built)
        for key, value in given.items():
            _check_known(f"{place}.{key}", value, built[key])
    elif isinstance(given, list) and isinstance(built, (list, tuple)):
        for number, (item, made) in enumerate(zip(given, built, strict=False)):
            _check_known(f"{place}[{number}]", item, made)


def _check_name(place: str, name: Any, known: tuple[ActorName, ...]) -> None:
    if name not in known:
        raise ValueError(f"{place}: there is no actor {name!r}; {possible(str(name), known)}")


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (dict, "an object"),
    (list, "a list"),
    (str, "text"),
    (int, "a number"),
    (float, "a number"),
)


def _kind(value: Any) -> str:
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")
