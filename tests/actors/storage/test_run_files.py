"""A run's folder, written by the core through the real ports and read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from actors.storage.core import StorageCore
from actors.storage.files import FileRuns
from actors.storage.filesystem import LocalFileSystem
from actors.storage.folder import NotARunFolderError, open_run_folder
from actors.storage.layout import row_group_digits, row_group_name, row_group_number
from actors.storage.manifest import fingerprint
from actors.storage.source import FileSources
from messages.storage import RowGroupStored, RunOpened, RunRefused, StorageFailed, WithdrawRun

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture
def core():
    return StorageCore(FileRuns(wall_clock=lambda: NOW), FileSources())


@pytest.fixture
def out(tmp_path):
    return tmp_path / "deep" / "out"


def answer(core, message):
    (outgoing,) = core.handle(message, now=0.0)
    core.check()
    return outgoing.message


def store_all(core, build, out):
    """A run of five rows in groups of two; row 3 is dropped, and so is all of the last group."""
    assert answer(core, build.opening(rows=5, out=out, capacity_plan={"cap": 1})) == RunOpened(build.run_id)
    for message in (
        build.row_group(1, rows=(2,), dropped=(3,)),
        build.row_group(0),
        build.row_group(2, rows=(), dropped=(4,)),
    ):
        assert isinstance(answer(core, message), RowGroupStored)


def test_a_finished_run_on_disk(core, build, out):
    store_all(core, build, out)
    closing = build.closing(
        requested=5, written=3, dropped=2, status="partial", capacity_plan={"cap": 1, "seen": 2}
    )
    result = answer(core, closing).result
    assert result.output == str(out)
    assert result.dataset is None
    assert [row["n"] for row in result.rows()] == [0, 1, 2]
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == [
        "capacity_plan.json",
        "dropped.jsonl",
        "manifest.json",
        "rows",
        "rows/0000000.jsonl",
        "rows/0000001.jsonl",
        "rows/0000002.jsonl",
    ]
    assert (out / "rows/0000000.jsonl").read_text() == '{"n":0,"text":"row 0"}\n{"n":1,"text":"row 1"}\n'
    assert (out / "rows/0000002.jsonl").read_text() == ""
    assert json.loads((out / "capacity_plan.json").read_text()) == {"cap": 1, "seen": 2}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == manifest["result"]["status"] == "partial"
    assert manifest["created_at"] == manifest["closed_at"] == "2024-05-06T07:08:09Z"
    assert manifest["totals"] == {
        "row_groups_stored": 3,
        "rows_written": 3,
        "rows_dropped": 2,
        "bytes_written": sum(path.stat().st_size for path in (*out.glob("rows/*"), out / "dropped.jsonl")),
    }


def test_the_manifest_and_the_capacity_plan_are_there_from_the_start(core, build, out):
    answer(core, build.opening(out=out, capacity_plan={"cap": 1}))
    run = open_run_folder(out)
    assert run.manifest.status == "running"
    assert run.manifest.job_fingerprint == fingerprint(build.job())
    assert run.manifest.dataset_columns == ("n", "text")
    assert (run.manifest.rows, run.manifest.row_group_size) == (4, 2)
    assert json.loads(run.capacity_plan_path.read_text()) == {"cap": 1}
    assert run.rows_files() == {}
    assert list(run.dropped()) == []


def test_columns_are_written_in_the_order_of_the_dataset(core, build, out):
    answer(core, build.opening(rows=2, columns=("text", "n"), out=out))
    answer(core, build.row_group(0))
    assert (out / "rows/0000000.jsonl").read_text().startswith('{"text":"row 0","n":0}\n')


def test_r13_dropped_rows_are_read_back_with_their_story(core, build, out):
    store_all(core, build, out)
    dropped = list(open_run_folder(out).dropped())
    assert [(record.row, record.row_group) for record in dropped] == [(3, 1), (4, 2)]
    assert (dropped[0].error, dropped[0].causes, dropped[0].attempts) == ("boom", ("why",), 1)


def test_r13_drops_of_unfinished_row_groups_and_torn_lines_are_passed_over(core, build, out):
    store_all(core, build, out)
    with (out / "dropped.jsonl").open("a") as lines:
        lines.write(
            msgspec.json.encode(open_run_folder(out).dropped().__next__()).decode().replace(":1}", ":9}")
        )
        lines.write('\n{"row": 5, "colu')
    assert len((out / "dropped.jsonl").read_text().splitlines()) == 4
    assert [record.row for record in open_run_folder(out).dropped()] == [3, 4]


def test_a_malformed_line_of_dropped_rows_is_named(core, build, out):
    store_all(core, build, out)
    (out / "dropped.jsonl").write_text("{}\n")
    with pytest.raises(NotARunFolderError, match=r"dropped.jsonl, line 1: .*missing required field"):
        list(open_run_folder(out).dropped())


def test_an_error_that_is_no_utf8_is_still_recorded(core, build, out):
    answer(core, build.opening(out=out))
    message = build.row_group(0, rows=(0,))
    drop = build.dropped(1, error="bad \ud800 text")
    answer(core, msgspec.structs.replace(message, dropped=(drop,)))
    (record,) = open_run_folder(out).dropped()
    assert record.error == "bad \\ud800 text"


def test_a_value_that_is_no_json_fails_its_row_group_and_names_the_column(core, build, out):
    answer(core, build.opening(out=out))
    message = msgspec.structs.replace(build.row_group(0), columns={"n": [0, 1], "text": ["fine", "\ud800"]})
    failed = answer(core, message)
    assert isinstance(failed, StorageFailed)
    assert failed.problem.path == "columns.text"
    assert "row 1" in failed.problem.message
    assert isinstance(answer(core, build.row_group(0)), RowGroupStored)


@pytest.mark.parametrize("name", ["manifest.json", "rows", "dropped.jsonl", "capacity_plan.json"])
def test_a_folder_that_holds_a_run_is_neither_overwritten_nor_changed(core, build, out, name):
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("precious")
    inspected = answer(core, build.inspection(out=out))
    refused = answer(core, build.opening(out=out))
    assert isinstance(refused, RunRefused)
    assert refused.problems == inspected.problems
    assert "already holds a run" in refused.problems[0].message
    assert "--out" in refused.problems[0].remedy
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == "precious"


def test_a_folder_with_other_files_is_used_and_they_stay(core, build, out):
    out.mkdir(parents=True)
    (out / "actors.jsonl").write_text("a log")
    assert answer(core, build.inspection(out=out)).problems == ()
    assert answer(core, build.opening(out=out)) == RunOpened(build.run_id)
    assert open_run_folder(out).log_path.read_text() == "a log"


def test_r10_a_folder_that_holds_a_run_is_kept_from_the_first_look_on_and_another_one_is_not(build, out):
    looking, other = (StorageCore(FileRuns(), FileSources()) for _ in range(2))
    out.mkdir(parents=True)
    assert answer(looking, build.inspection(out=out)).problems == ()
    assert list(out.iterdir()) == []
    store_all(other, build, out)
    other.close(now=0.0)
    resuming = msgspec.structs.replace(build.inspection(out=out, rows=5), resume=True)
    assert answer(looking, resuming).problems == ()
    (problem,) = answer(other, resuming).problems
    assert "is in use" in problem.message
    looking.handle(WithdrawRun(build.run_id), now=0.0)
    assert answer(other, resuming).problems == ()


def test_inspection_changes_nothing(core, build, out):
    assert answer(core, build.inspection(out=out)).problems == ()
    assert not out.parent.exists()


def test_an_output_that_is_a_file_or_below_one_is_refused(core, build, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        assert "is not a folder" in answer(core, build.inspection(out=out)).problems[0].message
        assert isinstance(answer(core, build.opening(out=out)), RunRefused)


@pytest.mark.parametrize("out", ["", "a\0b"])
def test_an_impossible_name_is_refused(core, build, out):
    assert "is no name for a folder" in answer(core, build.inspection(out=out)).problems[0].message


class Lockless(LocalFileSystem):
    """The real files, of a file system that knows no locks."""

    def lock(self, path):
        return self

    def release(self):
        """Nothing is held."""


@pytest.mark.parametrize(
    ("files", "told"), [(LocalFileSystem, "is in use"), (Lockless, "already holds a run")]
)
def test_of_two_runs_that_start_in_one_folder_at_once_one_is_refused(build, out, files, told):
    # The second looks before the first has made anything: the lock decides, or making `rows`.
    first, second = FileRuns(files()), FileRuns(files())
    second.problems_of = lambda _: ()
    assert isinstance(answer(StorageCore(first, FileSources()), build.opening(out=out)), RunOpened)
    before = (out / "manifest.json").read_bytes()
    refused = answer(StorageCore(second, FileSources()), build.opening(out=out, run_id="run-2"))
    assert told in refused.problems[0].message
    assert (out / "manifest.json").read_bytes() == before


def test_a_relative_output_stays_where_it_was_when_the_process_moves(core, build, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    answer(core, build.opening(rows=2, out="out"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    answer(core, build.row_group(0))
    result = answer(core, build.closing(requested=2, written=2)).result
    assert Path(result.output) == tmp_path / "out"
    assert len(list(result.rows())) == 2


def test_a_job_that_is_not_json_is_refused(core, build, out):
    opening = build.opening(out=out)
    job = msgspec.structs.replace(
        opening.job, columns={"n": msgspec.structs.replace(opening.job.columns["n"], start=object())}
    )
    refused = answer(core, msgspec.structs.replace(opening, job=job))
    assert isinstance(refused, RunRefused)
    assert not out.exists()


def test_the_fingerprint_is_of_the_job_and_not_of_its_place(build):
    here, there = build.job(base_dir="/a"), build.job(base_dir="/b")
    assert fingerprint(here) == fingerprint(there)
    assert len(fingerprint(here)) == 32
    assert fingerprint(here) != fingerprint(build.job(seed=1))


def test_names_of_row_groups_sort_however_many_there_are():
    assert row_group_name(12, row_group_digits(13)) == "0000012.jsonl"
    digits = row_group_digits(10_000_001)
    names = [row_group_name(number, digits) for number in (0, 9_999_999, 10_000_000)]
    assert names == sorted(names)
    assert [row_group_number(name) for name in names] == [0, 9_999_999, 10_000_000]
    for name in ("0000001.jsonl.tmp", "notes.jsonl", "manifest.json", "00.jsonl"):
        assert row_group_number(name) is None


def test_a_folder_without_a_run_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotARunFolderError, match="does not exist"):
        open_run_folder(tmp_path / "nowhere")
    with pytest.raises(NotARunFolderError, match="is not a folder"):
        open_run_folder(tmp_path / "file")
    with pytest.raises(NotARunFolderError, match=r"has no manifest\.json"):
        open_run_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not a manifest"),
        (b"\xff", "is not a manifest"),
        (b'{"schema_version": 1}', "schema version 1, but this program reads 2"),
        (b'{"schema_version": 2}', "missing required field"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_why(tmp_path, content, message):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(NotARunFolderError, match=message):
        open_run_folder(tmp_path)


def test_r13_who_asks_twice_for_the_end_of_a_run_is_told_the_same_result(core, build, out):
    """A scheduler that is lost before the answer comes has its successor ask again."""
    store_all(core, build, out)
    closing = build.closing(requested=5, written=3, dropped=2, status="partial")
    first = answer(core, closing)
    assert answer(core, closing) == first
