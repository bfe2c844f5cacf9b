"""R10 and R14: a folder taken up again, whatever the run before it has left."""

from __future__ import annotations

import errno
from pathlib import Path

import msgspec
import pytest

from actors.storage.core import JOURNAL_SYNC_SECONDS, StorageCore
from actors.storage.files import FileRuns
from actors.storage.filesystem import LocalFileSystem
from actors.storage.folder import open_run_folder
from actors.storage.layout import LOCK, newest_log, next_log
from actors.storage.source import FileSources
from messages.job import Output
from messages.scheduler import read_rows
from messages.storage import (
    Earlier,
    JournalCells,
    JournalFailed,
    JournalRecord,
    RunOpened,
    RunRefused,
    StorageFailed,
    UnsettledAttempt,
)

LOST = UnsettledAttempt("text", 1, 2, "p/m/chat", 7)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def a_core(files=None, **options):
    return StorageCore(FileRuns(files, **options), FileSources())


def answer(core, message, now=0.0):
    (outgoing,) = core.handle(message, now=now)
    core.check()
    return outgoing.message


def resuming(build, out, *, rows=8, run_id="run-2", **how):
    opening = build.opening(rows=rows, out=out, run_id=run_id, **how)
    return msgspec.structs.replace(opening, resume=True)


def cells(build, *records, run_id=None):
    records = [JournalRecord("text", row // 2, row, f"row {row}") for row in records]
    return JournalCells(run_id or build.run_id, records, reply_to="scheduler")


def interrupted(build, out, *, rows=8, log=None):
    """Store row groups 0 and 2 of four, journal rows 1, 2 and 6, and go away without closing."""
    core = a_core()
    opening = msgspec.structs.replace(build.opening(rows=rows, out=out, capacity_plan={}), log=log)
    assert isinstance(answer(core, opening), RunOpened)
    assert core.handle(cells(build, 1, 2, 6), now=0.0) == []
    answer(core, build.row_group(2, rows=(4,), dropped=(5,)))
    answer(core, build.row_group(0))


def the_rest(core, build, out):
    """Store what is missing, and close the run."""
    answer(core, build.row_group(1, rows=(2, 3), run_id="run-2"))
    answer(core, build.row_group(3, rows=(6, 7), run_id="run-2"))
    result = build.result(requested=8, written=7, dropped=1, status="partial")
    closed = answer(core, build.closing(result, run_id="run-2"))
    assert closed.result.first_error is None
    assert [row["n"] for row in read_rows(out)] == [0, 1, 2, 3, 4, 6, 7]
    assert [record.row for record in open_run_folder(out).dropped()] == [5]
    assert sorted(path.name for path in out.iterdir()) == [
        "capacity_plan.json",
        "dropped.jsonl",
        "manifest.json",
        "rows",
    ]


def contents(out):
    """Return what the folder holds, but for the lock that a run leaves which goes away without closing."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name != LOCK]
    return {path: path.read_bytes() for path in files}


EARLIER = Earlier(
    row_groups=((0, 1), (2, 3)),
    rows_written=3,
    drop_reasons={"non_retryable_failure": 1},
    journal=(JournalRecord("text", 1, 2, "row 2"), JournalRecord("text", 3, 6, "row 6")),
)


def test_r10_r14_what_is_finished_is_told_and_the_rest_is_made(build, out):
    interrupted(build, out)
    core = a_core()
    assert answer(core, resuming(build, out)) == RunOpened("run-2", EARLIER)
    the_rest(core, build, out)
    manifest = open_run_folder(out).manifest
    assert [(each.run_id, each.status) for each in manifest.runs] == [
        ("run-1", "running"),
        ("run-2", "partial"),
    ]
    stored = sum(path.stat().st_size for path in (*out.glob("rows/*"), out / "dropped.jsonl"))
    assert manifest.totals.bytes_written == stored
    assert (manifest.totals.row_groups_stored, manifest.totals.rows_written) == (4, 7)


def test_r10_a_row_group_that_does_not_add_up_is_made_again(build, out):
    interrupted(build, out)
    (out / "dropped.jsonl").write_bytes(b"")
    (out / "rows" / "0000000.jsonl").write_text("")
    earlier = answer(a_core(), resuming(build, out)).earlier
    assert earlier.row_groups == ()
    assert list((out / "rows").iterdir()) == []


def test_r10_what_was_being_written_is_swept_and_drops_without_rows_are_forgotten(build, out):
    interrupted(build, out)
    for name in ("rows/0000001.jsonl.tmp", "manifest.json.tmp"):
        (out / name).write_text("half")
    lines = (out / "dropped.jsonl").read_bytes()
    orphan = lines.replace(b'"row_group":2', b'"row_group":3')
    (out / "dropped.jsonl").write_bytes(orphan + lines + lines + b'{"row":9')
    core = a_core()
    assert answer(core, resuming(build, out)).earlier == EARLIER
    assert (out / "dropped.jsonl").read_bytes() == lines
    assert list(out.rglob("*.tmp")) == []
    the_rest(core, build, out)


class FailingFiles(LocalFileSystem):
    """The real files, until operation number `at`."""

    def __init__(self, at):
        self.left = at

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found

        def operate(*arguments):
            self.left -= 1
            if self.left == -1:
                raise OSError(errno.ENOSPC, "No space left on device", str(arguments[0]))
            return found(*arguments)

        return operate


@pytest.mark.parametrize("at", range(15))
def test_r10_a_resume_that_fails_at_any_step_can_be_resumed(build, out, at):
    interrupted(build, out)
    (out / "rows" / "0000001.jsonl").write_text("{}\n")
    (out / "rows" / "0000003.jsonl.tmp").write_text("half")
    with (out / "dropped.jsonl").open("a") as lines:
        lines.write('{"row":9')
    with (out / "journal" / "0000003.jsonl").open("a") as lines:
        lines.write('{"column":"te')
    files = FailingFiles(at)
    told = answer(a_core(files), resuming(build, out, capacity_plan={}))
    assert isinstance(told, RunRefused if files.left < 0 else RunOpened)
    core = a_core()
    assert answer(core, resuming(build, out)).earlier == EARLIER
    the_rest(core, build, out)


def test_r10_more_rows_open_a_short_row_group_again(build, out):
    core = a_core()
    answer(core, build.opening(rows=3, out=out))
    core.handle(cells(build, 0, 1, 2), now=0.0)
    answer(core, build.row_group(0))
    answer(core, build.row_group(1, rows=(2,)))
    answer(core, build.closing(requested=3, written=3))
    same = answer(a_core(), resuming(build, out, rows=3)).earlier
    assert (same.row_groups, same.journal) == (((0, 2),), ())
    more = answer(a_core(), resuming(build, out, rows=4, run_id="run-3")).earlier
    assert more.row_groups == ((0, 1),)
    assert more.journal == (JournalRecord("text", 1, 2, "row 2"),)


def test_r10_fewer_rows_other_columns_or_another_job_are_refused_and_nothing_changes(build, out):
    interrupted(build, out)
    before = contents(out)
    for opening, told in (
        (resuming(build, out, rows=7), "rows: 8 -> 7"),
        (resuming(build, out, columns=("n", "more")), "columns: n, text -> n, more"),
        (resuming(build, out, seed=4), "seed: 0 -> 4"),
    ):
        refused = answer(a_core(), opening)
        assert isinstance(refused, RunRefused)
        assert str(refused.problems[0]).startswith(told)
    assert contents(out) == before


def test_r10_an_inspection_tells_before_anything_is_opened(build, out):
    interrupted(build, out)
    inspect = msgspec.structs.replace(build.inspection(out=out, rows=7), resume=True)
    assert str(answer(a_core(), inspect).problems[0]).startswith("rows: 8 -> 7")
    assert answer(a_core(), msgspec.structs.replace(inspect, job=build.job(rows=8))).problems == ()
    nothing = msgspec.structs.replace(inspect, out=str(out / "new"))
    assert answer(a_core(), nothing).problems == ()


def test_r10_an_inspection_tells_whether_anything_is_missing(build, out):
    def finished(rows, *, resume=True, to=out):
        inspect = msgspec.structs.replace(build.inspection(out=to, rows=rows), resume=resume)
        return answer(a_core(), inspect).finished

    interrupted(build, out)
    assert not finished(8)
    core = a_core()
    answer(core, resuming(build, out))
    assert not finished(8)
    the_rest(core, build, out)
    assert finished(8)
    assert not finished(9)
    assert not finished(8, resume=False)
    assert not finished(8, to=out / "new")


def test_r10_rows_without_a_manifest_are_not_taken_for_a_false_start(build, out):
    interrupted(build, out)
    (out / "manifest.json").unlink()
    assert "already holds a run" in answer(a_core(), resuming(build, out)).problems[0].message


def test_r14_attempts_that_a_killed_run_had_sent_are_listed_and_counted(build, out):
    interrupted(build, out, log=str(out / "actors.jsonl"))
    asked = []

    def unsettled(log):
        asked.append(log)
        return (LOST,)

    core = a_core(unsettled=unsettled)
    assert answer(core, resuming(build, out)).earlier.possibly_billed == 1
    assert asked == [out / "actors.jsonl"]
    the_rest(core, build, out)
    # The run that followed ended in order: nothing is asked of its log.
    assert (
        answer(a_core(unsettled=unsettled), resuming(build, out, run_id="run-3")).earlier.possibly_billed == 1
    )
    assert open_run_folder(out).manifest.runs[0].possibly_billed == (LOST,)
    assert len(asked) == 1


def test_logs_of_runs_are_numbered(tmp_path):
    assert next_log(tmp_path / "none") == tmp_path / "none" / "actors.jsonl"
    assert (newest_log(tmp_path), next_log(tmp_path)) == (None, tmp_path / "actors.jsonl")
    (tmp_path / "actors.jsonl").touch()
    assert next_log(tmp_path) == tmp_path / "actors-2.jsonl"
    (tmp_path / "actors-11.jsonl").touch()
    assert newest_log(tmp_path) == tmp_path / "actors-11.jsonl"
    assert next_log(tmp_path) == tmp_path / "actors-12.jsonl"


# -- when the journal is synced --------------------------------------------------------------------


class SyncedFiles(LocalFileSystem):
    """The real files, and how often one of the journal was synced; a sync fails if told to."""

    def __init__(self):
        self.synced = 0
        self.full = False

    def sync(self, path: Path):
        if self.full:
            raise OSError(errno.EIO, "Input/output error", str(path))
        self.synced += 1
        super().sync(path)


def journaling(build, out, policy):
    files = SyncedFiles()
    core = a_core(files)
    answer(core, build.opening(out=out, output=Output(journal_fsync=policy)))
    return core, files


def test_r14_by_default_the_journal_is_synced_within_a_second(build, out):
    core, files = journaling(build, out, Output().journal_fsync)
    assert core.next_deadline() is None
    core.handle(cells(build, 0), now=5.0)
    core.handle(cells(build, 1), now=5.5)
    assert core.next_deadline() == 5.0 + JOURNAL_SYNC_SECONDS
    assert core.idle(now=5.9) == []
    assert files.synced == 0
    assert core.idle(now=6.0) == []
    assert (files.synced, core.next_deadline()) == (1, None)


def test_r14_the_journal_is_synced_always_or_never(build, out):
    core, files = journaling(build, out / "always", "always")
    core.handle(cells(build, 0), now=0.0)
    assert (files.synced, core.next_deadline()) == (1, None)
    core, files = journaling(build, out / "never", "never")
    core.handle(cells(build, 0), now=0.0)
    assert (files.synced, core.next_deadline()) == (0, None)


def test_r14_a_journal_that_cannot_be_kept_is_told_to_who_sent_it(build, out):
    core, files = journaling(build, out, "interval")
    files.full = True
    core.handle(cells(build, 0), now=0.0)
    (told,) = core.idle(now=1.0)
    assert (told.to, type(told.message)) == ("scheduler", JournalFailed)
    assert "cannot journal finished model calls: Input/output error" in told.message.problem.message
    other = answer(core, cells(build, 1, run_id="run-9"))
    assert "is not open" in other.problem.message
    assert not isinstance(other, StorageFailed)
