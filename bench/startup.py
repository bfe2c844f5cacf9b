"""Leasehold's start-up cost: fresh interpreters, timed from outside."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import actors
from bench.children import child_environment
from bench.results import BenchError, Run
from bench.stopwatch import Stopwatch

NOTHING = "pass"
IMPORT = "import actors, messages"
START_AND_STOP = """\
from actors import ActorSystem
from messages import Job
with ActorSystem.start():
    pass
import threading
others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
for thread in others:
    thread.join(5)
assert not any(thread.is_alive() for thread in others), others
"""

_ENVIRONMENT = child_environment()
_ROOT = Path(actors.__file__).parent.parent
"""Where the product is that this process measures."""


def run_program(program: str) -> Run:
    """Run `program` in a new interpreter and wait for its end. One task.

    Raises:
        BenchError: it failed, or left a thread behind.
    """
    before = _children_cpu()
    with Stopwatch() as watch:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=_ROOT,
            env=_ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise BenchError(f"the program exited {done.returncode}: {done.stderr[-500:]}")
    return Run(1, watch.wall_seconds, _children_cpu() - before)


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
