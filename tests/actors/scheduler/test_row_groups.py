"""Row groups in flight and the values of their rows (R2, R10, R13)."""

from __future__ import annotations

import pytest

from actors.scheduler.row_groups import RowGroup, RowGroups
from messages.scheduler import DroppedRow
from messages.storage import RowGroupLoaded, RowGroupStored, StoreRowGroup
from messages.tasks import Task
from tests.actors.scheduler.control_builders import RUN, a_generator, a_job_plan


def groups_of(**plan):
    return RowGroups(a_job_plan(a_generator("a"), **plan))


def admit_all(groups):
    admitted = []
    while (group := groups.admit_next()) is not None:
        admitted.append((group.index, group.first_row, group.rows))
    return admitted


def test_r2_rows_are_partitioned_in_order_and_the_last_row_group_may_be_short():
    assert admit_all(groups_of(rows=7, row_group_size=3, concurrency=9)) == [(0, 0, 3), (1, 3, 3), (2, 6, 1)]


def test_r2_no_more_than_the_concurrency_are_in_flight_until_storage_has_acknowledged():
    groups = groups_of(rows=8, row_group_size=2, concurrency=2)
    assert admit_all(groups) == [(0, 0, 2), (1, 2, 2)]
    groups.store(1, [0, 1])
    assert (admit_all(groups), groups.in_flight, groups.storing) == ([], 2, True)
    groups.acknowledge(RowGroupStored(RUN, 1, 2))
    assert admit_all(groups) == [(2, 4, 2)]


def test_r2_a_row_group_that_loads_its_source_is_in_flight_and_not_active():
    groups = groups_of(rows=4, source_fields=("s",), concurrency=1)
    assert admit_all(groups) == [(0, 0, 2)]
    assert (groups.in_flight, dict(groups.active)) == (1, {})
    group = groups.loaded(RowGroupLoaded(RUN, 0, {"s": ["x", "y"]}))
    assert groups.active == {0: group}
    assert group.columns == {"a": [None, None], "s": ["x", "y"]}


def test_r10_only_what_is_acknowledged_counts_and_then_nothing_is_kept():
    groups = groups_of(rows=2)
    group = groups.admit_next()
    group.dropped.append(DroppedRow(0, "a", 2, "boom", "it broke"))
    groups.store(0, [1])
    assert (groups.stored, groups.rows_written, groups.finished) == (0, 0, False)
    assert groups.drop_reasons.total() == 0
    groups.acknowledge(RowGroupStored(RUN, 0, 1))
    assert (groups.stored, groups.rows_written, groups.finished) == (1, 1, True)
    assert groups.drop_reasons == {"boom": 1}
    assert groups.in_flight == 0


def test_r13_a_row_group_that_could_not_be_stored_is_not_counted():
    groups = groups_of(rows=4, concurrency=2)
    admit_all(groups)
    groups.store(0, [0, 1])
    groups.store_failed(0)
    groups.store_failed(7)
    assert (groups.rows_written, groups.storing, groups.in_flight) == (0, False, 1)


def test_r13_what_is_stored_are_the_surviving_rows_in_order_and_every_dropped_one():
    groups = groups_of(rows=3, row_group_size=3, source_fields=("s",))
    groups.admit_next()
    group = groups.loaded(RowGroupLoaded(RUN, 0, {"s": ["x", "y", "z"]}))
    group.columns["a"][:] = [1, 2, 3]
    dropped = DroppedRow(1, "a", 1, "boom", "it broke")
    group.dropped.append(dropped)
    assert groups.store(0, [0, 2]) == StoreRowGroup(
        RUN, 0, {"s": ["x", "z"], "a": [1, 3]}, 2, (dropped,), reply_to="scheduler"
    )


def test_a_job_without_rows_is_finished():
    groups = groups_of(rows=0)
    assert groups.finished
    assert admit_all(groups) == []


# -- values --------------------------------------------------------------------------------------------


@pytest.fixture
def group():
    return RowGroup(1, 10, 3, ("a", "b"))


def test_a_cell_goes_to_its_row(group):
    group.write(a_generator("a"), Task("a", 1, 11, "cell"), "x", None)
    group.write(a_generator("b"), Task("b", 1, 12, "cell"), "y", None)
    assert group.columns == {"a": [None, "x", None], "b": [None, None, "y"]}


def test_r7_several_outputs_are_all_filled(group):
    both = a_generator("both", outputs=("a", "b"))
    group.write(both, Task("both", 1, 10, "cell"), [1, 2], None)
    whole = a_generator("whole", task_type="batch", outputs=("a", "b"))
    group.write(whole, Task("whole", 1, None, "batch"), [[3, 4], [5, 6]], [1, 2])
    assert group.columns == {"a": [1, 3, 4], "b": [2, 5, 6]}


def test_a_batch_value_belongs_to_the_rows_it_was_about(group):
    generator, task = a_generator("a", task_type="batch"), Task("a", 1, None, "batch")
    group.write(generator, task, [1, 2, 3], None)
    group.write(generator, task, [7, 9], [0, 2])
    assert group.columns["a"] == [7, 2, 9]


def test_a_batch_of_the_wrong_length_is_refused_and_never_shifts_rows(group):
    generator, task = a_generator("a", task_type="batch"), Task("a", 1, None, "batch")
    with pytest.raises(ValueError, match="zip"):
        group.write(generator, task, [7], [0, 2])


def test_inputs_are_of_the_row_or_of_the_surviving_rows_and_are_copies(group):
    group.fill({"a": [1, 2, 3], "b": [4, 5, 6]})
    generator = a_generator("c", needs=("a", "b"))
    assert group.inputs(generator, Task("c", 1, 11, "cell"), None) == {"a": 2, "b": 5}
    whole = group.inputs(generator, Task("c", 1, None, "batch"), None)
    assert whole == {"a": [1, 2, 3], "b": [4, 5, 6]}
    whole["a"].clear()
    assert group.columns["a"] == [1, 2, 3]
    assert group.inputs(generator, Task("c", 1, None, "batch"), [0, 2])["b"] == [4, 6]
