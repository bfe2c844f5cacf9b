"""What is expected of a group's next task, and what its running ones are charged (Q1)."""

from __future__ import annotations

from itertools import count

import pytest

from actors.scheduler.service_times import LEAST_SECONDS, MOST_IN_A_ROW, RECENT, ServiceTimes
from messages.task_admission import ReleaseResult, TaskLease, TaskLeaseRelease
from messages.tasks import TaskOutcome
from tests.actors.scheduler.control_builders import SUCCESS, a_correlation, a_group, a_request

A, B = a_group("a"), a_group("b", weight=4)
numbers = count(1)


def a_lease(group=A, *, at=0.0):
    number = next(numbers)
    return TaskLease(number, 1, number, group, a_request(), at, a_correlation(execution=number))


def back(lease, outcome=SUCCESS, *, released=True):
    return TaskLeaseRelease(lease, outcome, ReleaseResult(released, "released" if released else "duplicate"))


def run(times, group, *seconds, at=0.0, outcome=SUCCESS):
    """Let tasks of a group take so many seconds, one after another; return what each changed."""
    changes = []
    for each in seconds:
        times.of(group)
        lease = a_lease(group, at=at)
        times.began([lease])
        changes += times.ended([back(lease, outcome)], at + each)
    return changes


def test_q1_a_group_without_a_past_is_charged_as_it_goes():
    times = ServiceTimes()
    assert times.of(A).cost == LEAST_SECONDS
    assert times.expected("nobody") == LEAST_SECONDS


def test_q1_a_groups_next_task_is_taken_to_be_like_its_latest():
    times = ServiceTimes()
    run(times, A, 1.0, 3.0)
    assert times.expected("a") == pytest.approx(2.0)
    run(times, A, *[10.0] * 5 * RECENT)
    assert times.expected("a") == pytest.approx(10.0, rel=0.01)
    assert times.expected("b") == LEAST_SECONDS, "of each group from its own past"


def test_q1_what_a_lease_was_really_held_for_counts_and_nothing_else():
    times = ServiceTimes()
    ((spec, change),) = run(times, A, 2.0)
    assert (spec, change) == (A, pytest.approx(2.0 - LEAST_SECONDS))
    ((_, change),) = run(times, A, 0.5)
    assert change == pytest.approx(0.5 - 2.0), "less than it had been charged"


def test_q1_work_that_takes_no_time_is_charged_a_little():
    times = ServiceTimes()
    run(times, A, *[0.0] * 50)
    assert times.of(A).cost == LEAST_SECONDS


def test_q1_changes_of_one_message_come_as_one_for_each_group():
    times = ServiceTimes()
    times.of(A)
    times.of(B)
    leases = [a_lease(A), a_lease(A), a_lease(B)]
    times.began(leases)
    assert {spec.name: change for spec, change in times.ended(map(back, leases), 1.0)} == {
        "a": pytest.approx(2 * (1.0 - LEAST_SECONDS)),
        "b": pytest.approx(1.0 - LEAST_SECONDS),
    }


def test_q1_a_task_that_runs_long_is_charged_on_and_looked_at_ever_more_rarely():
    times = ServiceTimes()
    run(times, A, 1.0)
    times.of(A)
    times.began([a_lease(at=10.0)])
    assert times.overdue(10.5) == []
    charged, looks = 1.0, 0
    for tenth in range(110, 2000):
        for spec, change in times.overdue(tenth / 10):
            assert spec == A
            charged += change
            looks += 1
        assert charged * 2 >= tenth / 10 - 10 - 0.11
    assert looks <= 9


def test_q1_a_task_that_was_charged_on_pays_the_rest_when_it_ends():
    times = ServiceTimes()
    times.of(A)
    lease = a_lease()
    times.began([lease])
    ((_, on_the_way),) = times.overdue(5.0)
    ((_, at_the_end),) = times.ended([back(lease)], 7.0)
    assert LEAST_SECONDS + on_the_way + at_the_end == pytest.approx(7.0)
    assert times.overdue(1000.0) == []


@pytest.mark.parametrize("kind", ["cancelled", "shutdown", "worker_lost", "worker_spawn_failed"])
def test_q1_a_task_that_was_cut_short_is_paid_for_and_says_nothing_of_the_next(kind):
    times = ServiceTimes()
    run(times, A, 1.0)
    ((_, change),) = run(times, A, 0.25, outcome=TaskOutcome(kind))
    assert change == pytest.approx(0.25 - 1.0)
    assert times.expected("a") == 1.0


def test_t6_a_lease_that_nothing_was_started_under_costs_nothing():
    times = ServiceTimes()
    times.of(A)
    assert times.ended([back(a_lease(), TaskOutcome("stale_discard"))], 3.0) == []


def test_t2_a_second_return_is_not_paid_for():
    times = ServiceTimes()
    times.of(A)
    lease = a_lease()
    times.began([lease])
    assert times.ended([back(lease, released=False)], 1.0) == []
    assert len(times.ended([back(lease)], 2.0)) == 1
    assert times.ended([back(lease)], 3.0) == []


def test_q1_a_group_of_short_tasks_keeps_its_turn_beside_long_ones_for_a_while():
    times = ServiceTimes()
    run(times, A, 1.0)
    assert times.of(A).stay == 0.0, "alone"
    run(times, B, 4.0)
    times.of(B)
    assert (times.of(A).stay, times.of(B).stay) == (3.0, 0.0), "until it has had as much as one of the others"
    run(times, B, *[1000.0] * 5 * RECENT)
    times.of(B)
    assert times.of(A).stay == MOST_IN_A_ROW - 1, "however long those are"


def test_q1_tasks_of_about_the_same_length_take_turns():
    times = ServiceTimes()
    run(times, A, 1.0)
    run(times, B, 1.9)
    assert times.of(A).stay == times.of(B).stay == 0.0


def test_q1_the_longest_tasks_are_forgotten_when_they_are_long_no_more():
    times = ServiceTimes()
    run(times, A, 1.0)
    run(times, B, 100.0)
    times.of(B)
    run(times, B, *[1.0] * 10 * RECENT)
    times.of(B)
    assert times.of(A).stay == 0.0


def test_q1_everybody_hears_of_it_when_the_longest_tasks_have_become_others():
    times = ServiceTimes()
    run(times, A, 1.0)
    times.of(A)
    assert list(times.take_news()) == ["a"]
    run(times, B, 4.0)
    times.of(B)
    assert set(times.take_news()) == {"a", "b"}
    assert list(times.take_news()) == []


def test_q1_a_group_may_stand_back_by_as_many_tasks_as_it_has_had_out():
    times = ServiceTimes()
    run(times, A, 2.0)
    assert times.of(A).behind == 4.0
    times.began([a_lease() for _ in range(5)])
    assert times.of(A).behind == 12.0


def test_q1_only_news_is_told():
    times = ServiceTimes()
    run(times, A, 1.0)
    assert list(times.take_news()) == ["a"]
    times.of(A)
    times.take_news()
    run(times, A, 1.05)
    assert list(times.take_news()) == []
    run(times, A, 9.0)
    assert list(times.take_news()) == ["a"]


def test_q6_memory_is_that_of_the_groups_and_of_what_runs():
    times = ServiceTimes()
    for number in range(3000):
        run(times, A, 1.0 + number % 7, at=number)
        times.overdue(number)
    assert len(times._running) == 0
    assert len(times._looks) < 20
    assert len(times._longest) < 100
