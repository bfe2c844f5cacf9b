"""R14: the journal's files, whatever a crash or a full disk leaves of them."""

from __future__ import annotations

import errno
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.storage.filesystem import LocalFileSystem
from actors.storage.journal import CellJournal
from messages.storage import JournalRecord


class CountingFiles(LocalFileSystem):
    """The real files; notes what is synced, and fails the next `extend` half-way if told to."""

    def __init__(self):
        self.synced = []
        self.fail = False

    def sync(self, path):
        self.synced.append(path.name)
        super().sync(path)

    def extend(self, path, at, data):
        if self.fail:
            super().extend(path, at, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        super().extend(path, at, data)


@pytest.fixture
def files():
    return CountingFiles()


def a_record(row, row_group=0, column="story", value="text"):
    return JournalRecord(column, row_group, row, value)


def journal_in(folder, files=None):
    return CellJournal(folder, files or LocalFileSystem(), 7)


def names(folder):
    return sorted(path.name for path in (folder / "journal").iterdir())


def test_r14_records_are_kept_per_row_group_until_it_is_stored(tmp_path, files):
    journal = journal_in(tmp_path, files)
    journal.append([a_record(0), a_record(12, 1), a_record(1, value=[0.1, None, {"a": 1}])])
    assert names(tmp_path) == ["0000000.jsonl", "0000001.jsonl"]
    assert files.synced == []
    journal.discard(0)
    journal.sync()
    assert names(tmp_path) == ["0000001.jsonl"]
    assert files.synced == ["0000001.jsonl"]
    journal.sync()
    assert files.synced == ["0000001.jsonl"]
    journal.remove_folder()
    assert names(tmp_path) == ["0000001.jsonl"]
    journal.discard(1)
    journal.remove_folder()
    assert not (tmp_path / "journal").exists()


def test_r14_without_records_there_is_no_folder(tmp_path):
    journal = journal_in(tmp_path)
    journal.append([])
    journal.sync()
    journal.discard(3)
    journal.remove_folder()
    assert list(tmp_path.iterdir()) == []
    assert journal.take_over([0, 1], None) == []


def test_r14_values_come_back_as_they_were(tmp_path):
    records = [
        a_record(0, value="é\n\u2028"),
        a_record(1, value=0.1 + 0.2),
        a_record(2, value=[1, 2.5, None, True, {"k": [2**63]}]),
        a_record(None, value=["for", "all", "rows"]),
    ]
    journal_in(tmp_path).append(records)
    assert journal_in(tmp_path).take_over([0], None) == records


def test_r14_a_value_that_is_no_json_is_left_to_its_row_group(tmp_path):
    journal_in(tmp_path).append([a_record(0, value="\ud800"), a_record(1)])
    assert journal_in(tmp_path).take_over([0], None) == [a_record(1)]


@given(rows=st.integers(1, 5), cut=st.integers(0, 400))
def test_r14_a_torn_tail_costs_the_torn_record_alone(tmp_path_factory, rows, cut):
    folder = tmp_path_factory.mktemp("journal")
    records = [a_record(row) for row in range(rows)]
    journal_in(folder).append(records)
    path = folder / "journal" / "0000000.jsonl"
    content = path.read_bytes()
    torn = content[: max(0, len(content) - cut)]
    path.write_bytes(torn)
    journal = journal_in(folder)
    whole = torn.count(b"\n")
    assert journal.take_over([0], None) == records[:whole]
    journal.append([a_record(99)])
    assert journal_in(folder).take_over([0], None) == [*records[:whole], a_record(99)]


def test_r14_lines_that_power_loss_has_eaten_are_cut_out(tmp_path):
    journal_in(tmp_path).append([a_record(0), a_record(1)])
    path = tmp_path / "journal" / "0000000.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\0" * 40 + b"\n" + b"{}\n" + second)
    assert journal_in(tmp_path).take_over([0], None) == [a_record(0), a_record(1)]
    assert path.read_bytes() == first + second


def test_r14_a_failed_append_is_cut_off_by_the_next(tmp_path, files):
    journal = journal_in(tmp_path, files)
    journal.append([a_record(0)])
    files.fail = True
    with pytest.raises(OSError, match="No space"):
        journal.append([a_record(1)])
    files.fail = False
    journal.append([a_record(2)])
    lines = (tmp_path / "journal/0000000.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["row"] for line in lines] == [0, 2]


def test_r14_what_is_not_wanted_is_swept(tmp_path):
    journal_in(tmp_path).append([a_record(0), a_record(10, 1), a_record(20, 2)])
    (tmp_path / "journal" / "0000001.jsonl.tmp").write_text("{")
    assert journal_in(tmp_path).take_over([1], None) == [a_record(10, 1)]
    assert names(tmp_path) == ["0000001.jsonl"]


def test_r14_values_for_all_rows_end_with_a_row_group_that_has_grown(tmp_path):
    journal_in(tmp_path).append([a_record(None, value=["two", "rows"]), a_record(1)])
    assert journal_in(tmp_path).take_over([0], 0) == [a_record(1)]
