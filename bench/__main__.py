"""`python -m bench`: the whole matrix, scenarios by name, or the smoke."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.harness import run_scenario
from bench.machine import describe_machine, describe_revision, describe_versions
from bench.report import markdown, show, write_json
from bench.results import ARTIFACT_SCHEMA_VERSION, HARNESS_VERSION, Artifact, BenchError, Scenario
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
                console.print(line, highlight=False)
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


def _measure(options: argparse.Namespace, notice: object) -> Artifact:
    scenarios: list[Scenario] = [named(name) for name in options.names] or list(SCENARIOS)
    started_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    machine = describe_machine()
    results = [
        run_scenario(
            scenario,
            tasks=options.tasks,
            iterations=options.iterations,
            warmups=options.warmups,
            notice=notice,
        )
        for scenario in scenarios
    ]
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
    parser.add_argument("--warmups", type=int, default=1, help="iterations thrown away first (default 1)")
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
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
