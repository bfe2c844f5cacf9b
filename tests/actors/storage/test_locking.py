"""A folder's lock: one holder, gone with its process however that ends, in nobody's way afterwards."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.storage.claim import Claim
from actors.storage.filesystem import LocalFileSystem
from actors.storage.locking import FileLock, HeldError

HOLDER = """
import os, sys, threading
from pathlib import Path
from actors.storage.locking import FileLock

lock = FileLock(Path(sys.argv[1]))
if len(sys.argv) > 2 and os.fork() == 0:
    print(os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
print("held", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.lock"


@contextmanager
def held_by_a_process(path, *how):
    root = Path(__file__).parents[3]
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    with child:
        try:
            assert child.stdout.readline()
            yield child
        finally:
            child.kill()


def test_a_lock_of_another_process_is_not_had_and_says_whose_it_is(path):
    with held_by_a_process(path) as child, pytest.raises(HeldError) as refused:
        FileLock(path)
    assert refused.value.holder.startswith(f"process {child.pid} on ")


def test_a_lock_of_a_killed_process_is_in_nobodys_way(path):
    with held_by_a_process(path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        assert path.exists()
        FileLock(path).release()
    assert not path.exists()


def test_a_child_that_outlives_a_killed_process_does_not_hold_its_lock(path):
    with held_by_a_process(path, "and forks") as child:
        assert child.stdout.readline()  # both have spoken: there are two processes
        with pytest.raises(HeldError):
            FileLock(path)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        FileLock(path).release()  # the orphan still waits for the end of its input


def test_within_a_process_a_lock_has_one_holder_as_well(path):
    lock = FileLock(path)
    with pytest.raises(HeldError, match=f"process {os.getpid()} on "):
        FileLock(path)
    lock.release()
    lock.release()
    assert not path.exists()
    FileLock(path).release()


def test_a_lock_ends_with_the_last_reference_to_it(path):
    FileLock(path)
    FileLock(path).release()


def test_who_opened_the_file_just_before_it_was_removed_makes_a_new_one(path, monkeypatch):
    first, opened = FileLock(path), os.open

    def open_and_lose(*arguments):
        file = opened(*arguments)
        first.release()
        return file

    monkeypatch.setattr(os, "open", open_and_lose)
    second = FileLock(path)
    monkeypatch.undo()
    assert path.exists()
    with pytest.raises(HeldError):
        FileLock(path)
    second.release()


def test_the_file_of_somebody_elses_lock_is_left_alone(path):
    ours = FileLock(path)
    path.rename(path.with_name("moved"))
    others = FileLock(path)
    ours.release()
    with pytest.raises(HeldError):
        FileLock(path)
    others.release()


def test_a_file_system_without_locks_keeps_nobody_out(path, monkeypatch):
    def flock(file, how):
        raise OSError(fcntl.__dict__.get("ENOLCK", 37), "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    locks = [FileLock(path), FileLock(path)]
    for lock in locks:
        lock.release()


def test_a_system_that_knows_no_such_locks_keeps_nobody_out(path, monkeypatch):
    monkeypatch.setattr("actors.storage.locking.fcntl", None)
    first, second = FileLock(path), FileLock(path)
    first.release()
    second.release()
    assert not path.exists()


def test_a_lock_file_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    with pytest.raises(OSError, match=r"none/run\.lock"):
        FileLock(tmp_path / "none" / "run.lock")


def test_a_claim_is_kept_by_the_run_that_made_it_last(tmp_path):
    claim, other = Claim(LocalFileSystem()), Claim(LocalFileSystem())
    assert claim.take("run-1", tmp_path) == ()
    assert claim.take("run-2", tmp_path) == ()
    claim.give_up("run-1")
    (problem,) = other.take("run-3", tmp_path)
    assert str(tmp_path) in problem.message
    assert f"process {os.getpid()} on" in problem.message
    assert "--resume" in problem.remedy
    assert "--out" in problem.remedy
    claim.give_up("run-2")
    assert other.take("run-3", tmp_path) == ()
    other.release()
    assert list(tmp_path.iterdir()) == []


def test_who_claims_another_folder_lets_go_of_the_first(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    claim, other = Claim(LocalFileSystem()), Claim(LocalFileSystem())
    claim.take("run-1", tmp_path / "a")
    claim.take("run-2", tmp_path / "b")
    assert other.take("run-3", tmp_path / "a") == ()
    other.release()
    claim.release()
