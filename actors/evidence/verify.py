"""Proves from a log alone that every lease was taken before its work, and came back exactly once.

One pass, line by line; memory follows what is active in the log, not its length. This module sees to the
log as a log (first and last line, gapless sequences) and hands events to the accounts of tasks, requests,
limits and rows, which know the rules. What may follow what is in `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.evidence.lifecycle import ATTEMPT_STATE_AFTER, TASK_STATE_AFTER
from actors.evidence.limit_account import LimitAccount
from actors.evidence.reader import BadLine, LogLine, log_path, read_log
from actors.evidence.report import Findings, VerificationReport
from actors.evidence.request_account import RequestAccount
from actors.evidence.row_account import RowAccount
from actors.evidence.task_account import TaskAccount
from actors.telemetry.log_codec import (
    LEFT_OUT,
    LOG_NAME,
    LOG_VERSION,
    STREAM_OF_KIND,
    EventRecord,
    LogClosing,
    LogHeader,
)
from messages._base import TELEMETRY, WORKER
from messages.telemetry import LogEntry, RunDescriptor, StreamName


def verify_log(path: str | Path) -> VerificationReport:
    """Return what the log at `path`, a log file or a run folder, proves.

    Raises:
        LogFormatError: there is no such log, or it cannot be read. What is wrong inside it is in the report.
    """
    found = log_path(path)
    verifier = Verifier()
    for line in read_log(found):
        verifier.take(line)
    return verifier.finish(str(found))


class Verifier:
    """Takes a log's lines in order. Usable on any source of lines: a file, or a simulated run's."""

    def __init__(self) -> None:
        self._findings = Findings()
        self._tasks = TaskAccount(self._findings)
        limits = LimitAccount(self._findings)
        self._requests = RequestAccount(self._findings, self._tasks, limits)
        self._rows = RowAccount(self._findings)
        self._next: dict[StreamName, int] = {}
        self._run_line = 0
        self._closing_line = 0
        self._torn_line = 0
        self._last_line = 0
        self._events: dict[str, int] = self._findings.counts.events
        self._follow: dict[str, Callable[[int, EventRecord], None]] = {
            **dict.fromkeys(TASK_STATE_AFTER, self._tasks.follow),
            **dict.fromkeys(ATTEMPT_STATE_AFTER, self._requests.follow),
            **limits.follow,
            "retry_deferred": self._tasks.replaced,
            "non_retryable_dropped": self._tasks.replaced,
            "row_group_admitted": self._rows.admitted,
            "row_group_checkpointed": self._rows.checkpointed,
            "scheduler_job_started": self._job_started,
            "scheduler_job_completed": self._job_completed,
            "release_diagnostic": self._return_refused,
            "request_release_diagnostic": self._return_refused,
        }

    def take(self, line: LogLine) -> None:
        """Take the next line."""
        number, record = line
        self._last_line = number
        if self._closing_line:
            self._findings.add(
                "log_end", "there are lines after the closing line", self._closing_line, number
            )
            self._closing_line = 0
        if type(record) is EventRecord:
            self._event(number, record)
        elif isinstance(record, LogHeader):
            self._header(number, record)
        elif isinstance(record, LogClosing):
            self._closing(number, record)
        elif isinstance(record, BadLine):
            self._bad(number, record)
        else:
            self._findings.counts.log_lines += 1
            if isinstance(record, LogEntry):
                self._logged(record)
        if number == 1 and not isinstance(record, LogHeader):
            self._findings.add("header", "the first line is no log header", number)

    def finish(self, log: str) -> VerificationReport:
        """Return the report: the log has no more lines."""
        self._findings.counts.lines = self._last_line
        if not self._last_line:
            self._findings.add("header", "the log is empty")
        elif not self._closing_line and not self._torn_line:
            self._findings.add(
                "log_end",
                "the log has no closing line: it is still being written, or its writer was killed",
                self._last_line,
            )
        self._rows.cut_off()
        if self._run_line:
            self._findings.add(
                "run", "the run that starts here has no scheduler_job_completed", self._run_line
            )
        self._tasks.finish()
        self._requests.finish()
        return self._findings.report(log)

    def _logged(self, entry: LogEntry) -> None:
        if (entry.actor, entry.event) == (WORKER, "actor_crashed"):
            self._requests.worker_lost()
        elif (entry.actor, entry.event) == (TELEMETRY, LEFT_OUT):
            if not self._findings.counts.events_left_out:
                self._tasks.thin()
                self._requests.thin()
            self._findings.counts.events_left_out += sum(entry.fields["events"].values())

    # -- the log as a log ------------------------------------------------------------------------------

    def _header(self, number: int, header: LogHeader) -> None:
        if number != 1:
            self._findings.add("header", "a log header stands inside the log", number)
            return
        if header.log != LOG_NAME or header.version != LOG_VERSION:
            self._findings.add(
                "header",
                f"this is a log of {header.log!r}, version {header.version}; expected {LOG_NAME!r}, "
                f"version {LOG_VERSION}",
                number,
            )
        self._next = dict(header.next_sequence)
        self._requests.begins_within = header.next_sequence.get("request", 1) > 1

    def _closing(self, number: int, closing: LogClosing) -> None:
        self._closing_line = number
        for stream, following in closing.next_sequence.items():
            expected = self._next.get(stream, following)
            if following != expected:
                self._findings.add(
                    "sequence",
                    f"the {stream} stream was closed before {following}; its last event leads to {expected}",
                    number,
                )

    def _bad(self, number: int, bad: BadLine) -> None:
        if bad.torn:
            self._torn_line = number
            self._findings.add("log_end", f"the log ends within its last line: {bad.problem}", number)
        else:
            self._findings.add("line", bad.problem, number)

    def _event(self, number: int, record: EventRecord) -> None:
        kind, stream, sequence = record.event_kind, record.stream, record.sequence
        expected = self._next.get(stream, sequence)
        if sequence != expected:
            what = "missing" if sequence > expected else "repeated or out of order"
            self._findings.add(
                "sequence", f"{stream} event {sequence} where {expected} was expected: {what}", number
            )
        self._next[stream] = max(expected, sequence + 1)
        self._events[stream] = self._events.get(stream, 0) + 1
        if STREAM_OF_KIND[kind] != stream:
            self._findings.add("line", f"{kind} stands in the {stream} stream", number)
        follow = self._follow.get(kind)
        if follow is not None:
            follow(number, record)

    # -- runs ------------------------------------------------------------------------------------------

    def _job_started(self, number: int, record: EventRecord) -> None:
        if self._run_line:
            self._findings.add("run", "a run starts while another has not ended", self._run_line, number)
        self._run_line = number
        self._findings.counts.jobs += 1
        try:
            run = RunDescriptor.from_builtins(record.diagnostics)
        except msgspec.ValidationError as error:
            self._findings.add("run", f"the run is not described: {error}", number)
            return
        self._requests.begin(run)
        self._tasks.begin(run)
        self._rows.begin(run)

    def _job_completed(self, number: int, record: EventRecord) -> None:
        if not self._run_line:
            self._findings.add("run", "a run ends that has not started", number)
        self._run_line = 0
        self._tasks.finish()
        self._rows.completed(number, record)

    def _return_refused(self, _number: int, _record: EventRecord) -> None:
        """Count a return that admission refused: a defence that worked, and was recorded."""
        self._findings.counts.refused_returns += 1
