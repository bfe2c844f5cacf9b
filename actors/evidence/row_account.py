"""Follows row groups and rows through a log: rows asked for = written + dropped + pending (R13)."""

from __future__ import annotations

from typing import Any

from actors.evidence.report import Findings
from actors.telemetry.log_codec import EventRecord
from messages.telemetry import RunDescriptor

_FINISHED = ("succeeded", "partial")


class RowAccount:
    """The rules about rows of one run at a time (R2, R13).

    Finished row groups are kept as "all below this one, and these": they finish nearly in order.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._run: RunDescriptor | None = None
        self._in_flight: dict[int, int] = {}
        self._finished_below = 0
        self._finished: set[int] = set()
        self._written = 0
        self._dropped = 0

    def begin(self, run: RunDescriptor) -> None:
        """Take the rows and row groups of the run that starts, and what was stored before it."""
        self._run = run
        self._in_flight = {}
        self._finished_below = 0
        self._finished = {number for first, end in run.row_groups_before for number in range(first, end)}
        self._count_up()
        self._written, self._dropped = run.rows_written_before, run.rows_dropped_before

    def admitted(self, line: int, record: EventRecord) -> None:
        """Take a row group into work."""
        run, row_group = self._run, _number(record, "row_group")
        if run is None:
            return
        if row_group in self._in_flight or self._is_finished(row_group):
            self._findings.add("lifecycle", f"row group {row_group} is admitted again", line)
        if not 0 <= row_group < run.row_groups:
            self._findings.add("run", f"row group {row_group} is admitted; there are {run.row_groups}", line)
        self._in_flight[row_group] = line
        if len(self._in_flight) > run.row_group_concurrency:
            self._findings.add(
                "capacity",
                f"{len(self._in_flight)} row groups are in flight; the limit is {run.row_group_concurrency}",
                line,
            )

    def checkpointed(self, line: int, record: EventRecord) -> None:
        """Take a row group as durable."""
        run, row_group = self._run, _number(record, "row_group")
        if run is None:
            return
        if self._in_flight.pop(row_group, None) is None:
            self._findings.add("lifecycle", f"row group {row_group} is checkpointed, but not in flight", line)
        self._finished.add(row_group)
        self._count_up()
        rows, dropped = _number(record, "rows"), _number(record, "dropped")
        self._written += rows
        self._dropped += dropped
        size = min(run.row_group_size, run.rows - row_group * run.row_group_size)
        if rows + dropped != size:
            self._findings.add(
                "rows_conserved",
                f"row group {row_group} of {size} rows has {rows} rows written and {dropped} dropped",
                line,
            )

    def completed(self, line: int, record: EventRecord) -> None:
        """Take the end of the run and its own account of the rows."""
        run, self._run = self._run, None
        if run is None:
            return
        requested, written = _number(record, "rows_requested"), _number(record, "rows_written")
        dropped, pending = _number(record, "rows_dropped"), _number(record, "rows_pending")
        self._findings.counts.rows_written += written
        self._findings.counts.rows_dropped += dropped
        sum_found = written + dropped + pending
        claims = [
            (requested == run.rows, f"{requested} rows were requested; the run began with {run.rows}"),
            (requested == sum_found, f"{requested} rows were requested; {sum_found} are accounted for"),
            (written == self._written, f"{written} rows were written; the checkpoints hold {self._written}"),
            (dropped >= self._dropped, f"{dropped} rows were dropped; the checkpoints hold {self._dropped}"),
        ]
        if record.reason_or_outcome in _FINISHED:
            claims += [
                (dropped == self._dropped, f"{dropped - self._dropped} rows were dropped in no row group"),
                (pending == 0, f"the run has ended with {pending} rows pending"),
                (
                    self._finished_below == run.row_groups,
                    f"the run has ended, but row group {self._finished_below} is not checkpointed",
                ),
            ]
        for holds, message in claims:
            if not holds:
                self._findings.add("rows_conserved", message, line)

    def cut_off(self) -> None:
        """Take the end of a log in which the run does not end: its checkpoints are all that is known."""
        if self._run is not None:
            self._findings.counts.rows_written += self._written
            self._findings.counts.rows_dropped += self._dropped

    def _count_up(self) -> None:
        while self._finished_below in self._finished:
            self._finished.remove(self._finished_below)
            self._finished_below += 1

    def _is_finished(self, row_group: int) -> bool:
        return row_group < self._finished_below or row_group in self._finished


def _number(record: EventRecord, name: str) -> int:
    """Return a count from the event's diagnostics; -1, which no account agrees with, where it has none."""
    diagnostics: dict[str, Any] = record.diagnostics or {}
    found = diagnostics.get(name)
    return found if isinstance(found, int) else -1
