"""What servers go through: seven that refuse what is too much, and one that never says a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from messages.job import ScriptStep

CLIENTS = 64
"""Clients that always want to call, which is also the static cap."""

LATENCY_SECONDS, JITTER = 2.0, 0.3
"""What a call takes that does not wait, uniform in so large a part around the mean."""


class Play(NamedTuple):
    """A script, and for how long it is played. `turns`: when the capacity settles at something new."""

    name: str
    seconds: float
    steps: tuple[ScriptStep, ...]
    turns: tuple[float, ...] = ()
    when_full: Literal["refuse", "queue"] = "refuse"


def _repeated(times: int, every: float, *steps: ScriptStep) -> Iterator[ScriptStep]:
    """Yield the steps again and again, `every` so many seconds."""
    for number in range(times):
        for step in steps:
            yield ScriptStep(
                at=number * every + step.at, capacity=step.capacity, ramp_seconds=step.ramp_seconds
            )


REFUSING = (
    Play("step down", 600, (ScriptStep(capacity=32), ScriptStep(at=200, capacity=8)), (200,)),
    Play("step up", 600, (ScriptStep(capacity=8), ScriptStep(at=200, capacity=32)), (200,)),
    Play(
        "sawtooth",
        600,
        (*_repeated(4, 150, ScriptStep(capacity=8), ScriptStep(at=0.01, capacity=32, ramp_seconds=149.9)),),
    ),
    Play("unreachable for 60 s", 600, (ScriptStep(capacity=16), ScriptStep(at=200, outage=60)), (260,)),
    Play(
        "refusing all for 60 s",
        600,
        (ScriptStep(capacity=16), ScriptStep(at=200, capacity=0), ScriptStep(at=260, capacity=16)),
        (260,),
    ),
    Play(
        "Retry-After of 2 s",
        600,
        (
            ScriptStep(capacity=32, retry_after=2.0),
            ScriptStep(at=200, capacity=8),
            ScriptStep(at=400, capacity=32),
        ),
        (200, 400),
    ),
    Play("bursts", 600, (*_repeated(12, 50, ScriptStep(capacity=32), ScriptStep(at=40, capacity=16)),)),
)
"""Servers that say 429 to whatever is too much."""

BLIND = (
    Play(
        "without a word",
        1500,
        (
            ScriptStep(capacity=16),
            ScriptStep(at=400, capacity=4),
            ScriptStep(at=800, capacity=32),
            ScriptStep(at=1100, capacity=0),
            ScriptStep(at=1160, capacity=32),
        ),
        (400, 800, 1160),
        when_full="queue",
    ),
)
"""A server that queues without end and never refuses."""
