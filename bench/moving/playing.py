"""Servers whose capacity moves, and how well a controller makes use of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Literal, NamedTuple

from bench.moving.controllers import Controller
from bench.moving.oracle import Oracle
from bench.moving.server import VirtualServer
from bench.moving.simulation import Course, simulate
from bench.results import FULL_TASKS, Run
from bench.stopwatch import Stopwatch
from messages.job import ScriptStep

CLIENTS = 64
"""Clients that always want to call, which is also the static cap."""

LATENCY_SECONDS, JITTER = 2.0, 0.3
"""What a call takes that does not wait, uniform in so large a part around the mean."""

_WINDOW_SECONDS = 10.0
_RECOVERED = 0.9

Make = Callable[[VirtualServer, float], Controller]
"""Makes a controller for a server and so many seconds; only the oracle looks at them."""


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


def playing(plays: tuple[Play, ...], make: Make) -> Callable[[int], Run]:
    """Return a side's `run` that plays these scripts with a controller of `make` for each.

    The first run has the seed 0, the second 1 and so on: in one iteration all sides meet the same servers.
    """
    seeds = count()

    def run(tasks: int) -> Run:
        seed, part = next(seeds), min(1.0, tasks / FULL_TASKS)
        with Stopwatch() as watch:
            courses = [_play(play, make, seed, play.seconds * part) for play in plays]
        done = [len(course.successes) for course in courses]
        wasted = sum(len(course.refusals) for course in courses)
        waits = sorted(success.seconds for course in courses for success in course.successes)
        measures = {
            "goodput": float(sum(done)),
            "wasted": 100.0 * wasted / (sum(done) + wasted),
            "p50 latency": waits[len(waits) // 2] / LATENCY_SECONDS,
            "p95 latency": waits[int(len(waits) * 0.95)] / LATENCY_SECONDS,
            "recovery": 0.0,
        }
        for play, course in zip(plays, courses, strict=True):
            good, refused = len(course.successes), len(course.refusals)
            measures |= {play.name: float(good), f"{play.name}: wasted": 100 * refused / (good + refused)}
            ended = [turn for turn in play.turns if turn + _WINDOW_SECONDS <= play.seconds * part]
            if ended:
                slowest = max(_recovery(play, course, turn) for turn in ended)
                measures[f"{play.name}: recovery"] = slowest
                measures["recovery"] = max(measures["recovery"], slowest)
        left = sum(course.left for course in courses)
        return Run(sum(done), watch.wall_seconds, watch.cpu_seconds, left, measures=measures)

    return run


def oracle(server: VirtualServer, until: float) -> Controller:
    """Return who knows the capacity at every moment."""
    return Oracle(server, until=until)


def _play(play: Play, make: Make, seed: int, until: float) -> Course:
    server = VirtualServer(
        play.steps, when_full=play.when_full, latency=LATENCY_SECONDS, jitter=JITTER, seed=seed
    )
    return simulate(make(server, until), server, clients=CLIENTS, until=until)


def _recovery(play: Play, course: Course, turn: float) -> float:
    """Return how long after `turn` the server is made use of again, seconds.

    That is when the first stretch begins in which the calls answered are nine tenths of what its new
    capacity allows; where that does not come, all the time that was left.
    """
    capacity = VirtualServer(play.steps).room(turn)
    enough = _RECOVERED * capacity * _WINDOW_SECONDS / LATENCY_SECONDS
    ends = [success.at for success in course.successes if success.at >= turn]
    for second in range(int(play.seconds - turn - _WINDOW_SECONDS)):
        begin = turn + second
        if sum(begin <= end < begin + _WINDOW_SECONDS for end in ends) >= enough:
            return float(second)
    return play.seconds - turn
