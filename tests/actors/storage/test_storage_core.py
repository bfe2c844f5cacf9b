"""The storage core over ports that are in memory and fail when told to."""

from __future__ import annotations

import errno

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.storage.core import StorageCore
from actors.storage.memory import MemoryRun
from actors.storage.ports import Inspection, StorageError, Stored
from messages._base import Outgoing
from messages.job import Problem
from messages.storage import (
    Earlier,
    FilesInspected,
    RowGroupLoaded,
    RowGroupStored,
    RunClosed,
    RunOpened,
    RunRefused,
    StorageFailed,
    StorageSnapshot,
    WithdrawRun,
)
from messages.supervision import GetSnapshot

FULL = OSError(errno.ENOSPC, "No space left on device", "rows/0000000.jsonl.tmp")


class FakeRuns:
    """Runs in memory; `fail` is raised by the next operation."""

    output = "out"

    def __init__(self):
        self.earlier = Earlier()
        self.fail = None
        self.run = None
        self.journaled = []
        self.synced = 0

    def _fail(self):
        failure, self.fail = self.fail, None
        if failure is not None:
            raise failure

    def claim(self, run_id, out):
        return (Problem("out", f"{out} is in use"),) if out == "in use" else ()

    def release(self):
        """Nothing is claimed."""

    def problems_of(self, out):
        self._fail()
        return (Problem("out", "taken"),) if out == "taken" else ()

    def problems_of_resuming(self, out, job, rows):
        self._fail()
        return (Problem("rows", f"20 -> {rows}"),) if out == "taken" else ()

    def is_finished(self, out, rows):
        return False

    def journal(self, records):
        self._fail()
        self.journaled += records

    def sync_journal(self):
        self._fail()
        self.synced = len(self.journaled)

    def open(self, opening):
        self._fail()
        self.run = MemoryRun(opening.dataset_columns)
        return self

    def store(self, row_group, columns, rows, dropped):
        self._fail()
        self.run.store(row_group, columns, rows, dropped)
        return Stored(bytes_written=10 * rows, seconds=0.25)

    def complete(self, result, capacity_plan):
        self._fail()
        return self.run.complete(result, capacity_plan)

    def forget(self, run_id):
        self.forgotten = run_id


class FakeSources:
    """One source of the numbers 0 to 9 in a field `x`; `fail` is raised by every operation."""

    def __init__(self):
        self.fail = None
        self.open_readers = 0

    def inspect(self, source, base_dir, limit):
        if self.fail is not None:
            raise self.fail
        return Inspection(("x",), 10 if limit is None else min(limit, 10))

    def open(self, source, base_dir):
        if self.fail is not None:
            raise self.fail
        self.open_readers += 1
        return self

    def load(self, first_row, rows):
        if self.fail is not None:
            raise self.fail
        return {"x": list(range(first_row, first_row + rows))}

    def close(self):
        self.open_readers -= 1


@pytest.fixture
def runs():
    return FakeRuns()


@pytest.fixture
def sources():
    return FakeSources()


@pytest.fixture
def core(runs, sources):
    core = StorageCore(runs, sources)
    yield core
    core.check()


def answers(core, *messages):
    outgoing = [sent for message in messages for sent in core.handle(message, now=1.0)]
    assert {sent.to for sent in outgoing} <= {"scheduler"}
    return [sent.message for sent in outgoing]


def only_failure(core, message):
    (failed,) = answers(core, message)
    assert isinstance(failed, StorageFailed)
    return failed


def test_a_run_from_opening_to_result(core, build):
    assert answers(
        core,
        build.opening(),
        build.row_group(0, rows=(0, 1)),
        build.row_group(1, rows=(3,), dropped=(2,)),
    ) == [
        RunOpened(build.run_id),
        RowGroupStored(build.run_id, 0, 2),
        RowGroupStored(build.run_id, 1, 1, 1),
    ]
    (closed,) = answers(core, build.closing(written=3, dropped=1, status="partial"))
    assert closed.result.status == "partial"
    assert list(closed.result.rows()) == [
        {"n": 0, "text": "row 0"},
        {"n": 1, "text": "row 1"},
        {"n": 3, "text": "row 3"},
    ]


def test_an_answer_that_nobody_wants_is_not_sent(core, build):
    assert core.handle(msgspec.structs.replace(build.opening(), reply_to=""), now=0.0) == []
    assert core.handle(build.row_group(0), now=0.0) == [
        Outgoing("scheduler", RowGroupStored(build.run_id, 0, 2))
    ]
    assert core.idle(now=0.0) == []
    assert core.next_deadline() is None


def test_a_message_of_another_protocol_is_an_error(core):
    with pytest.raises(TypeError, match="GetSnapshot"):
        core.handle(GetSnapshot(), now=0.0)


def test_the_snapshot_counts_what_is_stored(core, build):
    idle = StorageSnapshot(None, None, 0, 0, 0, 0, 0.0)
    assert core.snapshot(now=0.0) == idle
    answers(core, build.opening(), build.row_group(1, rows=(2,), dropped=(3,)))
    assert core.snapshot(now=0.0) == StorageSnapshot(build.run_id, "out", 1, 1, 1, 10, 0.25)
    core.close(now=0.0)
    assert core.snapshot(now=0.0) == idle


def test_inspection_tells_everything_that_is_wrong_at_once(core, sources, build):
    assert answers(core, build.inspection()) == [FilesInspected(build.run_id, (), 0)]
    assert answers(core, build.inspection(source="x.csv", rows=3)) == [
        FilesInspected(build.run_id, ("x",), 3)
    ]
    sources.fail = FileNotFoundError(errno.ENOENT, "No such file or directory", "x.csv")
    (found,) = answers(core, build.inspection(source="x.csv", out="taken"))
    assert found.source_fields is None
    assert [str(problem) for problem in found.problems] == [
        "source.path: cannot read x.csv: No such file or directory (x.csv) (check the path)",
        "out: taken",
    ]


@pytest.mark.parametrize("resume", [False, True])
def test_inspection_says_of_a_folder_in_use_that_it_is_and_nothing_else(core, runs, build, resume):
    runs.fail = AssertionError("nobody looks into it")
    (found,) = answers(core, msgspec.structs.replace(build.inspection(out="in use"), resume=resume))
    assert [str(problem) for problem in found.problems] == ["out: in use is in use"]


def test_a_run_that_will_not_begin_is_forgotten(core, runs, build):
    answers(core, build.inspection(out="out"))
    assert core.handle(WithdrawRun(build.run_id), now=0.0) == []
    assert runs.forgotten == build.run_id


def test_inspection_survives_an_output_folder_that_cannot_be_looked_into(core, runs, build):
    runs.fail = PermissionError(errno.EACCES, "Permission denied", "secret/out")
    (found,) = answers(core, build.inspection(out="secret/out"))
    assert [problem.path for problem in found.problems] == ["out"]
    assert "Permission denied" in found.problems[0].message


@pytest.mark.parametrize("failure", [FULL, StorageError(Problem("out", "already holds a run"))])
def test_a_run_that_cannot_be_opened_is_refused_and_the_next_one_is_not(core, runs, build, failure):
    runs.fail = failure
    (refused,) = answers(core, build.opening(out="out"))
    assert isinstance(refused, RunRefused)
    assert refused.problems[0].path == "out"
    assert answers(core, build.opening(out="out")) == [RunOpened(build.run_id)]


def test_one_run_is_open_at_a_time(core, build):
    answers(core, build.opening())
    (refused,) = answers(core, build.opening(run_id="run-2"))
    assert refused.run_id == "run-2"
    assert "run-1 is still being stored" in refused.problems[0].message


def test_rows_come_from_the_source_by_row_group(core, sources, build):
    answers(core, build.opening(source="x.csv", rows=10))
    assert answers(core, build.loading(0), build.loading(2)) == [
        RowGroupLoaded(build.run_id, 0, {"x": [0, 1]}),
        RowGroupLoaded(build.run_id, 2, {"x": [4, 5]}),
    ]
    assert sources.open_readers == 1
    answers(core, build.closing(requested=10, written=0, pending=10, status="cancelled"))
    assert sources.open_readers == 0


def test_a_stop_in_the_middle_of_a_run_leaves_no_source_open(core, sources, build):
    answers(core, build.opening(source="x.csv"), build.loading(0))
    core.close(now=0.0)
    core.close(now=0.0)
    assert sources.open_readers == 0


def test_a_source_that_fails_is_told_with_place_and_remedy(core, sources, build):
    answers(core, build.opening(source="x.csv"))
    sources.fail = OSError(errno.EIO, "Input/output error")
    problem = only_failure(core, build.loading(1)).problem
    assert problem.path == "source.path"
    assert problem.message == "cannot load row group 1 of x.csv: Input/output error"
    assert "check it" in problem.remedy
    sources.fail = StorageError(Problem("source.path", "line 7"))
    assert only_failure(core, build.loading(1)).problem.message == "line 7"


def test_loading_without_a_source_fails(core, build):
    answers(core, build.opening())
    assert "no source" in only_failure(core, build.loading(0)).problem.message


def test_r10_a_row_group_that_could_not_be_stored_is_not_counted_and_may_come_again(core, runs, build):
    answers(core, build.opening())
    runs.fail = FULL
    failed = only_failure(core, build.row_group(0))
    assert failed.row_group == 0
    assert failed.problem == Problem(
        "out",
        "cannot store row group 0: No space left on device (rows/0000000.jsonl.tmp)",
        "free some disk space, or choose a folder on another disk",
    )
    assert core.snapshot(now=0.0).rows_stored == 0
    assert answers(core, build.row_group(0)) == [RowGroupStored(build.run_id, 0, 2)]


def test_r10_a_row_group_is_stored_once(core, build):
    answers(core, build.opening(rows=6), build.row_group(0), build.row_group(2, rows=(4, 5)))
    for row_group in (0, 2):
        message = build.row_group(row_group, rows=(2 * row_group, 2 * row_group + 1))
        assert "it is stored already" in only_failure(core, message).problem.message
    assert core.snapshot(now=0.0).rows_stored == 4


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        ({"row_group": 9}, "the run has row groups 0 to 1"),
        ({"columns": {"n": [0, 1]}}, "it has the columns ['n'], the dataset has ['n', 'text']"),
        (
            {"columns": {"n": [0, 1], "text": ["a"]}},
            "should have 2 values in every column, but has {'text': 1}",
        ),
        ({"columns": {"n": [0], "text": ["a"]}, "rows": 1}, "1 rows and 0 dropped ones are not its 2 rows"),
    ],
)
def test_r13_a_row_group_that_does_not_add_up_is_refused(core, build, changes, objection):
    answers(core, build.opening())
    message = msgspec.structs.replace(build.row_group(0), **changes)
    assert objection in only_failure(core, message).problem.message


@pytest.mark.parametrize("dropped", [(5,), (1, 1)])
def test_r13_dropped_rows_are_different_rows_of_their_group(core, build, dropped):
    answers(core, build.opening())
    message = build.row_group(0, rows=(0, 1)[len(dropped) :], dropped=dropped)
    assert "are not different rows of 0 to 1" in only_failure(core, message).problem.message


def test_messages_about_a_run_that_is_not_open_fail_with_a_typed_reply(core, build):
    for message in (build.loading(0), build.row_group(0), build.closing()):
        assert "run run-1 is not open" in only_failure(core, message).problem.message
    answers(core, build.opening(run_id="another"))
    assert "run run-1 is not open" in only_failure(core, build.row_group(0)).problem.message


@pytest.mark.parametrize(
    "counts",
    [
        {"written": 4},
        {"written": 2},
        {"written": 2, "dropped": 2},
        {"requested": 2, "written": 2},
    ],
)
def test_r13_a_result_whose_rows_are_not_conserved_is_a_failure(core, build, counts):
    answers(core, build.opening(), build.row_group(0))
    (closed,) = answers(core, build.closing(**counts))
    assert closed.result.status == "failed"
    assert "stored were 4 asked for, 2 written, 0 dropped, 2 pending" in closed.result.first_error


def test_r13_an_error_of_the_job_stays_the_first_one(core, build):
    answers(core, build.opening())
    (closed,) = answers(core, build.closing(written=4, status="failed", first_error="it broke"))
    assert closed.result.first_error.startswith("it broke; then rows are not conserved")


def test_a_run_whose_files_cannot_be_completed_is_closed_as_failed(core, runs, build):
    answers(core, build.opening(), build.row_group(0), build.row_group(1, rows=(2, 3)))
    runs.fail = FULL
    (closed,) = answers(core, build.closing())
    assert isinstance(closed, RunClosed)
    assert closed.result.status == "failed"
    assert closed.result.output == "out"
    assert "No space left on device" in closed.result.first_error
    assert answers(core, build.opening()) == [RunOpened(build.run_id)]


@given(
    size=st.integers(1, 5),
    kept=st.lists(st.booleans(), min_size=0, max_size=30),
    order=st.randoms(use_true_random=False),
    stop=st.integers(0, 30),
)
def test_r13_rows_are_conserved_in_any_order_of_row_groups(build, size, kept, order, stop):
    core = StorageCore(FakeRuns(), FakeSources())
    answers(core, build.opening(rows=len(kept), row_group_size=size))
    groups = list(range(0, len(kept), size))
    order.shuffle(groups)
    written = dropped = 0
    for first in groups[:stop]:
        members = range(first, min(first + size, len(kept)))
        rows = [row for row in members if kept[row]]
        drops = [row for row in members if not kept[row]]
        (stored,) = answers(core, build.row_group(first // size, rows=rows, dropped=drops))
        assert isinstance(stored, RowGroupStored)
        core.check()
        written += len(rows)
        dropped += len(drops)
    counts = {"requested": len(kept), "written": written, "dropped": dropped}
    (closed,) = answers(core, build.closing(**counts, pending=len(kept) - written - dropped))
    assert closed.result.status == "succeeded"
    numbers = [row["n"] for row in closed.result.rows()]
    assert numbers == sorted(numbers)
    assert len(numbers) == written
