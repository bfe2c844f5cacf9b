"""A job's time begins with its first task, and is not begun again."""

from __future__ import annotations

from actors.worker.job_clock import JobClock


def test_a_jobs_time_stands_still_until_it_starts_and_starts_once():
    moments = iter((10.0, 12.5, 14.0))
    clock = JobClock(lambda: next(moments))
    assert clock.elapsed() == 0.0
    clock.start()
    assert clock.elapsed() == 2.5
    clock.start()
    assert clock.elapsed() == 4.0
