"""Makes each actor's core and shell: the only place that knows every actor's parts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pykka

from actors.evidence.unsettled import unsettled_attempts
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
    name: ActorName,
    router: Router,
    clock: RunClock,
    *,
    log: str | Path | None,
    observing: bool,
    loop_blocked_after_seconds: float,
    faults: bool,
) -> pykka.ActorRef[Any]:
    """Start one actor and register it under its name.

    Raises:
        OSError: telemetry's log cannot be written.
    """
    make = _cores(clock, log=log, observing=observing)[name]
    rebuild = make if faults else None
    ref: pykka.ActorRef[Any]
    if name == WORKER:
        ref = WorkerActor.start(name, make(None), router, clock, rebuild, patience=loop_blocked_after_seconds)
    else:
        ref = ActorShell.start(name, make(None), router, clock, rebuild)
    router.register(name, lambda messages: _tell(ref, messages))
    return ref


def _cores(
    clock: RunClock, *, log: str | Path | None, observing: bool
) -> dict[ActorName, Callable[[Any], Any]]:
    """Return how each actor's core is made: the first from None, any other from the one that was lost.

    Nothing of a lost core is taken over but its generation, and what belongs to the actor's place and not
    to its state: open logs, open files.
    """
    run_ids = _run_ids()
    runs = FileRuns(unsettled=unsettled_attempts)

    def telemetry(lost: TelemetryCore | None) -> TelemetryCore:
        return TelemetryCore(
            open_log=open_log_file,
            system_log=None if log is None or lost else open_log_file(log, replace=True),
            observing=observing,
            journal=lost.journal if lost else None,
            generation=_following(lost),
            now=clock.now(),
        )

    def storage(lost: StorageCore | None) -> StorageCore:
        if lost is not None:
            lost.close(now=clock.now())
        return StorageCore(runs, FileSources(), generation=_following(lost))

    return {
        TELEMETRY: telemetry,
        STORAGE: storage,
        TASK_ADMISSION: lambda lost: TaskAdmissionCore(policy_named, generation=_following(lost)),
        REQUEST_ADMISSION: lambda lost: RequestAdmissionCore(generation=_following(lost)),
        WORKER: lambda lost: WorkerCore(generation=_following(lost)),
        SCHEDULER: lambda lost: SchedulerCore(
            policy_named,
            run_ids,
            generation=_following(lost),
            orphan=lost.orphan if lost else None,
            execution_ids_from=lost.next_execution_id if lost else 1,
        ),
    }


def _following(lost: Core | None) -> int:
    return 1 if lost is None else lost.generation + 1


def _tell(ref: pykka.ActorRef[Any], messages: object) -> bool:
    try:
        ref.tell(messages)
    except pykka.ActorDeadError:
        return False
    return True


def _run_ids() -> Iterator[str]:
    while True:
        yield uuid.uuid4().hex[:12]
