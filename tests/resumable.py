"""A job with all that a resume could upset, and a provider that notes every call before it answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from actors import ActorSystem
from actors.storage.folder import open_run_folder
from actors.storage.layout import next_log
from actors.worker.providers import registry
from actors.worker.providers.simulated import SimulatedClient
from messages import (
    ChatColumn,
    Job,
    Latency,
    Limits,
    ModelConfig,
    PythonColumn,
    SequenceColumn,
    SimulatedProvider,
)

ROOT = Path(__file__).parents[1]
ROWS_OF_A_GROUP = 10


class NotingClient(SimulatedClient):
    """Appends the prompt of every call to `notes`; does not answer prompts that hold `silent_about`."""

    notes: Path
    silent_about: str | None = None

    async def chat(self, request):
        note(self.notes, request.prompt)
        if self.silent_about is not None and self.silent_about in request.prompt:
            await asyncio.Event().wait()
        return await super().chat(request)


def note(path, text):
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{text}\n".encode())
    os.close(file)


class Fuse:
    """Kills the process, as SIGKILL does, after so many steps; never where `left` is None."""

    left: int | None = None

    def burn(self):
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


fuse = Fuse()


def examined(number, story):
    fuse.burn()
    if number % 7 == 3:
        raise ValueError(f"{number} does not pass")
    return len(story)


def ranked(examined):
    return [sorted(examined).index(value) for value in examined]


def numbered(rank):
    return list(range(len(rank)))


def a_job(rows=90, *, mean=4.0, **changes):
    """Return a job of two model calls a row, with dropped rows, a batch and an ordered column."""
    settings = {
        "name": "resumable",
        "rows": rows,
        "row_group_size": ROWS_OF_A_GROUP,
        "providers": {"p": SimulatedProvider(latency_ms=Latency(mean=mean, jitter=mean * 0.9))},
        "models": {"m": ModelConfig(provider="p", model="m", max_parallel_requests=4)},
        "columns": {
            "number": SequenceColumn(),
            "story": ChatColumn(model="m", prompt="story {{ number }}"),
            "examined": PythonColumn(function=examined),
            "rank": PythonColumn(function=ranked, scope="batch"),
            "place": PythonColumn(function=numbered, scope="batch", order_dependent=True),
            "moral": ChatColumn(model="m", prompt="moral {{ number }} of rank {{ rank }}"),
        },
        "limits": Limits(row_group_concurrency=3),
    }
    return Job(**{**settings, **changes})


def run_until_killed(out, notes, *, steps, silent_about=None):
    """Run or resume the job in a process of its own, which is killed after `steps` steps; return its code."""
    arguments = (str(out), str(notes), steps, silent_about)
    code = f"from tests.resumable import child; child(*{arguments!r})"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=50).returncode


def child(out, notes, steps, silent_about):
    fuse.left = steps
    NotingClient.notes = Path(notes)
    NotingClient.silent_about = silent_about
    registry.SimulatedClient = NotingClient
    with ActorSystem.start() as system:
        system.run(a_job(), out=out, log=next_log(Path(out)), resume=True)


def calls_in(notes):
    """Return the noted calls as (column, row)."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def journaled(out):
    """Return the cells (column, row) that the journal holds."""
    lines = [line for path in out.glob("journal/*") for line in path.read_bytes().splitlines(keepends=True)]
    records = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return {(record["column"], record["row"]) for record in records}


def finished(out):
    """Return the model cells (column, row) that are journaled, or of a stored row group, dropped or not."""
    if not (out / "manifest.json").exists():
        return set()
    rows = {row["number"] for row in rows_in(out)} | {drop.row for drop in open_run_folder(out).dropped()}
    return journaled(out) | {(column, row) for row in rows for column in ("story", "moral")}


def rows_in(out):
    return [json.loads(line) for line in dataset(out).splitlines()]


def dataset(out):
    """Return every stored row, as the bytes that lie in the folder, in row order."""
    return b"".join(path.read_bytes() for path in sorted(out.glob("rows/*.jsonl")))


def drops_in(out):
    return sorted((out / "dropped.jsonl").read_bytes().splitlines())
