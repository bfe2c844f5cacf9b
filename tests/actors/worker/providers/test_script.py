"""What a simulated endpoint's script says at a given time."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from actors.worker.providers.script import Conditions, Script
from messages.job import ScriptStep

SECONDS = st.floats(0, 200, allow_nan=False)


@st.composite
def steps(draw):
    times = sorted(draw(st.sets(st.integers(0, 100), min_size=1, max_size=6)))
    return [
        ScriptStep(
            at=float(at),
            capacity=draw(st.none() | st.integers(0, 50)),
            ramp_seconds=draw(st.sampled_from([0.0, 0.0, 0.5, 7.0, 60.0])),
            retry_after=draw(st.none() | st.sampled_from([0.0, 1.5])),
            outage=draw(st.sampled_from([0.0, 0.0, 3.0])),
            error_rate=draw(st.none() | st.floats(0, 1)),
        )
        for at in times
    ]


STORM = Script(
    [
        ScriptStep(at=0, capacity=16),
        ScriptStep(at=5, capacity=4, retry_after=1.5),
        ScriptStep(at=20, outage=10),
        ScriptStep(at=30, capacity=16, error_rate=0.02),
    ]
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, Conditions(capacity=16)),
        (4.999, Conditions(capacity=16)),
        (5.0, Conditions(capacity=4, retry_after=1.5)),
        (20.0, Conditions(capacity=4, retry_after=1.5, outage=True)),
        (29.999, Conditions(capacity=4, retry_after=1.5, outage=True)),
        (30.0, Conditions(capacity=16, retry_after=1.5, error_rate=0.02)),
        (1e6, Conditions(capacity=16, retry_after=1.5, error_rate=0.02)),
    ],
)
def test_a_step_says_what_it_says_and_takes_over_the_rest(seconds, expected):
    assert STORM.at(seconds) == expected


def test_without_a_script_nothing_is_wrong_and_nothing_changes():
    assert Script([]).at(3.0) == Conditions()
    assert Script([]).next_change(3.0) is None


def test_before_the_first_step_nothing_is_wrong():
    script = Script([ScriptStep(at=2, capacity=0, outage=1)])
    assert script.at(1.999) == Conditions()
    assert script.next_change(0.5) == 2.0


def test_a_refusal_can_be_made_to_ask_for_nothing_again():
    script = Script([ScriptStep(at=0, retry_after=2), ScriptStep(at=1, retry_after=0)])
    assert [script.at(second).retry_after for second in (0, 1)] == [2, None]


def test_a_slow_start_begins_with_one_call_and_ends_with_all():
    script = Script([ScriptStep(at=0, capacity=5, ramp_seconds=8)])
    assert [script.at(second).capacity for second in range(10)] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_ramp_can_go_down_and_be_cut_short_by_the_next_step():
    script = Script(
        [ScriptStep(capacity=10), ScriptStep(at=1, capacity=0, ramp_seconds=10), ScriptStep(at=6)]
    )
    assert [script.at(second).capacity for second in (0, 1, 3, 5.5, 6, 60)] == [10, 10, 8, 5, 0, 0]
    onward = Script(
        [
            ScriptStep(capacity=10),
            ScriptStep(at=1, capacity=0, ramp_seconds=10),
            ScriptStep(at=6, capacity=9, ramp_seconds=4),
        ]
    )
    assert [onward.at(second).capacity for second in (6, 7, 8, 10)] == [5, 6, 7, 9]


def test_a_sawtooth_begins_anew_each_time():
    script = Script([ScriptStep(capacity=4, ramp_seconds=3)], repeat_seconds=4)
    assert [script.at(second).capacity for second in range(12)] == [1, 2, 3, 4] * 3


@given(steps(), st.none() | st.floats(1, 150), SECONDS)
def test_the_capacity_is_never_beyond_what_was_said(said, repeat, seconds):
    capacity = Script(said, repeat).at(seconds).capacity
    numbers = [step.capacity for step in said if step.capacity is not None]
    assert capacity is None or min([1, *numbers]) <= capacity <= max([1, *numbers])


@given(steps(), st.none() | st.floats(1, 150), SECONDS)
def test_one_moment_is_like_another_whenever_it_is_asked_for(said, repeat, seconds):
    script = Script(said, repeat)
    first = script.at(seconds)
    script.at(seconds + 1)
    assert script.at(seconds) == first == Script(said, repeat).at(seconds)


@given(steps(), st.none() | st.floats(1, 150), SECONDS, st.floats(0, 0.999))
def test_the_capacity_stays_until_it_may_change(said, repeat, seconds, share):
    script = Script(said, repeat)
    change = script.next_change(seconds)
    later = seconds + share * (1000.0 if change is None else change - seconds)
    assume(change is None or later < change - 1e-6)
    assert change is None or change > seconds
    assert script.at(later).capacity == script.at(seconds).capacity


@given(steps(), SECONDS)
def test_whoever_follows_the_changes_comes_to_an_end(said, seconds):
    script = Script(said)
    for _ in range(1000):
        following = script.next_change(seconds)
        if following is None:
            return
        seconds = following
    raise AssertionError("a script without repetition changes for ever")
