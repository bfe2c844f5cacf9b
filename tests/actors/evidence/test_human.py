"""A log's lines as people read them."""

from __future__ import annotations

from typing import get_args

from actors.evidence.human import LEVEL, OWNER, LogFilter, format_line
from actors.evidence.reader import read_log
from actors.telemetry.log_codec import EventRecord, LogHeader
from messages.telemetry import LogEntry, RequestEventKind, SchedulerEventKind
from tests.actors.evidence.log_script import a_run, write_log

ENTRY = LogEntry(
    1.5, "scheduler", "info", "job_accepted", {"job": "my penguins", "rows": 4, "run_id": "run-1"}
)


def test_every_kind_of_event_has_an_owner_and_a_level():
    kinds = {*get_args(SchedulerEventKind), *get_args(RequestEventKind)}

    assert OWNER.keys() == kinds
    assert LEVEL.keys() == kinds


def test_a_log_line_and_an_event_read_alike():
    lease = EventRecord(
        7, "task_lease_released", 12.25, task_execution_id=5, task_lease_id=3, reason_or_outcome="success"
    )

    assert format_line(ENTRY) == (
        "    1.500000 info    scheduler         job_accepted                "
        'job="my penguins" rows=4 run_id=run-1'
    )
    assert format_line(lease) == (
        "   12.250000 debug   task_admission    task_lease_released         "
        "execution=5 lease=3 reason=success"
    )
    assert format_line(LogHeader("leasehold", 1, "2026-01-01T00:00:00+00:00", {})) == (
        "log opened 2026-01-01T00:00:00+00:00"
    )


def test_every_line_of_a_run_can_be_read_on_one_line(tmp_path):
    for line in read_log(write_log(tmp_path / "log.jsonl", a_run().events)):
        text = format_line(line.record)
        assert text
        assert "\n" not in text


def test_lines_are_chosen_by_actor_level_and_kind(tmp_path):
    records = [line.record for line in read_log(write_log(tmp_path / "log.jsonl", a_run().events))]
    records.append(ENTRY)

    def chosen(**asked):
        return [record for record in records if LogFilter(**asked).wants(record)]

    assert chosen() == records
    assert len(chosen(kind="worker_spawned")) == 8
    assert {record.event_kind for record in chosen(actor="task_admission")} == {
        "task_lease_acquired",
        "task_lease_released",
    }
    assert [OWNER[record.event_kind] for record in chosen(level="info")[:-1]] == ["scheduler"] * 6
    assert chosen(level="info")[-1] == ENTRY
    assert chosen(level="warning") == []
    assert chosen(actor="scheduler", kind="job_accepted") == [ENTRY]
