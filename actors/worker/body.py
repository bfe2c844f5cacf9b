"""The worker's body: joins an actor's messages and an event loop, on which its tasks run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from actors.runtime.body import ActorBody, Mailbox
from actors.runtime.clock import Clock
from actors.runtime.core import Core
from actors.runtime.router import Router
from actors.worker.attempt_numbers import first_attempt_of
from actors.worker.core import WorkerCore
from actors.worker.coroutines import Stepping
from actors.worker.executor import ModelRequestExecutor
from actors.worker.runner import TaskRunner
from actors.worker.threads import MakePool, ThreadPool
from messages._base import REQUEST_ADMISSION, ActorName, Message, Outgoing
from messages.request_admission import RequestHolderLost
from messages.tasks import TaskOutcome
from messages.worker import TaskStart

_STOP_SECONDS = 2.0


class LoopMailbox(Mailbox, Protocol):
    """A mailbox whose reader has an event loop, which runs between two entries."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        ...

    def request_turn(self) -> None:
        """Let the loop run once before the next entry: there is new work on it."""
        ...

    def attend(self) -> None:
        """Called on the loop: hand the actor a `DeadlineReached` at the end of this turn."""
        ...

    def run(self, ending: Coroutine[Any, Any, Any], seconds: float) -> None:
        """Run the loop until `ending` has ended, or for some seconds."""
        ...


class WorkerBody(ActorBody):
    """Joins mailbox and event loop: after each turn of the loop that ended something, sends it."""

    core: WorkerCore
    inbox: LoopMailbox

    def __init__(
        self,
        name: ActorName,
        core: WorkerCore,
        router: Router,
        clock: Clock,
        inbox: LoopMailbox,
        rebuild: Callable[[Core], Core] | None = None,
        make_pool: MakePool = ThreadPool,
    ) -> None:
        super().__init__(name, core, router, clock, inbox, rebuild)
        self.stepping: Stepping[TaskStart] = Stepping()
        self._make_pool = make_pool
        self._runner = self._equip(core)

    def take(self, entry: Message | list[Message]) -> None:
        """Take a mailbox entry; whatever it started gets a turn of the loop soon."""
        super().take(entry)
        self.inbox.request_turn()

    def stop(self) -> None:
        """End what still runs, and send every token that was held."""
        inbox, runner = self.inbox, self._runner
        runner.cancel_all()
        inbox.run(_ended(asyncio.all_tasks(inbox.loop)), _STOP_SECONDS)
        runner.return_overdue()
        runner.release("")
        inbox.run(runner.closed(), _STOP_SECONDS)
        inbox.run(inbox.loop.shutdown_asyncgens(), _STOP_SECONDS)
        super().stop()

    def _equip(self, core: WorkerCore) -> TaskRunner:
        """Give a core a runner of its own. Its attempts' numbers are unlike any earlier incarnation's."""
        inbox = self.inbox
        executor = ModelRequestExecutor(
            inbox.loop,
            now=self.clock.now,
            attend=inbox.attend,
            first_attempt=first_attempt_of(core.generation),
        )
        runner = TaskRunner(
            inbox.loop,
            executor,
            finished=self._finished,
            attend=inbox.attend,
            stepping=self.stepping,
            warn=self.log.warning,
            make_pool=self._make_pool,
        )
        core.attach(runner)
        return runner

    def _begin_anew(self, rebuild: Callable[[Core], Core]) -> None:
        """Lose the core, and with it everything that runs and every token that it holds."""
        generation = self.core.generation
        super()._begin_anew(rebuild)
        lost, self._runner = self._runner, self._equip(self.core)
        left = lost.report()
        self._runner.take_over(lost)
        lost_holder = RequestHolderLost(left.held, left.waiting, generation)
        self.send([Outgoing(REQUEST_ADMISSION, lost_holder)])

    def _finished(self, lease_id: int, outcome: TaskOutcome) -> None:
        self.core.finished(lease_id, outcome, now=self.clock.now())


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, users' own among them, and wait for their end."""
    for task in sorted(tasks, key=asyncio.Task.get_name):
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
