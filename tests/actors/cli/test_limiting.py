"""What limits a run: the layer nearest to the provider, and the setting that would move it."""

from __future__ import annotations

import pytest

from actors.cli.limiting import limiting
from messages.task_admission import TaskAdmissionBlockSummary


def test_a_full_model_with_waiters_is_named_by_alias_and_endpoint(a_view):
    found = limiting(a_view(models=[(8, 8, 12)]))

    assert found == ("request", "model alias0 (sim/m0): all 8 slots in use, 12 waiting")


def test_of_several_full_models_the_one_with_most_waiters_is_named(a_view):
    found = limiting(a_view(models=[(8, 8, 1), (1, 1, 5)]))

    assert found.text == "model alias1 (sim/m1): the only slot in use, 5 waiting"


def test_a_model_in_cooldown_says_for_how_long(a_view):
    found = limiting(a_view(models=[(0, 8, 2)], cooldown=1.55))

    assert found == ("request", "model alias0 (sim/m0): paused by its provider for 1.6 s, 2 waiting")


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


def test_a_full_resource_that_nobody_queues_for_limits_nothing(a_view):
    view = a_view(free={"local": 0}, queued=0, row_groups_total=3)

    assert limiting(view).layer == "nothing"


def test_t11_a_group_at_its_cap_names_the_factor(a_view):
    blocked = TaskAdmissionBlockSummary(3, ("group_cap",))

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
