"""From a seed to a verdict: plays its world, judges it, and makes a failing one small."""

from __future__ import annotations

import gc
import math
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.virtual.stage import StuckError
from messages.job import FailurePolicy, PythonColumn, SimulatedProvider
from tests.simulation.checkers import Problem, differences, idleness, problems_of
from tests.simulation.play import play
from tests.simulation.worlds import World, draw, without

_replace = msgspec.structs.replace

_COMPARED = 5
"""Every so manieth world is played a second time without its faults, to be compared (R12)."""

_CALM_SECONDS = 600.0


class Verdict(NamedTuple):
    """What is wrong with a world, and what it took to know; `trail` tells its decisions from others'."""

    problems: list
    steps: int = 0
    decisions: int = 0
    trail: int = 0
    faults: Counter = Counter()


def judge(world, *, compare=None):
    """Play a world and return the verdict. `compare`: whether to play it without faults, too, and to read on
    how its time was spent."""
    compare = world.seed % _COMPARED == 0 if compare is None else compare
    try:
        came = play(world)
        problems = problems_of(world, came)
        if compare:
            problems += differences(world, came, play(without_trouble(world)))
            problems += idleness(world, came)
    except Exception as error:  # noqa: BLE001 - whatever breaks, it is a finding
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        raised = f"{type(error).__name__} at {place}"
        # Where nothing happens any more, the message begins with what did not; elsewhere the place says it.
        kind = f"{raised}: {str(error).partition(':')[0]}" if isinstance(error, StuckError) else raised
        return Verdict([Problem(kind, f"{raised}: {str(error) or frame.line}")])
    return Verdict(problems, came.steps, came.decisions, came.trail, came.faults)


def played(seeds, *, leaving_out=()):
    """Return a verdict for each seed, without faults of the kinds that are left out."""
    found = [(seed, judge(without(draw(seed), leaving_out))) for seed in seeds]
    gc.collect()
    return found


def failed(seeds):
    """Return the lines that replay those of the seeds whose worlds fail."""
    return [f"python -m tests.simulation {seed}" for seed, verdict in played(seeds) if verdict.problems]


def without_trouble(world):
    """Return the same job in a world where nothing goes wrong but the users' own code."""
    job = world.job
    calm = {name: _calm(provider) for name, provider in job.providers.items()}
    models = {
        name: msgspec.structs.replace(model, timeout_seconds=_CALM_SECONDS, queue_timeout_seconds=None)
        for name, model in job.models.items()
    }
    failure = FailurePolicy(early_shutdown_rate=None)
    job = msgspec.structs.replace(job, providers=calm, models=models, failure=failure)
    scheduling = msgspec.structs.replace(world.scheduling, jitter=0.0)
    return msgspec.structs.replace(world, job=job, scheduling=scheduling, faults=(), in_folder=False)


def _calm(provider):
    return SimulatedProvider(latency_ms=provider.latency_ms)


# -- smaller worlds ----------------------------------------------------------------------------------


def shrunk(world, *, seconds=math.inf, verdict=judge):
    """Return a smaller world that fails for the same reason: fewer faults, rows, columns and all else.

    The reason is the first of its problems, by kind: a world that lacks what another one needs fails as well,
    but of something else. Nothing more is tried after so many seconds.
    """
    alone = verdict(world, compare=False).problems
    reason = (alone or verdict(world, compare=True).problems)[0].kind
    until = time.monotonic() + seconds
    smaller = _smaller(world)
    while time.monotonic() < until and (candidate := next(smaller, None)) is not None:
        if any(each.kind == reason for each in verdict(candidate, compare=not alone).problems):
            world, smaller = candidate, _smaller(candidate)
    return world


def _smaller(world):
    """Yield worlds that lack something of this one."""
    for index in range(len(world.faults)):
        yield _replace(world, faults=(*world.faults[:index], *world.faults[index + 1 :]))
    for job in _smaller_jobs(world.job):
        yield _replace(world, job=job)
    for changes in ({"serialize": False}, {"jitter": 0.0}, {"slow": None}, {"spread": 0.0}):
        quieter = _replace(world.scheduling, **changes)
        if quieter != world.scheduling:
            yield _replace(world, scheduling=quieter)
    if world.in_folder and not any(fault.ends_process for fault in world.faults):
        yield _replace(world, in_folder=False)


def _smaller_jobs(job):
    for rows in (0, 1, 2, job.rows // 2, job.rows - 1):
        if 0 <= rows < job.rows:
            yield _replace(job, rows=rows)
    needed = {need for column in job.columns.values() for need in _needs(column)}
    for name, column in job.columns.items():
        if name != "n" and not needed & {name, *getattr(column, "outputs", ())}:
            yield _replace(job, columns=_without(job.columns, name))
    yield from _smaller_surroundings(job)


def _smaller_surroundings(job):
    if job.processors:
        yield _replace(job, processors={})
    used = {getattr(column, "model", None) for column in job.columns.values()}
    for name in job.models:
        if name not in used and not any(_takes_models(column) for column in job.columns.values()):
            yield _replace(job, models=_without(job.models, name))
    for name, provider in job.providers.items():
        if provider.script:
            yield _replace(job, providers={**job.providers, name: _calm(provider)})
        if not any(name in model.providers for model in job.models.values()):
            yield _replace(job, providers=_without(job.providers, name))


def _without(table, name):
    return {other: value for other, value in table.items() if other != name}


def _needs(column):
    texts = [getattr(column, name, "") for name in ("template", "prompt", "input", "skip")]
    words = {word for text in texts if text for word in text.replace("|", " ").split()}
    return {*getattr(column, "needs", ()), *words}


def _takes_models(column):
    return isinstance(column, PythonColumn) and column.function.endswith((":asks", ":asks_together"))


def world_of(text):
    """Return the world that a seed means, or a file of the corpus."""
    if text.lstrip("-").isdigit():
        return draw(int(text))
    with open(text, "rb") as file:  # noqa: PTH123 - one line
        return msgspec.json.decode(file.read(), type=World)
