"""Heavy roots on virtual time: the workloads, the figures, and what each policy makes of them (Q1, T5)."""

from __future__ import annotations

import pytest

from bench.results import BenchError
from bench.scenarios import named
from bench.schedules.course import Course, Execution
from bench.schedules.playing import play, play_in_trouble
from bench.schedules.workload import CAPACITY, TimedColumn, Workload, heavy_root, neutral, true_roots


def an_execution(column, row, ready, leased, ended):
    execution = Execution(column, (0, row), ready)
    execution.leased_at, execution.ended_at = leased, ended
    return execution


def a_course(*executions, capacity=1, measured=("x",)):
    return Course([an_execution(*each) for each in executions], capacity, frozenset(measured))


def test_a_course_knows_waits_wall_and_how_much_of_the_capacity_was_used():
    course = a_course(("x", 0, 0, 0, 2), ("x", 1, 1, 2, 3), ("x", 2, 0, 3, 4), capacity=2)
    assert course.wall == 4
    assert [execution.wait for execution in course.of({"x"})] == [0, 1, 3]
    assert course.p95_wait({"x"}) == 3
    assert course.active_capacity == 0.5


def test_a_gap_is_the_longest_time_with_ready_work_and_free_capacity():
    assert a_course(("x", 0, 0, 0, 2), ("x", 1, 0, 2, 3)).ready_idle_gap == 0, "the slot was taken"
    assert a_course(("x", 0, 0, 0, 2), ("x", 1, 0, 2.5, 3)).ready_idle_gap == 0.5
    assert a_course(("x", 0, 0, 0, 2), ("x", 1, 2.5, 2.5, 3)).ready_idle_gap == 0, "nothing was ready"


def test_a_column_that_takes_nothing_of_the_capacity_is_not_measured():
    assert a_course(("gate", 0, 0, 1, 9), ("x", 0, 0, 0, 9)).ready_idle_gap == 0


def test_over_admission_counts_roots_beyond_their_share_while_downstream_work_waits():
    roots = [("root", row, 0, row, 10) for row in range(4)]
    course = a_course(*roots, ("down", 0, 1.5, 10, 11), capacity=4, measured=("root", "down"))
    assert course.over_admission({"root"}, {"down"}, 2) == 2
    assert course.over_admission({"root"}, {"down"}, 4) == 0
    nobody_waits = a_course(*roots, capacity=4, measured=("root",))
    assert nobody_waits.over_admission({"root"}, {"down"}, 2) == 0


def test_a_row_is_complete_when_the_last_task_about_it_has_ended():
    course = a_course(("x", 0, 0, 0, 2), ("y", 0, 2, 2, 5), ("x", 1, 0, 0, 1), ("whole", -1, 0, 0, 3))
    assert course.row_ends() == [3, 5]
    assert course.p95_row() == 5


def test_q1_heavy_roots_leave_their_peers_a_fifth_of_the_time_and_the_machine_full():
    workload = heavy_root()
    course = play(workload, "service_time_fair")
    assert workload.lease_seconds / CAPACITY == pytest.approx(33.6)
    assert course.wall <= 33.6 * 1.005
    assert course.p95_wait(workload.columns_of("peer")) <= 8.5
    assert (course.ready_idle_gap, course.left, course.evidence.hidden_waiters) == (0, 0, 0)
    assert len(course.of({"hot_a", "hot_b"})) == 512
    assert len(course.of({"peer"})) == 256


def test_t11_t12_by_turns_the_same_peers_wait_for_longer():
    workload = heavy_root()
    waits = {
        policy: play(workload, policy).p95_wait(workload.columns_of("peer"))
        for policy in ("strict_fair", "bounded_borrow")
    }
    assert waits == {"strict_fair": pytest.approx(33.45), "bounded_borrow": pytest.approx(12.55)}


def test_q1_equal_work_of_equal_weight_is_done_as_under_strict_fair():
    workload = neutral()
    fair, strict = play(workload, "service_time_fair"), play(workload, "strict_fair")
    assert fair.wall == strict.wall == pytest.approx(6.4)
    for column in ("one", "two"):
        assert fair.p95_wait({column}) <= 1.05 * strict.p95_wait({column})


def test_q1_a_fast_column_that_true_roots_feed_keeps_up_with_them():
    workload = true_roots()
    course = play(workload, "service_time_fair")
    assert course.wall <= workload.lease_seconds / CAPACITY * 1.005
    assert course.p95_wait({"downstream"}) <= 0.05
    assert course.over_admission({"root"}, {"downstream"}, 7) == 0


@pytest.mark.parametrize("policy", ["service_time_fair", "bounded_borrow", "strict_fair"])
def test_t5_nobody_waits_hidden_whatever_goes_wrong(policy):
    """T5, T2: failures, a cancel, a worker that dies; the log is verified and every lease is back."""
    for course in play_in_trouble(heavy_root(0.1), policy):
        assert (course.left, course.evidence.hidden_waiters) == (0, 0)
        assert course.evidence.log_lines > 100


def test_r12_a_run_on_virtual_time_is_the_same_every_time_whoever_goes_first():
    def course(seed):
        played = play(heavy_root(0.2), "service_time_fair", seed)
        return [(one.column, one.place, one.leased_at, one.ended_at) for one in played.executions]

    assert course(1) == course(1)
    assert sorted(course(1)) == sorted(course(2)) == sorted(course(3))


def test_a_workload_that_cannot_be_done_is_no_measurement():
    stuck = Workload("stuck", (TimedColumn("a", "a", 1, 0.1, ("missing",)),), 2, 2)
    with pytest.raises(BenchError):
        play(stuck, "strict_fair")


def test_the_scenario_meets_its_bars_where_no_peer_is_installed():
    scenario = named("P10")
    runs = {side.name: side.run(1024) for side in scenario.sides if not side.requires}
    for figure in scenario.figures:
        if figure.bar is not None:
            assert figure.of(runs) <= figure.bar.value, figure.label


def test_the_peer_decides_as_our_policies_do_that_were_its_own():
    pytest.importorskip("data_designer.engine")
    from bench.peers import data_designer_scheduling as peer

    for workload in (heavy_root(0.2), true_roots(0.1), neutral(0.2)):
        for policy in ("strict_fair", "bounded_borrow"):
            ours, theirs = play(workload, policy), peer.play(workload, policy)
            assert (theirs.wall, theirs.left) == (ours.wall, 0)
