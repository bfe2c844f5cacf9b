"""Jobs of different shapes over simulated providers, each with the least time that its calls can take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from actors.evidence.reader import read_events
from actors.inspection.reading import LogStory
from bench.evidence import LogFacts, read_log
from bench.job_runs import hash_output, run_job
from bench.results import BenchError, Run
from messages import (
    ChatColumn,
    Column,
    ExpressionColumn,
    FailurePolicy,
    Job,
    Latency,
    ModelConfig,
    PythonColumn,
    SequenceColumn,
    SimulatedProvider,
)
from messages.job import Limits, ProviderConfig, ScriptStep

CAP = 8
"""Calls at once of a model, where its shape says nothing else."""

CALL_MS, HEAVY_MS = 10.0, 50.0
"""What a call takes, and a heavy one; both more or less a fifth."""

_REFUSES_FROM, _REFUSES_UNTIL, _RETRY_AFTER = 0.2, 0.8, 0.2
"""When the first of two providers refuses everything, and for how long it asks to be left alone, seconds."""


class Shape(NamedTuple):
    """A kind of job. `least_seconds`: no schedule can make so many rows in less, by its calls and caps."""

    name: str
    rows: int
    job: Callable[[int], Job]
    least_seconds: Callable[[int], float]
    read: Callable[[Path], LogFacts] = read_log


def run_shape(shape: Shape, rows: int, policy: str) -> Run:
    """Run a job of this shape under a policy.

    The measures are those of its log, and `over_least`: its wall time over the least that it can take.

    Raises:
        BenchError: rows are missing.
    """
    job = shape.job(rows)
    job = msgspec.structs.replace(job, limits=msgspec.structs.replace(job.limits, policy=policy))
    run = run_job(job, telemetry="log", check=hash_output, out=True, read=shape.read)
    over = run.wall_seconds / shape.least_seconds(rows)
    return msgspec.structs.replace(run, measures=run.measures | {"over_least": over})


async def called_by_branch(number: int, models: Any) -> int:
    """Make no call, one, or up to four one after the other, as the row's number says; return how many."""
    for call in range(number % 5):
        await models.writer.chat(f"call {call} of {number}")
    return number % 5


def _job(name: str, rows: int, columns: Mapping[str, Column], **models: float) -> Job:
    """Return a job over one provider per model; `models` says what a call takes, milliseconds."""
    return Job(
        name=name,
        rows=rows,
        row_group_size=50,
        providers={model: _provider(mean) for model, mean in models.items()},
        models={model: _model(model) for model in models},
        columns={"number": SequenceColumn(), **columns},
        failure=FailurePolicy(backoff_seconds=0.02),
        health_check=False,
    )


def _provider(mean: float) -> ProviderConfig:
    return SimulatedProvider(latency_ms=Latency(mean=mean, jitter=mean / 5))


def _model(name: str) -> ModelConfig:
    return ModelConfig(provider=name, model=f"sim-{name}", max_parallel_requests=CAP)


def _chat(model: str, about: str) -> ChatColumn:
    return ChatColumn(model=model, prompt=f"About {{{{ {about} }}}}.")


def _narrow(rows: int) -> Job:
    steps = ("draft", "critique", "rewrite", "polish")
    needed = ("number", *steps)
    columns: dict[str, Column] = {
        step: _chat("writer", need) for step, need in zip(steps, needed[:-1], strict=True)
    }
    return _job("narrow-serial", rows, columns, writer=CALL_MS)


def _wide(rows: int) -> Job:
    columns: dict[str, Column] = {
        f"root_{number}": ChatColumn(model="writer", prompt=f"Number {number} of {{{{ number }}}}.")
        for number in range(16)
    }
    return _job("wide-roots", rows, columns, writer=CALL_MS)


def _judged(rows: int) -> Job:
    columns = {"story": _chat("writer", "number"), "grade": _chat("judge", "story")}
    return _job("generate-then-judge", rows, columns, writer=CALL_MS, judge=CALL_MS)


def _heavy(rows: int) -> Job:
    columns: dict[str, Column] = {
        "heavy": _chat("heavy", "number"),
        "summary": ExpressionColumn(template="{{ heavy | length }}", dtype="int"),
        "light": _chat("light", "number"),
    }
    job = _job("heavy-root", rows, columns, heavy=HEAVY_MS, light=CALL_MS)
    return msgspec.structs.replace(job, limits=Limits(llm_wait=CAP))


def _dynamic(rows: int) -> Job:
    columns: dict[str, Column] = {
        "calls": PythonColumn(function=called_by_branch, needs=("number",)),
        "said": _chat("writer", "calls"),
    }
    return _job("dynamic-request-counts", rows, columns, writer=CALL_MS)


def _cooling(rows: int) -> Job:
    columns = {"first": _chat("refusing", "number"), "second": _chat("steady", "number")}
    job = _job("cross-provider-cooldown", rows, columns, refusing=CALL_MS, steady=3 * CALL_MS)
    refusing = SimulatedProvider(
        latency_ms=Latency(mean=CALL_MS, jitter=CALL_MS / 5),
        script=(
            ScriptStep(capacity=CAP),
            ScriptStep(at=_REFUSES_FROM, capacity=0, retry_after=_RETRY_AFTER),
            ScriptStep(at=_REFUSES_UNTIL, capacity=CAP),
        ),
    )
    # All rows are in memory at once: what the second provider is given does not depend on the first's rows.
    limits = Limits(row_group_concurrency=-(-rows // job.row_group_size))
    return msgspec.structs.replace(job, providers=job.providers | {"refusing": refusing}, limits=limits)


def _read_cooling(path: Path) -> LogFacts:
    """Return a log's facts, and how much of one provider's capacity was used while the other cooled down."""
    story = LogStory(path)
    story.read_on()
    run = story.story.explain()
    if run is None:
        raise BenchError("the log tells of no run")
    cooling = run.models["refusing/sim-refusing/chat"].cooldowns
    began = run.run.started_at
    granted = [
        placed.event.captured_at - began
        for placed in read_events(path)
        if placed.event.event_kind == "request_lease_acquired"
        and placed.event.resource == "steady/sim-steady/chat"
    ]
    # Only while the second has work: what comes after its last call tells nothing of the first.
    last = max(granted, default=0.0)
    stretches = [(start, min(end, last)) for start, end in cooling if start < last]
    seconds = sum(end - start for start, end in stretches)
    facts = read_log(path)
    if seconds < _RETRY_AFTER / 2:
        return facts
    within = sum(any(start <= at < end for start, end in stretches) for at in granted)
    used = within / (seconds * CAP / (3 * CALL_MS / 1e3))
    return msgspec.structs.replace(facts, measures=facts.measures | {"used_while_other_cools": used})


SHAPES = (
    Shape("narrow serial", 200, _narrow, lambda rows: max(4, 4 * rows / CAP) * CALL_MS / 1e3),
    Shape("wide independent roots", 50, _wide, lambda rows: max(1, 16 * rows / CAP) * CALL_MS / 1e3),
    Shape("generate, then judge", 800, _judged, lambda rows: max(2, rows / CAP) * CALL_MS / 1e3),
    Shape("heavy root", 150, _heavy, lambda rows: max(HEAVY_MS, rows / CAP * (HEAVY_MS + CALL_MS)) / 1e3),
    Shape("dynamic request counts", 300, _dynamic, lambda rows: max(5, 3 * rows / CAP) * CALL_MS / 1e3),
    Shape(
        "cross-provider cooldown",
        400,
        _cooling,
        lambda rows: max(1, rows / CAP) * 3 * CALL_MS / 1e3,
        _read_cooling,
    ),
)
