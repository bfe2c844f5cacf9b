"""What actors warn of, told on standard error while a command runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from actors.cli.output import complain, one_line

LOGGER = "leasehold"

_TOLD_OTHERWISE = frozenset({"job_stopping", "job_rejected"})
"""Events that the command itself puts into words."""


class _Complaints(logging.Handler):
    """Writes a record as one line: level, actor, what happened."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. Called in whichever actor's thread has logged it."""
        if isinstance(record.args, tuple) and record.args and record.args[0] in _TOLD_OTHERWISE:
            return
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            self.handleError(record)
            return
        actor = record.name.removeprefix(f"{LOGGER}.")
        complain(one_line(f"{record.levelname.lower()}: {actor}: {text}"))


@contextmanager
def heard_warnings(*, quiet: bool = False) -> Iterator[None]:
    """Write the actors' warnings and errors to standard error; with `quiet`, errors alone.

    Only the logger `leasehold` is touched, and left as it was found (O8).
    """
    logger = logging.getLogger(LOGGER)
    handler = _Complaints(logging.ERROR if quiet else logging.WARNING)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
