"""`python -m bench`: the whole matrix, scenarios by name, baseline against candidate, or the smoke."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from bench.artifact import Artifact
from bench.comparison import Variant
from bench.knobs import parse_settings
from bench.measuring import Plan, compare_variants, measure
from bench.report import show
from bench.results import FULL_TASKS, BenchError
from bench.scenarios import all_scenarios, named
from bench.smoke import run_smoke
from bench.writing import write_artifact, write_summary

_SMOKE = "smoke"
_FILE_WIDTH = 140


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 0, or 1 where a run did not do its work, 2 for bad usage.

    A missed bar is a result, not an error.
    """
    logging.getLogger("leasehold").addHandler(
        logging.NullHandler()
    )  # what actors warn of is part of scenarios
    options = _parse(sys.argv[1:] if arguments is None else list(arguments))
    console, progress = Console(markup=False), Console(stderr=True, markup=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH

    def notice(text: str) -> None:
        if progress.is_terminal:
            progress.print(text, style="dim", highlight=False)

    try:
        if options.names == [_SMOKE]:
            for line in run_smoke(all_scenarios(), notice, options.out):
                console.print(line, highlight=False, soft_wrap=True)
            return 0
        plan = Plan(
            scenarios=tuple(named(name) for name in options.names) or all_scenarios(),
            tasks=options.tasks,
            iterations=options.iterations,
            warmups=options.warmups,
            command_line=["python", "-m", "bench", *options.given],
        )
        variants = _variants(options)
        measured = compare_variants(plan, variants, notice) if variants else measure(plan, notice)
        artifacts, problems = _collect(measured, options.out)
    except BenchError as error:
        artifacts, problems = [], {str(error): "red"}
    if artifacts:
        show(artifacts, console)
    for problem, style in problems.items():
        progress.print(f"bench: {problem}", style=style, highlight=False, soft_wrap=True)
    return int("red" in problems.values())


def _collect(
    measured: Iterable[Artifact | BenchError], out: Path | None
) -> tuple[list[Artifact], dict[str, str]]:
    """Return the artifacts, each written as soon as it is there, and what there is to say, with a colour."""
    artifacts: list[Artifact] = []
    problems: dict[str, str] = {}
    for each in measured:
        if isinstance(each, BenchError):
            problems[str(each)] = "red"
            continue
        artifacts.append(each)
        if out is not None:
            if undrawn := write_artifact(each, out):
                problems[undrawn] = "yellow"
            write_summary(artifacts, out)
    return artifacts, problems


def _variants(options: argparse.Namespace) -> tuple[Variant, Variant] | None:
    """Return what is compared; None where nothing is."""
    baseline, candidate = options.baseline_config, options.candidate_config
    if not (options.baseline or options.candidate or baseline or candidate):
        return None
    return (
        Variant("baseline", options.baseline, parse_settings(baseline)),
        Variant("candidate", options.candidate, parse_settings(candidate)),
    )


def _parse(given: list[str]) -> argparse.Namespace:
    known = ", ".join(f"{scenario.id} ({scenario.name})" for scenario in all_scenarios())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Leasehold against its peers or itself: ratios, in one run, sides in turn.",
        epilog=f"scenarios: {known}; smoke runs all of them once, tiny, and judges no times",
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="scenarios by id or name, or smoke; default all")
    add("--iterations", type=_positive, default=5, help="kept iterations (default 5)")
    add("--warmups", type=_whole, default=1, help="iterations thrown away first (default 1)")
    add("--tasks", type=_positive, default=FULL_TASKS, help=f"tasks of a side (default {FULL_TASKS})")
    add("--out", type=Path, metavar="FOLDER", help="write the artifacts there, a folder per scenario")
    add("--baseline", default="", metavar="REV", help="compare: the git revision of the baseline")
    add(
        "--candidate",
        default="",
        metavar="REV",
        help="that of the candidate (default: the files as they are)",
    )
    for name in ("baseline", "candidate"):
        add(
            f"--{name}-config",
            action="append",
            default=[],
            metavar="PLACE=VALUE",
            help=f"compare: a setting of every job of the {name}, such as policy=strict_fair; repeatable",
        )
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
