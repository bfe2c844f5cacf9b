"""Reading a log back, in whatever state it is."""

from __future__ import annotations

import pytest

from actors.evidence.reader import BadLine, read_events, read_log
from actors.telemetry.log_codec import EventRecord, LogClosing, LogFormatError, LogHeader
from tests.actors.evidence.log_script import a_run, is_request, write_log


def test_what_was_told_is_what_is_read_with_every_correlation_complete(tmp_path):
    events = a_run().events

    read = list(read_events(write_log(tmp_path / "log.jsonl", events)))

    assert [placed.event for placed in read] == events
    for stream in ("scheduler", "request"):
        sequences = [placed.sequence for placed in read if placed.stream == stream]
        assert sequences == list(range(1, len(sequences) + 1))
    assert all((placed.stream == "request") == is_request(placed.event) for placed in read)


def test_a_run_folder_stands_for_its_log_and_lines_are_numbered_from_one(tmp_path):
    write_log(tmp_path / "actors.jsonl", a_run().events)

    lines = list(read_log(tmp_path))

    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert isinstance(lines[0].record, LogHeader)
    assert isinstance(lines[-1].record, LogClosing)
    assert all(isinstance(line.record, EventRecord) for line in lines[1:-1])


def test_a_log_that_is_still_being_written_is_read_as_far_as_it_goes(tmp_path):
    path = write_log(tmp_path / "log.jsonl", a_run().events)
    whole = len(list(read_events(path)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 100])

    assert whole - 2 <= len(list(read_events(path))) < whole
    last = list(read_log(path))[-1].record
    assert isinstance(last, BadLine)
    assert last.torn


def test_a_bad_line_in_the_middle_is_an_error_with_its_number(tmp_path):
    path = write_log(tmp_path / "log.jsonl", a_run().events)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = b'["not", "a", "record"]\n'
    path.write_bytes(b"".join(lines))

    with pytest.raises(LogFormatError, match=r"log\.jsonl, line 5: expected a JSON object, found list"):
        list(read_events(path))


def test_an_execution_that_is_not_introduced_is_an_error_with_its_line(tmp_path):
    path = write_log(tmp_path / "log.jsonl", a_run().events)
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[3]
    path.write_bytes(b"".join(lines))

    with pytest.raises(LogFormatError, match=r"line 4: ready_enqueued of task execution 1"):
        list(read_events(path))
