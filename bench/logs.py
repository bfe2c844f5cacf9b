"""What the log of a large run costs: to write, on disk, to verify and to inspect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

import actors
from bench.children import child_environment
from bench.evidence import LogFacts
from bench.job_runs import run_job
from bench.noop_jobs import one_column
from bench.results import MIB, BenchError, Run
from messages.scheduler import JobResult

_PROGRAM = """\
import json, sys, time
from bench.memory import MemoryWatch
from actors.evidence.verify import verify_log
from actors.inspection.reading import LogStory
path, told = sys.argv[1], {}
def inspect():
    story = LogStory(path)
    story.read_on()
    assert story.story.explain().run.status == "succeeded"
def verify():
    report = verify_log(path)
    assert report.ok, report.violations[0]
    told["lines"] = report.counts.lines
    told["hidden"] = report.counts.hidden_scheduler_resource_waiters
with MemoryWatch() as memory:
    for read in (verify, inspect):
        memory.forget()
        began = time.perf_counter()
        read()
        told[read.__name__] = {"seconds": time.perf_counter() - began, "peak_bytes": memory.peak()}
print(json.dumps(told))
"""


class Taken(msgspec.Struct, frozen=True):
    """What reading a log once took; memory above that of an interpreter that can read logs."""

    seconds: float
    peak_bytes: int


class Told(msgspec.Struct, frozen=True):
    """What was read, and what that took."""

    lines: int
    hidden: int
    verify: Taken
    inspect: Taken


def run_logged(tasks: int, log_name: str) -> Run:
    """Run a job of no-op tasks with its full log, and read that twice.

    The measures are bytes per task, and seconds and MiB of what `verify` and `inspect` do, one after the
    other in another interpreter; what the first leaves behind counts as the second's too.

    Raises:
        BenchError: the log does not verify, or has too few events.
    """
    measures: dict[str, float] = {}

    def read(path: Path) -> LogFacts:
        told = _read(path)
        measures["bytes_per_task"] = path.stat().st_size / tasks
        for name, taken in (("verify", told.verify), ("inspect", told.inspect)):
            measures[f"{name}_seconds"] = taken.seconds
            measures[f"{name}_mib"] = taken.peak_bytes / MIB
            measures[f"{name}_us_per_task"] = taken.seconds / tasks * 1e6
        return LogFacts(told.lines, told.hidden, {}, measures)

    def counted(result: JobResult) -> str:
        if result.rows_written != tasks:
            raise BenchError(f"{result.rows_written} of {tasks} rows were written")
        return ""

    return run_job(one_column(tasks), telemetry="log", check=counted, out=True, log_name=log_name, read=read)


def run_unlogged(tasks: int) -> Run:
    """Run the same job with telemetry off."""
    return run_job(one_column(tasks), telemetry="off", check=lambda _: "", out=True)


def _read(path: Path) -> Told:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(path)],
        cwd=Path(actors.__file__).parent.parent,
        env=child_environment(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"the log could not be read: {done.stderr.decode()[-500:]}")
    return msgspec.json.decode(done.stdout, type=Told)
