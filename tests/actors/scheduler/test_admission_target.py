"""Adaptive row-group admission: the target (R2)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.scheduler.admission_target import AdmissionTarget


def a_target(cap=4, row_guard=None):
    return AdmissionTarget(cap=cap, row_guard=row_guard)


def test_r2_the_target_starts_at_one_row_group():
    target = a_target()
    assert target.value == 1
    assert target.blocks(row_groups=0, rows=0, next_rows=10) is None
    assert target.blocks(row_groups=1, rows=10, next_rows=10) == "target"


def test_r2_the_target_waits_until_what_is_in_flight_has_reached_the_models():
    target = a_target()
    assert not target.consider(slots=8, free=8, queued=0)
    assert not target.consider(slots=8, free=0, queued=5)
    assert target.consider(slots=8, free=8, queued=0)
    assert not target.consider(slots=8, free=8, queued=0), "the next one has to reach them first"


def test_r2_queued_model_demand_counts_against_idle_slots():
    target = a_target()
    assert not target.consider(slots=8, free=7, queued=6)
    assert not target.consider(slots=8, free=1, queued=0)
    assert target.consider(slots=8, free=7, queued=5)


def test_r2_without_models_nothing_is_waited_for():
    target = a_target(cap=3)
    assert [target.consider(slots=0, free=0, queued=0) for _ in range(3)] == [True, True, False]
    assert target.value == 3


def test_r2_the_row_guard_bounds_rows_and_always_lets_one_row_group_in():
    target = a_target(row_guard=25)
    target.consider(slots=0, free=0, queued=0)
    target.consider(slots=0, free=0, queued=0)
    assert target.blocks(row_groups=1, rows=10, next_rows=15) is None
    assert target.blocks(row_groups=2, rows=20, next_rows=10) == "row_guard"
    assert target.blocks(row_groups=0, rows=0, next_rows=30) is None


@given(
    cap=st.integers(1, 5),
    looks=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 20)), max_size=60),
)
def test_r2_the_target_is_never_lowered_and_never_above_the_cap(cap, looks):
    target, before = a_target(cap), 1
    for free, queued in looks:
        raised = target.consider(slots=8, free=free, queued=queued)
        assert target.value == before + raised
        assert target.value <= cap
        assert not raised or free > queued
        before = target.value
