"""Virtual time: what the server does, who decides, and that nobody is left when it is over."""

from __future__ import annotations

import asyncio
import time
from math import isnan

import pytest

from actors.request_admission.limits import make_limit
from bench.moving.controllers import Grant, LimitAlone
from bench.moving.core_controller import CoreController
from bench.moving.oracle import Oracle
from bench.moving.playing import oracle, playing, under
from bench.moving.scripts import BLIND, CLIENTS, REFUSING
from bench.moving.server import REFUSAL_SECONDS, VirtualServer
from bench.moving.sharing import SHARINGS, sharing
from bench.moving.simulation import simulate
from bench.moving.whole_system import whole_system
from bench.results import Figure, Run
from bench.virtual.event_loop import NothingComesError, pass_time, run_virtually
from messages.job import RequestAdmissionTuning, ScriptStep
from messages.request_admission import RequestOutcome


def test_virtual_time_passes_by_being_waited_for_and_not_otherwise():
    async def waits():
        loop = asyncio.get_running_loop()
        await asyncio.gather(pass_time(3600.1), pass_time(0.2))
        return loop.time()

    begun = time.monotonic()
    assert run_virtually(waits()) == 3600.1
    assert time.monotonic() - begun < 60


def test_who_waits_for_what_never_comes_is_told_so_and_what_still_runs_is_cancelled():
    ended = []

    async def left_behind():
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(asyncio.get_running_loop().time())

    async def waits():
        task = asyncio.create_task(left_behind())
        await asyncio.sleep(1)
        return task

    run_virtually(waits())
    assert ended == [1]

    async def for_ever():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingComesError):
        run_virtually(for_ever())


def a_call(number, at):
    return Grant(number, None), at


def test_a_server_serves_as_many_as_its_script_says_at_the_moment():
    steps = (
        ScriptStep(capacity=4),
        ScriptStep(at=10, capacity=8, ramp_seconds=4),
        ScriptStep(at=20, outage=5),
    )
    server = VirtualServer(steps)
    assert [server.room(now) for now in (0, 10, 12, 14, 24.9, 25)] == [4, 4, 6, 8, 0, 8]
    changes = sorted(server.changes(30))
    assert {0, 10, 20, 25} <= set(changes)
    assert {server.room(change) for change in changes} == {0, 4, 5, 6, 7, 8}
    assert max(server.changes(12)) <= 12


def test_a_server_that_refuses_says_so_after_a_moment_and_how_long_to_wait():
    server = VirtualServer((ScriptStep(capacity=1, retry_after=3.0),), latency=2.0)
    (served,) = server.call(a_call(1, 0.0), now=0.0)
    (refused,) = server.call(a_call(2, 0.5), now=0.5)
    assert (served.at, served.outcome.kind) == (2.0, "success")
    assert refused.at == 0.5 + REFUSAL_SECONDS
    assert refused.outcome == RequestOutcome("rate_limited", 3.0, 429)


def test_a_server_that_queues_serves_in_turn_and_tells_the_whole_time():
    server = VirtualServer((ScriptStep(capacity=1),), when_full="queue", latency=2.0)
    assert len(server.call(a_call(1, 0.0), now=0.0)) == 1
    assert server.call(a_call(2, 0.5), now=0.5) == server.call(a_call(3, 0.6), now=0.6) == []
    server.ended()
    (second,) = server.serve(now=2.0)
    assert (second.call, second.at, second.outcome.duration_seconds) == (a_call(2, 0.5), 4.0, 3.5)


@pytest.mark.parametrize("when_full", ["refuse", "queue"])
def test_nobody_answers_in_an_outage(when_full):
    server = VirtualServer((ScriptStep(capacity=1), ScriptStep(at=5, outage=10)), when_full=when_full)
    (answer,) = server.call(a_call(1, 6.0), now=6.0)
    assert answer.outcome.kind == "provider_failure"


def test_the_oracle_keeps_exactly_the_capacity_in_flight():
    server = VirtualServer((ScriptStep(capacity=2), ScriptStep(at=10, capacity=3)))
    controller = Oracle(server, until=20)
    assert [controller.ask(client, now=0.0) for client in range(4)] == [
        [Grant(0, None)],
        [Grant(1, None)],
        [],
        [],
    ]
    assert controller.wake(now=0.0) == []
    assert controller.wakes_at() == 10.0
    assert controller.wake(now=10.0) == [Grant(2, None)]
    assert controller.close(now=11.0) == 3


@pytest.mark.parametrize("play", REFUSING, ids=lambda play: play.name)
def test_the_oracle_is_never_refused_and_makes_use_of_all(play):
    server = VirtualServer(play.steps, latency=2.0)
    course = simulate(Oracle(server, until=300), server, clients=CLIENTS, until=300)
    assert len(course.refusals) <= 12, "but where a call is still running when the capacity falls"
    assert course.failures == []
    assert course.left == 0
    area = sum(server.room(second) for second in range(300))
    assert len(course.successes) == pytest.approx(area / 2.0, rel=0.05)


def test_a_simulation_is_the_same_every_time():
    def course(seed):
        server = VirtualServer((ScriptStep(capacity=4),), jitter=0.5, seed=seed)
        limit = make_limit(RequestAdmissionTuning(), static_cap=8)
        return [success.at for success in simulate(LimitAlone(limit), server, clients=8, until=50).successes]

    assert course(1) == course(1) != course(2)


def test_the_gate_holds_everybody_back_for_as_long_as_the_server_asked():
    server = VirtualServer((ScriptStep(capacity=1, retry_after=7.0),), latency=1.0)
    limit = make_limit(RequestAdmissionTuning(), static_cap=2)
    course = simulate(LimitAlone(limit), server, clients=2, until=8.0)
    assert [success.at for success in course.successes] == [1.0]
    assert course.refusals == [REFUSAL_SECONDS]


def test_the_real_core_gives_every_lease_back():
    tuning = RequestAdmissionTuning(cooldown_seconds=0.25)
    server = VirtualServer((ScriptStep(capacity=4),), when_full="queue")
    course = simulate(CoreController(tuning, static_cap=8), server, clients=16, until=30)
    assert len(course.successes) == 4 * 30
    assert course.left == 0


def test_sides_meet_the_same_servers_in_the_same_iteration():
    def alone(server, until):
        del until
        return Oracle(server, until=1500)

    one, other = playing(BLIND, under(oracle)), playing(BLIND, under(alone))
    first = [one(1000), one(1000)]
    second = [other(1000), other(1000)]
    assert [run.measures for run in first] == [run.measures for run in second]
    assert first[0].measures != first[1].measures
    assert {run.leases_left for run in first} == {0}


def test_r4_a_whole_job_meets_the_same_trouble_and_its_log_proves_every_lease():
    seldom, unreachable = (
        REFUSING[0],
        REFUSING[3]._replace(
            seconds=60, steps=(ScriptStep(capacity=6), ScriptStep(at=20, outage=20)), turns=(40,)
        ),
    )
    tuning = RequestAdmissionTuning(multiplicative_decrease_factor=0.9, cooldown_seconds=0.25)
    plays = (seldom._replace(seconds=60), unreachable)
    run = playing(plays, whole_system(tuning))(20_000)
    best = playing(plays, under(oracle))(20_000)
    assert run.leases_left == 0
    assert run.evidence.hidden_waiters == 0
    assert run.evidence.log_lines > 10 * run.tasks
    assert 0.7 * best.measures["goodput"] < run.measures["goodput"] <= 1.05 * best.measures["goodput"]
    assert run.measures["wasted"] > 0


@pytest.mark.parametrize("who", SHARINGS, ids=lambda who: who.name)
def test_a7_one_cap_is_shared_by_weight_whoever_asks_more(who):
    run = sharing(who)(20_000)
    assert run.leases_left == 0
    assert 0.95 < run.measures["least_served"] <= 1.0


def test_a_lane_that_nobody_else_contends_with_is_served_as_well():
    chat, other = SHARINGS[0].lanes
    alone = SHARINGS[0]._replace(lanes=(chat, other._replace(clients=range(0))))
    assert sharing(alone)(2000).measures["least_served"] == 0.0


def test_what_each_script_wastes_and_needs_to_recover_is_told():
    down, bursts = REFUSING[0], REFUSING[-1]
    measures = playing((down, bursts), under(oracle))(8000).measures
    assert measures["step down: recovery"] == measures["recovery"] <= 1.0
    assert {"step down: wasted", "bursts: wasted"} <= set(measures)
    assert "bursts: recovery" not in measures


def test_a_limit_that_follows_latency_keeps_a_silent_server_from_queueing():
    def measured(algorithm):
        tuning = RequestAdmissionTuning(algorithm=algorithm)
        limits = playing(BLIND, under(lambda *_: LimitAlone(make_limit(tuning, static_cap=CLIENTS))))
        return limits(20_000).measures

    best, aimd, gradient = (
        playing(BLIND, under(oracle))(20_000).measures,
        measured("aimd"),
        measured("gradient"),
    )
    assert gradient["goodput"] > 0.88 * best["goodput"]
    assert gradient["p95 latency"] < 2.2
    assert aimd["p95 latency"] > 8


def test_figures_tell_what_was_measured():
    runs = {
        "one": Run(1, 1.0, 1.0, measures={"goodput": 3.0}),
        "two": Run(1, 1.0, 1.0, measures={"goodput": 4.0}),
        "none": Run(1, 1.0, 1.0, measures={"goodput": 0.0}),
    }
    ratio = Figure("", "measured ratio", "one", "two", measure="goodput")
    assert (ratio.of(runs), ratio.unit) == (0.75, "x")
    told = Figure("", "measured", "one", measure="goodput", measured_in=" s")
    assert (told.of(runs), told.unit) == (3.0, " s")
    undefined = Figure("", "measured ratio", "one", "none", measure="goodput").of(runs)
    assert isnan(undefined)


def test_the_peer_runs_in_virtual_time_too():
    pytest.importorskip("data_designer.engine")
    from data_designer.engine.models.request_admission import controller

    from bench.peers.data_designer_limits import PeerController

    tuning = RequestAdmissionTuning(cooldown_seconds=0.5)
    server = VirtualServer((ScriptStep(capacity=4),), jitter=0.2)
    course = simulate(PeerController(tuning, static_cap=16), server, clients=16, until=200)
    assert len(course.successes) > 0.7 * 4 * 200
    assert course.refusals
    assert course.left == 0
    assert controller.time is time
