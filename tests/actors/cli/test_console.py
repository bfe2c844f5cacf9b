"""What actors tell on a console: the log's facts, at levels that make sense, with what to do."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path

import pytest

from actors.cli.console import one_line_of
from actors.evidence.human import LEVEL, LEVELS, entry_of
from actors.evidence.reader import read_events, read_log
from actors.runtime.logger import tell_program
from messages.remedies import REMEDIES, remedy_of
from messages.telemetry import Event, LogEntry

ROOT = Path(__file__).parents[3]

STORM = """
name = "storm"
rows = {rows}
row_group_size = 10
[providers.sim]
kind = "simulated"
latency_ms = {{ mean = 2 }}
script = [{{ at = 0, refuse_rate = 1.0, retry_after = 0.01 }}, {{ at = 0.3, refuse_rate = 0.0 }}]
[models.writer]
provider = "sim"
model = "m"
max_parallel_requests = 2
limit = {{ circuit_after_seconds = 0.05, circuit_probe_seconds = 0.02, cooldown_seconds = 0.01 }}
[columns.{function}]
kind = "chat"
model = "writer"
prompt = "x"
[failure]
backoff_seconds = 0.02
"""


def lines_of(log, least):
    """Return the log's events and actors' lines from a level on, as lines of actors."""
    found = [entry_of(placed.event) for placed in read_events(log)]
    found += [line.record for line in read_log(log) if isinstance(line.record, LogEntry)]
    return [entry for entry in found if LEVELS.index(entry.level) >= LEVELS.index(least)]


def without_start_and_stop(entries):
    """Leave out the lines that are told before a run's log is opened, or after it was closed."""
    return [entry for entry in entries if entry.event not in ("actor_started", "actor_stopped")]


@pytest.mark.parametrize("level", ["debug", "info", "warning"])
def test_the_console_tells_the_same_facts_as_the_log(leasehold, level):
    done = leasehold("run", leasehold.job(text=STORM), "--out", "out", "--log-level", level)
    told = Counter(re.findall(r"^\d+\.\d{3} \[\w+\] (\w+) ", done.stderr, re.MULTILINE))
    entries = without_start_and_stop(lines_of(leasehold.folder / "out" / "actors.jsonl", level))
    held = Counter(entry.event for entry in entries)
    assert held["provider_exhausted"] == held["request_circuit_opened"] == 1
    assert held - told == Counter()
    for entry in entries:
        if entry.event not in ("job_stopping", "actor_started", "actor_stopped"):
            assert one_line_of(entry, colors=False) in done.stderr


def test_without_a_level_only_warnings_of_actors_are_told_and_what_to_do(leasehold):
    done = leasehold("run", leasehold.job(text=STORM), "--out", "out")
    told = [line for line in done.stderr.splitlines() if re.match(r"\d+\.\d{3} \[", line)]
    assert {line.split()[2] for line in told} == {"provider_degraded", "provider_exhausted"}
    for line in told:
        assert "[warning]" in line
        assert line.endswith(remedy_of(line.split()[2]))


def test_a_quiet_run_is_quiet_in_a_storm(leasehold):
    done = leasehold("run", leasehold.job(text=STORM), "--out", "out", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_and_a_level_contradict_each_other(leasehold):
    done = leasehold("run", leasehold.job(), "--out", "out", "--quiet", "--log-level", "info")
    assert done.returncode == 2
    assert done.stderr == "error: --quiet and --log-level contradict each other: give one of them\n"


def test_a_log_read_back_tells_what_to_do_too(leasehold):
    leasehold("run", leasehold.job(text=STORM), "--out", "out", "--quiet")
    done = leasehold("logs", "out", "--level", "warning", "--kind", "provider_exhausted")
    assert done.stdout.rstrip().endswith(remedy_of("provider_exhausted"))
    assert remedy_of("provider_exhausted") in leasehold("inspect", "out").stdout


def test_every_warning_and_error_of_the_code_says_what_to_do():
    told_as = (r'(?:warning|error|warn)\(\s*"([a-z_]+)"', r'"(?:warning|error)",\s*"([a-z]+_[a-z_]+)"')
    told = {
        event
        for path in (ROOT / "actors").rglob("*.py")
        for pattern in told_as
        for event in re.findall(pattern, path.read_text())
    }
    assert {"provider_exhausted", "thread_abandoned", "log_failed", "actor_crashed"} <= told
    assert told - set(LEVEL) <= set(REMEDIES)


def test_what_happens_to_every_task_is_debug_and_what_costs_a_row_a_warning():
    assert LEVEL["task_lease_acquired"] == LEVEL["request_wait_started"] == "debug"
    assert LEVEL["request_rate_limited"] == LEVEL["row_group_checkpointed"] == "info"
    assert {kind for kind, level in LEVEL.items() if level == "warning"} == {
        "worker_spawn_failed",
        "non_retryable_dropped",
        "release_diagnostic",
        "request_release_diagnostic",
        "request_circuit_opened",
    }


def test_a_program_hears_of_a_warning_through_its_own_loggers(caplog):
    entry = LogEntry(1.0, "worker", "warning", "event_loop_blocked", {"column": "a", "stack": ["long"] * 9})
    with caplog.at_level(logging.INFO):
        tell_program(entry)
        tell_program(LogEntry(1.0, "worker", "debug", "nothing_of_note", {}))
    (record,) = caplog.records
    assert (record.name, record.levelname, record.entry) == ("leasehold.worker", "WARNING", entry)
    assert record.getMessage() == f"event_loop_blocked column=a: {remedy_of('event_loop_blocked')}"


def test_a_line_is_one_line_whatever_its_fields_hold():
    entry = LogEntry(1.0, "worker", "warning", "message_rejected", {"reason": "two\nlines\x1b[31m"})
    line = one_line_of(entry, colors=False)
    assert line.isprintable()
    assert "\x1b" in one_line_of(entry, colors=True)


def test_people_are_spared_whole_plans_and_the_noise_of_binary_fractions():
    event = Event("scheduler_job_started", 0.1, snapshot={"configured": {"long": 1}}, diagnostics={"rows": 3})
    assert entry_of(event).fields == {}
    deferred = Event("retry_deferred", 0.1, diagnostics={"until": 0.1 + 0.2, "attempt": 1})
    assert entry_of(deferred).fields == {"until": 0.3, "attempt": 1}
