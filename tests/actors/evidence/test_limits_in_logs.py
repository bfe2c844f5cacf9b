"""What a log says of limits, gates and circuits, and of leases that were granted against them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.evidence.verify import verify_log
from messages.request_admission import RequestResourceSpec
from messages.tasks import RequestResourceKey
from tests.actors.evidence.log_script import CHAT, Script, a_plan, line_of, write_log

NAME = CHAT.name


class RequestScript(Script):
    """A run of one task whose attempts are told one event at a time."""

    def __init__(self, *, cap=4, initial=2, replicas=()):
        plan = a_plan(rows=0, cap=cap)
        specs = (*plan.request_resources, *(RequestResourceSpec(resource, cap) for resource in replicas))
        super().__init__(msgspec.structs.replace(plan, request_resources=specs))
        self.register(*(spec.resource.name for spec in specs), initial=initial, cap=cap)
        self.start()
        self.about = self.correlation("story")
        self._task = self.steps(self.about)
        while self.events[-1].event_kind != "worker_spawned":
            next(self._task)

    def register(self, *names, initial=2, cap=4):
        for name in names:
            self.emit(
                "request_resource_registered",
                resource=name,
                diagnostics={
                    "endpoint": name.rpartition("/")[0],
                    "static_cap": cap,
                    "initial_limit": initial,
                    "effective_max": cap,
                },
            )

    def ask(self, *, resource=NAME, about=None):
        self.attempts += 1
        correlation = None if resource.endswith("/healthcheck") else about or self.about
        self.emit("request_wait_started", correlation, request_attempt_id=self.attempts, resource=resource)
        return self.attempts, correlation, resource

    def grant(self, asked=None, *, resource=None, at=None):
        attempt, correlation, wanted = asked or self.ask()
        about = {"request_attempt_id": attempt, "resource": resource or wanted}
        self.emit("request_wait_completed", correlation, at=at, **about)
        self.request_leases += 1
        about["request_lease_id"] = self.request_leases
        self.emit("request_lease_acquired", correlation, at=at, **about)
        self.emit("model_request_started", correlation, at=at, **about)
        return correlation, about

    def give_back(self, granted, outcome="success"):
        correlation, about = granted
        self.emit("model_request_completed", correlation, **about, reason_or_outcome=outcome)
        self.emit("request_lease_released", correlation, **about, reason_or_outcome=outcome)

    def refused(self, until, *, resource=NAME):
        self.emit("request_rate_limited", resource=resource, diagnostics={"blocked_until": until})

    def limit(self, kind, before, after, *, reason="rate_limited", most=4):
        self.emit(
            f"request_{kind}",
            resource=NAME,
            reason_or_outcome=reason,
            diagnostics={"before": before, "after": after, "effective_max": most},
        )

    def circuit(self, what):
        self.emit(f"request_circuit_{what}", resource=NAME)

    def end(self):
        for _ in self._task:
            pass
        return self.complete().events

    def last(self, kind):
        return line_of(self.events, kind, -1)


@pytest.fixture
def script():
    return RequestScript()


@pytest.fixture
def found(tmp_path):
    """Verify a script's events; return the violations as (rule, lines)."""

    def verify(script):
        events = script.end()
        report = verify_log(write_log(tmp_path / "log.jsonl", events, script.plan))
        return [(violation.rule, violation.lines) for violation in report.violations]

    return verify


# -- the limit -----------------------------------------------------------------------------------------


def test_a3_grants_up_to_the_limit_are_legal_and_a_lowered_limit_revokes_nothing(script, found):
    held = [script.grant() for _ in range(2)]
    script.refused(0.0)
    script.limit("limit_decreased", 2, 1)
    for granted in held:
        script.give_back(granted)
    script.give_back(script.grant())
    assert found(script) == []


def test_a3_a_grant_beyond_the_initial_limit_is_caught(script, found):
    held = [script.grant() for _ in range(3)]
    for granted in held:
        script.give_back(granted)
    limit, grant = script.last("request_resource_registered"), script.last("request_lease_acquired")
    assert found(script) == [("limit", (limit, grant))]


def test_a3_a4_a_grant_beyond_a_limit_that_was_cut_is_caught(script, found):
    first = script.grant()
    script.refused(0.0)
    script.limit("limit_decreased", 2, 1)
    second = script.grant()
    script.give_back(first)
    script.give_back(second)
    assert found(script) == [
        ("limit", (script.last("request_limit_decreased"), script.last("request_lease_acquired")))
    ]


def test_a5_an_increase_and_what_it_means_make_room(script, found):
    script.refused(0.0)
    script.limit("limit_decreased", 2, 1)
    script.limit("limit_increased", 1, 4, reason="successes")
    script.limit("soft_ceiling_recovered", 1, 4, reason="successes")
    script.limit("fully_recovered", 1, 4, reason="successes")
    held = [script.grant() for _ in range(4)]
    for granted in held:
        script.give_back(granted)
    assert found(script) == []


@pytest.mark.parametrize(
    ("kind", "before", "after", "most"),
    [
        ("limit_increased", 2, 5, 4),
        ("limit_increased", 2, 2, 4),
        ("limit_increased", 2, 1, 4),
        ("limit_increased", 1, 3, 4),
        ("limit_increased", 2, 3, 5),
        ("limit_increased", 2, None, 4),
        ("effective_cap_changed", 3, None, 5),
        ("soft_ceiling_recovered", 1, 3, 4),
        ("fully_recovered", 1, 2, 4),
    ],
)
def test_a2_a5_a_limit_that_cannot_be_is_caught(script, found, kind, before, after, most):
    script.limit(kind, before, after, reason="successes", most=most)
    at = script.last(f"request_{kind}")
    assert {(rule, lines[-1]) for rule, lines in found(script)} == {("limit", at)}


def test_a2_a_cap_that_changed_is_that_of_the_registration_which_changed_it(script, found):
    script.register(NAME, cap=3)
    script.limit("effective_cap_changed", 4, None, reason="", most=3)
    script.limit("limit_increased", 2, 4, reason="successes", most=4)
    assert {lines[-1] for _, lines in found(script)} == {script.last("request_limit_increased")}


@pytest.mark.parametrize(("initial", "cap"), [(5, 4), (0, 4)])
def test_a2_a_registration_with_a_limit_that_cannot_be_is_caught(found, initial, cap):
    script = RequestScript(initial=initial, cap=cap)
    assert found(script) == [("limit", (line_of(script.events, "request_resource_registered"),))]


def test_a4_a_cut_without_a_rate_limit_is_caught(script, found):
    script.limit("limit_decreased", 2, 1)
    assert found(script) == [("limit", (script.last("request_limit_decreased"),))]


def test_a4_a_rate_limit_cuts_once(found):
    script = RequestScript(initial=4)
    script.refused(0.0)
    script.limit("limit_decreased", 4, 3)
    script.limit("limit_decreased", 3, 2)
    assert found(script) == [("limit", (script.last("request_limit_decreased"),))]


def test_a4_the_rate_limit_of_another_resource_cuts_nothing(script, found):
    script.refused(0.0, resource="sim/other/chat")
    script.limit("limit_decreased", 2, 1)
    assert found(script) == [("limit", (script.last("request_limit_decreased"),))]


@pytest.mark.parametrize("reason", ["latency", "baseline_probe"])
def test_a14_a_decrease_for_latency_needs_no_rate_limit(script, found, reason):
    script.limit("limit_decreased", 2, 1, reason=reason)
    assert found(script) == []


def test_a_registration_begins_anew(script, found):
    script.refused(50.0)
    script.limit("limit_decreased", 2, 1)
    script.circuit("opened")
    script.register(NAME, initial=3)
    held = [script.grant() for _ in range(3)]
    for granted in held:
        script.give_back(granted)
    assert found(script) == []


# -- the gate ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "legal"), [(0.9, False), (1.0, True)])
def test_a4_no_lease_is_granted_before_the_provider_allows_it(script, found, at, legal):
    script.refused(1.0)
    asked = script.ask()
    granted = script.grant(asked, at=at)
    script._time = 2.0
    script.give_back(granted)
    acquired = script.last("request_lease_acquired")
    assert found(script) == ([] if legal else [("cooldown", (script.last("request_rate_limited"), acquired))])


def test_a4_a_later_rate_limit_never_shortens_the_wait(script, found):
    script.refused(1.0)
    script.refused(0.5)
    first, second = (line_of(script.events, "request_rate_limited", nth) for nth in (0, 1))
    assert found(script) == [("cooldown", (first, second))]


def test_o2_a_rate_limit_says_until_when_it_blocks(script, found):
    script.emit("request_rate_limited", resource=NAME)
    assert found(script) == [("cooldown", (script.last("request_rate_limited"),))]


def test_a4_a_resource_waits_for_its_own_provider_alone(found):
    other = RequestResourceKey("calm", "writer-1", "chat")
    script = RequestScript(replicas=(other,))
    script.refused(50.0)
    script.give_back(script.grant(script.ask(), resource=other.name))
    assert found(script) == []


# -- the circuit -----------------------------------------------------------------------------------------


def test_a9_one_probe_at_a_time_goes_through_an_open_circuit(script, found):
    earlier = script.grant()
    script.circuit("opened")
    script.give_back(script.grant(), "rate_limited")
    script.give_back(earlier)
    probe = script.grant()
    script.give_back(probe)
    script.circuit("closed")
    held = [script.grant() for _ in range(2)]
    for granted in held:
        script.give_back(granted)
    assert found(script) == []


def test_a9_two_probes_at_once_are_caught(script, found):
    script.circuit("opened")
    held = [script.grant() for _ in range(2)]
    for granted in held:
        script.give_back(granted)
    assert found(script) == [
        ("circuit", (script.last("request_circuit_opened"), script.last("request_lease_acquired")))
    ]


@pytest.mark.parametrize("told", [["closed"], ["opened", "opened"], ["opened", "closed", "closed"]])
def test_a9_a_circuit_opens_and_closes_in_turn(script, found, told):
    for what in told:
        script.circuit(what)
    last = script.last(f"request_circuit_{told[-1]}")
    assert [(rule, lines[-1]) for rule, lines in found(script)] == [("circuit", last)]


# -- replicas --------------------------------------------------------------------------------------------


def test_a_lease_counts_against_the_replica_that_it_names(found):
    other = RequestResourceKey("calm", "writer-1", "chat")
    script = RequestScript(cap=1, initial=1, replicas=(other,))
    first = script.grant()
    second = script.grant(script.ask(), resource=other.name)
    third = script.ask()
    script.give_back(first)
    fourth = script.grant(third)
    script.give_back(second)
    script.give_back(fourth)
    assert found(script) == []


def test_a3_a_replica_over_its_cap_is_caught_though_others_were_asked_for(found):
    other = RequestResourceKey("calm", "writer-1", "chat")
    script = RequestScript(cap=1, initial=1, replicas=(other,))
    held = [script.grant(script.ask(), resource=other.name) for _ in range(2)]
    for granted in held:
        script.give_back(granted)
    at = script.last("request_lease_acquired")
    assert {(rule, lines[-1]) for rule, lines in found(script)} == {("capacity", at), ("limit", at)}


def test_a_lease_of_a_resource_that_the_run_does_not_have_is_caught(script, found):
    script.give_back(script.grant(script.ask(), resource="calm/writer-1/chat"))
    assert found(script) == [("run", (script.last("request_lease_acquired"),))]


# -- any legal life ----------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.sampled_from(["ask", "cut", "grow", "return"]), max_size=40))
def test_a3_whatever_keeps_to_the_limit_is_legal_and_one_grant_more_is_not(steps, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"

    def violations(one_more):
        script, limit, held = RequestScript(initial=2), 2, []
        for step in steps:
            if step == "ask" and len(held) < limit:
                held.append(script.grant())
            elif step == "cut" and limit > 1:
                script.refused(0.0)
                script.limit("limit_decreased", limit, limit - 1)
                limit -= 1
            elif step == "grow" and limit < 4:
                script.limit("limit_increased", limit, limit + 1, reason="successes")
                limit += 1
            elif step == "return" and held:
                script.give_back(held.pop())
        if one_more:
            held += [script.grant() for _ in range(max(1, limit + 1 - len(held)))]
        for granted in held:
            script.give_back(granted)
        path.unlink(missing_ok=True)
        return {each.rule for each in verify_log(write_log(path, script.end(), script.plan)).violations}

    assert violations(one_more=False) == set()
    assert "limit" in violations(one_more=True)
