"""From samples to summaries and verdicts, without assuming how the noise is distributed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from bench.artifact import Summary, Verdict
from bench.results import Bar

_CONFIDENCE = 0.9


def summarize(values: Sequence[float]) -> Summary:
    """Return the summary of a sample.

    Raises:
        ValueError: the sample is empty.
    """
    if not values:
        raise ValueError("there is no summary of nothing")
    ordered = sorted(values)
    low, high = _median_interval(ordered)
    median = statistics.median(ordered)
    return Summary(
        count=len(ordered),
        median=median,
        minimum=ordered[0],
        maximum=ordered[-1],
        mean=statistics.fmean(ordered),
        stdev=statistics.stdev(ordered) if len(ordered) > 1 else 0.0,
        p50=median,
        p95=percentile(ordered, 0.95),
        low=low,
        high=high,
    )


def judge(summary: Summary, bar: Bar | None) -> Verdict:
    """Return which side of the bar the true median lies on, or that the noise does not let one say."""
    if bar is None:
        return "measured"
    if summary.low is None or summary.high is None or summary.low <= bar.value <= summary.high:
        return "inconclusive"
    below = summary.high < bar.value
    return "met" if below == (bar.sense == "at most") else "missed"


def compare(summary: Summary) -> Verdict:
    """Return whether what was measured in pairs, as ratios, is lower or higher, or no different from noise.

    It is inconclusive where the interval of the median ratio encloses 1, or is too small a sample for one.
    """
    if summary.low is None or summary.high is None or summary.low <= 1.0 <= summary.high:
        return "inconclusive"
    return "lower" if summary.high < 1.0 else "higher"


def _median_interval(ordered: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Return the narrowest pair of order statistics that encloses the median with 90 %.

    The chance that the median of the population lies below the k-th smallest of n is that of fewer than
    k heads in n throws. Fewer than five values enclose it with no such certainty: no bounds then.
    """
    count = len(ordered)
    best: tuple[float, float] | tuple[None, None] = (None, None)
    for rank in range(count // 2):
        tail = sum(math.comb(count, heads) for heads in range(rank + 1)) / 2**count
        if 1 - 2 * tail < _CONFIDENCE:
            break
        best = (ordered[rank], ordered[-1 - rank])
    return best


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """Return what so large a part of the ordered values lies below, interpolated; there is at least one."""
    position = (len(ordered) - 1) * fraction
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
