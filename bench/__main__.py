"""`python -m bench`: the whole matrix, scenarios by name, or the smoke."""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from rich.console import Console

from bench.harness import Notice, run_scenario
from bench.machine import describe_machine, describe_revision, describe_versions
from bench.report import markdown, show, write_json
from bench.results import (
    ARTIFACT_SCHEMA_VERSION,
    HARNESS_VERSION,
    Artifact,
    BenchError,
    Scenario,
    ScenarioResult,
)
from bench.scenarios import SCENARIOS, named
from bench.smoke import run_smoke

_SMOKE = "smoke"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 0, or 1 where a run did not do its work, 2 for bad usage.

    A missed bar is a result, not an error.
    """
    options = _parse(sys.argv[1:] if arguments is None else list(arguments))
    console, progress = Console(), Console(stderr=True)

    def notice(text: str) -> None:
        if progress.is_terminal:
            progress.print(text, style="dim", highlight=False)

    try:
        if options.names == [_SMOKE]:
            for line in run_smoke(SCENARIOS, notice):
                console.print(line, highlight=False, soft_wrap=True)
            return 0
        artifact = _measure(options, notice)
    except BenchError as error:
        progress.print(f"bench: {error}", style="red", highlight=False)
        return 1
    show(artifact, console)
    if options.json is not None:
        write_json(artifact, options.json)
    if options.markdown is not None:
        options.markdown.write_text(markdown(artifact), encoding="utf-8")
    return 0


def _measure(options: argparse.Namespace, notice: Notice) -> Artifact:
    scenarios: list[Scenario] = [named(name) for name in options.names] or list(SCENARIOS)
    started_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    machine = describe_machine()
    results = []
    for scenario in scenarios:
        # Each in a fresh interpreter: what one scenario's peers import must not weigh on the next.
        if len(scenarios) > 1:
            results += _in_child(scenario, options)
        else:
            results.append(
                run_scenario(
                    scenario,
                    tasks=options.tasks,
                    iterations=options.iterations,
                    warmups=options.warmups,
                    notice=notice,
                )
            )
    return Artifact(
        artifact_schema_version=ARTIFACT_SCHEMA_VERSION,
        harness_version=HARNESS_VERSION,
        revision=describe_revision(),
        command_line=["python", "-m", "bench", *options.given],
        started_at=started_at,
        machine=machine,
        versions=describe_versions(),
        clock="perf_counter",
        iterations=options.iterations,
        warmups=options.warmups,
        tasks=options.tasks,
        scenarios=results,
    )


def _in_child(scenario: Scenario, options: argparse.Namespace) -> list[ScenarioResult]:
    """Measure one scenario in a new interpreter, which shows the progress itself."""
    with TemporaryDirectory(prefix="leasehold-bench-") as folder:
        path = Path(folder, "artifact.json")
        numbers = {"iterations": options.iterations, "warmups": options.warmups, "tasks": options.tasks}
        arguments = [f"--{name}={number}" for name, number in numbers.items()]
        child = [sys.executable, "-m", "bench", scenario.id, f"--json={path}", *arguments]
        if subprocess.run(child, check=False, stdout=subprocess.DEVNULL).returncode:
            raise BenchError(f"{scenario.id} {scenario.name} could not be measured: see above")
        return msgspec.json.decode(path.read_bytes(), type=Artifact).scenarios


def _parse(given: list[str]) -> argparse.Namespace:
    known = ", ".join(f"{scenario.id} ({scenario.name})" for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Leasehold against its peers: ratios, in one run, sides in turn.",
        epilog=f"scenarios: {known}; smoke runs all of them once, tiny, and judges no times",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="scenarios by id or name, or smoke; default all"
    )
    parser.add_argument("--iterations", type=_positive, default=5, help="kept iterations (default 5)")
    parser.add_argument("--warmups", type=_whole, default=1, help="iterations thrown away first (default 1)")
    parser.add_argument("--tasks", type=_positive, default=20_000, help="tasks of a side (default 20000)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the artifact there")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the result tables there")
    options = parser.parse_args(given)
    for name in options.names:
        if name == _SMOKE and len(options.names) == 1:
            continue
        try:
            named(name)
        except KeyError:
            parser.error(f"there is no scenario {name!r}: {known}")
    options.given = given
    return options


def _positive(text: str) -> int:
    return _at_least(1, text)


def _whole(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least}")
    return number


if __name__ == "__main__":
    sys.exit(main())
