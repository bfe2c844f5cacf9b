"""Servers whose capacity moves, and how well a controller makes use of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from bench.moving.controllers import Controller
from bench.moving.oracle import Oracle
from bench.moving.scripts import CLIENTS, JITTER, LATENCY_SECONDS, Play
from bench.moving.server import VirtualServer
from bench.moving.simulation import Course, simulate
from bench.results import FULL_TASKS, Run
from bench.stopwatch import Stopwatch

_WINDOW_SECONDS = 10.0
_RECOVERED = 0.9

Make = Callable[[VirtualServer, float], Controller]
"""Makes a controller for a server and so many seconds; only the oracle looks at them."""


How = Callable[[Play, int, float], Course]
"""Plays a script with a seed for so many seconds."""


def playing(plays: tuple[Play, ...], how: How) -> Callable[[int], Run]:
    """Return a side's `run` that plays these scripts.

    The first run has the seed 0, the second 1 and so on: in one iteration all sides meet the same servers.
    """
    seeds = count()

    def run(tasks: int) -> Run:
        seed, part = next(seeds), min(1.0, tasks / FULL_TASKS)
        with Stopwatch() as watch:
            courses = [how(play, seed, play.seconds * part) for play in plays]
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
        evidence = courses[0].evidence.with_lines_of(course.evidence for course in courses[1:])
        return Run(
            sum(done), watch.wall_seconds, watch.cpu_seconds, left, measures=measures, evidence=evidence
        )

    return run


def under(make: Make) -> How:
    """Return how clients fare under a controller that is made for each script."""

    def play(played: Play, seed: int, until: float) -> Course:
        server = VirtualServer(
            played.steps, when_full=played.when_full, latency=LATENCY_SECONDS, jitter=JITTER, seed=seed
        )
        return simulate(make(server, until), server, clients=CLIENTS, until=until)

    return play


def oracle(server: VirtualServer, until: float) -> Controller:
    """Return who knows the capacity at every moment."""
    return Oracle(server, until=until)


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
