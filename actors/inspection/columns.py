"""What each column's tasks came to: counts, time under lease, and time in which it ran alone."""

from __future__ import annotations

from collections import Counter
from typing import Final, get_args

from actors.inspection.charges import Charges, micros, named, no_charges
from actors.inspection.explained import ColumnExplained, FailureCount
from actors.telemetry.timeline import TaskTimeline
from messages.request_admission import RequestDenialReason
from messages.telemetry import Event, GeneratorDescriptor

_MOST_KINDS: Final = 200
"""Kinds of failure that are told apart; what comes beyond them is counted as `other`."""

SORTED_OUT: Final = "processor"
"""What drops of rows that a processor did not keep are counted as."""

_FAILURES: Final = frozenset({"retryable_failure", "non_retryable_failure"})

PRESSURE: Final = frozenset({"rate_limited", *get_args(RequestDenialReason)})
"""Kinds of failure that say "not now": a matter of limits and pauses, and not of what the task does."""


class _Column:
    """One column's account, times in microseconds."""

    def __init__(self, descriptor: GeneratorDescriptor) -> None:
        self.descriptor = descriptor
        self.models: dict[str, None] = {}
        self.started = self.done = self.failed = self.skipped = self.dropped_rows = 0
        self.attempts = self.input_tokens = self.output_tokens = 0
        self.running = self.held = self.failing = self.longest = self.most_at_once = 0
        self.alone = self.alone_unproved = 0
        self.charges = no_charges()


class Columns:
    """The columns of one run."""

    def __init__(self, generators: dict[str, GeneratorDescriptor]) -> None:
        self._columns = {name: _Column(descriptor) for name, descriptor in generators.items()}
        self._running: dict[str, None] = {}
        self._alone_since = 0
        self._retries: Counter[tuple[str, str]] = Counter()
        self._drops: Counter[tuple[str, str]] = Counter()

    def leased(self, name: str, at: int) -> None:
        """Note that one of its tasks holds a lease now."""
        column = self._columns[name]
        column.started += 1
        column.running += 1
        column.most_at_once = max(column.most_at_once, column.running)
        if column.running == 1:
            self._changed(at)
            self._running[name] = None
            self._prove(name)

    def released(self, name: str, at: int) -> None:
        """Note that one of its tasks has given its lease back."""
        column = self._columns[name]
        column.running -= 1
        if column.running == 0:
            self._changed(at)
            self._running.pop(name, None)

    def ended(self, timeline: TaskTimeline, charges: Charges, end: int) -> None:
        """Take one execution's whole story."""
        column = self._columns[timeline.correlation.task_column]
        self.charge(timeline, charges)
        if timeline.outcome == "success":
            column.done += 1
        if timeline.task_lease_acquired_at is not None:
            held = end - micros(timeline.task_lease_acquired_at)
            column.held += held
            column.longest = max(column.longest, held)
            if timeline.outcome in _FAILURES and not _is_refused(timeline):
                column.failing += held

    def charge(self, timeline: TaskTimeline, charges: Charges) -> None:
        """Charge an execution's life to its column."""
        column = self._columns[timeline.correlation.task_column]
        column.charges = [had + more for had, more in zip(column.charges, charges, strict=True)]

    def attempted(self, name: str, event: Event) -> None:
        """Note an attempt that is over."""
        column, said = self._columns[name], event.diagnostics or {}
        column.attempts += 1
        if event.resource:
            column.models[event.resource] = None
        column.input_tokens += said.get("input_tokens") or 0
        column.output_tokens += said.get("output_tokens") or 0

    def skipped(self, name: str) -> None:
        """Note a task that was not done because its condition said so."""
        self._columns[name].skipped += 1

    def retried(self, name: str, kind: str) -> None:
        """Note a failure that will be tried again."""
        _count(self._retries, name, kind)

    def dropped(self, name: str, kind: str, rows: int) -> None:
        """Note a task that was given up, and its rows with it."""
        column = self._columns[name]
        column.failed += 1
        column.dropped_rows += rows
        _count(self._drops, name, kind)

    def sorted_out(self, name: str, rows: int) -> None:
        """Note rows that a processor did not keep: a decision of the job's, and no failure."""
        self._columns[name].dropped_rows += rows
        self._drops[name, SORTED_OUT] += rows

    def retries(self) -> tuple[FailureCount, ...]:
        """Return failures that were tried again, the most frequent first."""
        return _counted(self._retries)

    def drops(self) -> tuple[FailureCount, ...]:
        """Return what made tasks be given up, the most frequent first."""
        return _counted(self._drops)

    def explained(
        self, at: int, unfinished: dict[str, Charges], *, ended: bool
    ) -> dict[str, ColumnExplained]:
        """Return every column as it is now; `unfinished` are the charges of what still runs."""
        retried: Counter[str] = Counter()
        for (name, _), count in self._retries.items():
            retried[name] += count
        found = {}
        for name, column in self._columns.items():
            more = unfinished.get(name, no_charges())
            alone = column.alone
            if not ended and len(self._columns) > 1:  # the others will have had work left, if they get to it
                alone += column.alone_unproved
                if list(self._running) == [name]:
                    alone += max(0, at - self._alone_since)
            found[name] = ColumnExplained(
                task_type=column.descriptor.task_type,
                resources=dict(column.descriptor.resources),
                models=tuple(column.models),
                started=column.started,
                done=column.done,
                failed=column.failed,
                retried=retried[name],
                skipped=column.skipped,
                dropped_rows=column.dropped_rows,
                attempts=column.attempts,
                input_tokens=column.input_tokens,
                output_tokens=column.output_tokens,
                running_seconds=column.held / 1e6,
                failing_seconds=column.failing / 1e6,
                longest_seconds=column.longest / 1e6,
                most_at_once=column.most_at_once,
                alone_seconds=alone / 1e6,
                charges=named([had + add for had, add in zip(column.charges, more, strict=True)]),
            )
        return found

    def _changed(self, at: int) -> None:
        """Credit the one that has run alone until now. Whether others had work left will show."""
        if len(self._running) == 1:
            (name,) = self._running
            self._columns[name].alone_unproved += max(0, at - self._alone_since)
        self._alone_since = at

    def _prove(self, name: str) -> None:
        """`name` has work: so it had work left while another ran alone."""
        for other, column in self._columns.items():
            if other != name and column.alone_unproved:
                column.alone += column.alone_unproved
                column.alone_unproved = 0


def _is_refused(timeline: TaskTimeline) -> bool:
    """Return whether a try failed for nothing but that its last attempt was not let through."""
    return bool(timeline.attempts) and timeline.attempts[-1].outcome in PRESSURE


def _count(counts: Counter[tuple[str, str]], name: str, kind: str) -> None:
    key = (name, kind)
    counts[key if key in counts or len(counts) < _MOST_KINDS else (name, "other")] += 1


def _counted(counts: Counter[tuple[str, str]]) -> tuple[FailureCount, ...]:
    return tuple(FailureCount(column, kind, count) for (column, kind), count in counts.most_common())
