"""Bare Pykka: four actors that only move batched leases, the floor for anything built on Pykka.

Its own best way: the hops of Leasehold's hot path with nothing decided on the way.

    scheduler -> admission -> scheduler -> worker -> admission -> scheduler

A batch is one message; the mailbox is a SimpleQueue, the quickest that Python has. With events, every
actor also tells a fourth one a batch of them per kind, which encodes them with msgspec into a JSON
lines file and has it on disk before the run counts as ended: seven a task, as many as Leasehold makes.
No task is run and no row is kept. What is moved is `bench.peers.tokens`' question.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pykka

from bench.noop_jobs import CAPACITY
from bench.peers.tokens import Tokens
from bench.results import BenchError, Run
from bench.stopwatch import Stopwatch

EVENTS_PER_TASK = 7
_PATIENCE_SECONDS = 120.0

Ref = pykka.ActorRef[Any]


class Batch(msgspec.Struct, frozen=True, gc=False):
    """One hop of many tasks. `hop`: ask, decided, execute, return or returned."""

    hop: str
    tokens: list[Any]


class Begin(msgspec.Struct, frozen=True):
    """The run to the scheduler: here are the others."""

    admission: Ref
    worker: Ref


class Count(msgspec.Struct, frozen=True):
    """The run to scheduler or admission, at the end: how many are done, how many are out?"""


class _Mover(pykka.ThreadingActor):
    """An actor that passes batches on, and events where somebody takes them."""

    use_daemon_thread = True

    def __init__(self, tokens: Tokens, telemetry: Ref | None) -> None:
        super().__init__()
        self._tokens = tokens
        self._telemetry = telemetry

    @staticmethod
    def _create_actor_inbox() -> Any:
        return queue.SimpleQueue()

    def _record(self, batch: list[Any], *kinds: str) -> None:
        if self._telemetry is not None:
            now = time.monotonic()
            for kind in kinds:
                self._telemetry.tell(self._tokens.events(kind, batch, now))


class _Scheduler(_Mover):
    """Asks for a batch, has it run, asks for the next."""

    def __init__(self, tokens: Tokens, telemetry: Ref | None, tasks: int, ended: threading.Event) -> None:
        super().__init__(tokens, telemetry)
        self._ended = ended
        self._tasks = tasks
        self._asked = 0
        self._done = 0
        self._admission: Ref
        self._worker: Ref

    def on_receive(self, message: Any) -> int | None:
        match message:
            case Batch(hop="decided", tokens=leases):
                self._worker.tell(Batch("execute", self._tokens.start(leases)))
            case Batch(tokens=releases):
                self._done += len(releases)
                if self._done < self._tasks:
                    self._ask()
                elif self._telemetry is None:
                    self._ended.set()
                else:
                    self._telemetry.tell(self._ended)
            case Begin(admission=admission, worker=worker):
                self._admission, self._worker = admission, worker
                self._ask()
            case Count():
                return self._done
        return None

    def _ask(self) -> None:
        first = self._asked
        self._asked = min(first + CAPACITY, self._tasks)
        asked = self._tokens.ask(first, self._asked)
        self._record(asked, "dependency_ready", "ready_enqueued", "selected")
        self._admission.tell(Batch("ask", asked))


class _Admission(_Mover):
    """Makes a token for every task and takes it back."""

    def __init__(self, tokens: Tokens, telemetry: Ref | None, scheduler: Ref) -> None:
        super().__init__(tokens, telemetry)
        self._scheduler = scheduler
        self._active = 0

    def on_receive(self, message: Any) -> int | None:
        match message:
            case Batch(hop="ask", tokens=asked):
                leases = self._tokens.grant(asked, time.monotonic())
                self._active += len(leases)
                self._record(leases, "task_lease_acquired")
                self._scheduler.tell(Batch("decided", leases))
            case Batch(tokens=returns):
                self._active -= len(returns)
                self._record(returns, "task_lease_released")
                self._scheduler.tell(Batch("returned", self._tokens.release(returns)))
            case Count():
                return self._active
        return None


class _Worker(_Mover):
    """Returns what it is given."""

    def __init__(self, tokens: Tokens, telemetry: Ref | None, admission: Ref) -> None:
        super().__init__(tokens, telemetry)
        self._admission = admission

    def on_receive(self, message: Batch) -> None:
        self._record(message.tokens, "worker_spawned", "task_completed")
        self._admission.tell(Batch("return", self._tokens.finish(message.tokens)))


class _Telemetry(pykka.ThreadingActor):
    """Encodes events into a file."""

    use_daemon_thread = True

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("wb")
        self._encoder = msgspec.json.Encoder()

    @staticmethod
    def _create_actor_inbox() -> Any:
        return queue.SimpleQueue()

    def on_receive(self, message: list[Any] | threading.Event) -> None:
        if isinstance(message, list):
            self._file.write(self._encoder.encode_lines(message))
        else:
            self._file.flush()
            os.fsync(self._file.fileno())
            message.set()

    def on_stop(self) -> None:
        self._file.close()


def run_pipeline(tasks: int, tokens: Tokens, *, events: bool) -> Run:
    """Move `tasks` leases through the pipeline.

    Raises:
        BenchError: the pipeline came to a stop, or events are missing from its file.
    """
    with TemporaryDirectory(prefix="leasehold-bench-") as folder:
        path, ended = Path(folder, "events.jsonl"), threading.Event()
        telemetry = _Telemetry.start(path) if events else None
        scheduler = _Scheduler.start(tokens, telemetry, tasks, ended)
        admission = _Admission.start(tokens, telemetry, scheduler)
        worker = _Worker.start(tokens, telemetry, admission)
        with Stopwatch() as watch:
            scheduler.tell(Begin(admission, worker))
            if not ended.wait(_PATIENCE_SECONDS):
                raise BenchError("the bare pipeline came to a stop")
        done: Any = scheduler.ask(Count())
        left: Any = admission.ask(Count())
        for ref in (worker, admission, scheduler, telemetry):
            if ref is not None:
                ref.stop()
        lines = path.read_bytes().count(b"\n") if events else 0
    if lines != (EVENTS_PER_TASK * tasks if events else 0):
        raise BenchError(f"the bare pipeline wrote {lines} events for {tasks} tasks")
    return Run(done, watch.wall_seconds, watch.cpu_seconds, left)
