"""The worker's shell: a Pykka actor whose thread runs an asyncio loop while no message comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.runtime.clock import Clock
from actors.runtime.core import Core
from actors.runtime.logger import tell_program
from actors.runtime.router import Router
from actors.runtime.shell import ActorShell
from actors.worker.body import WorkerBody
from actors.worker.core import WorkerCore
from actors.worker.inbox import LoopInbox
from actors.worker.loop_watch import LoopWatch
from messages._base import TELEMETRY, ActorName
from messages.telemetry import LogEntry, RecordLog


class WorkerActor(ActorShell):
    """Owns the thread and its event loop.

    User code that blocks the loop for `patience` seconds is named in the log while it still does.
    """

    body: WorkerBody

    def __init__(
        self,
        name: ActorName,
        core: WorkerCore,
        router: Router,
        clock: Clock,
        rebuild: Callable[[Core], Core] | None = None,
        patience: float = 1.0,
    ) -> None:
        super().__init__(name, core, router, clock, rebuild)
        self._router = router
        self._watch = LoopWatch(
            self._loop_inbox.loop, self.body.stepping, patience=patience, report=self._note_blocked
        )

    @staticmethod
    def _create_actor_inbox() -> LoopInbox:
        return LoopInbox()

    def _make_body(
        self,
        name: ActorName,
        core: Core,
        router: Router,
        clock: Clock,
        rebuild: Callable[[Core], Core] | None,
    ) -> WorkerBody:
        assert isinstance(core, WorkerCore)
        return WorkerBody(name, core, router, clock, self._loop_inbox, rebuild)

    @property
    def _loop_inbox(self) -> LoopInbox:
        assert isinstance(self.actor_inbox, LoopInbox)
        return self.actor_inbox

    def on_start(self) -> None:
        """Make the loop this thread's own."""
        asyncio.set_event_loop(self._loop_inbox.loop)
        self._watch.start()
        super().on_start()

    def on_stop(self) -> None:
        """End what still runs, and close the loop."""
        super().on_stop()
        self._watch.stop()
        asyncio.set_event_loop(None)
        self._loop_inbox.loop.close()

    def _note_blocked(self, column: str, seconds: float, stack: list[str]) -> None:
        """Called on the watching thread: what this actor holds for sending waits for the loop itself."""
        at = stack[-1] if stack else ""
        fields = {"column": column, "seconds": round(seconds, 3), "at": at, "stack": stack}
        entry = LogEntry(self.body.clock.now(), self.body.name, "warning", "event_loop_blocked", fields)
        tell_program(entry)
        self._router.send(self.body.name, TELEMETRY, [RecordLog([entry])])
