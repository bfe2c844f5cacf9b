"""How each actor's core is made, first and after a loss: the only place that knows every core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from actors.request_admission.core import RequestAdmissionCore
from actors.runtime.core import Core
from actors.scheduler.core import SchedulerCore
from actors.storage.core import StorageCore
from actors.storage.ports import RunFilesFactory, SourceFactory
from actors.task_admission.core import TaskAdmissionCore
from actors.task_admission.policies import policy_named
from actors.telemetry.core import TelemetryCore
from actors.telemetry.logs import LogSink
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

MakeCore = Callable[[Any], Any]
"""Makes an actor's core: the first from None, any other from the one that was lost."""


class Ports(NamedTuple):
    """What the cores need of the world: the real one, or one that a simulator makes up.

    `open_log` and the files may raise OSError. `open_system_log` makes the log that gets everything, None
    where there is to be none; it is called once. `run_ids` never ends.
    """

    now: Callable[[], float]
    open_log: Callable[[str], LogSink]
    open_system_log: Callable[[], LogSink] | None
    runs: RunFilesFactory
    sources: SourceFactory
    run_ids: Iterator[str]
    observing: bool = True


def core_makers(ports: Ports) -> dict[ActorName, MakeCore]:
    """Return how each actor's core is made.

    Nothing of a lost core is taken over but its generation, and what belongs to the actor's place and not
    to its state: open logs, open files, messages that it had put aside unread.
    """

    def telemetry(lost: TelemetryCore | None) -> TelemetryCore:
        opening = ports.open_system_log
        return TelemetryCore(
            open_log=ports.open_log,
            system_log=None if opening is None or lost else opening(),
            observing=ports.observing,
            journal=lost.journal if lost else None,
            generation=_following(lost),
            now=ports.now(),
        )

    def storage(lost: StorageCore | None) -> StorageCore:
        if lost is not None:
            lost.close_source()
        return StorageCore(ports.runs, ports.sources, generation=_following(lost))

    return {
        TELEMETRY: telemetry,
        STORAGE: storage,
        TASK_ADMISSION: lambda lost: TaskAdmissionCore(
            policy_named, generation=_following(lost), unread=lost.unread if lost else ()
        ),
        REQUEST_ADMISSION: lambda lost: RequestAdmissionCore(
            generation=_following(lost), unfinished=lost.unfinished if lost else None
        ),
        WORKER: lambda lost: WorkerCore(generation=_following(lost)),
        SCHEDULER: lambda lost: SchedulerCore(
            policy_named,
            ports.run_ids,
            generation=_following(lost),
            orphan=lost.orphan if lost else None,
            execution_ids_from=lost.next_execution_id if lost else 1,
        ),
    }


def _following(lost: Core | None) -> int:
    return 1 if lost is None else lost.generation + 1
