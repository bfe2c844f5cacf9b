"""Ctrl-C once, twice, and an end without warning."""

from __future__ import annotations

import json
import signal

import pytest

from actors.cli.interrupts import NOTICE


def whole_row_groups(folder):
    """Return how many row groups are on disk, each of them whole."""
    files = sorted(folder.glob("rows/*.jsonl"))
    for number, path in enumerate(files):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert [row["n"] for row in rows] == list(range(number * 10, number * 10 + 10))
    return len(files)


def wait_for_third_row_group(run):
    assert run.stdout.readline() == "reached\n"


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_r11_an_interrupt_cancels_keeps_what_is_finished_and_exits_130(leasehold, interrupt):
    job = leasehold.job("stops_in_the_third_row_group", rows=100)
    with leasehold.start("run", job, "--out", "out") as run:
        wait_for_third_row_group(run)
        run.send_signal(interrupt)
        told, complaints = run.communicate(timeout=20)

    assert run.returncode == 130
    assert NOTICE in complaints.splitlines()
    assert "cancelled; what had finished is kept" in told
    assert "20 of 100 rows written, 0 dropped, 80 not reached" in told
    assert f"  continue: leasehold run {job} --out out --resume" in told.splitlines()
    assert whole_row_groups(leasehold.folder / "out") == 2
    assert leasehold("verify", "out").returncode == 0


def test_r11_the_json_result_of_an_interrupted_run_says_cancelled(leasehold):
    job = leasehold.job("stops_in_the_third_row_group", rows=100)
    with leasehold.start("run", job, "--out", "out", "--json") as run:
        while run.stderr.readline() != "reached\n":
            assert run.poll() is None
        run.send_signal(signal.SIGINT)
        told, _ = run.communicate(timeout=20)

    assert run.returncode == 130
    result = json.loads(told)
    assert (result["status"], result["rows_pending"]) == ("cancelled", 80)


def test_a_second_interrupt_kills_at_once_whatever_is_stuck(leasehold):
    with leasehold.start("run", leasehold.job("blocks_the_worker"), "--out", "out") as run:
        assert run.stdout.readline() == "reached\n"
        run.send_signal(signal.SIGINT)
        while run.stderr.readline().rstrip() != NOTICE:
            assert run.poll() is None
        run.send_signal(signal.SIGINT)
        told, _ = run.communicate(timeout=5)

    assert run.returncode == 130
    assert told == ""


def test_r10_a_killed_run_leaves_only_whole_row_groups(leasehold):
    job = leasehold.job("stops_in_the_third_row_group", rows=100)
    with leasehold.start("run", job, "--out", "out") as run:
        wait_for_third_row_group(run)
        run.kill()
        run.communicate(timeout=20)

    assert run.returncode == -signal.SIGKILL
    assert whole_row_groups(leasehold.folder / "out") == 2
    assert leasehold("verify", "out").returncode == 1
    assert "log opened" in leasehold("logs", "out").stdout
