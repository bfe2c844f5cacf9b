"""The actor system in the user's process: starts the actors, wires them, speaks for the outside.

Not an actor, and holds no job state: everything it does for a caller is a message to an actor and a
wait for the answer.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pykka

from actors.runtime.client import Client
from actors.runtime.clock import RunClock
from actors.runtime.inbox import Inbox
from actors.runtime.logger import tell_program
from actors.runtime.processor import Effort, ProcessorWatch
from actors.runtime.router import ReplyBox, Router, UnreachableError
from actors.runtime.shell import ActorShell
from actors.runtime.subscription import Subscription
from actors.runtime.watchdog import Watchdog
from actors.system.handle import END_SECONDS, JobHandle
from actors.system.parts import start_actor
from messages._base import ACTOR_NAMES, SCHEDULER, TELEMETRY, ActorName, Message, Query
from messages.job import Job
from messages.scheduler import CancelJob, JobResult, SubmitJob
from messages.supervision import ActorSnapshot, GetSnapshot
from messages.telemetry import (
    EventKind,
    EventsPublished,
    LogEntry,
    LogLevel,
    RecordLog,
    StreamName,
    Subscribe,
    Unsubscribe,
)

_STOP_SECONDS = 5.0
_CLIENT: ActorName = "system"
_logger = logging.getLogger("leasehold.system")
_running: weakref.WeakSet[ActorSystem] = weakref.WeakSet()


class ActorSystem:
    """Six actors and the router between them.

        with ActorSystem.start(log="actors.jsonl") as system:
            result = system.run(job)

    Methods may be called from any thread. `stop` may be called at any time, more than once.
    """

    def __init__(self, router: Router, clock: RunClock) -> None:
        self.router = router
        self.clock = clock
        self.client = Client(router, _CLIENT)
        self._refs: dict[ActorName, pykka.ActorRef[ActorShell]] = {}
        self._watchdog: Watchdog | None = None
        self._processor = ProcessorWatch(self._note_busy)
        self._stopping = threading.Lock()

    @classmethod
    def start(
        cls,
        *,
        log: str | os.PathLike[str] | None = None,
        serialize_messages: bool = False,
        observing: bool = True,
        actors: Iterable[ActorName] = ACTOR_NAMES,
        stuck_after_seconds: float = 10.0,
        loop_blocked_after_seconds: float = 1.0,
        faults: bool = False,
        prepare: Callable[[ActorSystem], None] | None = None,
    ) -> ActorSystem:
        """Start the actors; return when all of them run.

        log: file for the actor log; an existing one is replaced. None: no file.
        serialize_messages: pass every message through msgpack on delivery, as over a network.
        observing: False leaves events uncounted and unwritten, to measure what they cost.
        actors: the subset to start; messages to the others are dead letters, or go to probes.
        stuck_after_seconds: how long a mailbox may stand still before the watchdog names its actor.
        loop_blocked_after_seconds: how long user code may hold the worker's event loop before a warning,
        `event_loop_blocked`, names its column.
        faults: True lets `CrashActor` do what it says. For the harness: elsewhere it is refused.
        prepare: called with the system before its first actor starts, to add taps and destinations.

        Raises:
            OSError: the log cannot be written.
        """
        system = cls(Router(serialize=serialize_messages), RunClock())
        system.router.on_dead_letters = system._note_dead_letters
        if prepare is not None:
            prepare(system)
        wanted = set(actors)
        try:
            for name in (known for known in ACTOR_NAMES if known in wanted):
                path = None if log is None else Path(log)
                ref = start_actor(
                    name,
                    system.router,
                    system.clock,
                    log=path,
                    observing=observing,
                    loop_blocked_after_seconds=loop_blocked_after_seconds,
                    faults=faults,
                )
                system._refs[name] = ref
            inboxes = {name: _inbox_of(ref) for name, ref in system._refs.items()}
            watchdog = Watchdog(inboxes, patience=stuck_after_seconds, report=system._note_stuck)
            watchdog.start()
            system._watchdog = watchdog
            system._processor.start()
        except BaseException:
            system.stop()
            raise
        _running.add(system)
        return system

    def __enter__(self) -> Self:
        """Return the system."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the system, also when the body raised."""
        self.stop()

    # -- jobs --------------------------------------------------------------------------------------

    def submit(
        self,
        job: Job,
        *,
        out: str | os.PathLike[str] | None = None,
        log: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> JobHandle:
        """Start `job` and return once its work has begun.

        out: folder for the dataset; None keeps the rows in memory. log: a log of this run alone.
        resume: go on with the run that `out` holds, if it holds one. The job must be the same: only `limits`,
        `failure`, `output`, what is done about providers that refuse or are not there, and a model's cap,
        limit, budgets and timeouts may differ, and `rows` may have grown.

        Raises:
            JobError: the job was refused; `problems` holds everything that has to be mended.
            UnreachableError: the system has stopped.
        """
        submit = SubmitJob(job, _text(out), _text(log), resume=resume)
        return JobHandle.submit(self.client, submit)

    def run(
        self,
        job: Job,
        *,
        out: str | os.PathLike[str] | None = None,
        log: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> JobResult:
        """Run `job` to its end and return its result. Raises as `submit`.

        An exception while waiting, such as KeyboardInterrupt, cancels the job first.
        """
        handle = self.submit(job, out=out, log=log, resume=resume)
        try:
            return handle.result()
        except BaseException:
            handle.cancel()
            with contextlib.suppress(TimeoutError, UnreachableError):  # what was raised matters more
                handle.result(timeout=END_SECONDS)
            raise

    # -- messages ----------------------------------------------------------------------------------

    def tell(self, actor: ActorName, message: Message) -> bool:
        """Send `message` to an actor and return at once: whether there is somebody to take it."""
        return self.client.tell(actor, message)

    def ask(self, actor: ActorName, query: Query, *, timeout: float = 5.0) -> Message:
        """Send `query` to an actor and return its answer. Raises as `Client.ask`."""
        return self.client.ask(actor, query, timeout=timeout)

    def snapshot(self, actor: ActorName, *, timeout: float = 5.0) -> ActorSnapshot:
        """Return an actor's snapshot. Raises as `Client.ask`."""
        return self.client.snapshot(actor, timeout=timeout)

    def reply_box(self) -> ReplyBox:
        """Return a new address at which answers can be received."""
        return self.client.reply_box()

    def subscribe(
        self,
        *,
        kinds: Sequence[EventKind] = (),
        streams: Sequence[StreamName] = (),
        columns: Sequence[str] = (),
        resources: Sequence[str] = (),
    ) -> Subscription:
        """Return a stream of events from now on, as a context manager; filters as in `Subscribe`.

        with system.subscribe(kinds=["request_rate_limited"]) as events:
            for placed in events:
                print(placed.event.resource)
        """
        wanted = Subscribe(tuple(kinds), tuple(streams), tuple(columns), tuple(resources))
        return Subscription(self.client, wanted)

    # -- ending ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Cancel a running job, wait for its leases, and stop every actor. Harmless a second time."""
        with self._stopping:
            if self._watchdog is not None:
                self._watchdog.stop()
                self._watchdog = None
                self._processor.stop()
            if SCHEDULER in self._refs and len(self._refs) == len(ACTOR_NAMES):
                self._end_job()
            for name in reversed(ACTOR_NAMES):
                ref = self._refs.pop(name, None)
                if ref is not None:
                    self._stop_actor(name, ref)
            self.router.close()
            _running.discard(self)

    def _end_job(self) -> None:
        """Cancel the running job, if there is one, and wait until the scheduler is idle."""
        with self.reply_box() as box:
            self.tell(SCHEDULER, CancelJob("the system was stopped", reply_to=box.address))
            deadline = self.clock.now() + _STOP_SECONDS * 4
            try:
                while self.clock.now() < deadline:
                    self.tell(SCHEDULER, GetSnapshot(reply_to=box.address))
                    while not isinstance(answer := box.get(_STOP_SECONDS), ActorSnapshot):
                        pass
                    if getattr(answer.state, "phase", "idle") == "idle":
                        return
                    threading.Event().wait(0.01)
            except TimeoutError:
                _logger.warning("the scheduler did not answer while the system was stopped")

    def _stop_actor(self, name: ActorName, ref: pykka.ActorRef[ActorShell]) -> None:
        try:
            ref.stop(block=True, timeout=_STOP_SECONDS)
            _join(_inbox_of(ref).reader)
        except pykka.Timeout:
            _logger.warning(
                "actor %s did not stop within %s s: its thread is left behind", name, _STOP_SECONDS
            )
        self.router.unregister(name)

    # -- what the runtime notices ------------------------------------------------------------------

    def _note_dead_letters(self, sender: ActorName, to: ActorName, messages: Sequence[Message]) -> None:
        if any(type(message) is EventsPublished for message in messages):  # it left without a word
            self.tell(TELEMETRY, Unsubscribe(reply_to=to))
        kinds = sorted({type(message).__name__ for message in messages})
        self._log(
            "warning" if to in ACTOR_NAMES else "debug", "dead_letters", sender=sender, to=to, kinds=kinds
        )

    def _note_stuck(self, actor: ActorName, seconds: float, stack: list[str]) -> None:
        at = stack[-1] if stack else ""
        self._log("error", "actor_stuck", actor_name=actor, seconds=round(seconds, 3), at=at, stack=stack)

    def _note_busy(self, effort: Effort) -> None:
        busy, seconds = round(effort.busy, 3), round(effort.seconds, 3)
        self._log("debug", "processor_busy", busy=busy, processors=effort.processors, seconds=seconds)

    def _log(self, level: LogLevel, event: str, **fields: Any) -> None:
        entry = LogEntry(self.clock.now(), _CLIENT, level, event, fields)
        tell_program(entry)
        if TELEMETRY in self._refs:
            self.router.send(_CLIENT, TELEMETRY, [RecordLog([entry])])


def _inbox_of(ref: pykka.ActorRef[ActorShell]) -> Inbox:
    inbox = ref.actor_inbox
    assert isinstance(inbox, Inbox)
    return inbox


def _join(thread_id: int) -> None:
    """Wait for the end of an actor's thread: Pykka says that the actor has stopped a moment before that."""
    for thread in threading.enumerate():
        if thread.ident == thread_id and thread is not threading.current_thread():
            thread.join(_STOP_SECONDS)


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


@atexit.register
def _stop_forgotten() -> None:
    """Stop systems that nobody stopped: their actors are daemon threads, and would lose what they hold."""
    for system in list(_running):
        system.stop()
