"""Sides in interpreters of their own: of another revision, under other settings, or for their memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from bench.children import child_environment
from bench.knobs import VARIABLE
from bench.results import BenchError, Run, Scenario, Side
from bench.side import Answer, Ask, Done, Failed, Ready

PROJECT = Path(__file__).resolve().parent.parent


class SideProcess:
    """One interpreter, started in `folder`, whose `actors` and `messages` it measures. A context manager.

    settings: laid over every job there; None leaves those of this process's environment.
    """

    def __init__(self, folder: Path = PROJECT, settings: dict[str, Any] | None = None) -> None:
        """Start the interpreter.

        Raises:
            BenchError: it did not start, or the folder has no product that the scenarios can be run on.
        """
        self._folder = folder
        environment = child_environment()
        if settings is not None:
            environment[VARIABLE] = msgspec.json.encode(settings).decode()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.side"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        ready = self._answer(f"the scenarios could not be loaded over {folder}")
        assert isinstance(ready, Ready)
        if not Path(ready.actors).resolve().is_relative_to((folder / "actors").resolve()):
            self.close()
            raise BenchError(f"what is measured in {folder} would be {ready.actors}")

    def run(self, scenario: str, side: str, tasks: int) -> Run:
        """Run so many tasks of a side there.

        Raises:
            BenchError: it failed there.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(Ask(scenario, side, tasks)) + b"\n")
        self._process.stdin.flush()
        answer = self._answer(f"{scenario}, {side}: its interpreter ended")
        assert isinstance(answer, Done), answer
        return answer.run

    def close(self) -> None:
        """End the interpreter."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, otherwise: str) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise BenchError(f"{otherwise} (exit code {self._process.returncode}): see above")
        answer: Answer = msgspec.json.decode(line, type=Answer)
        if isinstance(answer, Failed):
            raise BenchError(f"{self._folder.name}: {answer.reason}")
        return answer


def with_fresh_sides(scenario: Scenario) -> Scenario:
    """Return the scenario with every run of its `fresh` sides in a new interpreter."""

    def fresh(side: Side) -> Side:
        def run(tasks: int) -> Run:
            with SideProcess() as process:
                return process.run(scenario.id, side.name, tasks)

        return msgspec.structs.replace(side, run=run) if side.fresh else side

    return msgspec.structs.replace(scenario, sides=tuple(fresh(side) for side in scenario.sides))
