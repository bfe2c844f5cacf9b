"""Health checks in logs: attempts of no task and no run, held to the lifecycle of attempts all the same."""

from __future__ import annotations

import pytest

from actors.evidence.verify import verify_log
from actors.telemetry.core import TelemetryCore
from actors.telemetry.sinks import open_log_file
from messages.telemetry import CloseRunLog, LogEntry, OpenRunLog, RecordLog
from tests.actors.evidence.log_script import CHAT, Script, a_plan, line_of, some_capacity, tell

HEALTH = "sim/writer-1/healthcheck"
WAIT = ("request_wait_started", "request_wait_completed")
CALL = (
    "request_lease_acquired",
    "model_request_started",
    "model_request_completed",
    "request_lease_released",
)


class ProbedScript(Script):
    """A run whose providers were probed before it; lease and attempt numbers go on from there."""

    def register(self, name, cap=1):
        diagnostics = {"endpoint": "sim/writer-1", "static_cap": cap}
        self.emit("request_resource_registered", resource=name, diagnostics=diagnostics)

    def probe(self, *kinds, resource=HEALTH, outcome="success"):
        """Tell these kinds of events of one probe: all that there are, where none are named."""
        self.attempts += 1
        self.request_leases += 1
        for kind in kinds or (*WAIT, *CALL):
            ended = kind in ("model_request_completed", "request_lease_released")
            self.emit(
                kind,
                request_attempt_id=self.attempts,
                request_lease_id=self.request_leases if kind in CALL else 0,
                resource=resource,
                reason_or_outcome=outcome if ended else "",
            )

    def run_all(self):
        self.register(CHAT.name, cap=2)
        self.start()
        self.run(self.correlation("story"), attempts=1)
        self.complete()
        return self


@pytest.fixture
def script():
    script = ProbedScript(a_plan(rows=0))
    script.register(HEALTH)
    return script


@pytest.fixture
def verified(tmp_path):
    """Write a system's log of the events, and a run's of those after the first `before`; verify both."""

    def verify(events, plan, before):
        whole, own = tmp_path / "system.jsonl", tmp_path / "run.jsonl"
        core = TelemetryCore(open_log=open_log_file, system_log=open_log_file(whole))
        tell(core, events[:before])
        core.handle(OpenRunLog(plan.run_id, plan, some_capacity(), str(own)), now=0.0)
        tell(core, events[before:])
        core.handle(CloseRunLog(plan.run_id), now=99.0)
        core.close(now=99.0)
        return verify_log(whole), verify_log(own)

    return verify


def found(report):
    return [(violation.rule, violation.lines) for violation in report.violations]


def test_a1_a_probe_and_the_run_after_it_verify_in_the_systems_log_and_in_the_runs_own(script, verified):
    script.probe()
    before = len(script.events)
    system, own = verified(script.run_all().events, script.plan, before)
    assert (found(system), found(own)) == ([], [])
    assert (system.counts.request_leases, own.counts.request_leases) == (2, 1)
    assert (system.counts.model_requests, own.counts.model_requests) == (2, 1)
    assert system.counts.most_requests[HEALTH] == 1


def test_a1_a_probes_lease_that_never_comes_back_is_caught(script, verified):
    script.probe(*WAIT, *CALL[:-1])
    before = len(script.events)
    system, own = verified(script.run_all().events, script.plan, before)
    assert found(system) == [
        ("request_lease_not_returned", (line_of(script.events, "model_request_completed"),))
    ]
    assert found(own) == []


def test_a1_a_probes_lease_that_comes_back_twice_is_caught(script, verified):
    script.probe()
    script.events.append(script.events[-1])
    before = len(script.events)
    system, _ = verified(script.run_all().events, script.plan, before)
    assert found(system) == [("request_lease_returned_once", (before + 1,))]


def test_a7_a_probe_that_still_waits_at_the_end_is_caught(script, verified):
    script.probe(WAIT[0])
    before = len(script.events)
    system, _ = verified(script.run_all().events, script.plan, before)
    assert found(system) == [("waiter_left", (line_of(script.events, "request_wait_started"),))]


def test_a1_a_probe_without_a_lease_is_caught(script, verified):
    script.probe(*WAIT, *CALL[1:3])
    before = len(script.events)
    system, _ = verified(script.run_all().events, script.plan, before)
    assert "one_attempt_per_request_lease" in {rule for rule, _ in found(system)}


def test_a3_more_probes_at_once_than_the_cap_are_caught(script, verified):
    script.probe(*WAIT, *CALL[:2])
    script.probe()
    first = script.events[2].request_lease_id
    script.emit("model_request_completed", request_attempt_id=1, request_lease_id=first, resource=HEALTH)
    script.emit("request_lease_released", request_attempt_id=1, request_lease_id=first, resource=HEALTH)
    before = len(script.events)
    system, _ = verified(script.run_all().events, script.plan, before)
    second = line_of(script.events, "request_lease_acquired", 1)
    assert {(rule, lines[-1]) for rule, lines in found(system)} == {("capacity", second), ("limit", second)}


def test_a_probe_of_a_resource_that_was_never_registered_is_caught(script, verified):
    script.probe(resource="nobody/knows/healthcheck")
    before = len(script.events)
    system, _ = verified(script.run_all().events, script.plan, before)
    assert found(system) == [("run", (line_of(script.events, "request_lease_acquired"),))]


def test_an_attempt_of_no_task_that_is_no_health_check_is_caught(script, verified):
    script.register(CHAT.name, cap=2)
    script.probe(resource=CHAT.name)
    before = len(script.events)
    system, _ = verified(script.run_all().events, script.plan, before)
    assert ("lifecycle", (line_of(script.events, "request_wait_started"),)) in found(system)


def test_r11_the_end_of_a_cancelled_probe_may_come_after_a_run_has_begun(script, verified):
    script.probe(*WAIT, *CALL[:2])
    before = len(script.events)
    script.register(CHAT.name, cap=2)
    about = {"request_attempt_id": 1, "request_lease_id": 1, "resource": HEALTH}
    for kind in CALL[2:]:
        script.emit(kind, **about, reason_or_outcome="local_cancelled")
    script.start()
    script.run(script.correlation("story"), attempts=1)
    system, own = verified(script.complete().events, script.plan, before)
    assert (found(system), found(own)) == ([], [])


def test_the_end_of_a_probe_that_began_nowhere_is_caught_in_a_log_that_would_know(script, verified):
    script.probe(*CALL[2:])
    before = len(script.events)
    system, own = verified(script.run_all().events, script.plan, before)
    assert {rule for rule, _ in found(system)} == {
        "one_attempt_per_request_lease",
        "wrong_lease",
        "request_lease_returned_once",
    }
    assert found(own) == []


def test_a_probe_that_begins_in_a_runs_own_log_is_held_to_its_end_there(script, verified):
    script.probe()
    before = len(script.events)
    script.register(HEALTH)
    script.probe()
    script.events.append(script.events[-1])
    at = len(script.events) - before + 1
    _, own = verified(script.run_all().events, script.plan, before)
    assert found(own) == [("request_lease_returned_once", (at,))]


@pytest.mark.parametrize("lost", [False, True])
def test_a1_only_a_lost_workers_health_check_comes_back_without_its_end(script, tmp_path, lost):
    """Nobody is left to say how it ended, as with a lost worker's tasks."""
    script.probe(*WAIT, *CALL[:2], CALL[3], outcome="local_cancelled")
    log = tmp_path / "actors.jsonl"
    core = TelemetryCore(open_log=open_log_file, system_log=open_log_file(log))
    tell(core, script.events)
    if lost:
        core.handle(RecordLog([LogEntry(9.0, "worker", "error", "actor_crashed", {})]), now=9.0)
    core.close(now=99.0)
    assert found(verify_log(log)) == (
        [] if lost else [("one_attempt_per_request_lease", (line_of(script.events, CALL[3]),))]
    )
