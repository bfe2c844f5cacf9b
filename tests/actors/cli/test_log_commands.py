"""`leasehold verify`, `logs` and `play` as a user meets them."""

from __future__ import annotations

import json

import pytest


def test_verify_proves_a_run_by_its_folder_or_its_log(leasehold, penguins):
    _, out = penguins

    for path in (out, out / "actors.jsonl"):
        done = leasehold("verify", path)
        assert done.returncode == 0
        assert "verified" in done.stdout


def test_verify_names_the_lines_of_what_does_not_hold_and_exits_1(leasehold, penguins):
    lines = (penguins[1] / "actors.jsonl").read_text().splitlines(keepends=True)
    records = [json.loads(line) for line in lines]
    removed = next(at for at in range(500, len(records)) if "sequence" in records[at])
    stream = records[removed].get("stream")
    # The gap shows at the next event of the same stream, which is now one line further up.
    shows_at = next(
        at
        for at in range(removed + 1, len(records))
        if "sequence" in records[at] and records[at].get("stream") == stream
    )
    (leasehold.folder / "log.jsonl").write_text("".join(lines[:removed] + lines[removed + 1 :]))

    done = leasehold("verify", "log.jsonl", "--json")

    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert not report["ok"]
    assert [shows_at] in [found["lines"] for found in report["violations"] if found["rule"] == "sequence"]


@pytest.mark.parametrize("content", [None, "some,table\n1,2\n", '{"a": 1}\n'])
def test_verify_of_what_is_no_log_exits_2(leasehold, content):
    if content is not None:
        (leasehold.folder / "thing").write_text(content)

    done = leasehold("verify", "thing")

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_verify_of_a_folder_without_a_log_exits_2(leasehold):
    done = leasehold("verify", ".")

    assert done.returncode == 2
    assert "holds no actors.jsonl" in done.stderr


def test_logs_of_what_is_no_log_exits_2(leasehold):
    (leasehold.folder / "thing").write_text("some,table\n1,2\n")

    done = leasehold("logs", "thing")

    assert (done.returncode, done.stdout) == (2, "")
    assert "is no actor log" in done.stderr


def test_logs_shows_only_what_is_asked_for(leasehold, penguins):
    done = leasehold(
        "logs", penguins[1], "--actor", "scheduler", "--level", "info", "--kind", "row_group_admitted"
    )

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 7


def test_logs_of_a_torn_log_shows_what_is_there_and_names_the_torn_line(leasehold, penguins):
    whole = (penguins[1] / "actors.jsonl").read_bytes()
    (leasehold.folder / "log.jsonl").write_bytes(whole[:5000])

    done = leasehold("logs", "log.jsonl")

    shown = whole[:5000].count(b"\n")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == shown
    assert done.stderr.startswith(f"line {shown + 1}: ")


def test_logs_ends_quietly_when_its_reader_goes_away(leasehold, penguins):
    with leasehold.start("logs", penguins[1]) as logs:
        assert logs.stdout.readline()
        logs.stdout.close()
        complaints = logs.stderr.read()

    assert (logs.returncode, complaints) == (0, "")


@pytest.mark.parametrize(
    ("options", "remedy"),
    [(("--actor", "shceduler"), "did you mean 'scheduler'"), (("--level", "loud"), "'warning'")],
)
def test_logs_refuses_names_that_do_not_exist(leasehold, penguins, options, remedy):
    done = leasehold("logs", penguins[1], *options)

    assert done.returncode == 2
    assert remedy in done.stderr


def test_logs_says_so_when_a_kind_is_unknown(leasehold, penguins):
    done = leasehold("logs", penguins[1], "--kind", "task_lease_aquired")

    assert (done.returncode, done.stdout) == (0, "")
    assert "did you mean 'task_lease_acquired'" in done.stderr


@pytest.mark.parametrize(
    ("message", "expect", "code"),
    [
        ("GetSnapshot", "ActorSnapshot", 0),
        ("GetSnapshot", "JobAccepted", 1),
        ("GetSnapsho", "ActorSnapshot", 2),
    ],
)
def test_play_writes_the_transcript_and_exits_by_the_expectations(leasehold, message, expect, code):
    line = {"to": "scheduler", "message": {"type": message}, "expect": {"type": expect, "timeout": 0.1}}
    (leasehold.folder / "script.jsonl").write_text(json.dumps(line))

    done = leasehold("play", "script.jsonl")

    assert done.returncode == code
    assert ("ActorSnapshot" in done.stdout) == (code != 2)
    assert bool(done.stderr) == (code != 0)
