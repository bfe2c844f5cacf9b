"""The advisory as a pure judge: who is passed over, and when the inner policy alone decides (A12)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.task_admission.policies import (
    BoundedBorrowTaskAdmissionPolicy,
    ProviderAwareTaskAdmissionPolicy,
    StrictFairTaskAdmissionPolicy,
    policy_named,
)
from messages.task_admission import PolicyStateDelta, TaskAdmissionView
from messages.tasks import HeadDemand, QueueView
from tests.actors.scheduler.control_builders import a_group, a_request, an_item

INNER = {"bounded_borrow": BoundedBorrowTaskAdmissionPolicy(), "strict_fair": StrictFairTaskAdmissionPolicy()}
X, Y = "request:x/m", "request:y/m"
LIMITS = {"submission": 6, "llm_wait": 4, X: 3, Y: 3, "local": 2}
VECTORS = {
    "x": {"submission": 1, "llm_wait": 1, X: 1},
    "y": {"submission": 1, "llm_wait": 1, Y: 1},
    "both": {"submission": 1, "llm_wait": 1, X: 1, Y: 1},
    "local": {"submission": 1, "local": 1},
}
MINE = "mine"


def a_view(*, pressed=(), free=None, until=None, held=None, debt=None):
    """The accounts: all is free but what `free` says; MINE holds `held` and owes `debt`."""
    return TaskAdmissionView(
        resource_limits=dict(LIMITS),
        resources_available={**LIMITS, **(free or {})},
        leased_resources_by_group={MINE: held} if held else {},
        running_by_group={MINE: max(held.values())} if held else {},
        policy_debt_by_group_resource={MINE: debt} if debt else {},
        pressed=dict.fromkeys(pressed, until),
    )


def a_head(vector, *, groups=1, refused=0, weight=None):
    request = a_request(**VECTORS[vector])
    return HeadDemand(request, groups, weight or float(groups), refused)


def mine(vector, *, limit=2, weight=1.0):
    return an_item(1, a_group(MINE, limit=limit, weight=weight), **VECTORS[vector])


def a_queue(*heads):
    return QueueView(sum(head.groups for head in heads), heads)


def judge(item, queue, view, inner=None):
    return ProviderAwareTaskAdmissionPolicy(inner).evaluate(item, queue, view)


def test_a12_a_candidate_under_pressure_is_passed_over_for_an_eligible_unpressed_peer():
    queue = a_queue(a_head("x"), a_head("y"))
    decision = judge(mine("x"), queue, a_view(pressed=[X], until=12.5))
    assert not decision.allowed
    assert (decision.reason, decision.available_after) == ("provider_pressure", 12.5)
    assert decision.diagnostics == {"resource": X, "until": 12.5}
    assert decision.recheck.yielding


def test_a12_until_when_may_be_unknown():
    decision = judge(mine("x"), a_queue(a_head("x"), a_head("y")), a_view(pressed=[X]))
    assert (decision.reason, decision.available_after) == ("provider_pressure", None)


def test_a12_the_unpressed_peer_goes():
    assert judge(mine("y"), a_queue(a_head("x"), a_head("y")), a_view(pressed=[X])).allowed


def test_a12_work_that_calls_no_model_is_an_unpressed_peer_and_never_pressed():
    queue, view = a_queue(a_head("x"), a_head("local")), a_view(pressed=[X, Y])
    assert judge(mine("x"), queue, view).reason == "provider_pressure"
    assert judge(mine("local"), queue, view).allowed


def test_a12_a_candidate_is_pressed_by_any_of_its_resources():
    assert judge(mine("both"), a_queue(a_head("both"), a_head("x")), a_view(pressed=[Y])).diagnostics == {
        "resource": Y,
        "until": None,
    }


@pytest.mark.parametrize(
    ("heads", "view"),
    [
        ([a_head("x")], a_view(pressed=[X])),
        ([a_head("x", groups=3)], a_view(pressed=[X])),
        ([a_head("x"), a_head("y")], a_view(pressed=[X, Y])),
        ([a_head("x"), a_head("y", groups=2, refused=2)], a_view(pressed=[X])),
        ([a_head("x"), a_head("y")], a_view(pressed=[X], free={Y: 0})),
    ],
    ids=["alone", "its own kind", "all pressed", "refused", "without capacity"],
)
def test_a12_t10_without_an_eligible_unpressed_peer_it_goes(heads, view):
    assert judge(mine("x"), a_queue(*heads), view).allowed


def test_a12_one_peer_that_is_not_refused_is_enough():
    heads = [a_head("x"), a_head("y", groups=3, refused=2)]
    assert judge(mine("x"), a_queue(*heads), a_view(pressed=[X])).reason == "provider_pressure"


def test_a12_t12_groups_under_pressure_press_nobody():
    """T12: alone among the unpressed a group may go beyond its share, and a threshold is about them only."""
    at_its_share = {"held": {"submission": 2, "llm_wait": 2, Y: 2}}
    queue = a_queue(a_head("x", groups=3), a_head("y"))
    assert judge(mine("y"), queue, a_view(**at_its_share)).reason == "group_cap"
    decision = judge(mine("y"), queue, a_view(pressed=[X], **at_its_share))
    assert decision.allowed
    assert decision.borrows

    several = a_queue(a_head("x", groups=3), a_head("y", groups=3))
    refused = judge(mine("y", limit=8), several, a_view(pressed=[X], **at_its_share))
    assert refused.reason == "group_cap"
    assert refused.recheck.among_unpressed
    assert not judge(mine("y", limit=8), several, a_view(**at_its_share)).recheck.among_unpressed


def test_t11_a_pressed_candidate_that_may_go_is_judged_among_everybody():
    at_its_cap = {"held": {"submission": 2, "llm_wait": 2, X: 2}}
    queue = a_queue(a_head("x"), a_head("y", refused=1))
    decision = judge(mine("x"), queue, a_view(pressed=[X], **at_its_cap), INNER["strict_fair"])
    assert decision.reason == "group_cap"


def test_the_policy_is_known_by_name():
    assert isinstance(policy_named("provider_aware"), ProviderAwareTaskAdmissionPolicy)


class Recording:
    """An inner policy that says what it was asked, and changes debt by the lease's own numbers."""

    def evaluate(self, item, queue_view, admission_view):
        return policy_named("bounded_borrow").evaluate(item, queue_view, admission_view)

    def on_acquire(self, lease, decision):
        return PolicyStateDelta((("submission", 7),))

    def on_release(self, lease):
        return PolicyStateDelta((("submission", -7),))


def test_t8_debt_is_the_inner_policys():
    policy = ProviderAwareTaskAdmissionPolicy(Recording())
    assert policy.on_acquire(None, None).debt == (("submission", 7),)
    assert policy.on_release(None).debt == (("submission", -7),)


# -- over all views ------------------------------------------------------------------------------------


@st.composite
def situations(draw):
    """A candidate, the queue in which it is the first of its group, and the accounts."""
    vectors = draw(st.sets(st.sampled_from(sorted(VECTORS)), min_size=1))
    heads = []
    for vector in sorted(vectors):
        groups = draw(st.integers(1, 4))
        heads.append(a_head(vector, groups=groups, refused=draw(st.integers(0, groups))))
    vector = draw(st.sampled_from(sorted(vectors)))
    free = {name: draw(st.integers(0, limit)) for name, limit in LIMITS.items()}
    held = draw(st.none() | st.just({name: draw(st.integers(1, 3)) for name in VECTORS[vector]}))
    view = a_view(
        pressed=draw(st.sets(st.sampled_from([X, Y]))),
        until=draw(st.none() | st.floats(0, 100)),
        free=free,
        held=held,
        debt=draw(st.none() | st.just({"llm_wait": 1})) if held else None,
    )
    limit = draw(st.none() | st.integers(1, 4))
    return mine(vector, limit=limit, weight=draw(st.sampled_from([1.0, 2.0]))), a_queue(*heads), view


def is_pressed(request, view):
    return any(resource in view.pressed for resource, _ in request.amounts)


def could_go(head, view):
    free = view.resources_available
    return head.groups > head.refused and all(free[name] >= amount for name, amount in head.request.amounts)


inner_policies = pytest.mark.parametrize("inner", INNER.values(), ids=INNER)


@inner_policies
@given(situation=situations())
def test_a12_it_passes_over_exactly_while_an_eligible_unpressed_peer_is_queued(inner, situation):
    item, queue, view = situation
    decision = judge(item, queue, view, inner)
    waits_for = [head for head in queue.heads if could_go(head, view) and not is_pressed(head.request, view)]
    if is_pressed(item.resource_request, view) and waits_for:
        assert decision.reason == "provider_pressure"
    else:
        assert decision.reason != "provider_pressure"


@inner_policies
@given(situation=situations())
def test_a12_where_it_passes_over_nobody_the_inner_policy_alone_decides(inner, situation):
    item, queue, view = situation
    decision = judge(item, queue, view, inner)
    if decision.reason == "provider_pressure":
        return
    if not is_pressed(item.resource_request, view):
        queue = a_queue(*(head for head in queue.heads if not is_pressed(head.request, view)))
    expected = inner.evaluate(item, queue, view)
    assert (decision.allowed, decision.reason) == (expected.allowed, expected.reason)
    assert decision.borrows == expected.borrows


@inner_policies
@given(situation=situations())
def test_a12_it_never_passes_over_when_every_head_is_pressed(inner, situation):
    item, queue, view = situation
    heads = tuple(head for head in queue.heads if is_pressed(head.request, view))
    if is_pressed(item.resource_request, view):
        decision = judge(item, a_queue(*heads), view, inner)
        assert decision == inner.evaluate(item, a_queue(*heads), view)


@inner_policies
@given(situation=situations())
def test_t9_judging_changes_nothing_and_says_the_same_each_time(inner, situation):
    before = msgspec.json.encode(situation)
    first = judge(*situation, inner)
    assert [judge(*situation, inner) for _ in range(3)] == [first] * 3
    assert msgspec.json.encode(situation) == before


@inner_policies
@given(situation=situations())
def test_without_pressure_it_is_the_inner_policy(inner, situation):
    item, queue, view = situation
    view = msgspec.structs.replace(view, pressed={})
    assert judge(item, queue, view, inner) == inner.evaluate(item, queue, view)
