"""What a verification found: counts of what was proved, and every violation with its lines."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

Rule = Literal[
    "header",
    "line",
    "log_end",
    "sequence",
    "run",
    "lifecycle",
    "start_before_lease",
    "wrong_lease",
    "lease_returned_once",
    "lease_not_returned",
    "lease_reused",
    "outcome",
    "hidden_waiter",
    "replacement_before_return",
    "timeline",
    "capacity",
    "request_lease_returned_once",
    "request_lease_not_returned",
    "one_attempt_per_request_lease",
    "waiter_left",
    "limit",
    "cooldown",
    "circuit",
    "rows_conserved",
]

LISTED_VIOLATIONS: Final = 100
"""So many violations are listed; all are counted."""


class Violation(msgspec.Struct, frozen=True):
    """One thing that must not be: the rule, what was found, and the lines that show it."""

    rule: Rule
    message: str
    lines: tuple[int, ...]


class Counts(msgspec.Struct):
    """What the log held. `most_held` and `most_requests` are the most of each resource at any moment."""

    lines: int = 0
    log_lines: int = 0
    events: dict[str, int] = {}
    jobs: int = 0
    task_executions: int = 0
    task_leases: int = 0
    workers_started: int = 0
    hidden_scheduler_resource_waiters: int = 0
    refused_returns: int = 0
    request_leases: int = 0
    model_requests: int = 0
    rows_written: int = 0
    rows_dropped: int = 0
    events_left_out: int = 0
    most_held: dict[str, int] = {}
    most_requests: dict[str, int] = {}


class VerificationReport(msgspec.Struct, frozen=True):
    """The result of verifying one log. `violations` are the first of `violations_total`."""

    ok: bool
    log: str
    counts: Counts
    violations: tuple[Violation, ...]
    violations_total: int

    def to_builtins(self) -> dict[str, Any]:
        """Return the report as JSON-compatible data."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


class Findings:
    """Collects violations while a log is read, and the counts beside them."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.violations: list[Violation] = []
        self.total = 0

    def add(self, rule: Rule, message: str, *lines: int) -> None:
        """Note a violation; a line of 0 stands for none."""
        self.total += 1
        if len(self.violations) < LISTED_VIOLATIONS:
            self.violations.append(Violation(rule, message, tuple(line for line in lines if line)))

    def report(self, log: str) -> VerificationReport:
        """Return the result."""
        return VerificationReport(
            ok=self.total == 0,
            log=log,
            counts=self.counts,
            violations=tuple(self.violations),
            violations_total=self.total,
        )


def render(report: VerificationReport) -> list[str]:
    """Return the report as lines for a person."""
    counts = report.counts
    events = sum(counts.events.values())
    lines = [f"{report.log}: {'verified' if report.ok else 'NOT verified'}", *_tally(counts, events)]
    held = [f"{name} {most}" for name, most in sorted({**counts.most_held, **counts.most_requests}.items())]
    if held:
        lines.append(f"  most at once: {', '.join(held)}")
    if counts.events_left_out:
        lines.append(
            f"  thinned: {counts.events_left_out} events of low value were left out, because telemetry could "
            "not keep up; those of leases are all there"
        )
    if report.ok:
        return lines
    lines.append(f"  {report.violations_total} violations:")
    for violation in report.violations:
        where = ", ".join(str(line) for line in violation.lines)
        place = f"line {where}: " if len(violation.lines) == 1 else f"lines {where}: " if where else ""
        lines.append(f"  - {violation.rule}: {place}{violation.message}")
    if report.violations_total > len(report.violations):
        lines.append(f"  ... and {report.violations_total - len(report.violations)} more")
    return lines


def _tally(counts: Counts, events: int) -> list[str]:
    rows = f"{counts.rows_written} rows written, {counts.rows_dropped} dropped"
    started = f"{counts.workers_started} started, {counts.hidden_scheduler_resource_waiters} hidden waiters"
    return [
        f"  {counts.lines} lines, {events} events, {counts.jobs} jobs, {rows}",
        f"  {counts.task_executions} task executions, {counts.task_leases} task leases, {started}",
        f"  {counts.request_leases} request leases, {counts.model_requests} model requests",
    ]
