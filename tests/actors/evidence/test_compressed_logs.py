"""Compressed logs: written through to the disk with every write, and read wherever they were cut off."""

from __future__ import annotations

import gzip
import itertools
import os
import signal
import subprocess
import sys
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import ActorSystem
from actors.evidence.log_file import LogFile
from actors.evidence.reader import BadLine, read_log
from actors.evidence.verify import verify_log
from actors.inspection.reading import LogStory
from actors.storage.layout import newest_log, next_log
from actors.telemetry.log_codec import LogFormatError
from actors.telemetry.sinks import open_log_file
from bench.noop_jobs import one_column
from tests.actors.cli.conftest import ROOT

ENDINGS = [".jsonl", ".jsonl.gz", ".jsonl.zst"]
COMPRESSED = ENDINGS[1:]


def decompressed(path):
    data = path.read_bytes()
    return (
        gzip.decompress(data)
        if path.suffix == ".gz"
        else zstandard.ZstdDecompressor().stream_reader(data).read()
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """One and the same log in every form."""
    folder = tmp_path_factory.mktemp("logs")
    with ActorSystem.start() as system:
        system.run(one_column(400), log=folder / "log.jsonl")
    lines = (folder / "log.jsonl").read_bytes()
    for ending in COMPRESSED:
        sink = open_log_file(folder / f"log{ending}")
        for start in range(0, len(lines), 20_000):  # cut anywhere: a write need not end with a line
            sink.write(lines[start : start + 20_000])
        sink.close(sync=True)
    return folder


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_run_with_a_compressed_log_verifies_and_is_explained(tmp_path, ending):
    path = tmp_path / f"log{ending}"
    with ActorSystem.start() as system:
        result = system.run(one_column(200), log=path)
    report = verify_log(path)
    assert report.ok, report.violations
    story = LogStory(path)
    story.read_on()
    assert story.story.explain().run.rows_written == result.rows_written == 200


@pytest.mark.parametrize("ending", COMPRESSED)
def test_a_compressed_log_holds_the_same_lines_in_a_tenth_of_the_bytes(logs, ending):
    compressed, plain = logs / f"log{ending}", logs / "log.jsonl"
    assert list(read_log(compressed)) == list(read_log(plain))
    assert decompressed(compressed) == plain.read_bytes()
    assert compressed.stat().st_size * 5 < plain.stat().st_size


@pytest.mark.parametrize("ending", ENDINGS)
@given(data=st.data())
@settings(max_examples=40)
def test_a_log_that_was_cut_off_anywhere_yields_whole_lines_of_the_whole_log(logs, ending, data):
    whole = (logs / f"log{ending}").read_bytes()
    every = (logs / "log.jsonl").read_bytes().splitlines()
    cut = logs / f"cut{ending}"
    cut.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    file = LogFile(cut)
    found = list(file.lines())
    assert found == every[: len(found)]
    assert file.rest == b"" or every[len(found)].startswith(file.rest)
    cut.write_bytes(whole)  # and it goes on where it was
    assert found + list(file.lines()) == every


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_reader_that_stops_in_the_middle_goes_on_from_there(logs, ending):
    file = LogFile(logs / f"log{ending}")
    first = list(itertools.islice(file.lines(), 3))
    assert first + list(file.lines()) == (logs / "log.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("ending", COMPRESSED)
def test_compressed_files_one_after_the_other_are_one_log(logs, tmp_path, ending):
    both = tmp_path / f"both{ending}"
    both.write_bytes((logs / f"log{ending}").read_bytes() * 2)
    assert list(LogFile(both).lines()) == (logs / "log.jsonl").read_bytes().splitlines() * 2


@pytest.mark.parametrize("ending", COMPRESSED)
def test_the_form_is_told_by_the_content_and_not_by_the_name(logs, tmp_path, ending):
    renamed = tmp_path / "log.txt"
    renamed.write_bytes((logs / f"log{ending}").read_bytes())
    assert verify_log(renamed).ok


@pytest.mark.parametrize("ending", COMPRESSED)
def test_damage_is_told_with_its_place(logs, tmp_path, ending):
    data = bytearray((logs / f"log{ending}").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    broken = tmp_path / f"broken{ending}"
    broken.write_bytes(data)
    with pytest.raises(LogFormatError, match="damaged"):
        list(read_log(broken))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_killed_process_leaves_a_log_that_can_be_read_to_its_last_write(tmp_path, ending):
    path = tmp_path / f"log{ending}"
    code = f"""
import sys, threading
from pathlib import Path
from actors import ActorSystem
from actors.cli.output import say
from messages import Job, PythonColumn, SequenceColumn
seen = threading.Event()
def waits(n: int) -> int:
    if n == 20:
        seen.set()
        threading.Event().wait()
    return n
columns = {{"n": SequenceColumn(), "w": PythonColumn(function=waits)}}
job = Job(name="killed", rows=50, row_group_size=50, columns=columns)
with ActorSystem.start() as system:
    system.submit(job, log={str(path)!r})
    seen.wait()
    log = Path({str(path)!r})
    from actors.evidence.log_file import LogFile
    while not any(b'worker_spawned' in line for line in LogFile(log).lines()):
        threading.Event().wait(0.01)
    print("ready", flush=True)
    threading.Event().wait()
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        os.kill(child.pid, signal.SIGKILL)
    records = [line.record for line in read_log(path)]
    assert not any(isinstance(record, BadLine) and not record.torn for record in records)
    story = LogStory(path)
    story.read_on()
    run = story.story.explain()
    assert run.run.status == "unfinished"
    assert run.columns["w"].started >= 1


def test_without_its_library_a_zst_log_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(OSError, match=r"pip install 'leasehold\[zstd\]'"):
        open_log_file(tmp_path / "log.jsonl.zst")
    assert list(tmp_path.iterdir()) == []


def test_without_its_library_a_zst_log_says_what_reads_it(logs, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(LogFormatError, match=r"pip install 'leasehold\[zstd\]'"):
        list(read_log(logs / "log.jsonl.zst"))


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_a_resumed_run_compresses_its_log_as_the_run_before_did(tmp_path, ending):
    assert next_log(tmp_path).name == "actors.jsonl"
    (tmp_path / f"actors.jsonl{ending}").touch()
    assert newest_log(tmp_path).name == f"actors.jsonl{ending}"
    assert next_log(tmp_path).name == f"actors-2.jsonl{ending}"
    (tmp_path / f"actors-2.jsonl{ending}").touch()
    assert newest_log(tmp_path).name == f"actors-2.jsonl{ending}"
    assert next_log(tmp_path).name == f"actors-3.jsonl{ending}"


def test_what_is_flushed_can_be_read_before_the_log_is_closed(tmp_path):
    for ending in COMPRESSED:
        sink = open_log_file(tmp_path / f"open{ending}")
        file = LogFile(tmp_path / f"open{ending}")
        for number in range(3):
            sink.write(b"%d\n" % number)
            assert list(file.lines()) == [b"%d" % number]
        sink.close(sync=True)
        assert list(file.lines()) == []
    assert zlib.decompress((tmp_path / "open.jsonl.gz").read_bytes(), wbits=31) == b"0\n1\n2\n"
