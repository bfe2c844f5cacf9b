"""Whether the numbers of a job are such as can be worked with, but for those of providers and models."""

from __future__ import annotations

from collections.abc import Iterator

from actors.planning.bounds import at_least, duration, is_finite, share
from messages.job import ChatColumn, FailurePolicy, Job, Limits, Problem, PythonColumn, SequenceColumn

_LEAST_INTEGER = -(2**63)
_GREATEST_INTEGER = 2**63 - 1


def number_problems(job: Job) -> Iterator[Problem]:
    """Yield a problem for every number of `job` that is out of its bounds, in the file's order."""
    yield from at_least("rows", job.rows, 0)
    yield from at_least("row_group_size", job.row_group_size, 1)
    if not _LEAST_INTEGER <= job.seed <= _GREATEST_INTEGER:
        yield Problem("seed", f"is {job.seed}", "expected a signed 64-bit integer")
    yield from _of_columns(job)
    yield from _of_limits(job.limits)
    guard, size = job.limits.adaptive_row_guard, job.row_group_size
    if guard is not None and job.limits.row_group_admission != "adaptive":
        found, remedy = "is given, but row_group_admission is not", "set it to 'adaptive', or leave this out"
        mode = "limits.row_group_admission"
        yield Problem("limits.adaptive_row_guard", f"{found} 'adaptive'", remedy, (mode,))
    if guard is not None and guard < size:
        expected = f"expected at least row_group_size, {size}: a row group is taken in whole"
        yield Problem("limits.adaptive_row_guard", f"is {guard}", expected, ("row_group_size",))
    yield from _of_failure(job.failure)


def sequence_problems(job: Job, rows: int) -> Iterator[Problem]:
    """Yield a problem for every sequence that leaves the integers that files can hold."""
    for name, column in job.columns.items():
        if isinstance(column, SequenceColumn) and rows:
            last = column.start + (rows - 1) * column.step
            for value in (column.start, last):
                if not _LEAST_INTEGER <= value <= _GREATEST_INTEGER:
                    yield Problem(
                        f"columns.{name}",
                        f"reaches {value}",
                        "expected signed 64-bit integers",
                        ("rows", "source", f"columns.{name}.start", f"columns.{name}.step"),
                    )
                    break


def _of_columns(job: Job) -> Iterator[Problem]:
    for name, column in job.columns.items():
        if isinstance(column, PythonColumn):
            yield from duration(f"columns.{name}.timeout_seconds", column.timeout_seconds)
        if isinstance(column, ChatColumn):
            yield from at_least(f"columns.{name}.max_corrections", column.max_corrections, 0)
        for resource, amount in column.resources.items():
            yield from at_least(f"columns.{name}.resources.{resource}", amount, 1)
    for name, processor in job.processors.items():
        yield from duration(f"processors.{name}.timeout_seconds", processor.timeout_seconds)


def _of_limits(limits: Limits) -> Iterator[Problem]:
    named = {
        "submission": limits.submission,
        "row_group_concurrency": limits.row_group_concurrency,
        "llm_wait": limits.llm_wait,
        "local": limits.local,
        "threads": limits.threads,
        "group_limit_factor": limits.group_limit_factor,
    }
    for name, value in named.items():
        yield from at_least(f"limits.{name}", value, 1)
    for name, value in limits.resources.items():
        yield from at_least(f"limits.resources.{name}", value, 1)


def _of_failure(failure: FailurePolicy) -> Iterator[Problem]:
    yield from at_least("failure.max_retries", failure.max_retries, 0)
    yield from at_least("failure.request_retries", failure.request_retries, 0)
    first, most = failure.backoff_seconds, failure.max_backoff_seconds
    if not is_finite(first, least=0):
        yield Problem("failure.backoff_seconds", f"is {first}", "expected a finite number of at least 0")
    elif not is_finite(most, least=first):
        yield Problem(
            "failure.max_backoff_seconds",
            f"is {most}",
            f"expected a finite number of at least backoff_seconds, {first}",
            ("failure.backoff_seconds",),
        )
    yield from share("failure.early_shutdown_rate", failure.early_shutdown_rate)
    yield from at_least("failure.early_shutdown_window", failure.early_shutdown_window, 1)
