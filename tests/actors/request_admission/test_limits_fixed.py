"""The fixed limit stays where it is, whatever happens (A2, A14)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.request_admission.limits import FixedLimit
from messages.job import ScriptStep
from tests.actors.request_admission.limit_driver import STEPS, TUNINGS, Driver, a_limit, play, run_against


def test_a2_a14_it_starts_within_its_bounds():
    limit = a_limit("fixed", cap=8, clamp=6, initial=4)
    assert isinstance(limit, FixedLimit)
    assert (limit.current, limit.effective_max) == (4, 6)
    assert a_limit("fixed", cap=8, initial=0).current == 1
    assert a_limit("fixed", cap=8, initial=9).current == 8
    assert a_limit("fixed", cap=8).current == 8


@given(cap=st.integers(1, 20), initial=st.none() | st.integers(0, 30), tuning=TUNINGS, steps=STEPS)
def test_a14_nothing_moves_it(cap, initial, tuning, steps):
    driver = Driver(a_limit("fixed", cap=cap, initial=initial, **tuning))
    start = driver.limit.current
    assert 1 <= start <= driver.limit.effective_max == cap
    for _, before, told in play(driver, steps):
        assert (driver.limit.current, before, told) == (start, start, [])
        assert driver.limit.next_change() is None
        assert driver.limit.rate_limit_ceiling is None
        assert driver.limit.at_minimum


def test_a14_on_a_constant_provider_and_after_an_outage_it_is_what_it_was():
    steps = (ScriptStep(capacity=8), ScriptStep(at=100, outage=60))
    controller, course = run_against(a_limit("fixed", cap=8), steps, until=300)
    assert controller.transitions == []
    assert course.refusals == []
    assert len(course.between(170, 300)) > 0.95 * 8 * 130
