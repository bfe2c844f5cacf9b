"""P10: does short work wait behind long work of equal count, and is the machine full all the same?"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import count

from bench.noop_jobs import Policy
from bench.results import Bar, Figure, Run, Scenario, Side
from bench.schedules import playing
from bench.schedules.course import Course
from bench.schedules.workload import CAPACITY, Workload, heavy_root, neutral, true_roots
from bench.stopwatch import Stopwatch

_WHOLE_TASKS = 1024
"""A run of as many tasks does the workloads whole; of fewer, that part of each."""

_ROOT_SHARE = 7
"""The strict share of a group of weight 4 against one of weight 1: four fifths of 8, rounded up."""

Play = Callable[[Workload, Policy, int], Course]
"""Plays a workload under a policy. The number decides who goes first wherever several could."""


def _run(play: Play, policy: Policy, *, troubled: bool) -> Callable[[int], Run]:
    """Return a side's `run`; each run has another interleaving."""
    seeds = count()

    def run(tasks: int) -> Run:
        seed = next(seeds)
        scale = min(1.0, tasks / _WHOLE_TASKS)
        headline, roots, equal = heavy_root(scale), true_roots(scale), neutral(scale)
        with Stopwatch() as watch:
            courses = [play(workload, policy, seed) for workload in (headline, roots, equal)]
        measures = {
            **_headline(headline, courses[0]),
            **_roots(roots, courses[1]),
            **_neutral(equal, courses[2]),
            "ready-idle gap": max(course.ready_idle_gap for course in courses),
        }
        if troubled:
            courses += playing.play_in_trouble(headline, policy, seed)
        done = sum(len(course.executions) for course in courses)
        left = sum(course.left for course in courses)
        evidence = courses[0].evidence.with_lines_of(course.evidence for course in courses[1:])
        return Run(done, watch.wall_seconds, watch.cpu_seconds, left, measures=measures, evidence=evidence)

    return run


def _headline(workload: Workload, course: Course) -> dict[str, float]:
    bound = workload.lease_seconds / CAPACITY
    return {
        "wall": course.wall,
        "wall above its bound": 100 * (course.wall / bound - 1),
        "p95 peer wait": course.p95_wait(workload.columns_of("peer")),
        "p95 hot wait": course.p95_wait(workload.columns_of("hot")),
        "active capacity": 100 * course.active_capacity,
    }


def _roots(workload: Workload, course: Course) -> dict[str, float]:
    roots, downstream = workload.columns_of("hot"), workload.columns_of("peer")
    first = min(course.of(downstream), key=lambda execution: execution.ready_at)
    ends = course.row_ends()
    return {
        "roots: wall": course.wall,
        "roots: first downstream ready": first.ready_at,
        "roots: first downstream dispatch": course.of(downstream)[0].leased_at,
        "roots: p95 ready but not running": course.p95_wait(downstream),
        "roots: over-admission debt": float(course.over_admission(roots, downstream, _ROOT_SHARE)),
        "roots: first record": ends[0],
        "roots: half of the records": ends[len(ends) // 2],
        "roots: p95 row": course.p95_row(),
        "roots: active capacity": 100 * course.active_capacity,
    }


def _neutral(workload: Workload, course: Course) -> dict[str, float]:
    waits = [course.p95_wait(workload.columns_of(group)) for group in ("one", "two")]
    return {"neutral: wall": course.wall, "neutral: p95 wait": max(waits)}


def _ours(policy: Policy) -> Side:
    return Side(policy, _run(playing.play, policy, troubled=True))


def _peer(policy: Policy) -> Side:
    def play(workload: Workload, policy: Policy, seed: int) -> Course:
        del seed
        peer: Callable[..., Course] = import_module("bench.peers.data_designer_scheduling").play
        return peer(workload, policy)

    side = f"data-designer, {policy}"
    return Side(side, _run(play, policy, troubled=False), requires="data-designer", peer=True)


_FAIR, _BORROW, _STRICT = _ours("service_time_fair"), _ours("bounded_borrow"), _ours("strict_fair")
_PEERS = (_peer("bounded_borrow"), _peer("strict_fair"))
_SIDES = (_FAIR, _BORROW, _STRICT, *_PEERS)


def _measured(measure: str, unit: str, side: Side, *, bar: Bar | None = None) -> Figure:
    return Figure(
        f"{measure}, {side.name}", "measured", side.name, bar=bar, measure=measure, measured_in=unit
    )


def _against_strict(measure: str) -> Figure:
    label = f"{measure}, {_FAIR.name} over {_STRICT.name}"
    return Figure(label, "measured ratio", _FAIR.name, _STRICT.name, Bar("at most", 1.05), measure)


SCENARIO = Scenario(
    id="P10",
    name="heavy-root",
    question="Does short work wait behind long work of equal count, and is the machine full all the same?",
    sides=_SIDES,
    figures=(
        _measured("wall above its bound", " %", _FAIR, bar=Bar("at most", 0.5)),
        _measured("p95 peer wait", " s", _FAIR, bar=Bar("at most", 8.5)),
        _measured("ready-idle gap", " s", _FAIR, bar=Bar("at most", 0.001)),
        _against_strict("neutral: wall"),
        _against_strict("neutral: p95 wait"),
        *(_measured("wall above its bound", " %", side) for side in _SIDES[1:]),
        *(_measured("p95 peer wait", " s", side) for side in _SIDES[1:]),
        *(
            _measured(measure, unit, side)
            for measure, unit in (
                ("wall", " s"),
                ("p95 hot wait", " s"),
                ("active capacity", " %"),
                ("roots: wall", " s"),
                ("roots: first downstream ready", " s"),
                ("roots: first downstream dispatch", " s"),
                ("roots: p95 ready but not running", " s"),
                ("roots: over-admission debt", " leases"),
                ("roots: first record", " s"),
                ("roots: half of the records", " s"),
                ("roots: p95 row", " s"),
                ("roots: active capacity", " %"),
            )
            for side in _SIDES
        ),
    ),
    inputs={
        "capacity": CAPACITY,
        "headline": "512 hot tasks of 0.5 s, weight 4, ready at 0; "
        "256 peers of 0.05 s, weight 1, ready at 0.05 s",
        "roots": "512 from-scratch roots of 0.5 s, weight 4, each feeding one row of 0.05 s, weight 1",
        "neutral": "256 and 256 tasks of 0.1 s, equal weights",
        "trouble": "the headline three times more: tasks that fail, a cancel, a worker that dies",
        "admitted_limit": CAPACITY,
    },
    clock="virtual",
)
