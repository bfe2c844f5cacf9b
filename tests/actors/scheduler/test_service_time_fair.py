"""What the service-time order promises, under durations that mean it no good (Q1, T10, T13)."""

from __future__ import annotations

from collections import Counter
from itertools import chain, cycle, permutations, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.scheduler.fair_queue import FairTaskQueue
from actors.scheduler.service_times import MOST_IN_A_ROW, ServiceTimes
from tests.actors.scheduler.control_builders import a_group, an_item
from tests.actors.scheduler.service_world import ServiceWorld

NAMES = ("a", "b", "c", "d")
weights = st.lists(st.integers(1, 5), min_size=2, max_size=4)
slots = st.integers(1, 6)
seconds = st.one_of(st.floats(0.01, 0.1), st.floats(0.01, 10.0))
some_seconds = st.lists(seconds, min_size=1, max_size=12)


def named(values):
    return dict(zip(NAMES, values, strict=False))


@settings(max_examples=80, deadline=None)
@given(weights=weights, slots=slots, data=st.data())
def test_q1_groups_that_always_want_more_get_time_in_proportion_to_their_weights(weights, slots, data):
    """At every moment, whatever the durations: what two have had differs by so many of the longest tasks."""
    durations = {name: data.draw(some_seconds, label=name) for name in named(weights)}
    world = ServiceWorld(named(weights), slots)
    longest = max(max(each) for each in durations.values())
    for _ in world.keep_busy({name: cycle(each) for name, each in durations.items()}, tasks=400):
        served = world.served_so_far()
        for one, other in permutations(world.groups, 2):
            mine, yours = world.groups[one].weight, world.groups[other].weight
            apart = served[one] / mine - served[other] / yours
            assert apart <= (slots + 3) * longest * (1 / mine + 1 / yours), (one, other)


@settings(max_examples=60, deadline=None)
@given(
    weights=weights,
    slots=slots,
    arrivals=st.lists(st.tuples(st.sampled_from(NAMES), some_seconds, st.floats(0, 3)), max_size=12),
)
def test_t13_nothing_idles_while_a_task_could_run_and_every_task_runs_once(weights, slots, arrivals):
    """T13, T10: after every look no slot is free that queued work could take: the world asserts it."""
    world = ServiceWorld(named(weights), slots)
    expected = Counter()
    for name, durations, pause in arrivals:
        if name in world.groups:
            expected[name] += len(durations)
            world.enqueue(name, *durations)
            world.look()
            until = world.now + pause
            while world.next_end() is not None and world.next_end() <= until:
                world.pass_to_next_end()
                world.look()
            world.now = until
    world.run_dry()
    assert Counter(task.group for task in world.dispatched) == expected


@settings(max_examples=40, deadline=None)
@given(weights=weights, slots=slots, data=st.data())
def test_r12_the_same_work_is_dispatched_in_the_same_order(weights, slots, data):
    durations = {name: data.draw(some_seconds, label=name) for name in named(weights)}

    def order():
        world = ServiceWorld(named(weights), slots)
        for _ in world.keep_busy({name: cycle(each) for name, each in durations.items()}, tasks=120):
            pass
        return world.dispatched

    assert order() == order()


@settings(max_examples=60, deadline=None)
@given(weights=weights, slots=slots, each=seconds)
def test_q1_with_equal_durations_it_is_the_strict_order_within_one_task(weights, slots, each):
    """Once each group has a past: before that, nobody knows that its tasks are like the others'."""

    def dispatched(policy):
        world = ServiceWorld(named(weights), slots, policy)
        for _ in range(2):  # from the first they are known, after the second all are level
            for name in world.groups:
                world.enqueue(name, each)
            world.run_dry()
        world.dispatched.clear()
        for _ in world.keep_busy(dict.fromkeys(world.groups, repeat(each)), tasks=200):
            pass
        return [task.group for task in world.dispatched]

    fair, strict = Counter(), Counter()
    for one, other in zip(dispatched("service_time_fair"), dispatched("strict_fair"), strict=False):
        fair[one] += 1
        strict[other] += 1
        assert all(abs(fair[name] - strict[name]) <= 1 for name in named(weights))


@settings(max_examples=60, deadline=None)
@given(
    slots=slots,
    others=st.lists(st.tuples(st.integers(1, 5), st.floats(0.01, 1000.0)), min_size=1, max_size=3),
    own=st.floats(0.01, 10.0),
    busy=st.integers(1, 200),
)
def test_q1_nobody_starves_a_newcomer_is_served_after_so_many_tasks_however_long_they_are(
    slots, others, own, busy
):
    """The bound is in tasks: for each group its turn, and one for each of its that may have ended early."""
    names = NAMES[1 : len(others) + 1]
    world = ServiceWorld({"a": 1} | {name: each[0] for name, each in zip(names, others, strict=True)}, slots)
    durations = {name: repeat(each[1]) for name, each in zip(names, others, strict=True)}
    for _ in world.keep_busy(durations, tasks=busy):
        pass
    before = len(world.dispatched)
    world.enqueue("a", *[own] * 3)
    for _ in world.keep_busy(durations, tasks=before + len(others) * (slots + 1 + MOST_IN_A_ROW) + 1):
        pass
    assert "a" in [task.group for task in world.dispatched[before:]]


@settings(max_examples=60, deadline=None)
@given(slots=slots, idle=st.floats(1, 1000), each=st.floats(0.01, 1), other=st.floats(0.01, 1))
def test_q1_idling_earns_no_lease_seconds(slots, idle, each, other):
    """A group that comes back has its share from then on, and nothing of the time when it wanted nothing."""
    world = ServiceWorld({"a": 1, "b": 1}, slots)
    world.enqueue("a", each, each)
    for _ in world.keep_busy({"b": repeat(other)}, tasks=round(idle / other * slots) % 500 + 20):
        pass
    before = world.served_so_far()
    for _ in world.keep_busy({"a": repeat(each), "b": repeat(other)}, tasks=len(world.dispatched) + 200):
        served = world.served_so_far() - before
        assert served["a"] - served["b"] <= (slots + 1) * 2 * max(each, other) + MOST_IN_A_ROW * each


def test_q1_a_group_that_could_not_run_does_not_bank_that_time_either():
    """Its own resource was taken: once that is free it has its share from then on."""
    world = ServiceWorld({"hog": 1, "blocked": 1, "other": 1}, 4, gpu=4)
    world.enqueue("hog", 100.0, gpu=4, submission=1)
    world.enqueue("blocked", *[0.1] * 2000, gpu=1, submission=1)
    while world.now < 100.0:
        world.enqueue("other", *[0.1] * (8 - world.waiting["other"]), submission=1)
        world.look()
        world.pass_to_next_end()
    assert world.served["blocked"] == 0
    world.enqueue("other", *[0.1] * 400, submission=1)
    while world.now < 110.0:
        world.look()
        world.pass_to_next_end()
    assert world.served["blocked"] == pytest.approx(20.0, abs=0.5)


def test_q1_long_roots_of_four_times_the_weight_get_four_fifths_of_the_time_and_no_more():
    world = ServiceWorld({"hot": 4, "peer": 1}, 8)
    world.enqueue("hot", *[0.5] * 512)
    world.look()
    world.now = 0.05
    world.enqueue("peer", *[0.05] * 256)
    world.run_dry()
    waits = sorted(task.at - 0.05 for task in world.dispatched if task.group == "peer")
    assert waits[243] <= 8.5
    assert world.now <= 33.6 * 1.005


def test_q1_a_group_whose_tasks_have_become_slow_is_charged_while_the_first_of_them_runs():
    """Its tasks were as quick as the other's; then each takes 1,000 s. It does not get all the slots."""
    world = ServiceWorld({"turned": 1, "steady": 1}, 8)
    slow = chain(repeat(0.05, 200), repeat(1000.0))
    for _ in world.keep_busy({"turned": slow, "steady": repeat(0.05)}, tasks=2000):
        pass
    assert sum(task.group == "turned" and task.seconds > 1 for task in world.dispatched) <= 6


@settings(max_examples=50, deadline=None)
@given(amounts=st.lists(st.floats(-5, 5), min_size=12, max_size=30, unique=True))
def test_q1_many_corrections_at_once_are_as_good_as_one_after_the_other(amounts):
    def order(corrected):
        queue = FairTaskQueue(ServiceTimes())
        groups = [a_group(f"g{number}") for number in range(len(amounts))]
        queue.enqueue([an_item(number, group) for number, group in enumerate(groups)])
        corrected(queue, list(zip(groups, amounts, strict=True)))
        queue.check()
        taken = []
        while (selection := queue.select_next(lambda _: True)) is not None:
            queue.hold(selection)
            taken.append(selection.item.task_id)
        return taken

    at_once = order(lambda queue, changes: queue.correct(changes))
    one_by_one = order(lambda queue, changes: [queue.correct([change]) for change in changes])
    assert at_once == one_by_one == sorted(range(len(amounts)), key=amounts.__getitem__)
