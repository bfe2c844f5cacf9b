"""The ready queue, rule by rule (Q1 to Q6)."""

from __future__ import annotations

import gc

import pytest

from actors.scheduler.fair_queue import FairTaskQueue
from messages.tasks import HeadDemand
from tests.actors.scheduler.control_builders import a_group, a_request, an_item


@pytest.fixture
def queue():
    queue = FairTaskQueue()
    yield queue
    queue.check()


def anything(_):
    return True


def take(queue, count=1, *, eligible=anything):
    """Dispatch up to `count` tasks, one at a time; return their ids."""
    taken = []
    while len(taken) < count and (selection := queue.select_next(eligible)) is not None:
        item = queue.commit(selection)
        assert item is selection.item
        taken.append(item.task_id)
        queue.check()
    return taken


def hold(queue, count, *, eligible=anything):
    """Select and hold `count` tasks; return the selections."""
    held = []
    for _ in range(count):
        selection = queue.select_next(eligible)
        assert selection is not None
        queue.hold(selection)
        queue.check()
        held.append(selection)
    return held


def ids(selections):
    return [selection.item.task_id for selection in selections]


def things_held_by(root):
    """Count the objects that can be reached from `root`: its memory, by a black-box measure."""
    seen, pending = {}, [root]
    while pending:
        found = pending.pop()
        if id(found) not in seen and not isinstance(found, type):
            seen[id(found)] = found
            pending += gc.get_referents(found)
    return len(seen) + sum(len(found) for found in seen.values() if isinstance(found, (list, dict)))


# -- Q1: order -----------------------------------------------------------------------------------------


def test_q1_one_group_is_first_in_first_out(queue):
    queue.enqueue([an_item(number) for number in (3, 1, 2)])
    assert take(queue, 5) == [3, 1, 2]


def test_q1_equal_weights_go_round_robin(queue):
    queue.enqueue([an_item(number, "a") for number in (1, 2, 3)])
    queue.enqueue([an_item(number, "b") for number in (11, 12, 13)])
    assert take(queue, 6) == [1, 11, 2, 12, 3, 13]


def test_q1_weights_are_shares(queue):
    queue.enqueue([an_item(number, a_group("heavy", weight=3)) for number in range(60)])
    queue.enqueue([an_item(100 + number, a_group("light")) for number in range(60)])
    taken = take(queue, 40)
    assert sum(number < 100 for number in taken) == 30


def test_q1_idling_earns_no_credit(queue):
    queue.enqueue([an_item(number, "busy") for number in range(100)])
    queue.enqueue([an_item(200, "idler")])
    take(queue, 51)
    queue.enqueue([an_item(201 + number, "idler") for number in range(10)])
    taken = take(queue, 10)
    assert sum(number > 200 for number in taken) == 5


def test_q1_a_newcomer_pays_no_penalty(queue):
    queue.enqueue([an_item(number, "busy") for number in range(100)])
    take(queue, 50)
    queue.enqueue([an_item(200, "newcomer")])
    assert 200 in take(queue, 2)


def test_q1_running_dry_for_a_moment_is_no_way_to_the_front(queue):
    """A group that queues one task at a time gets its share and no more."""
    queue.enqueue([an_item(number, "steady") for number in range(40)])
    taken = []
    for number in range(20):
        queue.enqueue([an_item(100 + number, "drip")])
        taken += take(queue, 1)
    assert sum(number < 100 for number in taken) >= 9


def test_q1_after_everything_is_gone_all_start_level(queue):
    queue.enqueue([an_item(number, "a") for number in range(50)])
    take(queue, 50)
    queue.enqueue([an_item(100 + number, "a") for number in range(4)])
    queue.enqueue([an_item(200 + number, "b") for number in range(4)])
    assert take(queue, 4) == [100, 200, 101, 201]


def test_q1_held_tasks_are_in_fair_order_too(queue):
    queue.enqueue([an_item(number, "a") for number in (1, 2, 3)])
    queue.enqueue([an_item(number, "b") for number in (11, 12, 13)])
    assert ids(hold(queue, 6)) == [1, 11, 2, 12, 3, 13]


def test_q1_an_ineligible_group_is_passed_over_and_keeps_its_place(queue):
    queue.enqueue([an_item(1, "a"), an_item(2, "a"), an_item(11, "b"), an_item(12, "b")])
    assert take(queue, 1, eligible=lambda item: item.group.name == "b") == [11]
    assert take(queue, 1) == [1]


def test_q1_a_vector_that_does_not_fit_stops_its_groups_alone(queue):
    queue.enqueue([an_item(1, "big", gpu=2), an_item(2, "small", gpu=1)])
    asked = []

    def fits(request):
        asked.append(request)
        return request == a_request(gpu=1)

    assert queue.select_next(anything, fits).item.task_id == 2
    assert sorted(asked, key=str) == [a_request(gpu=1), a_request(gpu=2)]
    assert queue.select_next(anything, lambda _: False) is None


# -- Q2: in --------------------------------------------------------------------------------------------


def test_q1_a_run_of_a_group_alone_is_as_long_as_it_may_be(queue):
    queue.enqueue([an_item(number) for number in range(1, 7)])
    run = queue.hold_run(queue.select_next(anything), 4)
    assert ids(run) == [1, 2, 3, 4]
    assert queue.select_next(anything).item.task_id == 5
    assert [queue.commit(selection).task_id for selection in run] == [1, 2, 3, 4]
    assert ids(queue.hold_run(queue.select_next(anything), 4)) == [5, 6]
    assert queue.select_next(anything) is None


def test_q1_a_run_ends_where_another_group_is_next(queue):
    heavy, light = a_group("heavy", weight=3), a_group("light")
    queue.enqueue([an_item(number, heavy) for number in range(1, 7)])
    queue.enqueue([an_item(number, light) for number in range(11, 15)])
    runs = [ids(queue.hold_run(queue.select_next(anything), 9)) for _ in range(5)]
    assert runs == [[1], [11], [2, 3], [12], [4, 5, 6]]


def test_q1_a_run_ends_where_a_group_of_another_vector_is_next(queue):
    queue.enqueue([an_item(number, "a", gpu=1) for number in (1, 2)] + [an_item(9, "b", cpu=1)])
    assert ids(queue.hold_run(queue.select_next(anything), 9)) == [1]
    assert ids(queue.hold_run(queue.select_next(anything), 9)) == [9]


def test_a_run_is_of_one_vector(queue):
    queue.enqueue([an_item(1, gpu=1), an_item(2, gpu=1), an_item(3, cpu=1), an_item(4, gpu=1)])
    assert ids(queue.hold_run(queue.select_next(anything), 9)) == [1, 2]
    assert ids(queue.hold_run(queue.select_next(anything), 9)) == [3]


def test_q4_committed_together_or_one_by_one_comes_to_the_same(queue):
    one_by_one = FairTaskQueue()
    found = []
    for each in (queue, one_by_one):
        each.enqueue([an_item(number, "a") for number in (1, 2, 3)] + [an_item(4, "b"), an_item(5, "c")])
        held = [*each.hold_run(each.select_next(anything), 1)]
        while (selection := each.select_next(anything)) is not None:
            held += each.hold_run(selection, 9)
        each.abort("b")  # its selection is stale now
        held.append(held[0])  # and this one is committed twice
        together = each is queue
        committed = each.commit_all(held) if together else [each.commit(selection) for selection in held]
        each.enqueue([an_item(6, "a"), an_item(7, "c")])
        found.append(([item and item.task_id for item in committed], take(each, 9)))
    assert found[0] == found[1]
    assert sorted(number for number in found[0][0] if number) == [1, 2, 3, 5]


def test_q4_what_was_held_in_a_run_is_put_back_in_its_order(queue):
    queue.enqueue([an_item(number) for number in range(1, 5)])
    run = queue.hold_run(queue.select_next(anything), 3)
    assert queue.commit(run[0]).task_id == 1
    queue.abort("g")
    assert [queue.commit(selection) for selection in run[1:]] == [None, None]
    assert take(queue, 9) == [2, 3, 4]


def test_q2_enqueue_is_idempotent_by_task_id(queue):
    assert queue.enqueue([an_item(1), an_item(2), an_item(1)]) == [1, 2]
    assert queue.enqueue([an_item(2), an_item(3, "other")]) == [3]
    assert len(queue) == 3
    assert sorted(take(queue, 9)) == [1, 2, 3]


def test_q2_what_is_held_is_still_queued(queue):
    queue.enqueue([an_item(1)])
    hold(queue, 1)
    assert queue.enqueue([an_item(1)]) == []
    assert 1 in queue
    assert queue.view().queued_by_group == {"g": 1}


def test_q2_what_was_dispatched_may_come_again(queue):
    queue.enqueue([an_item(1)])
    assert take(queue, 1) == [1]
    assert queue.enqueue([an_item(1)]) == [1]


# -- Q3: select ----------------------------------------------------------------------------------------


def test_q3_selecting_changes_nothing(queue):
    queue.enqueue([an_item(1, "a"), an_item(2, "a"), an_item(11, "b")])
    before = queue.view()
    first = queue.select_next(anything)
    for _ in range(3):
        assert queue.select_next(lambda item: item.group.name == "b").item.task_id == 11
        assert queue.select_next(lambda _: False) is None
        assert queue.select_next(anything) == first
    assert queue.view() == before


def test_q3_a_predicate_that_raises_leaves_the_queue_whole(queue):
    queue.enqueue([an_item(1, "a"), an_item(11, "b")])

    def explode(item):
        if item.task_id == 11:
            raise RuntimeError("boom")
        return False

    with pytest.raises(RuntimeError, match="boom"):
        queue.select_next(explode)
    assert take(queue, 2) == [1, 11]


# -- Q4: commit ----------------------------------------------------------------------------------------


def test_q4_a_selection_commits_once(queue):
    queue.enqueue([an_item(1), an_item(2)])
    selection = queue.select_next(anything)
    assert queue.commit(selection) is selection.item
    assert queue.commit(selection) is None
    assert len(queue) == 1


def test_q4_of_two_selections_of_one_task_only_one_commits(queue):
    queue.enqueue([an_item(1), an_item(2)])
    one, two = queue.select_next(anything), queue.select_next(anything)
    assert queue.commit(one) is one.item
    assert queue.commit(two) is None


def test_q4_an_aborted_hold_is_refused_and_its_task_comes_again(queue):
    queue.enqueue([an_item(1), an_item(2)])
    (selection,) = hold(queue, 1)
    queue.abort("g")
    assert queue.commit(selection) is None
    assert take(queue, 2) == [1, 2]


def test_q4_a_discarded_task_cannot_be_committed(queue):
    queue.enqueue([an_item(1), an_item(2)])
    (selection,) = hold(queue, 1)
    assert [item.task_id for item in queue.discard([1, 99])] == [1]
    assert queue.commit(selection) is None
    assert take(queue, 2) == [2]


def test_q4_a_selection_does_not_outlive_its_group(queue):
    """The same task object, queued anew in a group that went away meanwhile, is another selection."""
    item = an_item(1)
    queue.enqueue([item])
    selection = queue.select_next(anything)
    queue.discard([1])
    queue.enqueue([item])
    assert queue.commit(selection) is None
    assert take(queue, 1) == [1]


def test_q4_discarding_a_waiting_task_leaves_its_groups_held_ones_valid(queue):
    queue.enqueue([an_item(number) for number in (1, 2, 3)])
    first, second = hold(queue, 2)
    queue.discard([3])
    assert queue.commit(first) is first.item
    assert queue.commit(second) is second.item
    assert len(queue) == 0


def test_q4_discarding_a_held_task_leaves_the_other_held_ones_valid(queue):
    queue.enqueue([an_item(number) for number in (1, 2, 3, 4)])
    first, second, third = hold(queue, 3)
    queue.discard([1])
    queue.check()
    assert queue.commit(first) is None
    assert [queue.commit(selection).task_id for selection in (second, third)] == [2, 3]
    assert take(queue, 2) == [4]


def test_q4_commits_of_one_group_are_in_the_order_of_their_holds(queue):
    queue.enqueue([an_item(1), an_item(2)])
    first, second = hold(queue, 2)
    assert queue.commit(second) is None
    assert queue.commit(first) is first.item


def test_q4_a_task_that_is_not_next_cannot_be_held(queue):
    queue.enqueue([an_item(1), an_item(2)])
    (selection,) = hold(queue, 1)
    with pytest.raises(ValueError, match="task 1 is not the next"):
        queue.hold(selection)


def test_q4_abort_restores_the_order_that_was(queue):
    queue.enqueue([an_item(number, "a") for number in (1, 2, 3)])
    queue.enqueue([an_item(number, "b") for number in (11, 12, 13)])
    hold(queue, 4)
    queue.abort("a")
    queue.abort("b")
    assert take(queue, 6) == [1, 11, 2, 12, 3, 13]


def test_q4_an_aborted_group_goes_before_those_that_were_served_meanwhile(queue):
    queue.enqueue([an_item(number, "a") for number in (1, 2, 3)])
    queue.enqueue([an_item(number, "b") for number in (11, 12, 13)])
    for selection in hold(queue, 4):
        if selection.item.group.name == "b":
            queue.commit(selection)
    queue.abort("a")
    assert take(queue, 2) == [1, 2]


def test_q4_aborting_nothing_is_harmless(queue):
    queue.abort("nobody")
    queue.enqueue([an_item(1)])
    queue.abort("g")
    assert queue.discard([7]) == []
    assert take(queue, 1) == [1]


# -- parking -------------------------------------------------------------------------------------------


def test_a_parked_group_is_not_even_asked_about_and_keeps_its_place(queue):
    queue.enqueue([an_item(1, "a"), an_item(11, "b"), an_item(12, "b")])
    queue.park("a")
    asked = []
    assert queue.select_next(lambda item: asked.append(item.task_id) or False) is None
    assert asked == [11]
    assert queue.view().queued_by_group == {"a": 1, "b": 2}
    assert queue.pressure().heads == (HeadDemand(a_request(), 2, 2.0),)
    assert take(queue, 1) == [11]
    queue.unpark("a")
    assert take(queue, 2) == [1, 12]


def test_parking_ends_with_the_group(queue):
    queue.enqueue([an_item(1, "a")])
    queue.park("a")
    queue.discard([1])
    queue.unpark("a")
    queue.park("nobody")
    queue.enqueue([an_item(2, "a")])
    assert take(queue, 1) == [2]


# -- facts and memory ----------------------------------------------------------------------------------


def test_q5_the_view_tells_of_queued_work_and_nothing_else(queue):
    heavy = a_group("heavy", weight=3)
    queue.enqueue([an_item(1, heavy, gpu=2), an_item(2, heavy, gpu=1), an_item(3, "light", gpu=2)])
    view = queue.view()
    assert view.queued_total == 3
    assert view.heads == (HeadDemand(a_request(gpu=2), 2, 4.0),)
    assert view.queued_peer_demand_by_resource == {"gpu": 5}
    assert view.queued_demand_by_group_resource == {"heavy": {"gpu": 3}, "light": {"gpu": 2}}
    assert view.first_candidate_by_group == {"heavy": 1, "light": 3}


def test_q5_a_group_whose_tasks_are_all_held_no_longer_presses(queue):
    queue.enqueue([an_item(1, "a"), an_item(11, "b")])
    hold(queue, 1)
    assert queue.pressure().heads == (HeadDemand(a_request(), 1, 1.0),)
    assert queue.pressure().queued_total == 2


def test_q6_an_empty_queue_holds_nothing_of_its_past(queue):
    fresh = things_held_by(FairTaskQueue())
    for number in range(500):
        queue.enqueue([an_item(number, f"g{number % 50}", gpu=number % 3 + 1)])
    take(queue, 500)
    assert things_held_by(queue) <= fresh + 50


def test_q6_parking_and_unparking_for_ever_takes_no_memory(queue):
    queue.enqueue([an_item(1, "front"), an_item(11, "b"), an_item(21, "c")])
    before = things_held_by(queue)
    for _ in range(2000):
        queue.park("b")
        queue.unpark("b")
    assert things_held_by(queue) <= before + 400


def test_q6_holding_and_aborting_for_ever_takes_no_memory(queue):
    queue.enqueue([an_item(1, "a"), an_item(2, "a"), an_item(11, "b")])
    before = things_held_by(queue)
    for _ in range(2000):
        hold(queue, 2)
        queue.abort("a")
        queue.abort("b")
    assert things_held_by(queue) <= before + 400


def test_q6_groups_that_come_and_go_leave_nothing_behind(queue):
    queue.enqueue([an_item(1, "stays", gpu=1)])
    for number in range(2000):
        queue.enqueue([an_item(10 + number, f"g{number}"), an_item(10_000 + number, "regular")])
        assert len(take(queue, 2, eligible=lambda item: item.group.name != "stays")) == 2
    assert things_held_by(queue) < 1500
