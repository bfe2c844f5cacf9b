"""Ctrl-C once: cancel and end cleanly. Ctrl-C twice: end now."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any, Self

from actors.cli.output import EXIT_INTERRUPTED

NOTICE = "interrupted: cancelling, finished row groups are kept; interrupt again to kill"
_SHOW_CURSOR = "\x1b[?25h"


class Interrupts:
    """Counts SIGINT and SIGTERM while its block runs; the second one ends the process at once.

    Both mean the same here: a supervisor's SIGTERM deserves a clean end too, with the same exit code.
    Only the main thread may enter it. The handler does nothing but count: cancelling is the business of
    whoever asks for `pending`.
    """

    def __init__(self) -> None:
        self._count = 0
        self._told = False
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

    @property
    def pending(self) -> bool:
        """Whether there has been an interrupt."""
        return self._count > 0

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR.encode())
            os._exit(EXIT_INTERRUPTED)
