"""What is skipped because of a skipped cell: decided without running it (R9)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.scheduler.completion import CompletionTracker
from actors.scheduler.row_groups import RowGroups
from actors.scheduler.skips import Skips
from messages.tasks import TaskOutcome
from tests.actors.scheduler.control_builders import a_generator, a_job_plan


class Frame:
    """One row group's tracker, values and skips; `ran` are the tasks that were given out."""

    def __init__(self, *generators, rows=3):
        self.plan = a_job_plan(*generators, rows=rows, row_group_size=rows)
        self.generators = {generator.name: generator for generator in generators}
        self.tracker = CompletionTracker(self.plan)
        self.skips = Skips(self.plan, self.tracker)
        self.groups = RowGroups(self.plan)
        self.group = self.groups.admit_next()
        self.tracker.admit(0, 0, rows)
        self.ran = []

    def take(self):
        """Take what is ready, as tasks in an order that does not matter."""
        ready = self.tracker.ready_frontier()
        self.tracker.mark_enqueued(ready)
        self.ran += ready.values()
        return sorted(ready.values(), key=str)

    def end(self, task, *, skipped=()):
        """End a task well; `skipped` are positions among the rows that it was given."""
        generator = self.generators[task.column]
        offsets = self.tracker.rows_for(task) if task.task_type == "batch" else None
        rows = self.plan.rows if offsets is None else len(offsets)
        value = "made" if task.row_index is not None else ["made"] * rows
        outcome = TaskOutcome("success", value, skipped=tuple(skipped))
        if outcome.skipped or self.tracker.skipping:
            self.skips.note(self.group, generator, task, outcome, offsets)
        if self.tracker.mark_complete(task):
            self.group.write(generator, task, value, offsets)
        self.skips.settle(self.groups.active)
        self.tracker.check()

    def work_off(self):
        while tasks := self.take():
            for task in tasks:
                self.end(task)

    def ran_of(self, column):
        return sorted(task.row_index for task in self.ran if task.column == column)


def test_r9_dependents_are_skipped_in_a_chain_and_get_their_own_defaults():
    frame = Frame(
        a_generator("a"),
        a_generator("b", upstream=("a",), skip_default="b's"),
        a_generator("c", upstream=("b",), skip_default="c's"),
        rows=2,
    )
    first, second = frame.take()
    frame.end(first, skipped=[0])
    frame.end(second)
    frame.work_off()
    assert frame.ran_of("b") == frame.ran_of("c") == [1]
    assert frame.group.columns["c"] == ["c's", "made"]
    assert frame.skips.counts == {"a": 1, "b": 1, "c": 1}
    assert frame.tracker.is_finished(0)


def test_r9_what_else_a_skipped_cell_needs_is_waited_for():
    frame = Frame(a_generator("a"), a_generator("b"), a_generator("c", upstream=("a", "b")), rows=1)
    a, b = frame.take()
    frame.end(a, skipped=[0])
    assert not frame.tracker.is_finished(0)
    frame.end(b)
    assert frame.tracker.is_finished(0)
    assert frame.ran_of("c") == []


def test_r9_either_side_may_stop_a_skip_from_spreading():
    frame = Frame(
        a_generator("quiet", skip_propagates=False),
        a_generator("loud"),
        a_generator("x", upstream=("quiet",)),
        a_generator("y", upstream=("loud",), skip_with_upstream=False),
        rows=1,
    )
    for task in frame.take():
        frame.end(task, skipped=[0])
    assert {task.column for task in frame.take()} == {"x", "y"}


def test_r9_a_processor_is_never_skipped():
    frame = Frame(
        a_generator("a"),
        a_generator("p", task_type="post_batch_processor", upstream=("a",), outputs=()),
        rows=1,
    )
    (task,) = frame.take()
    frame.end(task, skipped=[0])
    assert [task.column for task in frame.take()] == ["p"]


def test_r9_a_batch_is_about_the_rows_that_are_not_skipped():
    frame = Frame(a_generator("a"), a_generator("b", task_type="batch", upstream=("a",), skip_default="-"))
    first, *others = frame.take()
    frame.end(first, skipped=[0])
    for task in others:
        frame.end(task)
    (task,) = frame.take()
    assert frame.tracker.rows_for(task) == [1, 2]
    frame.end(task, skipped=[1])
    assert frame.group.columns["b"][0] == "-"
    assert frame.skips.counts["b"] == 2


def test_r9_a_batch_whose_other_rows_are_dropped_is_skipped():
    frame = Frame(
        a_generator("a"), a_generator("b", task_type="batch", upstream=("a",), skip_default="-"), rows=2
    )
    first, _ = frame.take()
    frame.end(first, skipped=[0])
    frame.tracker.drop_rows(0, [1])
    frame.skips.settle(frame.groups.active)
    assert frame.tracker.is_finished(0)
    assert frame.group.columns["b"][0] == "-"


@st.composite
def cell_graphs(draw):
    generators = []
    for number in range(draw(st.integers(1, 5))):
        names = [generator.name for generator in generators]
        upstream = tuple(sorted(draw(st.sets(st.sampled_from(names), max_size=3)))) if names else ()
        how = {"skip_propagates": draw(st.booleans()), "skip_with_upstream": draw(st.booleans())}
        task_type = draw(st.sampled_from(("cell", "batch"))) if upstream else "cell"
        generators.append(a_generator(f"g{number}", task_type=task_type, upstream=upstream, **how))
    return generators


@settings(max_examples=100, deadline=None)
@given(cell_graphs(), st.integers(1, 3), st.randoms(use_true_random=False))
def test_r9_any_graph_with_any_skips_and_drops_is_worked_off(generators, rows, random):
    frame = Frame(*generators, rows=rows)
    by_name = frame.generators
    skipped = set()  # (column, row) as a naive reader of the rule would have it
    open_tasks = []
    while True:
        open_tasks += frame.take()
        open_tasks = [task for task in open_tasks if frame.tracker.is_open(task)]
        if not open_tasks:
            break
        task = open_tasks.pop(random.randrange(len(open_tasks)))
        if task.row_index is not None:
            assert not _is_spread_to(by_name[task.column], task.row_index, by_name, skipped)
        if task.row_index is not None and random.random() < 0.1:
            frame.tracker.drop_rows(0, [task.row_index])
            frame.skips.settle(frame.groups.active)
        elif task.row_index is not None and random.random() < 0.3:
            skipped.add((task.column, task.row_index))
            frame.end(task, skipped=[0])
        else:
            frame.end(task)
        for generator in generators:
            for row in range(rows):
                if _is_spread_to(generator, row, by_name, skipped):
                    skipped.add((generator.name, row))
    assert frame.tracker.is_finished(0)


def _is_spread_to(generator, row, by_name, skipped):
    return generator.skip_with_upstream and any(
        (name, row) in skipped and by_name[name].skip_propagates for name in generator.upstream
    )
