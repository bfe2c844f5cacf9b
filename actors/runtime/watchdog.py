"""Names an actor that no longer reads its mailbox, and shows where its thread stands.

The one part of the runtime that looks at a clock of its own accord: an actor that is stuck cannot say so.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Mapping

from actors.runtime.inbox import Inbox
from messages._base import ActorName

Report = Callable[[ActorName, float, list[str]], None]
"""Called with (actor, seconds its oldest message has waited, its stack as `file:line function`)."""


class Watchdog:
    """A thread that looks at every mailbox a few times in `patience` seconds. Reports once per episode."""

    def __init__(self, inboxes: Mapping[ActorName, Inbox], *, patience: float, report: Report) -> None:
        self._inboxes = inboxes
        self._patience = patience
        self._report = report
        self._reported: set[ActorName] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="leasehold-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer; returns when the thread has ended."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._patience / 4):
            for name, inbox in self._inboxes.items():
                age = inbox.oldest_age()
                if age < self._patience:
                    self._reported.discard(name)
                elif name not in self._reported:
                    self._reported.add(name)
                    self._report(name, age, stack_of(inbox.reader))


def stack_of(thread_id: int) -> list[str]:
    """Return a thread's stack, outermost first, without source text or values; empty if it has ended."""
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - the documented way to see other threads
    if frame is None:
        return []
    return [f"{entry.filename}:{entry.lineno} {entry.name}" for entry in traceback.extract_stack(frame)]
