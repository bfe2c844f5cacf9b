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
        core.attach(TaskRunner(inbox.loop, executor, finished=self._finished, attend=inbox.attend))

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
        """End what still runs on the loop, send what it returned, and close the loop."""
        loop = self._loop_inbox.loop
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=_STOP_SECONDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
        super().on_stop()
        asyncio.set_event_loop(None)
        loop.close()

    def _finished(self, lease_id: int, outcome: TaskOutcome) -> None:
        self.core.finished(lease_id, outcome, now=self.clock.now())
