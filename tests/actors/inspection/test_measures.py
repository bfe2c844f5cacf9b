"""Measures over time: bounded however long they are kept, and true about what they keep."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.inspection.measures import Moments, Series, Stretch

changes = st.lists(st.tuples(st.integers(0, 50_000_000), st.integers(-1000, 1000)), min_size=1, max_size=2000)


@given(changes)
def test_o6_a_series_is_bounded_and_keeps_its_extremes(changes):
    series = Series()
    moment = 0
    for step, value in changes:
        moment += step
        series.set(value, moment)

    curve = series.curve(0)

    assert len(curve) <= 240
    assert min(low for _, low, _, _ in curve) == min(value for _, value in changes)
    assert max(high for _, _, high, _ in curve) == max(value for _, value in changes)
    assert curve[-1][3] == changes[-1][1]
    assert [at for at, *_ in curve] == sorted({at for at, *_ in curve})


def test_o6_moments_are_all_counted_and_few_of_them_kept_over_the_whole_time():
    moments = Moments()
    for at in range(100_000):
        moments.add(at)

    assert moments.count == 100_000
    assert len(moments.kept) <= 240
    assert (moments.kept[0], moments.kept[-1] > 99_000) == (0, True)


def test_a_stretch_adds_up_the_time_in_which_it_held():
    stretch = Stretch()
    stretch.set(holds=True, at=1_000_000)
    stretch.set(holds=True, at=2_000_000)
    stretch.set(holds=False, at=3_000_000)
    stretch.set(holds=False, at=4_000_000)
    stretch.set(holds=True, at=5_000_000)

    assert stretch.seconds(5_500_000) == 2.5
    assert stretch.seconds(4_000_000) == 2.0  # nothing is taken back for an older look
