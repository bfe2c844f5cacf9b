"""`leasehold run`: a job file from its first row to its last, watched and interruptible."""

from __future__ import annotations

import contextlib
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from actors.cli.check import all_problems
from actors.cli.console import actors_heard, events_heard
from actors.cli.interrupts import Interrupts
from actors.cli.output import (
    EXIT_DROPPED,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    complain,
    complain_of,
    fail,
    flush,
    one_line,
    say,
)
from actors.cli.progress import PlainLines, Progress, Silent
from actors.cli.summary import CANCELLED_BY, continued_by, end_line, summary
from actors.cli.view import Lookout
from actors.storage.layout import ACTOR_LOG, MANIFEST, next_log
from actors.system.handle import JobHandle
from actors.system.system import ActorSystem
from messages import codec
from messages._base import SCHEDULER
from messages.job import Job, JobError
from messages.job_file import load_job
from messages.scheduler import CancelJob, JobRejected, JobResult
from messages.telemetry import LogLevel

_TICK_SECONDS = 0.1
"""How long an interrupt waits at the most before the job is cancelled."""

_IN_MEMORY = ("dataset", "dropped")

_EXIT_OF_STATUS = {
    "succeeded": EXIT_OK,
    "partial": EXIT_DROPPED,
    "failed": EXIT_FAILED,
    "early_shutdown": EXIT_FAILED,
    "cancelled": EXIT_INTERRUPTED,
}


class RunOptions(NamedTuple):
    """What was asked for on the command line. `log` is the file for the run's actor log.

    Without `health_check` no provider is asked after its health, whatever the job says.
    """

    job: Path
    out: Path
    log: Path
    rows: int | None = None
    resume: bool = False
    as_json: bool = False
    quiet: bool = False
    health_check: bool = True
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    log_level: LogLevel | None = None

    @property
    def heard_from(self) -> LogLevel:
        """The level from which on actors' log lines are written on standard error."""
        return self.log_level or ("error" if self.quiet else "warning")


def usual_log(out: Path, *, resume: bool) -> Path:
    """Return where the run's log goes if nothing else is said: a resumed run has one of its own."""
    with contextlib.suppress(OSError):  # which is told with whatever else is wrong about the folder
        if resume:
            return next_log(out)
    return out / ACTOR_LOG


def run_job(options: RunOptions) -> int:
    """Run the job and return the exit code. Everything that is wrong with the job is told at once."""
    # What user functions print must not get between a program and the result it reads.
    prints = contextlib.redirect_stdout(sys.stderr) if options.as_json else contextlib.nullcontext()
    try:
        with Interrupts(quiet=options.quiet) as interrupts, actors_heard(options.heard_from), prints:
            result = _run(_loaded(options), options, interrupts)
    except JobError as error:
        complain_of(error.problems, about=str(options.job))
        if options.as_json:
            _say_json(codec.to_builtins(JobRejected(error.problems)))
        return EXIT_USAGE
    _report(result, options)
    return _EXIT_OF_STATUS[result.status]


def _loaded(options: RunOptions) -> Job:
    """Return the job of the file, or raise a `JobError` that holds everything wrong with it."""
    try:
        job = load_job(options.job, rows=options.rows)
    except JobError as error:
        raise JobError(all_problems(error, out=None if options.resume else options.out)) from None
    return job if options.health_check else msgspec.structs.replace(job, health_check=False)


def _run(job: Job, options: RunOptions, interrupts: Interrupts) -> JobResult:
    with ActorSystem.start() as system, _metrics(system, options), events_heard(system, options.log_level):
        handle = submitted(system, job, options, interrupts)
        if not options.quiet:
            complain(f"{job.name}: {handle.rows} rows, run {handle.run_id}")
            for warning in handle.warnings:
                complain(one_line(f"warning: {warning}"))
        with _progress(options) as progress:
            return _watch(system, handle, progress, interrupts)


@contextlib.contextmanager
def _metrics(system: ActorSystem, options: RunOptions) -> Iterator[None]:
    """Serve metrics while the block lasts, where a port was asked for.

    Raises:
        typer.Exit: the port cannot be had, or the library is not there.
    """
    if options.metrics_port is None:
        yield
        return
    from actors.metrics.prometheus import MetricsUnavailableError, serve_metrics  # noqa: PLC0415 - seldom wanted

    try:
        with serve_metrics(system, port=options.metrics_port, host=options.metrics_host) as port:
            if not options.quiet:
                complain(f"metrics: http://{options.metrics_host}:{port}/metrics")
            yield
    except MetricsUnavailableError as error:
        fail(f"--metrics-port: {error}")


def submitted(system: ActorSystem, job: Job, options: RunOptions, interrupts: Interrupts) -> JobHandle:
    """Return the job once it has begun. An interrupt meanwhile cancels it: its providers may take long.

    Raises:
        JobError: the job was refused.
    """
    begun, cancelled = threading.Event(), threading.Event()

    def cancel_when_interrupted() -> None:
        while not begun.wait(_TICK_SECONDS):
            if cancelled.is_set() or interrupts.first():
                cancelled.set()
                system.tell(SCHEDULER, CancelJob(CANCELLED_BY))  # again and again: it may not be there yet

    watcher = threading.Thread(target=cancel_when_interrupted, name="leasehold-interrupts", daemon=True)
    watcher.start()
    try:
        handle = system.submit(job, out=options.out, log=options.log, resume=options.resume)
    finally:
        begun.set()
        watcher.join()
    if cancelled.is_set():
        handle.cancel(CANCELLED_BY)
    return handle


def _watch(system: ActorSystem, handle: JobHandle, progress: Progress, interrupts: Interrupts) -> JobResult:
    """Wait for the job's end; show it, and cancel it when interrupted (R11)."""
    lookout = Lookout(system)
    show_at = time.monotonic() + progress.shown_every
    while True:
        if interrupts.first():
            handle.cancel(CANCELLED_BY)
        try:
            return handle.result(timeout=_TICK_SECONDS)
        except TimeoutError:
            pass
        if time.monotonic() >= show_at:
            view = lookout.look()
            if view is not None:
                progress.show(view)
            show_at = time.monotonic() + progress.shown_every


def _progress(options: RunOptions) -> Progress:
    if options.quiet:
        return Silent()
    if sys.stderr.isatty():
        from actors.cli.live import LiveDisplay  # noqa: PLC0415 - rich is slow to import, and seldom wanted

        return LiveDisplay()
    return PlainLines()


def _report(result: JobResult, options: RunOptions) -> None:
    if not options.quiet and (options.as_json or not sys.stderr.isatty()):
        complain(end_line(result))
    if options.as_json:
        _say_json(result_as_data(result))
    elif not options.quiet:
        for line in summary(result, log=options.log, going_on=going_on(result, options)):
            say(line)
    silent = options.as_json or options.quiet
    if silent and result.first_error and _EXIT_OF_STATUS[result.status] == EXIT_FAILED:
        complain(one_line(f"error: {result.first_error}"))
        command = going_on(result, options)
        if command is not None:
            complain(continued_by(command))
    flush()


def going_on(result: JobResult, options: RunOptions) -> str | None:
    """Return the command that continues the run; None where no row is left, or its folder holds no run."""
    if not result.rows_pending or not (options.out / MANIFEST).is_file():
        return None
    command = ["leasehold", "run", str(options.job), "--out", str(options.out)]
    if options.rows is not None:
        command += ["--rows", str(options.rows)]
    if not options.health_check:
        command.append("--no-health-check")
    return shlex.join([*command, "--resume"])


def result_as_data(result: JobResult) -> dict[str, Any]:
    """Return the result as JSON-compatible data, without what is only there for a run in memory."""
    data: dict[str, Any] = msgspec.to_builtins(result)
    for key in _IN_MEMORY:
        data.pop(key, None)
    return data


def _say_json(data: dict[str, Any]) -> None:
    say(msgspec.json.encode(data).decode())
    flush()
