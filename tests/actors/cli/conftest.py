"""The command as a child process, small jobs for it, and views of made-up runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.cli.view import RunView
from actors.runtime.processor import Effort
from messages.request_admission import (
    ProviderModelKey,
    ProviderModelPressureSnapshot,
    RequestAdmissionSnapshot,
    RequestPressureSnapshot,
)
from messages.scheduler import GeneratorProgress, SchedulerSnapshot
from messages.task_admission import TaskAdmissionSnapshot, TaskAdmissionView
from messages.tasks import RequestResourceKey

ROOT = Path(__file__).parents[3]

NO_EFFORT = Effort()

JOB = """
name = "small"
rows = {rows}
row_group_size = 10

[limits]
row_group_concurrency = 1

[columns.n]
kind = "sequence"

[columns.cell]
kind = "python"
function = "functions:{function}"
"""

FUNCTIONS = """
import threading

def plain(n):
    return n * 2

def odd_ones_fail(n):
    print("a user's own words")
    if n % 2:
        raise ValueError(f"{n} is odd\\nindeed")
    return n

def stops_in_the_third_row_group(n):
    if n == 25:
        print("reached", flush=True)
        threading.Event().wait()
    return n

async def blocks_the_worker(n):
    print("reached", flush=True)
    threading.Event().wait()
"""


class Command:
    """`leasehold` in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self._process = {
            "args": [sys.executable, "-m", "actors"],
            "cwd": folder,
            "env": {**os.environ, "PYTHONPATH": str(ROOT)},
        }

    def job(self, function="plain", *, rows=30, text=JOB):
        """Write a job file whose cells are made by one of `FUNCTIONS`; return its name."""
        (self.folder / "functions.py").write_text(FUNCTIONS)
        (self.folder / "job.toml").write_text(text.format(rows=rows, function=function))
        return "job.toml"

    def __call__(self, *args):
        """Run to the end; return the completed process, its output as text."""
        process = dict(self._process)
        command = [*process.pop("args"), *map(str, args)]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, **process)

    def start(self, *args, **streams):
        """Start, with its output as text on pipes where nothing else is said."""
        process = dict(self._process)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return subprocess.Popen([*process.pop("args"), *map(str, args)], text=True, **streams, **process)


@pytest.fixture
def leasehold(tmp_path):
    return Command(tmp_path)


@pytest.fixture(scope="session")
def penguins(tmp_path_factory):
    """The penguins job, run once: the completed process and its folder."""
    folder = tmp_path_factory.mktemp("penguins")
    done = Command(folder)("run", ROOT / "bench/jobs/penguins.toml", "--out", "out")
    return done, folder / "out"


@pytest.fixture
def a_view():
    """Make a view of a running job of 100 rows in 10 row groups; models as (in flight, limit, waiting).

    `pressure` is what else is to be said of every model, `maximum` its most calls where that is another.
    """

    def make(
        *,
        at=10.0,
        models=(),
        limits=None,
        free=None,
        maximum=None,
        pressure=None,
        domain="chat",
        effort=NO_EFFORT,
        rate=0.0,
        **job,
    ):
        limits = limits or {"submission": 100, "llm_wait": 16, "local": 256}
        resources = tuple(
            RequestPressureSnapshot(
                captured_at=at,
                sequence=1,
                resource=RequestResourceKey("sim", f"m{number}", domain),
                effective_max=maximum or limit,
                current_limit=limit,
                in_flight=in_flight,
                active_leases=in_flight,
                waiters=waiting,
                **(pressure or {}),
            )
            for number, (in_flight, limit, waiting) in enumerate(models)
        )
        endpoints = tuple(
            ProviderModelPressureSnapshot(
                key=ProviderModelKey("sim", f"m{number}"),
                static_cap=maximum or limit,
                aggregate_in_flight=in_flight,
                aggregate_active_leases=in_flight,
                aliases=(f"alias{number}",),
                raw_caps={},
                limits_by_domain={"chat": limit},
            )
            for number, (in_flight, limit, _) in enumerate(models)
        )
        accounts = TaskAdmissionView(
            resource_limits=limits,
            resources_available={**limits, **(free or {})},
            leased_resources_by_group={},
            running_by_group={},
            policy_debt_by_group_resource={},
        )
        running = {
            "phase": "running",
            "job_name": "made up",
            "rows_requested": 100,
            "row_groups_total": 10,
            "row_groups_in_flight": 3,
            "leased": 5,
            "generators": {"a": GeneratorProgress(0, 0, 100)},
            **job,
        }
        return RunView(
            at,
            SchedulerSnapshot(**running),
            TaskAdmissionSnapshot(1, accounts, 0, 0, {}),
            RequestAdmissionSnapshot(1, resources, endpoints, 0, {}),
            effort,
            rate,
        )

    return make
