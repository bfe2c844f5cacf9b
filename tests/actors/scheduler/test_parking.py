"""Which parked groups are judged again, and when (T13)."""

from __future__ import annotations

import pytest

from actors.scheduler.fair_queue import FairTaskQueue
from actors.scheduler.parking import Parking
from messages.task_admission import Recheck, TaskAdmissionPolicyDecision
from tests.actors.scheduler.control_builders import an_item


def refused(recheck=None, *, available_after=None):
    return TaskAdmissionPolicyDecision(
        allowed=False, reason="group_cap", available_after=available_after, recheck=recheck
    )


@pytest.fixture
def parking():
    """Two groups with one resource vector: each is a peer of the other."""
    queue = FairTaskQueue()
    queue.enqueue([an_item(1, "a"), an_item(2, "b")])
    return Parking(queue)


def to_judge(parking, *, weight, judged=()):
    return parking.to_judge(lambda _: True, lambda _: weight, 0.0, judged=judged)


def test_a_refusal_with_a_threshold_is_judged_again_once_less_competes(parking):
    parking.park("a", refused(Recheck("submission", weight_below=2.0)))

    assert to_judge(parking, weight=2.0) == []
    assert to_judge(parking, weight=1.5) == ["a"]


@pytest.mark.parametrize(
    "decision",
    [
        refused(Recheck("submission", weight_below=2.0)),
        refused(),
        refused(available_after=0.0),
    ],
    ids=["threshold", "every pass", "time"],
)
def test_t13_a_group_that_was_judged_in_this_pass_is_found_in_the_next(parking, decision):
    parking.park("a", decision)

    assert to_judge(parking, weight=1.0, judged={"a"}) == []
    assert "a" in to_judge(parking, weight=1.0)


def test_a_refusal_that_only_the_groups_own_return_can_change_is_not_judged_again(parking):
    parking.park("a", refused(Recheck()))

    assert to_judge(parking, weight=0.0) == []
