"""CSV and JSON lines as streams of records: one record in memory at a time, bad ones named by line."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

import msgspec

from actors.storage.ports import StorageError
from messages.job import Problem

Record = list[Any]
"""The values of one record, in the order of the source's fields."""

_PATH = "source.path"
_BOM = b"\xef\xbb\xbf"
_MAX_FIELD_CHARS = 64 * 1024 * 1024


class Records(NamedTuple):
    """The fields, and each record in order: its values, or what is wrong with it.

    The iterator raises StorageError where reading cannot go on, and OSError from the file.
    """

    fields: tuple[str, ...]
    records: Iterator[Record | Problem]


# -- CSV -----------------------------------------------------------------------------------------


def open_csv(path: Path) -> TextIO:
    """Open for `read_csv`; newlines inside texts stay what they are."""
    return path.open(encoding="utf-8-sig", newline="")


def read_csv(file: TextIO, path: Path) -> Records:
    """Read CSV: UTF-8 with or without a byte order mark, commas, a header; values stay text.

    Blank lines are no records. `file` stays the caller's to close.

    Raises:
        OSError: the file cannot be read.
        StorageError: the header is missing or malformed, or not UTF-8.
    """
    # The limit is the process's; it is only ever raised, because long texts are ordinary values here.
    if csv.field_size_limit() < _MAX_FIELD_CHARS:
        csv.field_size_limit(_MAX_FIELD_CHARS)
    reader = csv.reader(file, strict=True)
    rows = _csv_rows(reader, path)
    _, header = next(rows, (1, None))
    if header is None:
        raise StorageError(Problem(_PATH, f"{path} is empty", "give it a header line and records"))
    if isinstance(header, Problem):
        raise StorageError(header)
    _check_header(header, path)
    return Records(tuple(header), _csv_records(rows, len(header), path))


def _csv_rows(reader: Any, path: Path) -> Iterator[tuple[int, list[str] | Problem]]:
    """Yield each row that is not blank with the number of the line it begins on."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            remedy = 'put texts with commas, quotes or newlines in "quotes" and double the quotes inside'
            yield line, Problem(_PATH, f"{path}, line {line}: {error}", remedy)
        except UnicodeDecodeError as error:
            raise StorageError(_not_utf8(path)) from error
        else:
            if row:
                yield line, row


def _check_header(header: list[str], path: Path) -> None:
    problems = []
    for place, name in enumerate(header, 1):
        if not name.strip():
            problems.append(
                Problem(_PATH, f"{path}: field {place} of the header has no name", "name every field")
            )
        elif name in header[: place - 1]:
            first = header.index(name) + 1
            message = f"{path}: the header has {name!r} as field {first} and again as field {place}"
            problems.append(Problem(_PATH, message, "give every field a name of its own"))
    if problems:
        raise StorageError(*problems)


def _csv_records(
    rows: Iterator[tuple[int, list[str] | Problem]], width: int, path: Path
) -> Iterator[Record | Problem]:
    for line, row in rows:
        if isinstance(row, Problem) or len(row) == width:
            yield row
        else:
            yield Problem(
                path=_PATH,
                message=f"{path}, line {line}: {len(row)} fields, but the header has {width}",
                remedy="give every record the header's fields; put texts that hold commas in quotes",
            )


# -- JSON lines ----------------------------------------------------------------------------------


def read_jsonl(file: BinaryIO, path: Path) -> Records:
    """Read JSON lines: objects that all have the keys of the first, in any order; values keep their types.

    Blank lines are no records.

    Raises:
        OSError: the file cannot be read.
        StorageError: there is no first record, or it is malformed.
    """
    objects = _jsonl_objects(file, path)
    line, first = next(objects, (1, None))
    if first is None:
        raise StorageError(Problem(_PATH, f"{path} is empty", "give it one JSON object a line"))
    if isinstance(first, Problem):
        raise StorageError(first)
    if not first or not all(name.strip() for name in first):
        what = "a key without a name" if first else "no keys"
        raise StorageError(Problem(_PATH, f"{path}, line {line}: the record has {what}", "name every field"))
    fields = tuple(first)
    return Records(fields, _jsonl_records(itertools.chain([(line, first)], objects), fields, path))


def _jsonl_objects(file: BinaryIO, path: Path) -> Iterator[tuple[int, dict[str, Any] | Problem]]:
    decode = msgspec.json.Decoder().decode
    for number, line in enumerate(file, 1):
        raw = line.removeprefix(_BOM) if number == 1 else line
        if raw.isspace() or not raw:
            continue
        try:
            value = decode(raw)
        except UnicodeDecodeError as error:
            raise StorageError(_not_utf8(path)) from error
        except (msgspec.MsgspecError, RecursionError) as error:
            yield number, Problem(_PATH, f"{path}, line {number}: {error}", "write one JSON object a line")
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            message = f"{path}, line {number}: a JSON {_json_name(value)}, not an object"
            yield number, Problem(_PATH, message, "write one JSON object a line")


def _jsonl_records(
    objects: Iterator[tuple[int, dict[str, Any] | Problem]], fields: tuple[str, ...], path: Path
) -> Iterator[Record | Problem]:
    expected = frozenset(fields)
    for line, value in objects:
        if isinstance(value, Problem):
            yield value
        elif value.keys() == expected:
            yield [value[name] for name in fields]
        else:
            parts = (
                ("missing", [name for name in fields if name not in value]),
                ("unexpected", [name for name in value if name not in expected]),
            )
            found = "; ".join(f"{what} {', '.join(map(repr, names))}" for what, names in parts if names)
            yield Problem(
                path=_PATH,
                message=f"{path}, line {line}: {found}",
                remedy="give every record the keys of the first one; write null where there is no value",
            )


def _json_name(value: Any) -> str:
    names = {
        bool: "boolean",
        int: "number",
        float: "number",
        str: "string",
        list: "array",
        type(None): "null",
    }
    return names[type(value)]


# -- encoding ------------------------------------------------------------------------------------


def _not_utf8(path: Path) -> Problem:
    """Find the first byte that is not UTF-8; this reads the file again, and is done only after a failure."""
    offset = 0
    remedy = "save the file as UTF-8"
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                at = offset + error.start
                byte = line[error.start]
                message = f"{path}, line {number}: byte {at} of the file (0x{byte:02x}) is not UTF-8"
                return Problem(_PATH, message, remedy)
            offset += len(line)
    return Problem(_PATH, f"{path} is not UTF-8", remedy)
