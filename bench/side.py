"""`python -m bench.side`: runs sides of scenarios for a harness in another process.

Reads one `Ask` per line from stdin and answers each with a line on stdout. Which Leasehold it measures is
decided by the folder that it is started in. What the sides themselves print goes to stderr.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import traceback

import msgspec

import actors
from bench.results import BenchError, Run
from bench.scenarios import named


class Ask(msgspec.Struct, frozen=True):
    """Run so many tasks of a side."""

    scenario: str
    side: str
    tasks: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The first line: where the product that is measured here was found."""

    actors: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """A run that did its work."""

    run: Run


class Failed(msgspec.Struct, frozen=True, tag=True):
    """One that did not, and why."""

    reason: str


Answer = Ready | Done | Failed


def main() -> int:
    """Answer until stdin ends."""
    logging.getLogger("leasehold").addHandler(logging.NullHandler())
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    asks = msgspec.json.Decoder(Ask)

    def answer(what: Answer) -> None:
        answers.write(msgspec.json.encode(what) + b"\n")

    answer(Ready(str(actors.__file__)))
    settled: set[tuple[str, str]] = set()
    for line in sys.stdin.buffer:
        ask = asks.decode(line)
        answer(_answered(ask))
        if (ask.scenario, ask.side) not in settled:
            # What its first run has imported is of no interest to the collector any more.
            settled.add((ask.scenario, ask.side))
            gc.collect()
            gc.freeze()
    return 0


def _answered(ask: Ask) -> Answer:
    try:
        scenario = named(ask.scenario)
    except ImportError as error:  # an older product
        return Failed(f"{ask.scenario} of this checkout needs what this revision has not: {error}")
    try:
        (side,) = [side for side in scenario.sides if side.name == ask.side]
        return Done(side.run(ask.tasks))
    except BenchError as error:
        return Failed(str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the harness says it
        traceback.print_exc()
        return Failed(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        sys.exit(main())
