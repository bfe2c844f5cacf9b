"""R10, R13: of two processes on one folder the second is refused at once, and the first notices nothing."""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager

import pytest

JOB = """
name = "held"
rows = {rows}
row_group_size = 10

[providers.sim]
kind = "simulated"

[models.poet]
provider = "sim"
model = "poet"
max_parallel_requests = 4

[limits]
row_group_concurrency = 1

[columns.n]
kind = "sequence"

[columns.verse]
kind = "chat"
model = "poet"
prompt = "of {{{{ n }}}}"

[columns.cell]
kind = "python"
function = "held:{function}"
"""

FUNCTIONS = """
import multiprocessing
import os
import time

def _lives_on():
    time.sleep(600)

def waits(n, verse):
    if n == 25 and not os.path.exists("go on"):
        print("reached", flush=True)
        while not os.path.exists("go on"):
            time.sleep(0.01)
    return n

def leaves_a_child(n, verse):
    if n == 25 and not os.path.exists("go on"):
        child = multiprocessing.get_context("fork").Process(target=_lives_on)
        child.start()
        print(child.pid, flush=True)
    return waits(n, verse)
"""


@pytest.fixture
def held(leasehold):
    """The command, and a job of 40 rows that waits in its third row group until it may go on."""
    leasehold.hold = lambda function: _job(leasehold, function)
    return leasehold


def _job(leasehold, function):
    (leasehold.folder / "held.py").write_text(FUNCTIONS)
    (leasehold.folder / "held.toml").write_text(JOB.format(rows=40, function=function))
    return "held.toml"


@contextmanager
def held_up(command, job):
    """A process that runs the job and waits in its third row group."""
    with command.start("run", job, "--out", "out") as first:
        try:
            child = (
                int(first.stdout.readline()) if "leaves_a_child" in (command.folder / job).read_text() else 0
            )
            assert first.stdout.readline() == "reached\n"
            yield first
        finally:
            first.kill()
            if child:
                os.kill(child, signal.SIGKILL)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def numbers(folder):
    lines = [line for path in sorted(folder.glob("rows/*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line)["n"] for line in lines]


def test_r10_a_second_process_on_a_folder_is_refused_before_it_writes_anything(held):
    job, out = held.hold("waits"), held.folder / "out"
    with held_up(held, job) as first:
        names = sorted(path.relative_to(out) for path in out.rglob("*"))
        data = [contents(out / "rows"), (out / "manifest.json").read_bytes()]

        for options in ([], ["--resume"], ["--resume", "--rows", "90", "--log", "own.jsonl"]):
            refused = held("run", job, "--out", "out", *options)
            assert (refused.returncode, refused.stdout) == (2, ""), options
            assert f"{out} is in use: process {first.pid} on " in refused.stderr
            assert "go on with --resume; or choose another folder with --out" in refused.stderr
            assert len(refused.stderr.splitlines()) == 1, "there is nothing else to be told"

        assert sorted(path.relative_to(out) for path in out.rglob("*")) == names
        assert [contents(out / "rows"), (out / "manifest.json").read_bytes()] == data
        assert not (held.folder / "own.jsonl").exists()
        (held.folder / "go on").touch()
        told, _ = first.communicate(timeout=20)

    assert first.returncode == 0
    assert "40 of 40 rows written" in told
    assert numbers(out) == list(range(40))
    assert held("verify", "out").returncode == 0
    assert not (out / "run.lock").exists()


def test_r10_reading_commands_are_not_disturbed_by_a_run_and_do_not_disturb_it(held):
    job, out = held.hold("waits"), held.folder / "out"
    with held_up(held, job) as first:
        assert "20 of 40 rows written" in held("inspect", "out").stdout
        assert held("report", "out", "-o", "page.html").returncode == 0
        assert "no scheduler_job_completed" in held("verify", "out").stdout
        assert held("run", job, "--out", "out", "--resume").returncode == 2, "the lock is still held"
        (held.folder / "go on").touch()
        first.communicate(timeout=20)
    assert first.returncode == 0
    assert numbers(out) == list(range(40))


@pytest.mark.parametrize("function", ["waits", "leaves_a_child"])
def test_r10_the_lock_of_a_killed_process_is_not_in_the_way_of_resume(held, function):
    job, out = held.hold(function), held.folder / "out"
    with held_up(held, job) as first:
        first.kill()
        first.wait(20)
        assert (out / "run.lock").exists(), "nobody was left to remove it"
        (held.folder / "go on").touch()
        resumed = held("run", job, "--out", "out", "--resume")
    assert resumed.returncode == 0
    assert numbers(out) == list(range(40))
    assert not (out / "run.lock").exists()
    assert held("verify", "out").returncode == 0


def test_r10_a_refused_job_leaves_a_folder_unlocked_and_as_it_was(held):
    job, out = held.hold("waits"), held.folder / "out"
    (held.folder / "go on").touch()
    assert held("run", job, "--out", "out").returncode == 0
    before = contents(out)
    assert held("run", job, "--out", "out").returncode == 2
    assert held("run", job, "--out", "out", "--resume", "--rows", "5").returncode == 2
    assert contents(out) == before
