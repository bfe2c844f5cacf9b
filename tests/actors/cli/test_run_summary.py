"""How a run ended, in words."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
import pytest

from actors.cli.run import RunOptions, going_on, usual_log
from actors.cli.summary import CANCELLED_BY, summary
from actors.storage.layout import MANIFEST
from messages.scheduler import JobResult, ModelUsage

RESULT = JobResult(
    run_id="run",
    job_name="a job",
    status="succeeded",
    rows_requested=10,
    rows_written=10,
    rows_dropped=0,
    rows_pending=0,
    drop_reasons={},
    wall_seconds=2.0,
    first_error=None,
    models={"writer": ModelUsage(11, {"success": 10, "rate_limited": 1})},
    output="/data/out",
)


def a_result(**fields):
    return msgspec.structs.replace(RESULT, **fields)


def test_a_run_with_all_rows():
    assert summary(RESULT, log=Path("/data/out/actors.jsonl")) == [
        "a job: all rows are there",
        "  rows: 10 of 10 rows written, 0 dropped, in 2.00 s, 5.0 rows/s",
        "  model writer: 11 attempts (1 rate_limited, 10 success)",
        "  data: /data/out/rows",
        "  proof: leasehold verify /data/out",
    ]


def test_dropped_rows_tell_their_reasons_the_first_error_and_where_the_others_are():
    partial = a_result(
        status="partial",
        rows_written=8,
        rows_dropped=2,
        drop_reasons={"user_exception": 2},
        first_error="column a:\n\x1b[31mbad",
    )

    lines = summary(partial, log=Path("/data/out/actors.jsonl"))

    assert lines[0] == "a job: finished, but rows were dropped"
    assert "  dropped: 2 rows, user_exception" in lines
    assert r"  first error: column a: \x1b[31mbad" in lines
    assert "  dropped rows: /data/out/dropped.jsonl" in lines


def test_r13_a_cancelled_run_tells_the_rows_that_were_not_reached():
    cancelled = a_result(status="cancelled", rows_written=4, rows_pending=6, first_error=CANCELLED_BY)

    lines = summary(cancelled, log=Path("/data/out/actors.jsonl"))

    assert "6 not reached" in lines[1]
    assert not [line for line in lines if "first error" in line]


def test_a_log_elsewhere_is_what_the_proof_is_asked_of():
    assert (
        summary(RESULT, log=Path("/logs/a run.jsonl"))[-1] == "  proof: leasehold verify '/logs/a run.jsonl'"
    )


def test_tokens_are_told_where_providers_counted_any():
    def line(**tokens):
        usage = ModelUsage(3, {"success": 3}, **tokens)
        (found,) = (
            each for each in summary(a_result(models={"w": usage}), log=Path("log")) if "model w" in each
        )
        return found

    assert line() == "  model w: 3 attempts (3 success)"
    assert line(input_tokens=12_345, output_tokens=6_789) == (
        "  model w: 3 attempts (3 success), 12,345 tokens in, 6,789 out"
    )
    assert line(input_tokens=7) == "  model w: 3 attempts (3 success), 7 tokens in, 0 out"


def test_a9_an_unfinished_run_tells_what_continues_it_before_the_proof():
    failed = a_result(status="failed", rows_written=4, rows_pending=6, first_error="provider storm refused")
    command = "leasehold run job.toml --out out/x --resume"

    lines = summary(failed, log=Path("/data/out/actors.jsonl"), going_on=command)

    assert lines[-2:] == [f"  continue: {command}", "  proof: leasehold verify /data/out"]


@pytest.mark.parametrize(
    ("asked", "command"),
    [
        ({}, "leasehold run 'my job.toml' --out {out} --resume"),
        ({"rows": 50}, "leasehold run 'my job.toml' --out {out} --rows 50 --resume"),
        ({"health_check": False}, "leasehold run 'my job.toml' --out {out} --no-health-check --resume"),
        ({"resume": True, "log": Path("log")}, "leasehold run 'my job.toml' --out {out} --resume"),
    ],
)
def test_a9_the_command_that_continues_a_run_is_made_of_what_was_given(tmp_path, asked, command):
    out = tmp_path / "an out"
    out.mkdir()
    options = RunOptions(Path("my job.toml"), out, **{"log": usual_log(out, resume=False)} | asked)
    pending = a_result(status="failed", rows_written=4, rows_pending=6)

    assert going_on(pending, options) is None  # nothing was written there
    (out / MANIFEST).touch()
    assert going_on(pending, options) == command.format(out=shlex.quote(str(out)))
    assert going_on(a_result(status="partial", rows_written=9, rows_dropped=1), options) is None


def test_r9_skipped_cells_are_counted_by_column():
    lines = summary(a_result(skipped={"title": 3, "notes": 1}), log=Path("/data/out/actors.jsonl"))
    assert [line for line in lines if "skipped" in line] == [
        "  skipped: 1 cells of notes",
        "  skipped: 3 cells of title",
    ]
