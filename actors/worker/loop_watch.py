"""Notices that user code blocks the worker's event loop, and names it while it still does.

A blocked loop cannot say so: a thread of its own asks the loop for a sign of life a few times in
`patience` seconds. The loop pays for that with one callback each time, and with noting whose cell it runs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from actors.runtime.watchdog import stack_of
from actors.worker.coroutines import Stepping
from messages.worker import TaskStart

_LOOKS = 4
"""Looks in `patience` seconds. Counted, so that a process that was stopped has blocked nothing."""

Report = Callable[[str, float, list[str]], None]
"""Called with (column, seconds so far, the thread's stack as `file:line function`)."""


class LoopWatch:
    """Watches one loop from a thread of its own. Reports once per episode, on that thread.

    The column is empty where the loop is held by something that is nobody's cell: a task or a callback
    that a user's function has left behind. A loop that does not run is its actor's affair.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stepping: Stepping[TaskStart],
        *,
        patience: float,
        report: Report,
    ) -> None:
        self._loop = loop
        self._stepping = stepping
        self._patience = patience
        self._report = report
        self._alive = True
        self._reader = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="leasehold-loop-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch. Called on the loop's thread."""
        self._reader = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer; returns when the thread has ended. Called before the loop is closed."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        since, looks = time.monotonic(), 0
        while not self._stop.wait(self._patience / _LOOKS):
            if self._alive:
                self._alive = False
                since, looks = time.monotonic(), 0
                self._loop.call_soon_threadsafe(self._sign_of_life)
            elif not self._loop.is_running():
                since, looks = time.monotonic(), 0
            else:
                looks += 1
                if looks == _LOOKS:
                    start = self._stepping.item
                    column = "" if start is None else start.task.column
                    self._report(column, time.monotonic() - since, stack_of(self._reader))

    def _sign_of_life(self) -> None:
        self._alive = True
