"""Baseline against candidate: two git revisions, or two configurations, of the same scenarios.

Each has an interpreter of its own that stays for all iterations, and they take turns. The scenarios are those
of this checkout for both: only `actors` and `messages` come from the revision.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec

from bench.machine import describe_revision
from bench.results import PEAK_MIB, BenchError, Figure, Run, Scenario, Side
from bench.side_process import PROJECT, SideProcess


class Variant(NamedTuple):
    """One of the two. `revision` is empty for the files as they are; no `settings`: those of each job."""

    name: str
    revision: str
    settings: dict[str, Any]

    def describe(self) -> str:
        """Return what it is, for an artifact."""
        revision = resolve(self.revision)[:12] if self.revision else describe_revision()
        settings = ", ".join(f"{place}={value}" for place, value in self.settings.items())
        return f"{revision} with {settings}" if settings else revision


def resolve(revision: str) -> str:
    """Return the commit that a name means.

    Raises:
        BenchError: there is none, or this is no git checkout.
    """
    return _git(
        "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", failing=f"no revision {revision!r}"
    )


@contextlib.contextmanager
def checkouts(*variants: Variant) -> Iterator[list[Path]]:
    """Yield a folder for each variant to be started in; they are removed afterwards.

    A folder has the revision's `actors` and `messages`, from a git worktree, and this checkout's `bench`.
    """
    with TemporaryDirectory(prefix="leasehold-bench-") as temporary, contextlib.ExitStack() as trees:
        folders = []
        for variant in variants:
            if not variant.revision:
                folders.append(PROJECT)
                continue
            tree, folder = Path(temporary, f"{variant.name}-tree"), Path(temporary, variant.name)
            commit = resolve(variant.revision)
            _git("worktree", "add", "--detach", str(tree), commit, failing=f"no worktree of {commit}")
            trees.callback(_git, "worktree", "remove", "--force", str(tree), failing=f"{tree} stays")
            folder.mkdir()
            for package, where in (("actors", tree), ("messages", tree), ("bench", PROJECT)):
                (folder / package).symlink_to(where / package, target_is_directory=True)
            folders.append(folder)
        yield folders


class Compared:
    """The two variants' interpreters. A context manager's worth of `scenario`s."""

    def __init__(self, variants: tuple[Variant, Variant], folders: list[Path]) -> None:
        self._starts = {
            variant.name: (folder, variant.settings)
            for variant, folder in zip(variants, folders, strict=True)
        }
        self._running: dict[str, SideProcess] = {}

    def scenario(self, scenario: Scenario) -> Scenario:
        """Return a scenario whose sides are those of `scenario`, each as baseline and as candidate.

        Peers are left out: they are the same for both. Outputs must be the same where they had to be anyway.
        """
        sides = [side for side in scenario.sides if not side.peer]
        if not sides:
            raise BenchError(f"{scenario.id} {scenario.name} measures peers alone")
        measures = {figure.measure for figure in scenario.figures if figure.measure}
        measures |= {curve.metric for curve in scenario.curves if curve.metric == PEAK_MIB}
        return msgspec.structs.replace(
            scenario,
            sides=tuple(self._side(scenario, side, name) for side in sides for name in self._starts),
            figures=tuple(
                _figure(side, measure)
                for side in sides
                for measure in ("", *sorted(_told(scenario, side, measures)))
            ),
            curves=(),
            inputs=scenario.inputs | {"sides": "each as baseline and as candidate, which take turns"},
        )

    def close(self) -> None:
        """End the interpreters."""
        for process in self._running.values():
            process.close()

    def _side(self, scenario: Scenario, side: Side, name: str) -> Side:
        def run(tasks: int) -> Run:
            if side.fresh:
                with SideProcess(*self._starts[name]) as process:
                    return process.run(scenario.id, side.name, tasks)
            if name not in self._running:
                self._running[name] = SideProcess(*self._starts[name])
            return self._running[name].run(scenario.id, side.name, tasks)

        return msgspec.structs.replace(side, name=f"{name}: {side.name}", run=run)


def _figure(side: Side, measure: str) -> Figure:
    label = f"candidate over baseline, {side.name}" + (f": {measure}" if measure else "")
    return Figure(label, "paired", f"candidate: {side.name}", f"baseline: {side.name}", measure=measure)


def _told(scenario: Scenario, side: Side, measures: set[str]) -> set[str]:
    """Return the measures that the scenario's figures ask this side for."""
    asked = {
        figure.measure
        for figure in scenario.figures
        if figure.measure and side.name in (figure.side, figure.against)
    }
    return asked | ({PEAK_MIB} & measures if side.fresh else set())


def _git(*arguments: str, failing: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{failing}: {done.stderr.strip() or 'git knows of none here'}")
    return done.stdout.strip()
