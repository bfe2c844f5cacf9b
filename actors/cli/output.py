"""What the command line writes, and how it ends.

Results go to standard output, everything else to standard error. A reader that goes away (`| head`)
ends the writing, never the work behind it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import typer

from messages.job import Problem

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DROPPED = 3
EXIT_INTERRUPTED = 130


def say(text: str) -> bool:
    """Write a line to standard output; return False once nobody reads it any more.

    Raises:
        typer.Exit: it cannot be written to, as when the disk is full.
    """
    return _write(text + "\n")


def flush() -> bool:
    """Hand over what was said so far; return False once nobody reads it any more. Raises as `say`."""
    return _write("")


def complain(text: str) -> None:
    """Write a line to standard error."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def fail(message: str, code: int = EXIT_USAGE) -> NoReturn:
    """Say on standard error what is wrong, and end the command with `code`."""
    complain(f"error: {one_line(message)}")
    raise typer.Exit(code)


def keep(log: Path, to: Path) -> None:
    """End the command where what it writes would take the place of the log that it reads."""
    if to.exists() and to.samefile(log):
        fail(f"{to} is the log itself, which is the run's only proof: name another file")


def complain_of(problems: Iterable[Problem], *, about: str) -> None:
    """Write one line per problem: what it is about, the place in the job, what was found, the remedy."""
    for problem in problems:
        place = "" if problem.message.startswith(about) else f"{about}: "
        complain(one_line(f"error: {place}{problem}"))


def one_line(text: str) -> str:
    """Return `text` on one line and without control characters, whatever user data it holds."""
    joined = " ".join(text.split())
    if joined.isprintable():
        return joined
    return "".join(part if part.isprintable() else repr(part)[1:-1] for part in joined)


def _write(text: str) -> bool:
    if sys.stdout is None:  # closed by whoever started the process
        return False
    try:
        sys.stdout.write(text)
        if not text:
            sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere()
        return False
    except OSError as error:
        _to_nowhere()
        fail(f"standard output cannot be written to: {error.strerror}", EXIT_FAILED)
    return True


def _to_nowhere() -> None:
    """Give standard output a place for what is still buffered, so that nothing raises at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
