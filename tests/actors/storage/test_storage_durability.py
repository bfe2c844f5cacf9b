"""R10 and R13 under failing disks, killed processes and lost power.

A fault is placed at each file operation of a small run in turn, and the folder is looked at afterwards.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from actors.storage.core import StorageCore
from actors.storage.files import FileRuns
from actors.storage.filesystem import LocalFileSystem, LocalReading, publish
from actors.storage.folder import open_run_folder
from actors.storage.source import FileSources
from messages.scheduler import read_rows
from messages.storage import RowGroupStored, RunOpened, RunRefused, StorageFailed

ROWS = 8
KEPT = {0: [0, 1], 1: [2], 2: [], 3: [6, 7]}
DROPPED = {0: [], 1: [3], 2: [4, 5], 3: []}
ORDER = (1, 0, 2, 3)
STORE_OPERATIONS = ("append", "write", "rename", "sync_folder")


class Killed(BaseException):
    """The process ends here."""


class FaultyFileSystem(LocalReading):
    """The real files, but operation number `at` goes wrong, before, half-way or after it was done."""

    def __init__(self, *, at, error, when):
        self.at = at
        self.error = error
        self.when = when
        self.done = []
        self._real = LocalFileSystem()

    def __getattr__(self, name):
        def operate(*arguments):
            self.done.append(name)
            if len(self.done) - 1 != self.at:
                return getattr(self._real, name)(*arguments)
            if self.when == "half" and isinstance(arguments[-1], bytes):
                data = arguments[-1]
                getattr(self._real, name)(*arguments[:-1], data[: len(data) // 2])
            # Making a folder is one step: it fails or it happens.
            if self.when == "after" and name != "claim_folder":
                getattr(self._real, name)(*arguments)
            raise self.error

        return operate

    @property
    def struck(self):
        return len(self.done) > self.at


class Disk(LocalReading):
    """A disk in memory that keeps, over a loss of power, only what was synced.

    `eager` is its other legal behaviour: it writes names down before it is asked to.
    """

    FOLDER = object()

    def __init__(self, *, at, eager):
        self._operations = at
        self._eager = eager
        self._names = {}
        self._durable = {}

    def _operation(self):
        self._operations -= 1
        if self._operations < 0:
            raise Killed

    def make_folders(self, folder):
        self._operation()
        self._names[folder] = self._durable[folder] = self.FOLDER

    def claim_folder(self, folder):
        self._operation()
        if folder in self._names:
            raise FileExistsError(errno.EEXIST, "File exists", str(folder))
        self._name(folder, self.FOLDER)

    def write(self, path, data):
        self._operation()
        self._name(path, bytearray(data))

    def append(self, path, at, data):
        self._operation()
        self._names[path][at:] = data

    def rename(self, old, new):
        self._operation()
        content = self._names.pop(old)
        if self._eager:
            self._durable.pop(old, None)
        self._name(new, content)

    def sync_folder(self, folder):
        self._operation()
        for path in [path for path in self._durable if path.parent == folder and path not in self._names]:
            del self._durable[path]
        self._durable |= {path: held for path, held in self._names.items() if path.parent == folder}

    def remove(self, path):
        self._operation()
        del self._names[path]

    def remove_folder(self, folder):
        self._operation()
        del self._names[folder]

    def lock(self, path):
        self._operation()
        return self

    def release(self):
        """A lock leaves nothing behind."""

    def _name(self, path, content):
        self._names[path] = content
        if self._eager:
            self._durable[path] = content

    def lose_power(self):
        """Put what survives where the disk's paths say."""
        for path, content in sorted(self._durable.items()):
            if content is self.FOLDER:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.write_bytes(content)


def answer(core, message):
    (outgoing,) = core.handle(message, now=0.0)
    core.check()
    return outgoing.message


def core_on(files):
    return StorageCore(FileRuns(files), FileSources())


def store_message(build, row_group):
    return build.row_group(row_group, rows=KEPT[row_group], dropped=DROPPED[row_group])


def closing(build):
    return build.closing(requested=ROWS, written=5, dropped=3, status="partial")


def run_whole(core, build, out, acknowledged):
    """Run to the end and note what storage has acknowledged so far."""
    assert isinstance(answer(core, build.opening(rows=ROWS, out=out, capacity_plan={})), RunOpened)
    acknowledged.append("opened")
    for row_group in ORDER:
        assert isinstance(answer(core, store_message(build, row_group)), RowGroupStored)
        acknowledged.append(row_group)
    assert answer(core, closing(build)).result.status == "partial"
    acknowledged.append("closed")


def assert_whole(out, acknowledged):
    """Assert that the folder is a legal one, and has everything that was acknowledged."""
    acknowledged = list(acknowledged)
    if "opened" not in acknowledged and not (out / "manifest.json").exists():
        return
    run = open_run_folder(out)
    assert run.manifest.status == ("partial" if "closed" in acknowledged else run.manifest.status)
    files = run.rows_files()
    assert files.keys() >= {entry for entry in acknowledged if isinstance(entry, int)}
    for row_group, path in files.items():
        assert [json.loads(line)["n"] for line in path.read_bytes().splitlines()] == KEPT[row_group]
    drops = [record.row for record in run.dropped()]
    assert sorted(drops) == sorted(row for row_group in files for row in DROPPED[row_group])


def operations_of_a_run(build, out):
    counting = FaultyFileSystem(at=10_000, error=OSError(), when="before")
    run_whole(core_on(counting), build, out, [])
    return counting.done


@pytest.mark.parametrize("when", ["before", "half", "after"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "Input/output error")]
)
def test_r10_after_any_failed_operation_storing_again_completes_the_run(build, tmp_path, error, when):
    operations = operations_of_a_run(build, tmp_path / "counted")
    for at, operation in enumerate(operations):
        out = tmp_path / f"{at}-{operation}"
        files = FaultyFileSystem(at=at, error=error, when=when)
        core = core_on(files)
        opening = build.opening(rows=ROWS, out=out, capacity_plan={})
        answers = [answer(core, opening)]
        if isinstance(answers[0], RunRefused):
            assert error.strerror in answers[0].problems[0].message
            assert isinstance(answer(core, opening), RunOpened)
        for row_group in ORDER:
            stored = answer(core, store_message(build, row_group))
            answers.append(stored)
            if isinstance(stored, StorageFailed):
                assert stored.row_group == row_group
                assert row_group not in open_run_folder(out).rows_files()
                assert isinstance(answer(core, store_message(build, row_group)), RowGroupStored)
        result = answer(core, closing(build)).result
        failures = [entry for entry in answers if isinstance(entry, RunRefused | StorageFailed)]
        assert len(failures) + (result.status == "failed") == 1, operation
        assert files.struck
        assert_whole(out, ["opened", *ORDER])
        assert len((out / "dropped.jsonl").read_bytes().splitlines()) == 3
        assert [row["n"] for row in read_rows(str(out))] == [0, 1, 2, 6, 7]
        assert result.output == str(out)


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_r10_a_process_killed_at_any_operation_leaves_only_whole_row_groups(build, tmp_path, when):
    for at, operation in enumerate(operations_of_a_run(build, tmp_path / "counted")):
        out = tmp_path / f"{at}-{operation}"
        acknowledged = []
        with pytest.raises(Killed):
            run_whole(core_on(FaultyFileSystem(at=at, error=Killed(), when=when)), build, out, acknowledged)
        assert_whole(out, acknowledged)


@pytest.mark.parametrize("eager", [False, True])
def test_r10_what_was_acknowledged_survives_a_loss_of_power_at_any_operation(build, tmp_path, eager):
    for at in range(len(operations_of_a_run(build, tmp_path / "counted"))):
        out = tmp_path / str(at)
        acknowledged = []
        disk = Disk(at=at, eager=eager)
        with pytest.raises(Killed):
            run_whole(core_on(disk), build, out, acknowledged)
        disk.lose_power()
        assert_whole(out, acknowledged)


def test_r10_dropped_rows_are_on_disk_before_the_row_group_has_its_file(build, tmp_path):
    files = FaultyFileSystem(at=10_000, error=OSError(), when="before")
    core = core_on(files)
    answer(core, build.opening(rows=ROWS, out=tmp_path / "out"))
    files.done.clear()
    answer(core, store_message(build, 1))
    assert tuple(files.done) == STORE_OPERATIONS


def test_r13_drops_of_a_row_group_that_never_got_its_file_are_cut_off_at_the_end(build, tmp_path):
    out = tmp_path / "out"
    files = FaultyFileSystem(at=-1, error=OSError(errno.EIO, "Input/output error"), when="before")
    core = core_on(files)
    answer(core, build.opening(rows=ROWS, out=out))
    answer(core, store_message(build, 1))
    files.at = len(files.done) + STORE_OPERATIONS.index("rename")
    assert isinstance(answer(core, store_message(build, 2)), StorageFailed)
    assert len((out / "dropped.jsonl").read_bytes().splitlines()) == 3
    answer(core, build.closing(requested=ROWS, written=1, dropped=1, pending=6, status="failed"))
    assert len((out / "dropped.jsonl").read_bytes().splitlines()) == 1
    assert_whole(out, ["opened", 1])


def test_a_failed_write_names_its_file(tmp_path):
    with pytest.raises(OSError, match=r"/dev/full"):
        LocalFileSystem().write(Path("/dev/full"), b"x")
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(OSError, match=r"has lost lines.*short"):
        LocalFileSystem().append(tmp_path / "short", 4, b"x")
    assert (tmp_path / "short").read_bytes() == b"abc"


def test_what_an_earlier_crash_left_behind_is_replaced(tmp_path):
    (tmp_path / "file.tmp").write_bytes(b"half of an earl")
    publish(LocalFileSystem(), tmp_path / "file", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"whole"


CHILD = """
import sys
from actors.storage.core import StorageCore
from actors.storage.files import FileRuns
from actors.storage.source import FileSources
from messages import DroppedRow, Job
from messages.storage import OpenRun, StoreRowGroup

size = 500
core = StorageCore(FileRuns(), FileSources())
job = Job(name="endless", rows=size * 100_000, row_group_size=size)
core.handle(OpenRun("run", job, job.rows, ("n", "text"), sys.argv[1]), now=0.0)
for group in range(100_000):
    first = group * size
    rows = list(range(first + 1, first + size))
    columns = {"n": rows, "text": ["x" * 200] * len(rows)}
    drop = DroppedRow(row=first, column="n", attempts=1, reason="failed", error="boom")
    (stored,) = core.handle(
        StoreRowGroup("run", group, columns, len(rows), (drop,), reply_to="parent"), now=0.0
    )
    print(stored.message.row_group, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 8, 30])
def test_r10_a_killed_process_leaves_only_whole_row_groups(tmp_path, acknowledged):
    out = tmp_path / "out"
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(out)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as child:
        for _ in range(acknowledged):
            last = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    run = open_run_folder(out)
    assert run.manifest.status == "running"
    files = run.rows_files()
    assert list(files) == list(range(len(files)))
    assert len(files) > last
    decode = msgspec.json.decode
    for group, path in files.items():
        numbers = [decode(line)["n"] for line in path.read_bytes().splitlines()]
        assert numbers == list(range(group * 500 + 1, group * 500 + 500))
    assert [record.row for record in run.dropped()] == [group * 500 for group in files]
