"""Starts actors: each core in the real world, each body on a thread."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pykka
from pykka._envelope import Envelope

from actors.evidence.unsettled import unsettled_attempts
from actors.runtime.clock import RunClock
from actors.runtime.inbox import Inbox
from actors.runtime.router import Deliver, Router
from actors.runtime.shell import ActorShell
from actors.storage.files import FileRuns
from actors.storage.source import FileSources
from actors.system.cores import Ports, core_makers
from actors.telemetry.core import TelemetryCore
from actors.telemetry.gate import EventGate
from actors.telemetry.sinks import open_log_file
from actors.worker.actor import WorkerActor
from messages._base import WORKER, ActorName


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
    make = core_makers(_real_world(clock, log=log, observing=observing))[name]
    rebuild = make if faults else None
    core = make(None)
    ref: pykka.ActorRef[Any]
    if name == WORKER:
        ref = WorkerActor.start(name, core, router, clock, rebuild, patience=loop_blocked_after_seconds)
    else:
        ref = ActorShell.start(name, core, router, clock, rebuild)
    deliver: Deliver = partial(_tell, ref)
    if isinstance(core, TelemetryCore):
        deliver = EventGate(deliver, core.journal.taken, deliver_facts=partial(_tell_unhurried, ref))
    router.register(name, deliver)
    return ref


def _real_world(clock: RunClock, *, log: str | Path | None, observing: bool) -> Ports:
    return Ports(
        now=clock.now,
        open_log=open_log_file,
        open_system_log=None if log is None else partial(open_log_file, log, replace=True),
        runs=FileRuns(unsettled=unsettled_attempts),
        sources=FileSources(),
        run_ids=_run_ids(),
        observing=observing,
    )


def _tell(ref: pykka.ActorRef[Any], messages: object) -> bool:
    try:
        ref.tell(messages)
    except pykka.ActorDeadError:
        return False
    return True


def _tell_unhurried(ref: pykka.ActorRef[Any], messages: object) -> bool:
    inbox = ref.actor_inbox
    assert isinstance(inbox, Inbox)
    if not ref.is_alive():
        return False
    inbox.put_unhurried(Envelope(messages))
    return True


def _run_ids() -> Iterator[str]:
    while True:
        yield uuid.uuid4().hex[:12]
