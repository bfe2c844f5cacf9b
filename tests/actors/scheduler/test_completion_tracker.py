"""Readiness: what is ready, given once, dropped and finished (R1, R3, R7)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.scheduler.completion import CompletionTracker
from messages.tasks import Task
from tests.actors.scheduler.control_builders import a_generator, a_job_plan


@pytest.fixture
def tracker_of():
    made = []

    def make(*generators, **plan):
        tracker = CompletionTracker(a_job_plan(*generators, **plan))
        made.append(tracker)
        return tracker

    yield make
    for tracker in made:
        tracker.check()


def cell(column, row, row_group=0):
    return Task(column, row_group, row, "cell")


def batch(column, row_group=0):
    return Task(column, row_group, None, "batch")


def take(tracker):
    """Take the whole frontier, as (column, row), and acknowledge it."""
    ready = tracker.ready_frontier()
    tracker.mark_enqueued(ready)
    return sorted((task.column, task.row_index) for task in ready.values())


# -- R1 ------------------------------------------------------------------------------------------------


def test_r1_roots_are_ready_when_their_row_group_is_admitted(tracker_of):
    tracker = tracker_of(a_generator("a"), a_generator("b", upstream=("a",)))
    assert take(tracker) == []
    tracker.admit(0, 0, 2)
    assert take(tracker) == [("a", 0), ("a", 1)]
    tracker.admit(1, 2, 2)
    assert take(tracker) == [("a", 2), ("a", 3)]


def test_r1_a_cell_waits_for_all_upstream_cells_of_its_own_row(tracker_of):
    tracker = tracker_of(a_generator("a"), a_generator("b"), a_generator("c", upstream=("a", "b")))
    tracker.admit(0, 0, 2)
    take(tracker)
    assert tracker.mark_complete(cell("a", 0))
    assert tracker.mark_complete(cell("b", 1))
    assert take(tracker) == []
    tracker.mark_complete(cell("b", 0))
    assert take(tracker) == [("c", 0)]


def test_r1_a_batch_waits_for_every_row_and_a_cell_for_its_batch(tracker_of):
    tracker = tracker_of(
        a_generator("a"),
        a_generator("all", task_type="batch", upstream=("a",)),
        a_generator("z", upstream=("all",)),
    )
    tracker.admit(0, 0, 2)
    take(tracker)
    tracker.mark_complete(cell("a", 0))
    assert take(tracker) == []
    tracker.mark_complete(cell("a", 1))
    ((task_id, task),) = tracker.ready_frontier().items()
    assert (task.column, task.row_index, task_id) == ("all", None, tracker.task_id(task))
    take(tracker)
    tracker.mark_complete(task)
    assert take(tracker) == [("z", 0), ("z", 1)]


def test_r1_the_frontier_is_given_until_it_is_acknowledged_and_not_after(tracker_of):
    tracker = tracker_of(a_generator("a"))
    tracker.admit(0, 0, 2)
    ready = tracker.ready_frontier()
    assert tracker.ready_frontier() == ready
    tracker.mark_enqueued([next(iter(ready))])
    assert len(tracker.ready_frontier()) == 1
    tracker.mark_enqueued(ready)
    assert tracker.ready_frontier() == {}


def test_r1_completing_twice_changes_nothing(tracker_of):
    tracker = tracker_of(a_generator("a"), a_generator("b", upstream=("a",)))
    tracker.admit(0, 0, 2)
    take(tracker)
    assert tracker.mark_complete(cell("a", 0))
    assert not tracker.mark_complete(cell("a", 0))
    assert take(tracker) == [("b", 0)]
    assert not tracker.mark_complete(cell("a", 9, row_group=4)), "a row group that is not in flight"


def test_r1_ids_are_stable_and_never_shared(tracker_of):
    generators = (a_generator("a"), a_generator("all", task_type="batch"), a_generator("z"))
    tracker, again = tracker_of(*generators), tracker_of(*generators)
    tasks = [cell(name, row, row // 2) for name in ("a", "z") for row in range(6)]
    tasks += [batch("all", group) for group in range(3)]
    ids = [tracker.task_id(task) for task in tasks]
    assert len(set(ids)) == len(tasks)
    assert ids == [again.task_id(task) for task in tasks]


def test_r1_a_row_group_without_generators_is_finished_at_once(tracker_of):
    tracker = tracker_of()
    tracker.admit(0, 0, 2)
    assert tracker.is_finished(0)
    assert tracker.surviving(0) == [0, 1]


# -- R3 ------------------------------------------------------------------------------------------------


def test_r3_a_dropped_row_takes_its_open_tasks_with_it_and_no_others(tracker_of):
    tracker = tracker_of(a_generator("a"), a_generator("b", upstream=("a",)))
    tracker.admit(0, 0, 2)
    tracker.mark_enqueued([tracker.task_id(cell("a", 1))])
    tracker.mark_complete(cell("a", 1))
    unwanted = tracker.drop_rows(0, [0])
    assert sorted(unwanted) == sorted(tracker.task_id(cell(name, 0)) for name in "ab")
    assert take(tracker) == [("b", 1)]
    assert tracker.surviving(0) == [1]
    tracker.mark_complete(cell("b", 1))
    assert tracker.is_finished(0)


def test_r3_a_dropped_row_unblocks_the_batch_that_waited_for_it(tracker_of):
    tracker = tracker_of(a_generator("a"), a_generator("all", task_type="batch", upstream=("a",)))
    tracker.admit(0, 0, 3)
    take(tracker)
    tracker.mark_complete(cell("a", 0))
    tracker.mark_complete(cell("a", 2))
    tracker.drop_rows(0, [1])
    assert take(tracker) == [("all", None)]


def test_r3_a_row_dropped_after_its_part_was_done_is_not_counted_twice(tracker_of):
    tracker = tracker_of(
        a_generator("a"), a_generator("b"), a_generator("all", task_type="batch", upstream=("a",))
    )
    tracker.admit(0, 0, 2)
    take(tracker)
    tracker.mark_complete(cell("a", 0))
    tracker.drop_rows(0, [0])
    tracker.drop_rows(0, [0])
    assert take(tracker) == []
    tracker.mark_complete(cell("a", 1))
    assert take(tracker) == [("all", None)]


def test_r3_when_no_row_survives_the_row_group_is_finished_and_its_batches_are_off(tracker_of):
    tracker = tracker_of(
        a_generator("a"),
        a_generator("all", task_type="batch", upstream=("a",)),
        a_generator("more", task_type="batch", upstream=("all",)),
    )
    tracker.admit(0, 0, 2)
    take(tracker)
    unwanted = tracker.drop_rows(0, [0, 1])
    wanted_no_more = [cell("a", 0), cell("a", 1), batch("all"), batch("more")]
    assert sorted(unwanted) == sorted(map(tracker.task_id, wanted_no_more))
    assert take(tracker) == []
    assert tracker.is_finished(0)
    assert not tracker.mark_complete(batch("all"))


def test_r3_a_late_success_of_a_dropped_row_is_refused(tracker_of):
    tracker = tracker_of(a_generator("a"), a_generator("b", upstream=("a",)))
    tracker.admit(0, 0, 2)
    take(tracker)
    tracker.drop_rows(0, [0])
    assert not tracker.mark_complete(cell("a", 0))
    assert take(tracker) == []


# -- trying again --------------------------------------------------------------------------------------


def test_r4_a_reopened_task_is_ready_again_once(tracker_of):
    tracker = tracker_of(a_generator("a"))
    tracker.admit(0, 0, 2)
    take(tracker)
    tracker.reopen(cell("a", 1))
    tracker.reopen(cell("a", 1))
    assert take(tracker) == [("a", 1)]


def test_r4_what_is_done_dropped_or_forgotten_is_not_reopened(tracker_of):
    tracker = tracker_of(a_generator("a"))
    tracker.admit(0, 0, 2)
    take(tracker)
    tracker.mark_complete(cell("a", 0))
    tracker.drop_rows(0, [1])
    tracker.reopen(cell("a", 0))
    tracker.reopen(cell("a", 1))
    tracker.forget(0)
    tracker.reopen(cell("a", 1))
    assert take(tracker) == []


# -- R7 ------------------------------------------------------------------------------------------------


def test_r7_an_order_dependent_generator_sees_one_row_group_at_a_time_in_order(tracker_of):
    tracker = tracker_of(a_generator("a"), a_generator("o", upstream=("a",), order_dependent=True))
    for group in range(3):
        tracker.admit(group, 2 * group, 2)
    take(tracker)
    for row in (4, 5, 2, 3, 0):
        tracker.mark_complete(cell("a", row, row // 2))
    assert take(tracker) == [("o", 0)], "row group 0 first, however late"
    tracker.mark_complete(cell("o", 0))
    tracker.mark_complete(cell("a", 1))
    assert take(tracker) == [("o", 1)]
    tracker.mark_complete(cell("o", 1))
    assert take(tracker) == [("o", 2), ("o", 3)]
    tracker.mark_complete(cell("o", 2, 1))
    assert take(tracker) == []
    tracker.mark_complete(cell("o", 3, 1))
    assert take(tracker) == [("o", 4), ("o", 5)]


def test_r7_drops_hand_the_turn_on_and_dropped_rows_do_not_wait_for_it(tracker_of):
    tracker = tracker_of(a_generator("o", order_dependent=True))
    tracker.admit(0, 0, 2)
    tracker.admit(1, 2, 2)
    tracker.admit(2, 4, 2)
    assert take(tracker) == [("o", 0), ("o", 1)]
    tracker.drop_rows(1, [0])
    tracker.drop_rows(2, [0, 1])
    tracker.mark_complete(cell("o", 0))
    tracker.drop_rows(0, [1])
    assert take(tracker) == [("o", 3)]


def test_r7_an_order_dependent_batch_keeps_its_turn_while_it_is_tried_again(tracker_of):
    tracker = tracker_of(a_generator("o", task_type="batch", order_dependent=True))
    tracker.admit(0, 0, 2)
    tracker.admit(1, 2, 2)
    assert take(tracker) == [("o", None)]
    tracker.reopen(batch("o"))
    assert take(tracker) == [("o", None)]
    tracker.mark_complete(batch("o"))
    ((_, task),) = tracker.ready_frontier().items()
    assert task == batch("o", 1)


# -- any graph -----------------------------------------------------------------------------------------


class NaiveRowGroup:
    """The same questions answered by looking at everything each time."""

    def __init__(self, generators, index, first_row, rows):
        self.generators = generators
        self.index = index
        self.rows = range(first_row, first_row + rows)
        self.alive = set(self.rows)
        self.done = set()

    def tasks(self):
        for generator in self.generators:
            if generator.task_type == "cell":
                yield from ((generator, row) for row in self.rows if row in self.alive)
            elif self.alive:
                yield generator, None

    def is_ready(self, generator, row):
        for name in generator.upstream:
            upstream = next(found for found in self.generators if found.name == name)
            if upstream.task_type != "cell":
                needed = [None]
            else:
                needed = [row] if generator.task_type == "cell" else self.alive
            if any((name, at) not in self.done for at in needed):
                return False
        return True

    def ready(self):
        return {
            Task(generator.name, self.index, row, generator.task_type)
            for generator, row in self.tasks()
            if (generator.name, row) not in self.done and self.is_ready(generator, row)
        }


@st.composite
def graphs(draw):
    generators = []
    for number in range(draw(st.integers(1, 5))):
        names = [generator.name for generator in generators]
        upstream = tuple(sorted(draw(st.sets(st.sampled_from(names), max_size=3)))) if names else ()
        roots = ("from_scratch",) if not upstream else ()
        task_type = draw(st.sampled_from(("cell", "batch", *roots)))
        order = draw(st.integers(0, 4)) == 0
        generators.append(
            a_generator(f"g{number}", task_type=task_type, upstream=upstream, order_dependent=order)
        )
    return generators


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(1, 4), st.integers(1, 3), st.data())
def test_r1_r3_r7_any_graph_with_any_drops_is_worked_off_exactly_once(generators, rows, row_groups, data):
    plan = a_job_plan(*generators, rows=rows * row_groups, row_group_size=rows)
    tracker = CompletionTracker(plan)
    order_dependent = {generator.name for generator in generators if generator.order_dependent}
    models = [NaiveRowGroup(generators, index, index * rows, rows) for index in range(row_groups)]
    for model in models:
        tracker.admit(model.index, model.rows.start, rows)
    given_out = set()
    for _ in range(10 * rows * row_groups * len(generators) + 10):
        new = list(tracker.ready_frontier().values())
        assert not given_out.intersection(new), "handed out twice"
        given_out.update(new)
        tracker.mark_enqueued(map(tracker.task_id, new))
        tracker.check()
        ready = set().union(*(model.ready() for model in models))
        turn = {name: _turn_of(name, models) for name in order_dependent}
        ready = {task for task in ready if turn.get(task.column, task.row_group) == task.row_group}
        assert ready <= given_out, "forgotten"
        open_tasks = [task for task in given_out if task in ready]
        if not open_tasks:
            break
        task = data.draw(st.sampled_from(sorted(open_tasks, key=str)))
        model = models[task.row_group]
        if data.draw(st.integers(0, 3)) == 0:
            gone = [task.row_index] if task.row_index is not None else sorted(model.alive)
            tracker.drop_rows(task.row_group, [row - model.rows.start for row in gone])
            model.alive.difference_update(gone)
        else:
            assert tracker.mark_complete(task)
            assert not tracker.mark_complete(task)
            model.done.add((task.column, task.row_index))
    for model in models:
        assert tracker.is_finished(model.index)
        assert tracker.surviving(model.index) == sorted(row - model.rows.start for row in model.alive)


def _turn_of(name, models):
    """Return the first row group in which an order-dependent generator still has something to do."""
    for model in models:
        if any((name, row) not in model.done for generator, row in model.tasks() if generator.name == name):
            return model.index
    return len(models)
