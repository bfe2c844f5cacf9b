"""`leasehold logs`: the actors' logs in human form, also while they are being written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from actors.cli.output import EXIT_OK, complain, fail, flush, say
from actors.evidence.human import OWNER, LogFilter, format_line
from actors.evidence.reader import LOG_FILE, BadLine, LogLine, read_log
from actors.telemetry.log_codec import LogFormatError
from messages._base import ACTOR_NAMES
from messages.hints import possible

ACTORS: Final = (*ACTOR_NAMES, "system")
"""Whose lines a log holds: the actors', and those of the system that runs them."""


def show_logs(path: Path, wanted: LogFilter) -> int:
    """Write the wanted lines of a log; return the exit code.

    Raises:
        typer.Exit: there is no log at `path`, or no actor of the name that is asked for.
    """
    if wanted.actor is not None and wanted.actor not in ACTORS:
        fail(f"--actor: there is no actor {wanted.actor!r}; {possible(wanted.actor, ACTORS)}")
    shown, told, line = 0, 0, None
    try:
        for line in read_log(path):
            told += not isinstance(line.record, BadLine)
            text = _text(line, wanted)
            if text is None:
                continue
            shown += 1
            if not say(text):
                return EXIT_OK
    except LogFormatError as error:
        fail(str(error))
    if line is not None and not told:
        fail(
            f"{path} is no actor log: none of its lines is a log record; name a run folder or its {LOG_FILE}"
        )
    if flush() and not shown:
        complain(f"no line is wanted{_hint(wanted)}")
    return EXIT_OK


def _text(line: LogLine, wanted: LogFilter) -> str | None:
    """Return a line as text, None where it is not wanted. What cannot be read is told at its place."""
    record = line.record
    if isinstance(record, BadLine):
        flush()
        what = "the log ends within this line" if record.torn else "this is no log record"
        complain(f"line {line.number}: {what}: {record.problem}")
        return None
    return format_line(record) if wanted.wants(record) else None


def _hint(wanted: LogFilter) -> str:
    if wanted.kind is None or wanted.kind in OWNER:
        return ""
    return f": {wanted.kind!r} is no kind of event; {possible(wanted.kind, sorted(OWNER))}"
