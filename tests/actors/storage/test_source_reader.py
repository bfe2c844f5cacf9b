"""CSV and JSON lines as rows of a job: right ones in any partition, wrong ones by name and line."""

from __future__ import annotations

import csv
import itertools
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.storage.ports import Inspection, StorageError
from actors.storage.source import FileSources
from messages.job import Source

SOURCES = FileSources()


@pytest.fixture
def write(tmp_path):
    def write_(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_


def inspect(path, *, limit=None, **source):
    return SOURCES.inspect(Source(str(path), **source), "", limit)


def only_problem(path, **source):
    inspection = inspect(path, **source)
    (problem,) = inspection.problems
    assert problem.path == "source.path"
    return problem


def opened(path):
    return SOURCES.open(Source(str(path)), "")


# -- what is read --------------------------------------------------------------------------------


def test_csv_values_stay_text(write):
    path = write("name,size\nAda,007\nBob,\n")
    assert inspect(path) == Inspection(("name", "size"), 2)
    reader = opened(path)
    assert reader.load(0, 2) == {"name": ["Ada", "Bob"], "size": ["007", ""]}
    reader.close()


def test_jsonl_values_keep_their_types_and_keys_may_stand_in_any_order(write):
    path = write('\ufeff{"a": 1, "b": [null]}\n\n  \n{"b": 2.5, "a": "x"}', "data.jsonl")
    assert inspect(path) == Inspection(("a", "b"), 2)
    reader = opened(path)
    assert reader.load(0, 2) == {"a": [1, "x"], "b": [[None], 2.5]}
    reader.close()


@pytest.mark.parametrize("content", ["a,b\r\n1,2\r\n", "\ufeffa,b\n1,2", "a,b\r1,2\r", '"a","b"\n\n1,2\n\n'])
def test_csv_of_every_make(write, content):
    assert inspect(write(content)) == Inspection(("a", "b"), 1)


def test_a_csv_text_may_be_long_and_have_newlines(write):
    text = 'two\nlines, "quoted" ' + "x" * 300_000
    path = write('a\n"' + text.replace('"', '""') + '"\n')
    reader = opened(path)
    assert reader.load(0, 1) == {"a": [text]}
    reader.close()


def test_only_the_rows_that_the_job_wants_are_looked_at(write):
    path = write("a,b\n1,2\n3,4\nragged\n")
    assert inspect(path, limit=2) == Inspection(("a", "b"), 2)
    assert inspect(path, limit=0) == Inspection(("a", "b"), 0)
    assert len(inspect(path, limit=3).problems) == 1


def test_a_header_alone_is_a_source_of_no_rows(write):
    assert inspect(write("a,b\n")) == Inspection(("a", "b"), 0)


def test_relative_paths_are_relative_to_the_job(write):
    path = write("a\n1\n")
    assert SOURCES.inspect(Source(path.name), str(path.parent), None).rows == 1


def test_the_format_goes_before_the_ending(write):
    path = write('{"a": 1}\n', "data.txt")
    assert "which is no known format" in only_problem(path).message
    assert 'source.format to "csv" or "jsonl"' in only_problem(path).remedy
    assert inspect(path, format="jsonl").rows == 1
    assert inspect(write("a\n1\n", "DATA.CSV")).rows == 1


def test_row_groups_may_be_skipped_and_asked_for_again(write):
    path = write("n\n" + "".join(f"{number}\n" for number in range(10)))
    reader = opened(path)
    assert reader.load(6, 2) == {"n": ["6", "7"]}
    assert reader.load(2, 2) == {"n": ["2", "3"]}
    assert reader.load(4, 0) == {"n": []}
    reader.close()
    assert reader.load(9, 1) == {"n": ["9"]}
    reader.close()
    reader.close()


# -- what is refused -----------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path):
    problem = only_problem(tmp_path / "none.csv")
    assert "No such file or directory" in problem.message
    assert str(tmp_path / "none.csv") in problem.message


@pytest.mark.parametrize("path", ["", "a\0b.csv"])
def test_a_name_that_is_none(path):
    assert "is no name for a file" in only_problem(path).message


def test_a_folder_or_a_pipe_is_no_source(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    assert "is a folder" in only_problem(tmp_path).message
    assert "is not a regular file" in only_problem(tmp_path / "pipe.csv").message


def test_a_file_that_may_not_be_read(write):
    path = write("a\n1\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    assert "Permission denied" in only_problem(path).message


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_an_empty_file(write, name):
    inspection = inspect(write(b"\n\n", name))
    assert inspection.fields is None
    assert "is empty" in inspection.problems[0].message


def test_every_fault_of_a_csv_header_is_told(write):
    inspection = inspect(write("a,,b,a\n1,2,3,4\n"))
    assert inspection.fields is None
    assert [problem.message.partition(": ")[2] for problem in inspection.problems] == [
        "field 2 of the header has no name",
        "the header has 'a' as field 1 and again as field 4",
    ]


def test_every_malformed_csv_record_is_named_by_the_line_it_begins_on(write):
    path = write('a,b\n1,2\n"x\ny",2\n3\n\n4,5,6\n"7"8,9\n1,2\n"open')
    inspection = inspect(path)
    assert inspection.fields == ("a", "b")
    assert inspection.rows == 3
    found = [problem.message.removeprefix(f"{path}, ") for problem in inspection.problems]
    assert found[:2] == [
        "line 5: 1 fields, but the header has 2",
        "line 7: 3 fields, but the header has 2",
    ]
    assert found[2].startswith("line 8: ")
    assert found[3].startswith("line 10: unexpected end of data")


def test_every_malformed_jsonl_record_is_named_by_its_line(write):
    path = write(
        '{"a": 1, "b": 2}\n{"a": 1}\n[1]\n\nnull\n{"a": 1, "b": 2, "c": 3}\n{"b": 1, "d": 1}\n{"a":\n'
        + "[" * 100_000,
        "data.jsonl",
    )
    inspection = inspect(path)
    assert inspection.rows == 1
    found = [problem.message.removeprefix(f"{path}, ") for problem in inspection.problems]
    assert found[:5] == [
        "line 2: missing 'b'",
        "line 3: a JSON array, not an object",
        "line 5: a JSON null, not an object",
        "line 6: unexpected 'c'",
        "line 7: missing 'a'; unexpected 'd'",
    ]
    assert found[5].startswith("line 8: ")
    assert found[6].startswith("line 9: maximum recursion depth exceeded")


@pytest.mark.parametrize("first", ["[]", "{}", '{"": 1}', "{"])
def test_a_first_jsonl_record_that_gives_no_fields(write, first):
    assert inspect(write(first + "\n", "data.jsonl")).fields is None


def test_after_ten_malformed_records_the_rest_is_a_number(write):
    inspection = inspect(write("a,b\n" + "x\n" * 25))
    assert len(inspection.problems) == 11
    assert "15 more records are malformed" in inspection.problems[-1].message


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_a_wrong_encoding_is_told_with_its_place(write, name):
    good = "a\nähm\n".encode() if name.endswith("csv") else '{"a": "x"}\n{"a": "ähm"}\n'.encode()
    bad = good + b"gr\xfc\xdfe\n" if name.endswith("csv") else good + b'{"a": "\xfc"}\n'
    problem = only_problem(write(bad, name))
    assert f"line 3: byte {bad.index(0xFC)} of the file (0xfc) is not UTF-8" in problem.message
    assert problem.remedy == "save the file as UTF-8"


def test_a_wrong_encoding_of_the_header(write):
    inspection = inspect(write(b"gr\xfc\xdfe\n1\n"))
    assert inspection.fields is None
    assert "byte 2 of the file" in inspection.problems[0].message


# -- a file that changes under the job -----------------------------------------------------------


def test_a_file_that_has_become_shorter_fails_the_load(write):
    path = write("n\n1\n2\n")
    reader = opened(path)
    with pytest.raises(StorageError, match="has 2 records now, and record 2 is wanted"):
        reader.load(1, 2)
    assert reader.load(1, 1) == {"n": ["2"]}
    reader.close()


def test_a_file_that_has_got_other_fields_fails_the_load(write):
    path = write("n\n1\n2\n")
    reader = opened(path)
    reader.load(0, 2)
    write("m\n1\n2\n")
    with pytest.raises(StorageError, match=r"has the fields \['m'\] now"):
        reader.load(0, 2)


def test_a_malformed_record_fails_the_load_that_needs_it(write):
    reader = opened(write("a,b\n1,2\n3\n"))
    assert reader.load(0, 1) == {"a": ["1"], "b": ["2"]}
    with pytest.raises(StorageError, match="line 3: 1 fields"):
        reader.load(1, 1)
    reader.close()


# -- any content, any partition --------------------------------------------------------------------

cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.lists(cells.filter(str.strip), min_size=1, max_size=4, unique=True)


@st.composite
def tables(draw, values):
    header = draw(names)
    rows = draw(
        st.lists(st.lists(values, min_size=len(header), max_size=len(header)), min_size=1, max_size=12)
    )
    return header, rows


def read_in_parts(path, rows, cuts):
    """Load the rows group by group, and every group twice in a row now and then."""
    reader = opened(path)
    found = []
    bounds = sorted({0, rows, *(cut % (rows + 1) for cut in cuts)})
    for first, end in itertools.pairwise(bounds):
        columns = reader.load(first, end - first)
        if (end - first) % 2:
            assert reader.load(first, end - first) == columns
        found += [list(row) for row in zip(*columns.values(), strict=True)]
    reader.close()
    return list(reader.fields), found


@settings(deadline=None)
@given(
    table=tables(cells), cuts=st.lists(st.integers(0, 99), max_size=4), ending=st.sampled_from(["\r\n", "\n"])
)
def test_any_csv_comes_back_in_any_partition(table, cuts, ending):
    header, rows = table
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.csv")
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.writer(file, lineterminator=ending, quoting=csv.QUOTE_ALL)
            writer.writerows([header, *rows])
        assert inspect(path) == Inspection(tuple(header), len(rows))
        assert read_in_parts(path, len(rows), cuts) == (header, rows)


@settings(deadline=None)
@given(
    table=tables(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | cells
    ),
    cuts=st.lists(st.integers(0, 99), max_size=4),
)
def test_any_jsonl_comes_back_in_any_partition(table, cuts):
    header, rows = table
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.jsonl")
        records = [dict(zip(header, row, strict=True)) for row in rows]
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        assert inspect(path) == Inspection(tuple(header), len(rows))
        assert read_in_parts(path, len(rows), cuts) == (header, rows)
