"""Summaries and verdicts: what may be said of a sample, and what may not."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.results import Bar
from bench.statistics import judge, summarize

AT_MOST = Bar("at most", 2.0)
AT_LEAST = Bar("at least", 2.0)

samples = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=40)


def test_five_values_are_bounded_by_their_extremes():
    # 1 - 2/2**5 = 94 %: the narrowest pair of five values that still reaches 90 %
    summary = summarize([3.0, 1.0, 5.0, 2.0, 4.0])
    assert (summary.low, summary.median, summary.high) == (1.0, 3.0, 5.0)
    assert (summary.minimum, summary.maximum, summary.mean, summary.p95) == (1.0, 5.0, 3.0, 4.8)


def test_more_values_leave_outliers_out_of_the_interval():
    summary = summarize([1.0, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 90.0])
    assert summary.high < summary.maximum == 90.0
    assert summary.low > summary.minimum


def test_four_values_bound_nothing():
    summary = summarize([1.0, 1.0, 1.0, 1.0])
    assert (summary.low, summary.high) == (None, None)
    assert judge(summary, AT_MOST) == "inconclusive"


def test_nothing_has_no_summary():
    with pytest.raises(ValueError, match="nothing"):
        summarize([])


@pytest.mark.parametrize(
    ("values", "bar", "verdict"),
    [
        ([1.0, 1.1, 1.2, 1.3, 1.9], AT_MOST, "met"),
        ([1.0, 1.1, 1.2, 1.3, 2.1], AT_MOST, "inconclusive"),
        ([2.1, 2.2, 2.3, 2.4, 2.5], AT_MOST, "missed"),
        ([2.1, 2.2, 2.3, 2.4, 2.5], AT_LEAST, "met"),
        ([1.9, 2.2, 2.3, 2.4, 2.5], AT_LEAST, "inconclusive"),
        ([1.0, 1.1, 1.2, 1.3, 1.9], AT_LEAST, "missed"),
        ([1.0, 1.1, 1.2, 1.3, 1.9], None, "measured"),
    ],
)
def test_a_bar_inside_the_noise_is_neither_met_nor_missed(values, bar, verdict):
    assert judge(summarize(values), bar) == verdict


@given(samples)
def test_a_summary_is_ordered_and_its_median_the_median(values):
    summary = summarize(values)
    assert summary.minimum <= summary.p50 <= summary.p95 <= summary.maximum
    assert (summary.low is None) == (summary.high is None) == (len(values) < 5)
    assert summary.low is None or summary.low <= summary.median <= summary.high
    assert summary.median == statistics.median(values)


@given(samples.filter(lambda values: len(values) >= 5))
def test_the_interval_consists_of_measured_values(values):
    summary = summarize(values)
    assert {summary.low, summary.high} <= set(values)


@given(samples, st.floats(0.001, 1e6))
def test_no_sample_is_on_both_sides_of_a_bar(values, place):
    summary = summarize(values)
    verdicts = {judge(summary, Bar("at most", place)), judge(summary, Bar("at least", place))}
    assert verdicts in ({"met", "missed"}, {"inconclusive"})
