"""A forked command is what a fresh interpreter's is: where it runs, what it is given, how it ends."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest

from tests.forked_command import ROOT, ForkingInterpreter, run_command

FUNCTIONS = """
import os, signal, sys, threading

def tells(n):
    print(os.getcwd(), sorted(os.environ.items()), sys.argv, sys.path, sys.stdin.read(),
          os.isatty(1), os.isatty(2), signal.getsignal(signal.SIGPIPE), __name__, sep="\\n")
    return n

def is_killed(n):
    os.kill(os.getpid(), signal.SIGKILL)

def hangs(n):
    threading.Event().wait()
"""

JOB = """
name = "told"
rows = 1
[columns.n]
kind = "sequence"
[columns.cell]
kind = "python"
function = "functions:{function}"
"""


@pytest.fixture
def process(tmp_path):
    """Where a command runs and with what, as keywords; its jobs are there."""
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    for function in ("tells", "is_killed", "hangs", "nobody"):
        (tmp_path / f"{function}.toml").write_text(JOB.format(function=function))
    return {
        "cwd": tmp_path,
        "env": {"PYTHONPATH": str(ROOT), "SEEN": "yes", "LANG": "C.UTF-8"},
        "timeout": 30,
    }


def fresh(arguments, **process):
    return subprocess.run(
        [sys.executable, "-m", "actors", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **process,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "tells.toml", "--out", "out", "--quiet"),
        ("check", "nobody.toml"),
        ("fly",),
    ],
    ids=" ".join,
)
def test_it_says_what_a_fresh_interpreter_says_and_ends_as_it_does(process, arguments):
    own = fresh(arguments, **process)
    shutil.rmtree(process["cwd"] / "out", ignore_errors=True)

    forked = run_command(arguments, **process)

    assert own.stdout + own.stderr
    assert (forked.stdout, forked.stderr, forked.returncode) == (own.stdout, own.stderr, own.returncode)


def test_a_command_that_is_killed_tells_by_what_and_the_next_one_runs(process):
    killed = run_command(["run", "is_killed.toml", "--out", "out"], **process)

    assert killed.returncode == -signal.SIGKILL
    assert run_command(["--version"], **process).returncode == 0


def test_a_command_that_takes_too_long_is_killed_and_the_next_one_runs(process):
    interpreter = ForkingInterpreter()
    with pytest.raises(subprocess.TimeoutExpired):
        interpreter.run(["run", "hangs.toml", "--out", "out"], **process | {"timeout": 0.0})

    assert interpreter.run(["--version"], **process).stdout.startswith("leasehold ")
    interpreter.end()
