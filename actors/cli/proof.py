"""`leasehold verify`: what an actor log proves."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.cli.output import EXIT_FAILED, EXIT_OK, fail, flush, say
from actors.evidence.reader import LOG_FILE
from actors.evidence.report import VerificationReport, render
from actors.evidence.verify import verify_log
from actors.telemetry.log_codec import LogFormatError


def verify_run(path: Path, *, as_json: bool) -> int:
    """Tell what the log of a run folder, or a log file, proves; return the exit code.

    Raises:
        typer.Exit: there is no log at `path`.
    """
    try:
        report = verify_log(path)
    except LogFormatError as error:
        fail(str(error))
    if _is_no_log(report):
        fail(
            f"{path} is no actor log: none of its lines is a log record; name a run folder or its {LOG_FILE}"
        )
    if as_json:
        say(msgspec.json.encode(report.to_builtins()).decode())
    else:
        for line in render(report):
            say(line)
    flush()
    return EXIT_OK if report.ok else EXIT_FAILED


def _is_no_log(report: VerificationReport) -> bool:
    """Return whether the file holds something, and nothing of it is a log's.

    A log that lost its first line is one with a violation; a file without a header and without a single
    event or log line was never one.
    """
    counts = report.counts
    without_header = any(violation.rule == "header" for violation in report.violations)
    return bool(counts.lines and without_header and not counts.events and not counts.log_lines)
