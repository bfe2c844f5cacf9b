"""The policies as pure judges: what they leave alone, and how borrowing is bounded (T8, T9, T12)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.task_admission.policies import (
    BoundedBorrowConfig,
    BoundedBorrowTaskAdmissionPolicy,
    policy_named,
)
from messages.task_admission import TaskAdmissionView
from messages.tasks import HeadDemand, QueueView
from tests.actors.scheduler.control_builders import a_group, a_request, an_item

POLICIES = [
    policy_named("strict_fair"),
    policy_named("bounded_borrow"),
    policy_named("provider_aware"),
    policy_named("service_time_fair"),
    BoundedBorrowTaskAdmissionPolicy(BoundedBorrowConfig(default_ceiling=1, rounding="floor")),
]
MINE = "mine"
SLOT = a_request(slot=1)


def a_view(limit, *, held=0, debt=0, held_by_others=0):
    """Views of a resource `slot`: how much `MINE` and others hold of it."""
    return TaskAdmissionView(
        resource_limits={"slot": limit},
        resources_available={"slot": limit - held - held_by_others},
        leased_resources_by_group={MINE: {"slot": held}} if held else {},
        running_by_group={MINE: held} if held else {},
        policy_debt_by_group_resource={MINE: {"slot": debt}} if debt else {},
    )


def a_queue(*peer_weights, weight=1.0):
    """A queue whose heads are `MINE` and these peers, all of which want one slot."""
    return QueueView(
        1 + len(peer_weights), (HeadDemand(SLOT, 1 + len(peer_weights), weight + sum(peer_weights)),)
    )


def judge(view, queue, *, limit=None, weight=1.0, **config):
    """Return what bounded borrow says of the next task of `MINE`."""
    policy = BoundedBorrowTaskAdmissionPolicy(BoundedBorrowConfig(**config))
    group = a_group(MINE, weight=weight, limit=limit if limit is not None else 100)
    return policy.evaluate(an_item(1, group, slot=1), queue, view)


def most_held(queue, slots, **how):
    """Return how many leases in a row `MINE` gets while nothing is returned, and its debt by then."""
    debt = 0
    for held in range(slots):
        decision = judge(a_view(slots, held=held, debt=debt), queue, **how)
        if not decision.allowed:
            return held, debt
        debt += sum(amount for _, amount in decision.borrows)
    return slots, debt


@given(
    limit=st.integers(1, 6),
    held=st.integers(0, 6),
    debt=st.integers(0, 6),
    group_limit=st.none() | st.integers(1, 8),
    peers=st.lists(st.integers(1, 5), max_size=3),
)
@pytest.mark.parametrize(
    "policy",
    POLICIES,
    ids=["strict_fair", "bounded_borrow", "provider_aware", "service_time_fair", "bounded"],
)
def test_t9_judging_changes_nothing_and_says_the_same_each_time(
    policy, limit, held, debt, group_limit, peers
):
    held = min(held, limit)
    view, queue = a_view(limit, held=held, debt=min(debt, held)), a_queue(*peers)
    item = an_item(1, a_group(MINE, limit=group_limit), slot=1)
    before = msgspec.json.encode((item, queue, view))
    first = policy.evaluate(item, queue, view)
    assert [policy.evaluate(item, queue, view) for _ in range(3)] == [first] * 3
    assert msgspec.json.encode((item, queue, view)) == before


@given(
    held=st.lists(st.integers(0, 6), min_size=2, max_size=2),
    debts=st.lists(st.integers(0, 6), min_size=2, max_size=2),
    group_limit=st.none() | st.integers(1, 8),
    peers=st.lists(st.integers(1, 5), max_size=3),
)
@pytest.mark.parametrize("policy", POLICIES)
def test_t9_an_answer_that_stands_is_the_same_whatever_the_group_holds(
    policy, held, debts, group_limit, peers
):
    item, queue = an_item(1, a_group(MINE, limit=group_limit), slot=1), a_queue(*peers)
    views = [a_view(6, held=each, debt=debt) for each, debt in zip(held, debts, strict=True)]
    one, other = (policy.evaluate(item, queue, view) for view in views)
    assert one.standing == other.standing == (group_limit is None)
    if one.standing:
        assert one.allowed
        assert one == other
        assert not one.borrows


def test_t8_debt_changes_who_may_go_and_not_what_is_free():
    indebted = a_view(4, held=3, debt=1)
    assert judge(indebted, a_queue()).allowed, "nobody else wants the slot that is free"
    assert judge(indebted, a_queue(1.0)).reason == "borrow_debt"
    assert judge(a_view(4, held=1), a_queue(1.0)).allowed, "within its share, without debt"


def test_t12_alone_a_group_has_the_share_of_one_of_two_and_borrows_the_rest():
    assert most_held(a_queue(), 8) == (8, 4)
    assert most_held(a_queue(), 5) == (5, 2), "half of five, rounded up"
    assert most_held(a_queue(), 5, rounding="floor") == (5, 3)


def test_t12_borrowing_stops_at_the_ceiling_of_the_group_or_the_default():
    assert most_held(a_queue(), 8, default_ceiling=1) == (5, 1)
    assert most_held(a_queue(), 8, default_ceiling=0) == (4, 0)
    explicit = {MINE: {"slot": 3}}
    assert most_held(a_queue(), 8, default_ceiling=0, ceilings=explicit) == (7, 3)
    assert judge(a_view(8, held=4), a_queue(), default_ceiling=0).reason == "borrow_debt"


def test_t12_under_pressure_a_group_gets_its_weighted_share_and_no_debt():
    assert most_held(a_queue(1.0), 8) == (4, 0)
    assert most_held(a_queue(3.0), 8) == (2, 0)
    assert most_held(a_queue(1.0, 1.0), 8) == (3, 0), "a third, rounded up"
    assert most_held(a_queue(1.0, 1.0), 8, rounding="floor") == (2, 0)
    assert most_held(a_queue(99.0), 8, rounding="floor") == (1, 0), "at least one"
    assert judge(a_view(8, held=4), a_queue(1.0)).reason == "group_cap"


def test_t12_a_share_is_no_more_than_the_groups_own_limit():
    assert most_held(a_queue(1.0), 8, limit=2) == (2, 0)
    assert most_held(a_queue(), 8, limit=2) == (8, 6), "alone it borrows what exceeds that"


@given(limit=st.integers(1, 8), weights=st.lists(st.integers(1, 9), min_size=2, max_size=4))
def test_t12_shares_under_pressure_leave_nothing_idle(limit, weights):
    """T12: the groups' shares together are at least all of the resource, so capacity is never stranded."""
    shares = [
        most_held(a_queue(*(weights[:place] + weights[place + 1 :]), weight=weight), limit, weight=weight)[0]
        for place, weight in enumerate(weights)
    ]
    assert all(share >= 1 for share in shares)
    assert sum(shares) >= limit
