"""The worker's shell: a Pykka actor whose thread runs an asyncio loop while no message comes."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.runtime.clock import RunClock
from actors.runtime.router import Router
from actors.runtime.shell import ActorShell
from actors.worker.core import WorkerCore
from actors.worker.executor import ModelRequestExecutor
from actors.worker.inbox import LoopInbox
from actors.worker.runner import TaskRunner
from messages._base import ActorName
from messages.tasks import TaskOutcome

_STOP_SECONDS = 2.0


class WorkerActor(ActorShell):
    """Joins mailbox and event loop: after each turn of the loop that ended something, sends it."""

    core: WorkerCore

    def __init__(self, name: ActorName, core: WorkerCore, router: Router, clock: RunClock) -> None:
        super().__init__(name, core, router, clock)
        inbox = self._loop_inbox
        executor = ModelRequestExecutor(inbox.loop, now=clock.now, attend=inbox.attend)
        self._runner = TaskRunner(inbox.loop, executor, finished=self._finished, attend=inbox.attend)
        core.attach(self._runner)

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
        asyncio.set_event_loop(None)
        inbox.loop.close()

    def _finished(self, lease_id: int, outcome: TaskOutcome) -> None:
        self.core.finished(lease_id, outcome, now=self.clock.now())


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, users' own among them, and wait for their end."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
