"""What limits a run: the layer nearest to the provider, and the setting that would move it."""

from __future__ import annotations

import threading
import time

import pytest

from actors.cli.limiting import limiting
from actors.cli.view import Lookout
from actors.runtime.processor import Effort
from actors.system.system import ActorSystem
from messages.job import Job, PythonColumn, SequenceColumn
from messages.scheduler import OpenCircuit
from messages.task_admission import TaskAdmissionBlockSummary


def test_a_full_model_with_waiters_is_named_by_alias_and_endpoint(a_view):
    found = limiting(a_view(models=[(8, 8, 12)]))

    assert found == ("request", "model alias0 (sim/m0): all 8 slots in use, 12 waiting")


def test_of_several_full_models_the_one_with_most_waiters_is_named(a_view):
    found = limiting(a_view(models=[(8, 8, 1), (1, 1, 5)]))

    assert found.text == "model alias1 (sim/m1): the only slot in use, 5 waiting"


def test_a_model_in_cooldown_says_for_how_long(a_view):
    found = limiting(a_view(models=[(0, 8, 2)], pressure={"cooldown_remaining": 1.55}))

    assert found == ("request", "model alias0 (sim/m0): paused by its provider for 1.6 s, 2 waiting")


def test_a9_a_provider_that_refuses_everything_is_named_whether_anything_waits_or_not(a_view):
    circuits = (OpenCircuit("sim/m0/chat", 2.0, 214, 14.0), OpenCircuit("sim/m1/chat", 0.0, 9, 99.0))
    views = [a_view(models=[(1, 1, waiting), (1, 1, 5)], circuits=circuits[:1]) for waiting in (7, 0)]

    assert {limiting(view) for view in views} == {
        (
            "request",
            "provider sim has refused everything for 8 s: circuit of alias0 (sim/m0) open, next probe in 4 s",
        )
    }
    longest = limiting(a_view(models=[(1, 1, 7), (1, 1, 5)], circuits=circuits)).text
    assert "for 10 s: circuit of alias1 (sim/m1) open, next probe in 1 min 29 s" in longest


def test_a9_the_next_probe_is_request_admissions_to_say_where_it_does(a_view):
    circuits = (OpenCircuit("sim/m0/chat", 2.0, 214, 14.0),)
    later = a_view(models=[(0, 1, 7)], circuits=circuits, pressure={"next_probe_at": 30.0})
    under_way = a_view(models=[(1, 1, 7)], circuits=(OpenCircuit("sim/m0/chat", 2.0, 214),))

    assert limiting(later).text.endswith("open, next probe in 20 s")
    assert limiting(under_way).text.endswith("circuit of alias0 (sim/m0) open")


def test_a13_a_model_whose_budget_is_used_up_says_for_how_long_and_what_to_raise(a_view):
    found = limiting(a_view(models=[(2, 8, 3)], pressure={"budget_blocked_until": 13.25}))

    spent = "model alias0 (sim/m0): its budget is used up for 3.2 s, 3 waiting"
    assert found == ("request", f"{spent}; raise its requests or tokens per minute")
    assert limiting(a_view(models=[(2, 8, 3)], pressure={"budget_blocked_until": 9.0})).layer != "request"


def test_a3_a_full_model_whose_limit_was_cut_says_how_much_there_was(a_view):
    found = limiting(a_view(models=[(3, 3, 2)], maximum=8))

    assert found.text == "model alias0 (sim/m0): all 3 slots (of 8 at most) in use, 2 waiting"


def test_a_full_resource_is_the_consequence_of_a_model_that_is_waited_for(a_view):
    view = a_view(models=[(8, 8, 8)], free={"llm_wait": 0}, queued=4)

    assert limiting(view).layer == "request"


@pytest.mark.parametrize(
    ("resource", "setting"),
    [
        ("threads", "limits.threads"),
        ("submission", "limits.submission"),
        ("gpu", "limits.resources.gpu"),
        (
            "request:sim/big",
            "max_parallel_requests of the model sim/big",
        ),
    ],
)
def test_a_fully_leased_resource_names_the_limit_to_raise(a_view, resource, setting):
    view = a_view(limits={"submission": 100, resource: 4}, free={resource: 0}, queued=7)

    assert limiting(view) == ("task", f"{resource}: all 4 in use, 7 tasks queued; raise {setting}")


def test_the_particular_resource_is_named_before_submission(a_view):
    view = a_view(limits={"submission": 2, "threads": 2}, free={"submission": 0, "threads": 0}, queued=1)

    assert "limits.threads" in limiting(view).text


@pytest.mark.parametrize(
    ("effort", "rate", "is_busy"),
    [
        (Effort(1.0, 8), 44.0, True),
        (Effort(0.86, 8), 44.0, True),
        (Effort(7.2, 8), 44.0, True),
        (Effort(2.0, 2), 44.0, True),
        (Effort(0.5, 8), 20_000.0, True),
        (Effort(0.5, 8), 44.0, False),
        (Effort(3.0, 8), 44.0, False),
    ],
    ids=["one", "nearly one", "all", "both", "so many tasks", "half of one", "three of eight"],
)
def test_a_process_that_computes_all_the_time_is_not_told_to_raise_a_limit(a_view, effort, rate, is_busy):
    found = limiting(a_view(free={"local": 0}, queued=7, effort=effort, rate=rate))

    assert (found.layer == "processor") is is_busy
    assert ("raise limits.local" not in found.text) is is_busy


def test_a_busy_process_says_how_busy_it_is_and_with_what(a_view):
    found = limiting(a_view(free={"local": 0}, queued=7, effort=Effort(1.02, 2), rate=55_608.4))

    busy = "the processor: this process keeps 1.0 of 2 busy with 55,608 tasks a second"
    assert found == ("processor", f"{busy}; raising a limit makes it no faster")


def test_a_model_that_is_waited_for_holds_a_busy_process_back_all_the_same(a_view):
    view = a_view(models=[(8, 8, 12)], queued=7, effort=Effort(1.0, 2))

    assert limiting(view).layer == "request"


def test_a_full_resource_that_nobody_queues_for_limits_nothing(a_view):
    view = a_view(free={"local": 0}, queued=0, row_groups_total=3)

    assert limiting(view).layer == "nothing"


def test_t11_a_group_at_its_cap_names_the_factor(a_view):
    blocked = TaskAdmissionBlockSummary(3, ("group_cap",))

    assert "limits.group_limit_factor" in limiting(a_view(queued=3, blocked=blocked)).text


def passed_over(**groups):
    reasons = ("provider_pressure", "no_capacity")
    return TaskAdmissionBlockSummary(3, reasons, diagnostics={"passed_over": groups})


@pytest.mark.parametrize(
    ("pressure", "why"),
    [
        ({"cooldown_remaining": 1.55}, "sim/m0 is cooling down for 1.6 s"),
        ({"circuit": "open", "cooldown_remaining": 1.55}, "the circuit of sim/m0 is open"),
        ({}, "sim/m0 is under pressure"),
    ],
    ids=["cooldown", "circuit", "no longer"],
)
def test_a12_a_group_that_is_passed_over_is_named_with_what_presses_its_model(a_view, pressure, why):
    view = a_view(
        models=[(0, 8, 0)], queued=3, blocked=passed_over(story="request:sim/m0"), pressure=pressure
    )

    assert limiting(view) == ("request", f"group story is passed over: {why}")


def test_a12_the_first_of_several_groups_that_are_passed_over_stands_for_them(a_view):
    groups = {"story": "request:sim/m0", "verdict": "request:sim/m0"}
    view = a_view(
        models=[(0, 8, 0)], pressure={"cooldown_remaining": 2.0}, queued=3, blocked=passed_over(**groups)
    )

    assert limiting(view).text == ("group story and 1 more are passed over: sim/m0 is cooling down for 2.0 s")


def test_a12_replicas_are_named_together(a_view):
    blocked = passed_over(story="request:sim+other/m0")
    view = a_view(models=[(0, 8, 0)], pressure={"cooldown_remaining": 2.0}, queued=3, blocked=blocked)

    assert limiting(view).text.endswith("sim+other/m0 is cooling down for 2.0 s")


def test_a12_pressure_that_is_not_what_stops_most_is_not_named(a_view):
    blocked = TaskAdmissionBlockSummary(3, ("group_cap", "provider_pressure"))

    assert "limits.group_limit_factor" in limiting(a_view(queued=3, blocked=blocked)).text


def test_r4_deferred_work_alone_is_named(a_view):
    view = a_view(leased=0, queued=0, deferred=6)

    assert limiting(view) == ("retry", "failures: 6 tasks wait for their next try")


def test_r10_row_groups_on_their_way_to_disk_are_named(a_view):
    view = a_view(leased=0, queued=0)

    assert limiting(view) == ("storage", "storage: 3 row groups are read or written")


def test_r2_more_row_groups_are_named_where_there_is_room_for_them(a_view):
    assert "limits.row_group_concurrency" in limiting(a_view(queued=0)).text


def test_the_last_row_groups_flow(a_view):
    view = a_view(queued=0, row_groups_stored=7)

    assert limiting(view) == ("nothing", "nothing: work is flowing")


@pytest.mark.parametrize("phase", ["preparing", "stopping", "closing"])
def test_a_job_that_is_not_running_names_its_phase(a_view, phase):
    found = limiting(a_view(phase=phase, models=[(8, 8, 12)]))

    assert found.layer == "phase"
    assert found.text


@pytest.mark.parametrize(
    ("outcomes", "failing"),
    [
        ({"provider_failure": 12, "success": 8}, True),
        ({"provider_failure": 9}, False),
        ({"provider_timeout": 12, "success": 30}, False),
        ({"rate_limited": 50, "success": 1}, False),
    ],
)
def test_a_model_most_of_whose_calls_fail_is_what_holds_a_run_back(a_view, outcomes, failing):
    found = limiting(a_view(models=[(1, 8, 0)], pressure={"outcomes": outcomes}))

    if failing:
        text = "model alias0 (sim/m0): 12 of 20 calls have failed; see why with `leasehold inspect`"
        assert found == ("request", text)
    else:
        assert "failed" not in found.text


def test_a_lookout_measures_what_the_process_did_between_two_looks():
    reached, go_on = threading.Event(), threading.Event()

    def computes(n: int) -> int:
        if n == 5:
            until = time.thread_time() + 0.2
            while time.thread_time() < until:
                pass
            reached.set()
            go_on.wait()
        return n

    columns = {"n": SequenceColumn(), "c": PythonColumn(function=computes)}
    with ActorSystem.start() as system:
        lookout = Lookout(system)
        began = time.monotonic()
        handle = system.submit(Job(name="busy", rows=6, columns=columns))
        assert reached.wait(20)
        first = lookout.look()
        passed = time.monotonic() - began
        assert first.effort.busy * passed >= 0.2, "what was computed since the lookout was made"
        assert first.tasks_per_second * passed > 0
        while lookout.look().tasks_per_second > 0.0:
            pass  # until it has measured anew: nothing ends any more
        go_on.set()
        handle.result(timeout=20)
    assert first.effort.processors >= 1
