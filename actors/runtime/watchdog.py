"""Names an actor that no longer reads its mailbox, and shows where its thread stands.

The one part of the runtime that looks at a clock of its own accord: an actor that is stuck cannot say so.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import NamedTuple

from actors.runtime.inbox import Inbox
from messages._base import ActorName

Report = Callable[[ActorName, float, list[str]], None]
"""Called with (actor, seconds without a message read, its stack as `file:line function`)."""


class _Head(NamedTuple):
    """A mailbox's oldest message: when it was put, when it was first seen there, whether it was reported."""

    put_at: float
    seen_at: float
    reported: bool = False


class Watchdog:
    """A thread that looks at every mailbox a few times in `patience` seconds. Reports once per episode.

    Stuck is who has left the same message unread for `patience` seconds. Age alone says nothing: behind
    many others a message waits for long although its actor works.
    """

    def __init__(self, inboxes: Mapping[ActorName, Inbox], *, patience: float, report: Report) -> None:
        self._inboxes = inboxes
        self._patience = patience
        self._report = report
        self._heads: dict[ActorName, _Head] = {}
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
                self._look(name, inbox)

    def _look(self, name: ActorName, inbox: Inbox) -> None:
        now, put_at = time.monotonic(), inbox.oldest_put_at()
        if put_at is None:
            self._heads.pop(name, None)
            return
        head = self._heads.get(name)
        if head is None or head.put_at != put_at:
            self._heads[name] = _Head(put_at, now)
        elif not head.reported and now - head.seen_at >= self._patience:
            self._heads[name] = head._replace(reported=True)
            self._report(name, now - head.seen_at, stack_of(inbox.reader))


def stack_of(thread_id: int) -> list[str]:
    """Return a thread's stack, outermost first, without source text or values; empty if it has ended."""
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - the documented way to see other threads
    if frame is None:
        return []
    return [f"{entry.filename}:{entry.lineno} {entry.name}" for entry in traceback.extract_stack(frame)]
