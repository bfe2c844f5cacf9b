"""The AIMD limit: its start, one cut per cascade, growth while used, recoveries told (A2, A4, A5, A14)."""

from __future__ import annotations

from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.request_admission.limits import AimdLimit, LimitTransition
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

# -- A2: where it starts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "clamp", "initial", "effective_max", "start"),
    [
        (8, None, None, 8, 8),
        (8, 5, None, 5, 5),
        (8, 20, None, 8, 8),
        (8, None, 3, 8, 3),
        (8, 5, 7, 5, 5),
        (8, None, 0, 8, 1),
        (8, 0, None, 1, 1),
    ],
)
def test_a2_it_starts_at_the_initial_limit_within_the_least_of_cap_and_clamp(
    cap, clamp, initial, effective_max, start
):
    limit = a_limit(cap=cap, clamp=clamp, initial=initial)
    assert isinstance(limit, AimdLimit)
    assert (limit.effective_max, limit.current) == (effective_max, start)


def test_a2_what_is_said_of_the_resource_wins_over_the_tuning():
    assert a_limit(initial=3, clamp=4).current == 3
    tuned = {"maximum": 6}
    assert a_limit(**tuned).effective_max == 6
    assert a_limit(clamp=4, **tuned).effective_max == 4


def test_a2_a_ramp_is_linear_in_time_and_begins_with_the_first_use():
    driver = Driver(a_limit(cap=8, initial=5, startup_ramp_seconds=8.0))
    assert (driver.limit.current, driver.limit.next_change()) == (1, None)
    driver.advance(100.0)
    assert driver.limit.current == 1, "nobody has used it yet"
    driver.take()
    seen = []
    for _ in range(5):
        seen.append((driver.limit.next_change(), driver.limit.current))
        driver.advance(2.0)
    assert seen == [(102.0, 1), (104.0, 2), (106.0, 3), (108.0, 4), (None, 5)]
    assert driver.told == [
        LimitTransition(INCREASED, limit, limit + 1, "startup_ramp") for limit in range(1, 5)
    ]


def test_a2_a_later_use_does_not_begin_the_ramp_again():
    driver = Driver(a_limit(cap=5, startup_ramp_seconds=4.0))
    driver.take()
    driver.advance(0.5)
    driver.take()
    assert driver.limit.next_change() == 1.0
    driver.advance(3.5)
    assert driver.limit.current == 5, "steps that are overdue are all taken"


@given(initial=st.integers(2, 40), seconds=st.floats(0.1, 100), part=st.floats(0, 1))
def test_a2_a_ramp_is_never_above_its_line_and_less_than_a_step_below(initial, seconds, part):
    driver = Driver(a_limit(cap=64, initial=initial, startup_ramp_seconds=seconds))
    driver.take()
    driver.advance(seconds * part)
    line = 1 + (initial - 1) * part
    assert line - 1 - 1e-6 < driver.limit.current <= line + 1e-6


def test_a2_a_rate_limit_ends_the_ramp():
    driver = Driver(a_limit(cap=8, startup_ramp_seconds=7.0))
    first = driver.take()
    driver.advance(3.0)
    assert driver.limit.current == 4
    assert driver.give_back(first, "rate_limited") == (LimitTransition(DECREASED, 4, 3, "rate_limited"),)
    driver.advance(100.0)
    assert (driver.limit.current, driver.limit.next_change()) == (3, None)


def test_a2_successes_do_not_hurry_a_ramp():
    driver = Driver(a_limit(cap=8, startup_ramp_seconds=700.0, successes_until_increase=1))
    driver.succeed(50)
    assert driver.limit.current == 1


# -- A4: the cut ---------------------------------------------------------------------------------------


@given(limit=st.integers(1, 500), factor=st.floats(0.05, 0.99))
def test_a4_a_rate_limit_leaves_the_factor_rounded_down_and_at_least_one(limit, factor):
    driver = Driver(a_limit(cap=limit, multiplicative_decrease_factor=factor))
    told = driver.refuse()
    after = max(1, floor(limit * factor))
    assert driver.limit.current == after
    assert told == ((LimitTransition(DECREASED, limit, after, "rate_limited"),) if limit > 1 else ())
    assert driver.limit.rate_limit_ceiling == (limit if limit > 1 else None)


def test_a4_a_cascade_of_fifty_refusals_cuts_once():
    driver = Driver(a_limit(cap=50))
    for lease in driver.fill():
        driver.now += 0.02
        driver.give_back(lease, "rate_limited")
    assert driver.told == [LimitTransition(DECREASED, 50, 37, "rate_limited")]


def test_a4_a_later_cascade_cuts_again():
    driver = Driver(a_limit(cap=50))
    for _ in range(2):
        for lease in driver.fill():
            driver.now += 0.02
            driver.give_back(lease, "rate_limited")
    assert [transition.after for transition in driver.told] == [37, 27]
    assert driver.limit.rate_limit_ceiling == 37, "the limit at which the last cut was made"


def test_a4_a_lease_from_before_the_cut_at_no_higher_a_limit_cuts():
    driver = Driver(a_limit(cap=20, initial=10, successes_until_increase=1))
    old = driver.take()
    driver.succeed(10)
    assert driver.limit.current == 20
    driver.refuse()
    assert driver.limit.current == 15
    driver.give_back(old, "rate_limited")
    assert driver.limit.current == 11, "that was too much even at 10"


def test_a4_a_lease_granted_at_the_moment_of_the_cut_under_the_new_limit_cuts():
    driver = Driver(a_limit(cap=8))
    driver.refuse()
    driver.give_back(driver.take(), "rate_limited")
    assert driver.limit.current == 4


@pytest.mark.parametrize("asked", [None, 3600.0])
def test_a4_however_long_the_provider_asks_to_wait_cuts_and_growth_go_on(asked):
    driver = Driver(a_limit(cap=20, successes_until_increase=5))
    driver.refuse(retry_after=asked)
    driver.refuse(retry_after=asked)
    assert driver.limit.current == 11
    driver.succeed(5)
    assert driver.limit.current == 12


def test_a4_at_one_nothing_is_told_and_nothing_forgotten():
    driver = Driver(a_limit(cap=2))
    driver.refuse()
    assert driver.limit.at_minimum
    assert driver.refuse() == ()
    assert (driver.limit.current, driver.limit.rate_limit_ceiling) == (1, 2)


def test_a4_a_rate_limit_ends_the_row_of_successes():
    driver = Driver(a_limit(cap=8, successes_until_increase=10))
    driver.refuse()
    driver.succeed(9)
    driver.refuse()
    driver.succeed(9)
    assert driver.kinds == [DECREASED, DECREASED]
    driver.succeed(1)
    assert driver.kinds[-1] == INCREASED


# -- A5: growth ----------------------------------------------------------------------------------------


def test_a5_after_so_many_successes_one_step_up_to_the_maximum():
    driver = Driver(a_limit(cap=10, initial=4, additive_increase_step=4))
    driver.succeed(24)
    assert driver.limit.current == 4
    driver.succeed(1)
    assert driver.limit.current == 8
    driver.succeed(25)
    assert driver.limit.current == 10
    driver.succeed(100)
    assert driver.told == [
        LimitTransition(INCREASED, 4, 8, "successes"),
        LimitTransition(INCREASED, 8, 10, "successes"),
    ]


def test_a5_no_growth_in_a_cooldown():
    driver = Driver(a_limit(initial=4, successes_until_increase=3))
    driver.succeed(50, cooling=True)
    assert driver.limit.current == 4
    driver.succeed(3)
    assert driver.limit.current == 5


@pytest.mark.parametrize(("in_flight", "grows"), [(2, False), (3, True)])
def test_a5_a14_it_grows_only_while_half_of_it_is_used(in_flight, grows):
    driver = Driver(a_limit(cap=20, initial=5, successes_until_increase=3))
    for _ in range(3):
        for _ in range(in_flight - len(driver.out)):
            driver.take()
        driver.give_back(driver.out[0])
    assert (driver.limit.current == 6) == grows


def test_a5_the_soft_ceiling_and_full_recovery_are_told_once_by_the_growth_itself():
    driver = Driver(a_limit(cap=8, successes_until_increase=1))
    driver.refuse()  # 8 to 6
    driver.refuse()  # 6 to 4
    driver.told.clear()
    driver.succeed(20)
    assert driver.told == [
        LimitTransition(INCREASED, 4, 5, "successes"),
        LimitTransition(INCREASED, 5, 6, "successes"),
        LimitTransition(SOFT_CEILING, 5, 6, "successes"),
        LimitTransition(INCREASED, 6, 7, "successes"),
        LimitTransition(INCREASED, 7, 8, "successes"),
        LimitTransition(FULLY, 7, 8, "successes"),
    ]
    assert driver.limit.rate_limit_ceiling is None


def test_a5_a_step_over_the_ceiling_and_to_the_maximum_tells_both():
    driver = Driver(a_limit(cap=8, successes_until_increase=1, additive_increase_step=5))
    driver.refuse()
    driver.told.clear()
    driver.succeed(1)
    assert driver.kinds == [INCREASED, SOFT_CEILING, FULLY]


def test_a5_growth_that_follows_no_cut_recovers_nothing():
    driver = Driver(a_limit(cap=8, initial=2, successes_until_increase=1))
    driver.succeed(20)
    assert set(driver.kinds) == {INCREASED}


def test_a5_a_ceiling_may_be_held_off_for_some_seconds_after_the_cut():
    driver = Driver(a_limit(cap=9, successes_until_increase=2, ceiling_hold_seconds=10.0))
    driver.refuse()
    cut_at = driver.now
    driver.told.clear()
    driver.succeed(100)
    assert [transition.after for transition in driver.told] == [7, 8], "one below what was refused"
    driver.now = cut_at + 9.9
    driver.succeed(1)
    assert driver.limit.current == 8
    driver.now = cut_at + 10.0
    driver.succeed(1)
    assert driver.limit.current == 9


def test_a5_at_the_minimum_no_ceiling_is_held_off():
    driver = Driver(a_limit(cap=2, successes_until_increase=2, ceiling_hold_seconds=1000.0))
    driver.refuse()
    driver.succeed(2)
    assert driver.limit.current == 2


def test_a6_what_is_not_pressure_changes_nothing():
    driver = Driver(a_limit(initial=4, successes_until_increase=2))
    driver.succeed(1)
    for kind in IGNORED:
        driver.give_back(driver.fill()[0], kind, seconds=60.0)
    assert driver.told == []
    driver.succeed(1)
    assert driver.limit.current == 5, "nor does it break the row of successes"


# -- A14: properties -----------------------------------------------------------------------------------


@given(cap=st.integers(1, 20), initial=st.none() | st.integers(0, 30), tuning=TUNINGS, steps=STEPS)
def test_a14_within_bounds_and_every_change_told(cap, initial, tuning, steps):
    driver = Driver(a_limit(cap=cap, initial=initial, **tuning))
    for _, before, told in play(driver, steps):
        assert_told_right(driver, before, told)


@given(cap=st.integers(1, 20), tuning=TUNINGS, steps=STEPS)
def test_a14_a_rate_limit_never_raises_and_a_success_never_lowers(cap, tuning, steps):
    driver = Driver(a_limit(cap=cap, **tuning))
    for step, before, _ in play(driver, steps):
        if "rate_limited" in step:
            assert driver.limit.current <= before
        elif "success" in step or step[0] == "succeed":
            assert driver.limit.current >= before
        elif step[0] == "return":
            assert driver.limit.current == before


@pytest.mark.parametrize("capacity", [1, 2, 5, 16, 40])
def test_a14_it_converges_on_a_constant_provider(capacity):
    controller, course = run_against(a_limit(cap=64), (ScriptStep(capacity=capacity),), until=1200)
    settled = [change for at, change in controller.transitions if at > 400]
    assert {change.before for change in settled if change.kind == DECREASED} <= {capacity + 1}
    lowest = max(1, floor((capacity + 1) * 0.75))
    assert all(lowest <= change.after <= capacity + 1 for change in settled)
    assert settled or controller.limit.current in (capacity, capacity + 1)
    served = len(course.between(400, 1200))
    assert served >= 0.6 * capacity * 800
    assert sum(at > 400 for at in course.refusals) <= 0.05 * served


def test_a14_it_finds_back_after_an_outage_and_a_change():
    steps = (
        ScriptStep(capacity=16),
        ScriptStep(at=300, capacity=0),
        ScriptStep(at=360, capacity=16),
        ScriptStep(at=900, outage=60),
    )
    controller, course = run_against(a_limit(cap=16), steps, until=1200)
    assert any(change.after == 1 for at, change in controller.transitions if 300 < at < 360)
    recovered = [at for at, change in controller.transitions if change.kind == FULLY]
    assert len(recovered) == 1
    assert 360 < recovered[0] < 600
    assert not [at for at, _ in controller.transitions if at > 900], "nobody there is not too much"
    assert len(course.between(970, 1200)) > 0.95 * 16 * 230
