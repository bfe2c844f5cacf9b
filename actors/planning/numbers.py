"""Whether every number of a job is one that can be worked with."""

from __future__ import annotations

import math
from collections.abc import Iterator

from messages.job import (
    FailurePolicy,
    Job,
    Limits,
    ModelConfig,
    Problem,
    PythonColumn,
    SequenceColumn,
    SimulatedProvider,
)

_LEAST_INTEGER = -(2**63)
_GREATEST_INTEGER = 2**63 - 1
_AT_LEAST_1 = "expected at least 1"


def number_problems(job: Job) -> Iterator[Problem]:
    """Yield a problem for every number of `job` that is out of its bounds, in the file's order."""
    if job.rows is not None and job.rows < 0:
        yield Problem("rows", f"is {job.rows}", "expected at least 0")
    if job.row_group_size < 1:
        yield Problem("row_group_size", f"is {job.row_group_size}", _AT_LEAST_1)
    if not _LEAST_INTEGER <= job.seed <= _GREATEST_INTEGER:
        yield Problem("seed", f"is {job.seed}", "expected a signed 64-bit integer")
    for name, provider in job.providers.items():
        if isinstance(provider, SimulatedProvider):
            yield from _of_simulated(f"providers.{name}.latency_ms", provider)
    for name, model in job.models.items():
        yield from _of_model(f"models.{name}", model)
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


def _of_simulated(path: str, provider: SimulatedProvider) -> Iterator[Problem]:
    latency = provider.latency_ms
    if not _is_finite(latency.mean, least=0):
        yield Problem(f"{path}.mean", f"is {latency.mean}", "expected a finite number of at least 0")
    elif not 0 <= latency.jitter <= latency.mean:
        expected = f"expected 0 to the mean, {latency.mean}"
        yield Problem(f"{path}.jitter", f"is {latency.jitter}", expected, (f"{path}.mean",))


def _of_model(path: str, model: ModelConfig) -> Iterator[Problem]:
    if model.max_parallel_requests < 1:
        yield Problem(f"{path}.max_parallel_requests", f"is {model.max_parallel_requests}", _AT_LEAST_1)
    yield from _duration(f"{path}.timeout_seconds", model.timeout_seconds)
    yield from _duration(f"{path}.queue_timeout_seconds", model.queue_timeout_seconds)


def _of_columns(job: Job) -> Iterator[Problem]:
    for name, column in job.columns.items():
        if isinstance(column, PythonColumn):
            yield from _duration(f"columns.{name}.timeout_seconds", column.timeout_seconds)
        for resource, amount in column.resources.items():
            if amount < 1:
                yield Problem(f"columns.{name}.resources.{resource}", f"is {amount}", _AT_LEAST_1)

    for name, processor in job.processors.items():
        yield from _duration(f"processors.{name}.timeout_seconds", processor.timeout_seconds)


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
        if value is not None and value < 1:
            yield Problem(f"limits.{name}", f"is {value}", _AT_LEAST_1)
    for name, value in limits.resources.items():
        if value < 1:
            yield Problem(f"limits.resources.{name}", f"is {value}", _AT_LEAST_1)


def _of_failure(failure: FailurePolicy) -> Iterator[Problem]:
    if failure.max_retries < 0:
        yield Problem("failure.max_retries", f"is {failure.max_retries}", "expected at least 0")
    first, most = failure.backoff_seconds, failure.max_backoff_seconds
    if not _is_finite(first, least=0):
        yield Problem("failure.backoff_seconds", f"is {first}", "expected a finite number of at least 0")
    elif not _is_finite(most, least=first):
        yield Problem(
            "failure.max_backoff_seconds",
            f"is {most}",
            f"expected a finite number of at least backoff_seconds, {first}",
            ("failure.backoff_seconds",),
        )
    rate, window = failure.early_shutdown_rate, failure.early_shutdown_window
    if rate is not None and not 0 <= rate <= 1:
        yield Problem("failure.early_shutdown_rate", f"is {rate}", "expected a share from 0 to 1")
    if window < 1:
        yield Problem("failure.early_shutdown_window", f"is {window}", _AT_LEAST_1)


def _duration(path: str, seconds: float | None) -> Iterator[Problem]:
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        yield Problem(path, f"is {seconds}", "expected a finite number of seconds above 0")


def _is_finite(value: float, *, least: float) -> bool:
    return math.isfinite(value) and value >= least
