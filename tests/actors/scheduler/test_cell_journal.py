"""R14 in the scheduler: what is journaled, and what is taken over from the journal of an earlier run."""

from __future__ import annotations

from actors.scheduler.cell_journal import CellJournal
from actors.scheduler.completion import CompletionTracker
from actors.scheduler.row_groups import RowGroups
from messages.storage import Earlier, JournalCells, JournalRecord
from messages.tasks import Task, TaskOutcome
from tests.actors.scheduler.control_builders import RUN, a_generator, a_job_plan

PLAN = a_job_plan(
    a_generator("story"),
    a_generator("pair", outputs=("left", "right")),
    a_generator("rank", task_type="batch", upstream=("story",)),
    a_generator("moral", upstream=("rank",)),
    rows=6,
    row_group_size=3,
)


def a_task(column, row, row_group=0, task_type="cell"):
    return Task(column, row_group, row, task_type)


def paid(value="v", calls=1):
    return TaskOutcome("success", value, calls=calls)


def journaled(journal):
    return [record for outgoing in journal.take() for record in outgoing.message.records]


def restored(*records):
    """Admit the first row group with what an earlier run journaled; return tasks, group and tracker."""
    groups, tracker = RowGroups(PLAN), CompletionTracker(PLAN)
    group = groups.admit_next()
    tracker.admit(group.index, group.first_row, group.rows)
    tasks = CellJournal(PLAN, records, keeping=True).restore(group, tracker)
    tracker.check()
    return tasks, group, tracker


def test_r14_what_model_calls_were_made_for_is_journaled_and_nothing_else():
    journal = CellJournal(PLAN, (), keeping=True)
    journal.note(a_task("story", 1), paid("once upon"), whole=True)
    journal.note(a_task("story", 2), paid(calls=0), whole=True)
    (outgoing,) = journal.take()
    assert outgoing.to == "storage"
    record = JournalRecord("story", 0, 1, "once upon")
    assert outgoing.message == JournalCells(RUN, [record], reply_to="scheduler")
    assert journal.take() == []


def test_r14_a_row_groups_task_is_journaled_if_it_was_about_all_of_it():
    journal = CellJournal(PLAN, (), keeping=True)
    journal.note(a_task("rank", None, 0, "batch"), paid([1, 2, 3]), whole=True)
    journal.note(a_task("rank", None, 1, "batch"), paid([1, 2]), whole=False)
    journal.note(a_task("moral", 4, 1), paid(), whole=False)
    assert [(record.column, record.row_group) for record in journaled(journal)] == [("rank", 0), ("moral", 1)]


def test_r14_rows_in_memory_have_no_journal():
    journal = CellJournal(PLAN, (), keeping=False)
    journal.note(a_task("story", 1), paid(), whole=True)
    assert journal.take() == []


def test_r14_journaled_cells_are_complete_with_their_values_and_never_ready():
    tasks, group, tracker = restored(
        JournalRecord("story", 0, 1, "kept"),
        JournalRecord("pair", 0, 2, ["l", "r"]),
        JournalRecord("moral", 0, 0, "before its rank"),
    )
    assert len(tasks) == 3
    assert group.columns["story"] == [None, "kept", None]
    assert (group.columns["left"][2], group.columns["right"][2]) == ("l", "r")
    ready = {(task.column, task.row_index) for task in tracker.ready_frontier().values()}
    assert ready == {("story", 0), ("story", 2), ("pair", 0), ("pair", 1)}
    for row in (0, 2):
        tracker.mark_complete(a_task("story", row))
    tracker.mark_complete(a_task("rank", None, 0, "batch"))
    ready = {task.row_index for task in tracker.ready_frontier().values() if task.column == "moral"}
    assert ready == {1, 2}


def test_r14_a_record_counts_once_and_only_for_a_column_of_the_job():
    record = JournalRecord("story", 0, 1, "kept")
    tasks, _, _ = restored(record, record, JournalRecord("gone", 0, 1, "x"))
    assert len(tasks) == 1


def test_r10_row_groups_that_are_stored_are_passed_over_and_counted():
    plan = a_job_plan(a_generator("story"), rows=14, row_group_size=2, concurrency=9)
    earlier = Earlier(row_groups=((0, 2), (3, 4), (6, 7)), rows_written=7, drop_reasons={"boom": 1})
    groups = RowGroups(plan, earlier)
    admitted = []
    while (group := groups.admit_next()) is not None:
        admitted.append(group.index)
    assert admitted == [2, 4, 5]
    assert (groups.stored, groups.rows_written, groups.drop_reasons.total()) == (4, 7, 1)


def test_r10_a_run_with_nothing_missing_is_finished_at_once():
    assert RowGroups(PLAN, Earlier(row_groups=((0, 2),), rows_written=6)).finished


def test_r7_an_ordered_generator_goes_on_with_the_first_row_group_that_is_missing():
    plan = a_job_plan(
        a_generator("place", task_type="batch", order_dependent=True), rows=10, row_group_size=2
    )
    tracker = CompletionTracker(plan, stored=(0, 1, 3))
    tracker.admit(4, 8, 2)
    assert tracker.ready_frontier() == {}
    tracker.admit(2, 4, 2)
    (task,) = tracker.ready_frontier().values()
    assert task.row_group == 2
    tracker.mark_enqueued(tracker.ready_frontier())
    tracker.mark_complete(task)
    assert [task.row_group for task in tracker.ready_frontier().values()] == [4]
