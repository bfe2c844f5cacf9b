"""When failures end a job early (R6)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.scheduler.early_shutdown import EarlyShutdown
from tests.actors.scheduler.control_builders import a_generator, a_job_plan
from tests.actors.scheduler.scheduler_world import World, failure, retryable


def test_r6_more_than_the_share_of_the_window_ends_the_job():
    watch = EarlyShutdown(rate=0.5, window=4)
    assert watch.failed(6) == ""
    assert watch.failed(7) == "", "half is not more than half"
    assert "3 of the last 4 tasks" in watch.failed(8)


def test_r6_failures_leave_the_window_again():
    watch = EarlyShutdown(rate=0.25, window=4)
    assert watch.failed(10) == ""
    assert watch.failed(14) == ""
    assert watch.failed(16) != ""


def test_r6_nothing_is_judged_by_less_than_a_window():
    watch = EarlyShutdown(rate=0.0, window=5)
    assert [watch.failed(finished) != "" for finished in (1, 2, 3, 4, 5)] == [False] * 4 + [True]


def test_r6_it_can_be_switched_off():
    assert not any(EarlyShutdown(rate=None, window=1).failed(finished) for finished in range(1, 100))
    never = EarlyShutdown(rate=1.0, window=5)
    assert not any(never.failed(finished) for finished in range(1, 100))


@given(
    ends=st.lists(st.booleans(), max_size=60),
    rate=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    window=st.integers(1, 10),
)
def test_r6_it_agrees_with_counting_the_window(ends, rate, window):
    watch = EarlyShutdown(rate=rate, window=window)
    for finished, is_failure in enumerate(ends, 1):
        if is_failure:
            share = sum(ends[max(0, finished - window) : finished]) / window
            assert bool(watch.failed(finished)) == (finished >= window and share > rate)


# -- the job that ends -----------------------------------------------------------------------------


def a_world(**plan):
    settings = {
        "rows": 6,
        "row_group_size": 2,
        "early_shutdown_rate": 0.5,
        "early_shutdown_window": 2,
        **plan,
    }
    return World(lambda run_id: a_job_plan(a_generator("x"), run_id=run_id, **settings))


def test_r6_an_early_shutdown_lets_running_work_end_and_admits_nothing_more():
    world = a_world(concurrency=2)
    world.submit()
    world.finish("x", 0)
    world.finish("x", 1)
    assert set(world.stored) == {0}
    world.finish("x", 2, failure(message="first"))
    world.finish("x", 3, failure(message="second"))
    assert world.phase == "stopping"
    assert world.kinds_sent_to("worker").count("CancelTasks") == 0
    assert world.tasks() == [("x", 4), ("x", 5)]
    world.at(1_000.0)
    assert world.phase == "stopping", "however long it takes"
    world.finish("x", 4)
    world.finish("x", 5)
    result = world.result
    assert result.status == "early_shutdown"
    assert "2 of the last 2 tasks failed for good" in result.first_error
    assert "column x: first" in result.first_error
    assert result.rows_requested == result.rows_written + result.rows_dropped + result.rows_pending
    assert world.leases_out() == 0


def test_r6_r11_a_cancel_ends_what_an_early_shutdown_leaves_running():
    world = a_world(concurrency=3)
    world.submit()
    world.finish("x", 0, failure())
    world.finish("x", 1, failure())
    world.cancel()
    assert world.kinds_sent_to("worker").count("CancelTasks") == 1
    assert world.result.status == "early_shutdown"
    assert world.leases_out() == 0


def test_r6_failures_that_may_pass_do_not_count():
    world = a_world(early_shutdown_rate=0.0, max_retries=0)
    world.submit()
    while world.running:
        column, row = world.tasks()[0]
        world.finish(column, row, retryable())
    assert world.result.status == "partial"
    assert world.result.rows_dropped == 6
