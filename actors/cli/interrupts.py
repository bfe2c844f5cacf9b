"""Ctrl-C once: cancel and end cleanly. Ctrl-C twice: end now."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Any, Self

from actors.cli.output import EXIT_INTERRUPTED, complain

NOTICE = "interrupted: cancelling, finished row groups are kept; interrupt again to kill"
_STDERR = 2
_SHOW_CURSOR = "\x1b[?25h"


class Interrupts:
    """Counts SIGINT and SIGTERM while its block runs; the second one ends the process at once.

    Both mean the same here: a supervisor's SIGTERM deserves a clean end too, with the same exit code.
    Only the main thread may enter it. The handler counts, and speaks for as long as nobody else does:
    cancelling is the business of whoever asks `first`, who also says so from then on.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._count = 0
        self._taken = False
        self._told = quiet
        self._watched = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take the signals over."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def first(self) -> bool:
        """Return True once, after the first interrupt: cancel now."""
        self._watched = True
        if self._taken or not self._count:
            return False
        self._taken = True
        if not self._told:
            complain(NOTICE)
        return True

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            if sys.stderr.isatty():
                os.write(_STDERR, _SHOW_CURSOR.encode())
            os._exit(EXIT_INTERRUPTED)
        if not (self._watched or self._told):
            self._told = True
            with contextlib.suppress(OSError):
                os.write(_STDERR, f"{NOTICE}\n".encode())
