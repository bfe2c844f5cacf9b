"""The limit that follows latency per output token (A2, A4, A14)."""

from __future__ import annotations

from copy import deepcopy
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.request_admission.limits import GradientLimit
from messages.job import ScriptStep
from tests.actors.request_admission.limit_driver import (
    DECREASED,
    FULLY,
    IGNORED,
    INCREASED,
    SOFT_CEILING,
    STEPS,
    TUNINGS,
    Driver,
    a_limit,
    assert_told_right,
    play,
    run_against,
)


def gradient(**how):
    return a_limit("gradient", **how)


def queueing(*steps, until, cap=64, initial=None, jitter=0.3, seed=1):
    limit = gradient(cap=cap, initial=initial)
    return run_against(limit, steps, until=until, when_full="queue", jitter=jitter, seed=seed)


def throughput(course, start, end):
    """Return calls per second: with calls of one second, the capacity that was made use of."""
    return len(course.between(start, end)) / (end - start)


def latency(course, start, end, part=0.5):
    """Return a percentile of how long calls took, in units of serving one alone."""
    taken = sorted(success.seconds for success in course.between(start, end))
    return taken[int(len(taken) * part)]


# -- A2, A4, A6: as any other limit ---------------------------------------------------------------------


def test_a2_it_starts_where_it_is_told_and_low_where_it_is_not():
    assert isinstance(gradient(), GradientLimit)
    assert gradient(cap=64).current == 4
    assert gradient(cap=2).current == 2
    assert gradient(cap=64, initial=20).current == 20
    assert gradient(cap=64, initial=20, clamp=10).current == 10


def test_a2_a_startup_ramp_is_not_hurried_by_good_latency():
    driver = Driver(gradient(cap=64, initial=11, startup_ramp_seconds=100.0))
    driver.succeed(100, seconds=1.0)
    assert driver.limit.current == 1
    driver.advance(100.0)
    assert driver.limit.current == 11
    assert {transition.reason for transition in driver.told} == {"startup_ramp"}


def test_a4_a14_a_cascade_of_rate_limits_cuts_it_once_as_it_cuts_aimd():
    driver = Driver(gradient(cap=50, initial=50))
    for lease in driver.fill():
        driver.now += 0.02
        driver.give_back(lease, "rate_limited")
    assert [(each.kind, each.before, each.after, each.reason) for each in driver.told] == [
        (DECREASED, 50, 37, "rate_limited")
    ]
    assert driver.limit.rate_limit_ceiling == 50


def test_a5_recovery_from_rate_limits_is_told_once():
    driver = Driver(gradient(cap=20, initial=20))
    driver.refuse()
    driver.succeed(2000, seconds=1.0)
    assert driver.limit.current == 20
    assert driver.kinds.count(SOFT_CEILING) == driver.kinds.count(FULLY) == 1
    assert driver.limit.rate_limit_ceiling is None


@pytest.mark.parametrize("kind", IGNORED)
def test_a6_what_is_not_pressure_changes_nothing(kind):
    driver = Driver(gradient())
    for _ in range(200):
        driver.give_back(driver.fill()[0], kind, seconds=60.0)
    assert driver.told == []


# -- A14: properties -----------------------------------------------------------------------------------


@given(cap=st.integers(1, 20), initial=st.none() | st.integers(0, 30), tuning=TUNINGS, steps=STEPS)
def test_a14_within_bounds_and_every_change_told(cap, initial, tuning, steps):
    driver = Driver(gradient(cap=cap, initial=initial, **tuning))
    for step, before, told in play(driver, steps):
        assert_told_right(driver, before, told)
        if "rate_limited" in step:
            assert driver.limit.current <= before


@given(
    cap=st.integers(1, 40),
    steps=STEPS,
    seconds=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=60),
    which=st.integers(0, 59),
    more=st.floats(0.01, 100.0),
)
def test_a14_higher_latency_never_gives_a_higher_limit(cap, steps, seconds, which, more):
    driver = Driver(gradient(cap=cap, initial=cap))
    for _ in play(driver, steps):
        pass
    for each in seconds:
        driver.now += 0.01
        lease = driver.fill()[0]
        slower = deepcopy(driver)
        driver.give_back(lease, seconds=each)
        slower.give_back(lease, seconds=each + more)
        assert slower.limit.current <= driver.limit.current


@given(seconds=st.floats(0.05, 5.0), tokens=st.integers(2, 4000))
def test_a14_what_counts_is_the_latency_per_output_token(seconds, tokens):
    plain, counted = Driver(gradient(cap=64)), Driver(gradient(cap=64))
    for call in range(300):
        factor = 1 + call % 3
        plain.succeed(1, seconds=seconds * tokens)
        counted.succeed(1, seconds=seconds * tokens * factor, tokens=factor)
    assert counted.told == plain.told != []


def test_a14_calls_without_a_duration_teach_nothing():
    driver = Driver(gradient(cap=64))
    driver.succeed(500)
    assert driver.told == []


@pytest.mark.parametrize("cooling", [False, True])
def test_a14_it_does_not_grow_while_it_is_not_used_or_in_a_cooldown(cooling):
    driver = Driver(gradient(cap=64, initial=10))
    for _ in range(500):
        while len(driver.out) < (10 if cooling else 4):
            driver.take()
        driver.now += 0.1
        driver.give_back(driver.out[0], seconds=1.0, cooling=cooling)
    assert driver.told == []


def test_a14_it_shrinks_when_latency_rises_even_where_it_is_not_used():
    driver = Driver(gradient(cap=64, initial=10))
    for seconds in (1.0, 4.0):
        for _ in range(64):
            while len(driver.out) < 4:
                driver.take()
            driver.now += 0.1
            driver.give_back(driver.out[0], seconds=seconds)
    assert driver.limit.current < 10
    assert (driver.told[0].kind, driver.told[0].reason) == (DECREASED, "latency")


@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("capacity", [2, 4, 8, 16, 32, 48])
def test_a14_it_converges_on_the_knee_of_a_constant_server(capacity, jitter):
    _, course = queueing(ScriptStep(capacity=capacity), until=700, jitter=jitter)
    assert throughput(course, 200, 700) > 0.9 * capacity
    assert latency(course, 200, 700) < 1.6
    assert latency(course, 200, 700, 0.95) < 2.2


def test_a14_a_server_that_never_queues_is_used_to_the_full():
    _, course = queueing(ScriptStep(capacity=100), until=700)
    assert throughput(course, 100, 700) > 0.95 * 64


@pytest.mark.parametrize("seed", range(4))
def test_a14_a_queue_that_stood_from_the_start_is_not_taken_for_normal(seed):
    _, course = queueing(ScriptStep(capacity=8), until=900, initial=64, seed=seed)
    assert latency(course, 0, 20) > 3
    assert latency(course, 400, 900) < 1.6
    assert throughput(course, 400, 900) > 0.9 * 8


@pytest.mark.parametrize("seed", range(4))
def test_a14_it_finds_the_knee_again_after_steps_and_an_outage(seed):
    steps = (
        ScriptStep(capacity=16),
        ScriptStep(at=300, capacity=4),
        ScriptStep(at=600, capacity=32),
        ScriptStep(at=900, outage=60),
    )
    _, course = queueing(*steps, until=1300, seed=seed)
    for start, end, capacity in ((100, 300, 16), (400, 600, 4), (700, 900, 32), (1000, 1300, 32)):
        assert throughput(course, start, end) > 0.85 * capacity
        assert latency(course, start, end) < 1.6


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a14_a_server_that_became_slower_or_quicker_is_not_taken_for_a_queue(factor):
    steps = (ScriptStep(capacity=16), ScriptStep(at=200, latency_factor=factor))
    _, course = queueing(*steps, until=900)
    assert throughput(course, 500, 900) > 0.85 * 16 / factor


def test_a14_the_same_calls_give_the_same_limits():
    one, _ = queueing(ScriptStep(capacity=8), until=200)
    other, _ = queueing(ScriptStep(capacity=8), until=200)
    assert one.transitions == other.transitions != []
    changes = [change for _, change in one.transitions]
    assert {change.kind for change in changes} == {DECREASED, INCREASED}
    assert {change.reason for change in changes} == {"latency", "baseline_probe"}
    assert 8 <= median(change.after for change in changes) <= 12
