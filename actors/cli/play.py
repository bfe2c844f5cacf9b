"""`leasehold play`: a script of typed messages against a fresh system."""

from __future__ import annotations

from pathlib import Path

from actors.cli.console import actors_heard
from actors.cli.output import EXIT_FAILED, EXIT_OK, EXIT_USAGE, complain, flush, one_line, say
from actors.harness import ScriptError, play_script


def play(path: Path) -> int:
    """Play the script at `path`, write its transcript, and return the exit code."""
    try:
        with actors_heard("warning"):
            result = play_script(path, print=_tell)
    except ScriptError as error:
        for problem in error.problems:
            complain(one_line(f"error: {path}: {problem}"))
        return EXIT_USAGE
    for failure in result.failures:
        complain(one_line(f"error: {path}: {failure}"))
    return EXIT_OK if result.ok else EXIT_FAILED


def _tell(line: str) -> None:
    """Write a line of the transcript at once: a script may wait for long after it."""
    if say(line):
        flush()
