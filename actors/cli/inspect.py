"""`leasehold inspect`: what limited a run and what to change, from its log, also while it is written."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import msgspec
from rich.console import Console
from rich.text import Text

from actors.cli.capacity_lines import capacity_lines
from actors.cli.inspection_details import model_lines, timeline_lines
from actors.cli.inspection_screen import Line, screen
from actors.cli.output import EXIT_OK, fail, flush, say
from actors.evidence.reader import LOG_FILE
from actors.inspection.explained import RunExplained
from actors.inspection.reading import LogStory
from actors.inspection.timelines import (
    Picked,
    TimelineExplained,
    held_seconds,
    of_execution,
    of_resource,
    of_row,
)
from actors.inspection.verdict import findings
from actors.inspection.words import took
from actors.storage.layout import ACTOR_LOG
from actors.telemetry.log_codec import LogFormatError
from messages.hints import possible

_STYLES: Final = {"heading": "bold", "remedy": "green", "faint": "dim", "bad": "red", "": ""}
_LOOK_AGAIN_SECONDS: Final = 1.0
_SLOWEST_CALLS: Final = 5
"""Timelines that `--model` shows."""


class InspectOptions(NamedTuple):
    """What of a run is asked for."""

    task: int | None = None
    row: int | None = None
    model: str | None = None
    capacity: bool = False
    as_json: bool = False
    follow: bool = False


class ModelDetail(msgspec.Struct, frozen=True):
    """What `--model --json` writes: the model, and the timelines of its longest tasks."""

    model: object
    timelines: tuple[TimelineExplained, ...]


class Timelines(msgspec.Struct, frozen=True):
    """What `--task` and `--row` write with `--json`. `total` counts those beyond the listed, too."""

    total: int
    timelines: tuple[TimelineExplained, ...]


def inspect_run(path: Path, options: InspectOptions) -> int:
    """Tell what the log of a run folder, or a log file, says of its run; return the exit code.

    Raises:
        typer.Exit: there is no log at `path`, or nothing in it of what is asked for.
    """
    questions = [options.task, options.row, options.model, options.capacity or None]
    asked = sum(each is not None for each in questions)
    if asked > 1:
        fail("--task, --row, --model and --capacity are different questions: ask one at a time")
    try:
        if asked:
            if options.follow:
                fail("--follow repeats the whole screen: leave out --task, --row, --model and --capacity")
            _show_details(path, options)
        else:
            _show_run(path, options)
    except LogFormatError as error:
        fail(str(error))
    flush()
    return EXIT_OK


# -- the whole run ----------------------------------------------------------------------------------


def _show_run(path: Path, options: InspectOptions) -> None:
    story = LogStory(path)
    with contextlib.suppress(KeyboardInterrupt):  # the way to leave --follow
        while True:
            grown = story.read_on()
            run = story.story.explain()
            if run is None and not options.follow:
                _refuse(path)
            if run is not None and grown:
                _show(run, story.path, path, as_json=options.as_json, again=options.follow)
            if not options.follow or (run is not None and run.run.status != "unfinished"):
                return
            if not flush():  # nobody reads it any more
                return
            time.sleep(_LOOK_AGAIN_SECONDS)


def _show(run: RunExplained, log: Path, asked: Path, *, as_json: bool, again: bool) -> None:
    if as_json:
        data = msgspec.to_builtins(run) | {"findings": msgspec.to_builtins(findings(run))}
        say(msgspec.json.encode(data).decode())
        return
    if again and sys.stdout.isatty():
        Console().clear()
    written = took(max(0.0, time.time() - log.stat().st_mtime))
    inside = asked.is_dir() and log == asked / ACTOR_LOG
    proved = shlex.quote(str(asked if inside else log))
    _write(screen(run, findings(run), log=proved, last_written=written))


# -- one of its parts -------------------------------------------------------------------------------


def _show_details(path: Path, options: InspectOptions) -> None:
    if options.model is not None:
        _show_model(path, options.model, as_json=options.as_json)
        return
    if options.capacity:
        _show_capacity(path, as_json=options.as_json)
        return
    if options.task is not None:
        picked = Picked(of_execution(options.task))
        missing = f"--task: there is no task execution {options.task}"
    else:
        assert options.row is not None
        picked = Picked(of_row(options.row, _read(path, None).run.row_group_size))
        missing = f"--row: no task of row {options.row} was ready so far, or there is no such row"
    run = _read(path, picked)
    found = picked.explained(run.run.started_at)
    if not found:
        fail(missing)
    if options.as_json:
        say(msgspec.json.encode(Timelines(picked.count, found)).decode())
    else:
        _write(timeline_lines(found, picked.count))


def _show_capacity(path: Path, *, as_json: bool) -> None:
    plan = _read(path, None).capacity
    if plan is None:
        fail(f"--capacity: the log of {path} tells of no capacity plan")
    if as_json:
        say(msgspec.json.encode(plan).decode())
    else:
        _write(capacity_lines(plan))


def _show_model(path: Path, asked: str, *, as_json: bool) -> None:
    run = _read(path, None)
    names = [
        name for name, model in run.models.items() if asked in (name, model.endpoint) or asked in model.caps
    ]
    if not names:
        known = [*{alias for model in run.models.values() for alias in model.caps}, *run.models]
        fail(f"--model: there is no model {asked!r}; {possible(asked, sorted(known))}")
    for name in names:
        picked = Picked(of_resource(name), longest=held_seconds, most=_SLOWEST_CALLS)
        run = _read(path, picked)
        found = picked.explained(run.run.started_at)
        if as_json:
            say(msgspec.json.encode(ModelDetail({name: run.models[name]}, found)).decode())
        else:
            _write(
                [*model_lines(name, run.models[name], run), Line("", ""), *timeline_lines(found, len(found))]
            )


def _read(path: Path, picked: Picked | None) -> RunExplained:
    """Read a whole log, with an eye on what is picked."""
    story = LogStory(path, ended=None if picked is None else picked.ended)
    story.read_on()
    run = story.story.explain()
    if run is None:
        _refuse(path)
    if picked is not None:
        picked.unfinished(story.story.unfinished())
    return run


def _refuse(path: Path) -> NoReturn:
    fail(f"{path} tells of no run: name a run folder or its {LOG_FILE}")


def _write(lines: Iterable[Line]) -> None:
    """Write lines, in colours on a terminal."""
    if not sys.stdout.isatty():
        for line in lines:
            if not say(line.text):
                return
        return
    console = Console()
    for line in lines:
        console.print(Text(line.text, style=_STYLES[line.style]), soft_wrap=True)
