"""Builders of storage's messages: small jobs, row groups and results."""

from __future__ import annotations

import pytest

from messages.job import Job, SequenceColumn, Source
from messages.scheduler import DroppedRow, JobResult
from messages.storage import CloseRun, InspectFiles, LoadRowGroup, OpenRun, StoreRowGroup

RUN = "run-1"


class Build:
    """Messages as the scheduler would send them, about a run with the columns `n` and `text`."""

    run_id = RUN

    def job(self, *, row_group_size=2, source=None, rows=None, base_dir="", **fields):
        source = None if source is None else Source(str(source))
        return Job(
            name="a job",
            rows=rows,
            row_group_size=row_group_size,
            source=source,
            base_dir=base_dir,
            columns={"n": SequenceColumn()},
            **fields,
        )

    def opening(self, *, rows=4, out=None, columns=("n", "text"), capacity_plan=None, run_id=RUN, **job):
        return OpenRun(
            run_id=run_id,
            job=self.job(**job),
            rows=rows,
            dataset_columns=columns,
            out=None if out is None else str(out),
            capacity_plan=capacity_plan,
            reply_to="scheduler",
        )

    def inspection(self, *, out=None, **job):
        return InspectFiles(RUN, self.job(**job), None if out is None else str(out), reply_to="scheduler")

    def dropped(self, row, *, error="boom"):
        return DroppedRow(
            row=row, column="text", attempts=1, reason="non_retryable_failure", error=error, causes=("why",)
        )

    def row_group(self, row_group, *, rows=(0, 1), dropped=(), run_id=RUN):
        """Row numbers are of the job; `n` holds them, so that a row can be told from any other."""
        return StoreRowGroup(
            run_id=run_id,
            row_group=row_group,
            columns={"n": list(rows), "text": [f"row {row}" for row in rows]},
            rows=len(rows),
            dropped=tuple(self.dropped(row) for row in dropped),
            reply_to="scheduler",
        )

    def loading(self, row_group, *, size=2, rows=None, run_id=RUN):
        rows = size if rows is None else rows
        return LoadRowGroup(run_id, row_group, row_group * size, rows, reply_to="scheduler")

    def result(self, *, requested=4, written=4, dropped=0, pending=0, status="succeeded", first_error=None):
        return JobResult(
            run_id=RUN,
            job_name="a job",
            status=status,
            rows_requested=requested,
            rows_written=written,
            rows_dropped=dropped,
            rows_pending=pending,
            drop_reasons={},
            wall_seconds=1.0,
            first_error=first_error,
            models={},
        )

    def closing(self, result=None, *, capacity_plan=None, run_id=RUN, **counts):
        result = self.result(**counts) if result is None else result
        return CloseRun(run_id, result, capacity_plan, reply_to="scheduler")


@pytest.fixture(scope="session")
def build():
    return Build()
