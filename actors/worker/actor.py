"""The worker's shell: a Pykka actor whose thread runs an asyncio loop while no message comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from actors.runtime.clock import RunClock
from actors.runtime.core import Core
from actors.runtime.router import Router
from actors.runtime.shell import ActorShell
from actors.worker.core import WorkerCore
from actors.worker.coroutines import Stepping
from actors.worker.executor import ModelRequestExecutor
from actors.worker.inbox import LoopInbox
from actors.worker.loop_watch import LoopWatch
from actors.worker.runner import TaskRunner
from messages._base import REQUEST_ADMISSION, TELEMETRY, ActorName, Outgoing
from messages.request_admission import RequestHolderLost
from messages.tasks import TaskOutcome
from messages.telemetry import LogEntry, RecordLog
from messages.worker import TaskStart

_STOP_SECONDS = 2.0
_logger = logging.getLogger("leasehold.worker")

ATTEMPTS_PER_GENERATION = 10**12
"""Generation g numbers its attempts from (g - 1) times this, plus one."""


class WorkerActor(ActorShell):
    """Joins mailbox and event loop: after each turn of the loop that ended something, sends it.

    User code that blocks the loop for `patience` seconds is named in the log while it still does.
    """

    core: WorkerCore

    def __init__(
        self,
        name: ActorName,
        core: WorkerCore,
        router: Router,
        clock: RunClock,
        rebuild: Callable[[Core], Core] | None = None,
        patience: float = 1.0,
    ) -> None:
        super().__init__(name, core, router, clock, rebuild)
        self._stepping: Stepping[TaskStart] = Stepping()
        self._watch = LoopWatch(
            self._loop_inbox.loop, self._stepping, patience=patience, report=self._note_blocked
        )
        self._runner = self._equip(core)

    @staticmethod
    def _create_actor_inbox() -> LoopInbox:
        return LoopInbox()

    @property
    def _loop_inbox(self) -> LoopInbox:
        assert isinstance(self.actor_inbox, LoopInbox)
        return self.actor_inbox

    def on_start(self) -> None:
        """Make the loop this thread's own."""
        asyncio.set_event_loop(self._loop_inbox.loop)
        self._watch.start()
        super().on_start()

    def on_receive(self, message: Any) -> None:
        """Take a mailbox entry; whatever it started gets a turn of the loop soon."""
        super().on_receive(message)
        self._loop_inbox.request_turn()

    def on_stop(self) -> None:
        """End what still runs, send every token that was held, and close the loop."""
        inbox, runner = self._loop_inbox, self._runner
        runner.cancel_all()
        inbox.run(_ended(asyncio.all_tasks(inbox.loop)), _STOP_SECONDS)
        runner.return_overdue()
        runner.release("")
        inbox.run(runner.closed(), _STOP_SECONDS)
        inbox.run(inbox.loop.shutdown_asyncgens(), _STOP_SECONDS)
        super().on_stop()
        self._watch.stop()
        asyncio.set_event_loop(None)
        inbox.loop.close()

    def _equip(self, core: WorkerCore) -> TaskRunner:
        """Give a core a runner of its own. Its attempts' numbers are unlike any earlier incarnation's."""
        inbox = self._loop_inbox
        executor = ModelRequestExecutor(
            inbox.loop,
            now=self.clock.now,
            attend=inbox.attend,
            first_attempt=(core.generation - 1) * ATTEMPTS_PER_GENERATION + 1,
        )
        runner = TaskRunner(
            inbox.loop,
            executor,
            finished=self._finished,
            attend=inbox.attend,
            stepping=self._stepping,
            warn=self.log.warning,
        )
        core.attach(runner)
        return runner

    def _begin_anew(self, rebuild: Callable[[Core], Core]) -> None:
        """Lose the core, and with it everything that runs and every token that it holds."""
        super()._begin_anew(rebuild)
        lost, self._runner = self._runner, self._equip(self.core)
        left = lost.report()
        self._runner.take_over(lost)
        self.send([Outgoing(REQUEST_ADMISSION, RequestHolderLost(left.held, left.waiting))])

    def _note_blocked(self, column: str, seconds: float, stack: list[str]) -> None:
        """Called on the watching thread: what this actor holds for sending waits for the loop itself."""
        at = stack[-1] if stack else ""
        _logger.warning("event_loop_blocked column=%s seconds=%.1f at=%s", column, seconds, at)
        fields = {"column": column, "seconds": round(seconds, 3), "at": at, "stack": stack}
        entry = LogEntry(self.clock.now(), self.name, "warning", "event_loop_blocked", fields)
        self._router.send(self.name, TELEMETRY, [RecordLog([entry])])

    def _finished(self, lease_id: int, outcome: TaskOutcome) -> None:
        self.core.finished(lease_id, outcome, now=self.clock.now())


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, users' own among them, and wait for their end."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
