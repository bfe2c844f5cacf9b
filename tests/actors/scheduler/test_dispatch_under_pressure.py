"""Dispatch while providers are under pressure: who goes first, and that nothing idles for it (A12, T13)."""

from __future__ import annotations

import pytest

from actors.scheduler.dispatch import Dispatcher
from actors.task_admission.policies import policy_named
from messages.request_admission import RequestPressureChanged
from messages.task_admission import (
    AcquireTaskLeases,
    PolicyStateDelta,
    Recheck,
    ReturnTaskLeases,
    TaskAdmissionPolicyDecision,
)
from tests.actors.scheduler.control_builders import (
    RUN,
    a_group,
    a_pressure,
    an_item,
    configured_admission,
    returned,
    told,
)

X, Y = "request:x/m", "request:y/m"
LIMITS = {"submission": 20, "llm_wait": 4, X: 9, Y: 9, "gpu": 1}


class Pair:
    """A dispatcher and the task admission it asks; messages are delivered at once."""

    def __init__(self, *, policy="provider_aware", **limits):
        made = policy_named(policy) if isinstance(policy, str) else policy
        self.admission, view = configured_admission(policy=made, **{**LIMITS, **limits})
        self.dispatcher = Dispatcher(made, view)
        self.running = {}
        self._last_id = 0

    def queue(self, group, count=1, **amounts):
        """Queue tasks of a group (its name, or its spec) that take these beside one `submission`."""
        for _ in range(count):
            self._last_id += 1
            self.dispatcher.queue.enqueue([an_item(self._last_id, group, submission=1, **amounts)])

    def queue_model(self, group, resource, count=1):
        self.queue(group, count, llm_wait=1, **{resource: 1})

    def press(self, endpoint, **how):
        how = how or {"cooldown": 5.0}
        for _, message in told(
            self.admission.handle(RequestPressureChanged(RUN, (a_pressure(endpoint, **how),)), now=0.0)
        ):
            self.dispatcher.apply(message.view)

    def recover(self, endpoint):
        self.press(endpoint, waiters=0)

    def ask(self):
        """Make one round; return the groups of what started, in order."""
        selections = self.dispatcher.select()
        if not selections:
            return []
        ((_, decided),) = told(self.admission.handle(AcquireTaskLeases(selections), now=0.0))
        assert decided.denials == []
        starts, _ = self.dispatcher.decide(decided)
        for item, lease in starts:
            self.running.setdefault(item.group.name, []).append(lease)
        return [item.group.name for item, _ in starts]

    def end(self, group, count=1):
        """Return leases of a group, and make a round."""
        leases = [self.running[group].pop(0) for _ in range(count)]
        returns = ReturnTaskLeases([returned(lease) for lease in leases])
        ((_, answer),) = told(self.admission.handle(returns, now=0.0))
        self.dispatcher.apply(answer.view)
        return self.ask()

    def skipped(self):
        return [(skip.item.group.name, skip.decision) for skip in self.dispatcher.advisory.take()]


@pytest.fixture
def pair_of():
    pairs = []

    def make(**how):
        pairs.append(Pair(**how))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.admission.check()
        pair.dispatcher.queue.check()


def test_a12_unpressed_groups_get_every_slot_while_they_have_work(pair_of):
    pair = pair_of()
    pair.press("x/m")
    pair.queue_model("x", X, 3)
    pair.queue_model("y", Y, 6)
    assert pair.ask() == ["y"] * 4
    assert pair.end("y") == ["y"]
    assert pair.end("y") == ["y"]
    assert pair.end("y") == ["x"], "the peers are gone"


def test_a12_what_the_unpressed_leave_goes_to_the_others_in_the_same_pass(pair_of):
    pair = pair_of()
    pair.press("x/m")
    pair.queue_model("x", X, 3)
    pair.queue_model("y", Y, 2)
    assert pair.ask() == ["y", "y", "x", "x"]


def test_a12_when_all_are_pressed_order_is_as_ever(pair_of):
    pair = pair_of()
    pair.press("x/m")
    pair.press("y/m")
    pair.queue_model("x", X, 3)
    pair.queue_model("y", Y, 3)
    assert pair.ask() == ["x", "y", "x", "y"]
    assert pair.skipped() == []


def test_a12_a_peer_for_which_there_is_no_capacity_is_not_waited_for(pair_of):
    pair = pair_of()
    pair.press("x/m")
    pair.queue("big", gpu=2)
    pair.queue_model("x", X)
    assert pair.ask() == ["x"]


def test_a12_a_peer_that_the_inner_policy_refuses_is_not_waited_for(pair_of):
    """Two groups at their caps press each other: what they may not use is the pressed group's."""
    pair = pair_of()
    first, second = a_group("a", limit=1), a_group("b", limit=1)
    pair.queue_model(first, Y, 2)
    pair.queue_model(second, Y, 2)
    assert pair.ask() == ["a", "b"]
    pair.press("x/m")
    pair.queue_model("x", X, 2)
    assert pair.ask() == ["x", "x"]


def test_a12_those_that_gave_way_come_before_a_pressed_group_that_did_not(pair_of):
    """`late` is looked at when the last unpressed task has gone; its place is behind `early` all the same."""
    pair = pair_of(llm_wait=3)
    pair.press("x/m")
    pair.queue("never", gpu=2)  # so that the queue is not empty, and places are kept
    pair.queue_model("late", X)
    assert pair.ask() == ["late"]
    pair.queue_model("early", X)
    pair.queue_model("y", Y)
    pair.queue_model("late", X)
    assert pair.ask() == ["y", "early"]


def test_t13_a_group_that_gave_way_goes_when_its_provider_recovers(pair_of):
    pair = pair_of(llm_wait=1)
    pair.press("x/m")
    pair.queue_model("x", X, 2)
    pair.queue_model("y", Y, 3)
    assert pair.ask() == ["y"]
    pair.recover("x/m")
    assert pair.end("y") == ["x"], "in its old place"


def test_t13_a_change_of_pressure_wakes_whoever_was_refused_for_a_peers_sake(pair_of):
    """a1 and a2 are each at their share of four; without b, which is under pressure now, it is two."""
    pair = pair_of()
    groups = [a_group("a1", limit=4), a_group("a2", limit=4)]
    heavy = a_group("b", limit=1, weight=5)
    for group in groups:
        pair.queue_model(group, Y, 3)
    pair.queue_model(heavy, X, 3)
    assert sorted(pair.ask()) == ["a1", "a2", "b"]
    assert pair.ask() == []
    assert pair.dispatcher.explain_blocked().dominant_reasons == ("group_cap",)
    pair.press("x/m")
    assert pair.ask() in (["a1"], ["a2"])


def test_t13_a_threshold_among_the_unpressed_is_passed_when_one_of_them_leaves(pair_of):
    """While x is pressed the shares of y1, y2 and z are about these three, whatever x weighs."""
    pair = pair_of(llm_wait=6)
    pair.press("x/m")
    groups = [a_group("y1", limit=6), a_group("y2", limit=6)]
    heavy = a_group("z", limit=1, weight=4)
    for group in groups:
        pair.queue_model(group, Y, 4)
    pair.queue(heavy, 2, llm_wait=1)
    assert sorted(pair.ask()) == ["y1", "y2", "z"]
    pair.queue_model(a_group("x", limit=1, weight=9), X, 3)
    assert pair.ask() == ["x"], "the others are refused"
    assert pair.ask() == []
    pair.dispatcher.discard([pair.dispatcher.queue.head_of("z").task_id])
    assert sorted(pair.ask()) == ["y1", "y2"]


class Yielding:
    """A policy that never stops to give way."""

    def evaluate(self, item, queue_view, admission_view):
        return TaskAdmissionPolicyDecision(
            allowed=False, reason="provider_pressure", recheck=Recheck(yielding=True)
        )

    def on_acquire(self, lease, decision):
        return PolicyStateDelta()

    def on_release(self, lease):
        return PolicyStateDelta()


def test_t9_a_policy_that_gives_way_for_ever_does_not_hang_a_pass(pair_of):
    pair = pair_of(policy=Yielding())
    pair.queue("a")
    pair.queue("b")
    assert pair.ask() == []
    assert pair.ask() == []


@pytest.mark.parametrize("groups", [1, 50])
def test_a_pass_does_not_judge_groups_that_give_way_anew(pair_of, groups):
    judged = []

    class Counting:
        def __init__(self):
            self.inner = policy_named("provider_aware")
            self.on_acquire, self.on_release = self.inner.on_acquire, self.inner.on_release

        def evaluate(self, item, queue_view, admission_view):
            judged.append(item.group.name)
            return self.inner.evaluate(item, queue_view, admission_view)

    pair = pair_of(policy=Counting(), llm_wait=1)
    pair.press("x/m")
    for number in range(groups):
        pair.queue_model(f"x{number}", X)
    pair.queue_model("y", Y, 9)
    pair.ask()
    judged.clear()
    assert [pair.end("y") for _ in range(5)] == [["y"]] * 5
    assert set(judged) == {"y"}


# -- what is told of it ----------------------------------------------------------------------------------


def test_a12_a_group_is_told_of_once_when_it_begins_to_be_passed_over(pair_of):
    pair = pair_of(llm_wait=1)
    pair.press("x/m")
    pair.queue_model("x", X, 2)
    pair.queue_model("y", Y, 4)
    pair.ask()
    ((name, decision),) = pair.skipped()
    assert (name, decision.reason) == ("x", "provider_pressure")
    assert decision.diagnostics == {"resource": X, "until": 5.0}
    for _ in range(2):
        pair.end("y")
        pair.press("y/m", waiters=0)
    assert pair.skipped() == []


def test_a12_a_group_that_gets_its_turn_in_the_same_pass_was_not_passed_over(pair_of):
    pair = pair_of()
    pair.press("x/m")
    pair.queue_model("x", X)
    pair.queue_model("y", Y)
    assert pair.ask() == ["y", "x"]
    assert pair.skipped() == []


def passed_over(pair):
    """Let `x` be passed over for `y`; return once that was told."""
    pair.press("x/m")
    pair.queue_model("x", X, 2)
    pair.queue_model("y", Y, 2)
    pair.ask()
    assert [name for name, _ in pair.skipped()] == ["x"]


def test_a12_after_its_turn_it_is_told_of_anew(pair_of):
    pair = pair_of(llm_wait=1)
    passed_over(pair)
    assert [pair.end("y"), pair.end("y")] == [["y"], ["x"]]
    pair.queue_model("y", Y, 3)
    assert pair.end("x") == ["y"]
    assert [name for name, _ in pair.skipped()] == ["x"]


def test_a12_after_its_pressure_had_ended_it_is_told_of_anew(pair_of):
    pair = pair_of(llm_wait=1)
    passed_over(pair)
    pair.queue_model("y", Y)
    pair.recover("x/m")
    pair.press("x/m")
    pair.end("y")
    assert [name for name, _ in pair.skipped()] == ["x"]


def test_a12_after_its_work_was_discarded_it_is_told_of_anew(pair_of):
    pair = pair_of(llm_wait=1)
    passed_over(pair)
    pair.dispatcher.discard([1, 2])
    pair.queue_model("x", X, 2)
    pair.end("y")
    pair.queue_model("y", Y, 2)
    pair.end("y")
    assert [name for name, _ in pair.skipped()] == ["x"]


def test_a12_what_is_blocked_says_who_is_passed_over_and_until_when(pair_of):
    pair = pair_of(llm_wait=1)
    passed_over(pair)
    blocked = pair.dispatcher.explain_blocked()
    assert blocked.dominant_reasons == ("provider_pressure", "no_capacity")
    assert blocked.available_after == 5.0
    assert blocked.diagnostics["passed_over"] == {"x": X}
    assert pair.dispatcher.wake_at() is None, "the provider's recovery comes as a message"


def test_a12_nobody_is_passed_over_once_nobody_else_is_queued(pair_of):
    pair = pair_of(llm_wait=1)
    passed_over(pair)
    pair.end("y")
    assert len(pair.dispatcher.queue) == 2
    assert pair.dispatcher.explain_blocked().dominant_reasons == ("no_capacity",)
