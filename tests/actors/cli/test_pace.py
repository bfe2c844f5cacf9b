"""How fast a run is, and when it will be done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.cli.pace import Pace, share_done
from actors.inspection.words import told_duration
from messages.scheduler import GeneratorProgress, SchedulerSnapshot


def a_job(*progress, rows=100, dropped=0, started_at=0.0):
    return SchedulerSnapshot(
        "running",
        started_at=started_at,
        rows_requested=rows,
        rows_dropped=dropped,
        generators={str(number): GeneratorProgress(*counts) for number, counts in enumerate(progress)},
    )


def test_every_column_counts_alike_whatever_its_tasks_cover():
    assert share_done(a_job((5, 0, 10), (100, 0, 100))) == 0.75


def test_r3_tasks_that_a_dropped_row_spares_count_as_done():
    assert share_done(a_job((90, 10, 100), (90, 0, 100), dropped=10)) == 1.0


def test_a_job_without_columns_is_at_its_beginning():
    assert share_done(a_job()) == 0.0


def test_the_pace_is_that_of_the_last_half_minute():
    pace = Pace()
    pace.note(100.0, a_job((0, 0, 100)))
    pace.note(200.0, a_job((10, 0, 100)))
    pace.note(231.0, a_job((41, 0, 100)))

    assert pace.rows_per_second == pytest.approx(1.0)
    assert pace.seconds_left == pytest.approx(59.0)


def test_the_column_that_will_be_done_last_tells_how_long_it_takes():
    pace = Pace()
    pace.note(0.0, a_job((0, 0, 100), (0, 0, 100)))
    pace.note(10.0, a_job((100, 0, 100), (10, 0, 100)))

    assert pace.rows_per_second == pytest.approx(1.0)
    assert pace.seconds_left == pytest.approx(90.0)


def test_a_column_that_gets_nothing_done_leaves_no_telling_however_fast_the_others_are():
    pace = Pace()
    pace.note(0.0, a_job((0, 0, 100), (0, 0, 100)))
    pace.note(10.0, a_job((90, 0, 100), (0, 0, 100)))

    assert (pace.rows_per_second, pace.seconds_left) == (0.0, None)


def test_row_groups_are_gone_by_when_no_task_of_a_single_row_is_left():
    pace = Pace()
    pace.note(0.0, a_job((0, 0, 100), (0, 0, 10)))
    pace.note(10.0, a_job((50, 0, 100), (0, 0, 10)))
    assert pace.seconds_left == pytest.approx(10.0)

    pace.note(20.0, a_job((100, 0, 100), (5, 0, 10)))
    assert pace.seconds_left == pytest.approx(20.0)


def test_the_first_look_goes_by_the_time_since_the_start():
    pace = Pace()
    pace.note(12.0, a_job((20, 0, 100), started_at=10.0))

    assert pace.rows_per_second == pytest.approx(10.0)
    assert pace.seconds_left == pytest.approx(8.0)


def test_a_run_that_stands_still_has_no_time_left_to_tell():
    pace = Pace()
    pace.note(5.0, a_job((0, 0, 100)))

    assert pace.rows_per_second == 0.0
    assert pace.seconds_left is None


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_read_as_people_say_them(seconds, told):
    assert told_duration(seconds) == told


@given(st.lists(st.tuples(st.floats(0.01, 60), st.integers(0, 30)), max_size=30))
def test_pace_and_time_left_are_never_negative(steps):
    pace, at, done = Pace(), 1.0, 0
    for seconds, more in steps:
        at, done = at + seconds, min(100, done + more)
        pace.note(at, a_job((done, 0, 100)))

    assert pace.rows_per_second >= 0
    assert pace.seconds_left is None or pace.seconds_left >= 0
