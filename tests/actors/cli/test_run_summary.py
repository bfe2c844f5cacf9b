"""How a run ended, in words."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.cli.summary import CANCELLED_BY, summary
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


def test_r9_skipped_cells_are_counted_by_column():
    lines = summary(a_result(skipped={"title": 3, "notes": 1}), log=Path("/data/out/actors.jsonl"))
    assert [line for line in lines if "skipped" in line] == [
        "  skipped: 1 cells of notes",
        "  skipped: 3 cells of title",
    ]
