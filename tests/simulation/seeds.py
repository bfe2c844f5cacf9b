"""From a seed to a verdict: plays its world, judges it, and makes a failing one small."""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from typing import NamedTuple

import msgspec

from messages.job import FailurePolicy, PythonColumn, SimulatedProvider
from tests.simulation.checkers import differences, problems_of
from tests.simulation.play import play
from tests.simulation.worlds import World, draw

_COMPARED = 3
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
    """Play a world and return the verdict. `compare`: whether to play it without faults, too."""
    compare = world.seed % _COMPARED == 0 if compare is None else compare
    enabled = gc.isenabled()
    gc.disable()  # an abandoned coroutine ends when it is collected, which is nobody's to choose
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # those of a killed process were never awaited
            return _judged(world, compare=compare)
    finally:
        if enabled:
            gc.enable()


def _judged(world, *, compare):
    try:
        played = play(world)
        problems = problems_of(world, played)
        if compare:
            problems += differences(world, played, play(without_trouble(world)))
    except Exception as error:  # noqa: BLE001 - whatever breaks, it is a finding
        return Verdict([f"{type(error).__name__}: {error}"])
    struck = Counter(type(fault).__name__ for fault in world.faults)
    return Verdict(problems, played.steps, played.decisions, played.trail, struck)


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


def shrunk(world, *, tries=300):
    """Return a smaller world that fails as well: fewer faults, rows, columns, and less of everything else."""
    compare = True if any("without faults" in each for each in judge(world).problems) else None
    for _ in range(tries):
        for smaller in _smaller(world):
            tries -= 1
            if judge(smaller, compare=compare).problems:
                world = smaller
                break
            if tries <= 0:
                return world
        else:
            return world
    return world


def _smaller(world):
    """Yield worlds that lack something of this one."""
    replace = msgspec.structs.replace
    for index in range(len(world.faults)):
        yield replace(world, faults=(*world.faults[:index], *world.faults[index + 1 :]))
    job = world.job
    for rows in (0, 1, 2, job.rows // 2, job.rows - 1):
        if rows < job.rows:
            yield replace(world, job=replace(job, rows=rows))
    needed = {need for column in job.columns.values() for need in _needs(column)}
    for name, column in job.columns.items():
        if name != "n" and not needed & {name, *getattr(column, "outputs", ())}:
            yield replace(world, job=replace(job, columns={k: v for k, v in job.columns.items() if k != name}))
    if job.processors:
        yield replace(world, job=replace(job, processors={}))
    used = {getattr(column, "model", None) for column in job.columns.values()}
    for name in job.models:
        if name not in used and not any(_takes_models(column) for column in job.columns.values()):
            yield replace(world, job=replace(job, models={k: v for k, v in job.models.items() if k != name}))
    for name, provider in job.providers.items():
        if provider.script:
            yield replace(world, job=replace(job, providers={**job.providers, name: _calm(provider)}))
        if not any(name in model.providers for model in job.models.values()):
            rest = {k: v for k, v in job.providers.items() if k != name}
            yield replace(world, job=replace(job, providers=rest))
    scheduling = world.scheduling
    for changes in ({"serialize": False}, {"jitter": 0.0}, {"slow": None}, {"spread": 0.0}):
        quieter = replace(scheduling, **changes)
        if quieter != scheduling:
            yield replace(world, scheduling=quieter)
    if world.in_folder and not any(hasattr(fault, "power") for fault in world.faults):
        yield replace(world, in_folder=False)


def _needs(column):
    texts = [getattr(column, name, "") for name in ("template", "prompt", "input", "skip")]
    words = {word for text in texts if text for word in text.replace("|", " ").split()}
    return {*getattr(column, "needs", ()), *words}


def _takes_models(column):
    return isinstance(column, PythonColumn) and column.function.endswith(":asks")


def world_of(text):
    """Return the world that a seed means, or a file of the corpus."""
    if text.lstrip("-").isdigit():
        return draw(int(text))
    with open(text, "rb") as file:  # noqa: PTH123 - one line
        return msgspec.json.decode(file.read(), type=World)
