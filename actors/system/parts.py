"""Makes each actor's core and shell: the only place that knows every actor's parts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pykka

from actors.request_admission.core import RequestAdmissionCore
from actors.runtime.clock import RunClock
from actors.runtime.core import Core
from actors.runtime.router import Router
from actors.runtime.shell import ActorShell
from actors.scheduler.core import SchedulerCore
from actors.storage.core import StorageCore
from actors.storage.files import FileRuns
from actors.storage.source import FileSources
from actors.task_admission.core import TaskAdmissionCore
from actors.task_admission.policies import policy_named
from actors.telemetry.core import TelemetryCore
from actors.telemetry.sinks import open_log_file
from actors.worker.actor import WorkerActor
from actors.worker.core import WorkerCore
from messages._base import (
    REQUEST_ADMISSION,
    SCHEDULER,
    STORAGE,
    TASK_ADMISSION,
    TELEMETRY,
    WORKER,
    ActorName,
)


def start_actor(
    name: ActorName, router: Router, clock: RunClock, *, log: str | Path | None, observing: bool
) -> pykka.ActorRef[Any]:
    """Start one actor and register it under its name.

    Raises:
        OSError: telemetry's log cannot be written.
    """
    make: dict[ActorName, Callable[[], Core]] = {
        TELEMETRY: lambda: TelemetryCore(
            open_log=open_log_file,
            system_log=None if log is None else open_log_file(log, replace=True),
            observing=observing,
            now=clock.now(),
        ),
        STORAGE: lambda: StorageCore(FileRuns(), FileSources()),
        TASK_ADMISSION: lambda: TaskAdmissionCore(policy_named),
        REQUEST_ADMISSION: RequestAdmissionCore,
        WORKER: WorkerCore,
        SCHEDULER: lambda: SchedulerCore(policy_named, _run_ids()),
    }
    shell = WorkerActor if name == WORKER else ActorShell
    ref = shell.start(name, make[name](), router, clock)
    router.register(name, lambda messages: _tell(ref, messages))
    return ref


def _tell(ref: pykka.ActorRef[Any], messages: object) -> bool:
    try:
        ref.tell(messages)
    except pykka.ActorDeadError:
        return False
    return True


def _run_ids() -> Iterator[str]:
    while True:
        yield uuid.uuid4().hex[:12]
