"""Selection, acquisition and commit across two actors: single cases (T6, T10, T11, T13)."""

from __future__ import annotations

import msgspec
import pytest

from actors.scheduler.dispatch import Dispatcher
from actors.task_admission.policies import policy_named
from messages.task_admission import (
    AcquireTaskLeases,
    ReturnTaskLeases,
    TaskAdmissionDenied,
    TaskAdmissionViewUpdate,
    TaskLease,
    TaskLeasesDecided,
)
from tests.actors.scheduler.control_builders import (
    a_group,
    an_item,
    configured_admission,
    returned,
    told,
)


class Pair:
    """A dispatcher and the task admission it asks; `ask` and `give_back` deliver at once."""

    def __init__(self, **limits):
        self.admission, self.view = configured_admission(**limits)
        self.dispatcher = Dispatcher(policy_named("strict_fair"), self.view)
        self.running = {}

    def queue(self, *items):
        self.dispatcher.queue.enqueue(items)

    def to_admission(self, message):
        ((_, answer),) = told(self.admission.handle(message, now=0.0))
        return answer

    def ask(self):
        """Make one round; return the ids of what started."""
        selections = self.dispatcher.select()
        return self.decide(self.to_admission(AcquireTaskLeases(selections))) if selections else []

    def decide(self, decided):
        starts, stale = self.dispatcher.decide(decided)
        assert stale == []
        self.running |= {item.task_id: lease for item, lease in starts}
        return [item.task_id for item, _ in starts]

    def returning(self, *task_ids):
        return ReturnTaskLeases([returned(self.running.pop(number)) for number in task_ids])

    def give_back(self, *task_ids):
        self.dispatcher.apply(self.to_admission(self.returning(*task_ids)).view)


@pytest.fixture
def pair_of():
    pairs = []

    def make(**limits):
        pairs.append(Pair(**limits))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.admission.check()
        pair.dispatcher.queue.check()


def ids(selections):
    return [selection.item.task_id for selection in selections]


def test_everything_eligible_goes_into_one_request_in_fair_order(pair_of):
    pair = pair_of(submission=4)
    pair.queue(*(an_item(number, "a") for number in (1, 2, 3)))
    pair.queue(*(an_item(number, "b") for number in (11, 12, 13)))
    assert ids(pair.dispatcher.select()) == [1, 11, 2, 12]


def test_one_request_is_under_way_at_a_time(pair_of):
    pair = pair_of(submission=4)
    pair.queue(an_item(1))
    selections = pair.dispatcher.select()
    pair.queue(an_item(2))
    assert pair.dispatcher.select() == []
    assert pair.dispatcher.asking
    assert pair.decide(pair.to_admission(AcquireTaskLeases(selections))) == [1]
    assert not pair.dispatcher.asking
    assert pair.ask() == [2]


def test_t6_a_lease_for_work_that_has_gone_is_stale_and_the_others_start(pair_of):
    pair = pair_of(submission=4)
    pair.queue(*(an_item(number) for number in (1, 2, 3)))
    answer = pair.to_admission(AcquireTaskLeases(pair.dispatcher.select()))
    pair.dispatcher.discard([1])
    starts, stale = pair.dispatcher.decide(answer)
    assert [item.task_id for item, _ in starts] == [2, 3]
    assert [lease.task_id for lease in stale] == [1]


def test_t6_discarding_work_that_only_waits_makes_nothing_stale(pair_of):
    pair = pair_of(submission=1)
    pair.queue(an_item(1), an_item(2))
    answer = pair.to_admission(AcquireTaskLeases(pair.dispatcher.select()))
    pair.dispatcher.discard([2])
    assert pair.decide(answer) == [1]


def test_t6_a_lease_that_nobody_asked_for_is_stale(pair_of):
    pair = pair_of(submission=4)
    pair.queue(an_item(1))
    answer = pair.to_admission(AcquireTaskLeases(pair.dispatcher.select()))
    item = an_item(77)
    foreign = TaskLease(99, 1, 77, item.group, item.resource_request, 0.0, item.correlation)
    starts, stale = pair.dispatcher.decide(
        TaskLeasesDecided([*answer.leases, foreign], answer.denials, answer.view)
    )
    assert [item.task_id for item, _ in starts] == [1]
    assert stale == [foreign]


def test_t10_a_single_group_is_never_held_by_its_own_cap(pair_of):
    pair = pair_of(submission=5)
    pair.queue(*(an_item(number, a_group("a", limit=1)) for number in range(5)))
    assert pair.ask() == [0, 1, 2, 3, 4]


def test_t11_a_capped_group_waits_while_a_peer_presses_and_goes_on_after(pair_of):
    pair = pair_of(submission=3)
    capped = a_group("a", limit=1)
    pair.queue(*(an_item(number, capped) for number in (1, 2, 3)))
    pair.queue(an_item(11, "b"))
    assert pair.ask() == [1, 11, 2], "alone again once the peer's only task is taken"


def test_t13_a_parked_group_wakes_when_one_of_its_own_leases_comes_back(pair_of):
    pair = pair_of(submission=8)
    first, second = a_group("a", limit=1), a_group("b", limit=1)
    pair.queue(*(an_item(number, first) for number in (1, 2)))
    pair.queue(*(an_item(number, second) for number in (11, 12)))
    assert pair.ask() == [1, 11]
    assert pair.ask() == []
    blocked = pair.dispatcher.explain_blocked()
    assert (blocked.queued_count, blocked.dominant_reasons) == (2, ("group_cap",))
    pair.give_back(11)
    assert pair.ask() == [12, 2], "b is below its cap again; then nobody presses a"


def test_t13_parked_groups_wake_when_their_peer_is_discarded(pair_of):
    pair = pair_of(submission=8)
    first, second = a_group("a", limit=1), a_group("b", limit=1)
    pair.queue(an_item(1, first), an_item(2, first), an_item(11, second), an_item(12, second))
    assert pair.ask() == [1, 11]
    pair.dispatcher.discard([12])
    assert pair.ask() == [2]


def test_t13_a_parked_group_whose_tasks_all_went_is_judged_anew_when_it_comes_back(pair_of):
    pair = pair_of(submission=8)
    first, second = a_group("a", limit=1), a_group("b", limit=1)
    pair.queue(an_item(1, first), an_item(2, first), an_item(11, second), an_item(12, second))
    assert pair.ask() == [1, 11]
    pair.dispatcher.discard([2, 12])
    pair.queue(an_item(3, first))
    assert pair.ask() == [3]


def test_t13_work_waits_for_capacity_and_goes_when_it_is_free(pair_of):
    pair = pair_of(submission=4, gpu=2)
    pair.queue(an_item(1, "a", gpu=2), an_item(2, "b", gpu=1))
    assert pair.ask() == [1]
    blocked = pair.dispatcher.explain_blocked()
    assert blocked.dominant_reasons == ("no_capacity",)
    assert blocked.diagnostics["short_of"] == {"gpu": 1}
    pair.give_back(1)
    assert pair.ask() == [2]


def test_t13_a_denial_leaves_the_copy_of_the_view_exact(pair_of):
    """A return that crosses the request must not be counted twice when the request is denied."""
    pair = pair_of(submission=9, gpu=2)
    capped, peer = a_group("a", limit=1), a_group("p")
    pair.queue(an_item(1, capped), an_item(2, capped), an_item(3, "x", submission=1, gpu=2))
    assert sorted(pair.ask()) == [1, 2, 3]
    pair.queue(an_item(4, peer, submission=1, gpu=2), an_item(5, capped))
    selections = pair.dispatcher.select()
    assert ids(selections) == [5], "the peer does not fit, so it does not press"
    crossing = pair.to_admission(pair.returning(1, 3))
    decided = pair.to_admission(AcquireTaskLeases(selections))
    assert [denial.reason for denial in decided.denials] == ["group_cap"]
    pair.dispatcher.apply(crossing.view)
    assert pair.decide(decided) == []
    assert pair.view == msgspec.structs.replace(
        pair.admission.snapshot(now=0.0).view, version=pair.view.version
    )
    assert pair.ask() == [4, 5]


def test_t13_a_denied_group_is_not_asked_for_again_until_something_changes(pair_of):
    pair = pair_of(submission=3)
    first, second = a_group("a", limit=1), a_group("b", limit=1)
    pair.queue(an_item(1, first), an_item(11, second))
    assert pair.ask() == [1, 11]
    pair.queue(an_item(2, first), an_item(12, second))
    assert [pair.ask() for _ in range(3)] == [[], [], []]
    pair.give_back(1)
    assert pair.ask() == [2, 12]


def test_t13_what_was_denied_for_want_of_capacity_is_asked_for_as_soon_as_it_fits(pair_of):
    pair = pair_of(submission=2)
    pair.queue(an_item(1), an_item(2), an_item(11, "b"))
    selections = pair.dispatcher.select()
    nothing = TaskAdmissionViewUpdate(1, {"submission": 0}, {"g": {}, "b": {}}, {"g": 0, "b": 0}, {})
    denials = [TaskAdmissionDenied(number, "no_capacity") for number in ids(selections)]
    assert pair.decide(TaskLeasesDecided([], denials, nothing)) == []
    assert pair.dispatcher.select() == []
    free = msgspec.structs.replace(nothing, resources_available={"submission": 2})
    pair.dispatcher.apply(free)
    assert ids(pair.dispatcher.select()) == ids(selections), "in the order they had"


def test_t13_a_group_of_mixed_vectors_is_judged_by_the_task_that_is_next(pair_of):
    """Its first task goes back after a later one was refused: the refusal was not about the first."""
    pair = pair_of(submission=9, gpu=1)
    capped = a_group("a", limit=1)
    pair.queue(an_item(1, capped), an_item(2, capped, submission=1, gpu=1))
    pair.queue(an_item(11, a_group("b", limit=1)), an_item(12, a_group("b", limit=1)))
    selections = pair.dispatcher.select()
    denials = [
        TaskAdmissionDenied(number, "group_cap" if number < 10 else "no_capacity")
        for number in ids(selections)
    ]
    limits = {"submission": 9, "gpu": 1}
    pair.decide(TaskLeasesDecided([], denials, TaskAdmissionViewUpdate(1, limits, {}, {"a": 0, "b": 0}, {})))
    assert set(ids(pair.dispatcher.select())) >= {1, 11}


def test_an_empty_queue_is_blocked_by_nothing(pair_of):
    blocked = pair_of(submission=1).dispatcher.explain_blocked()
    assert (blocked.queued_count, blocked.dominant_reasons) == (0, ())


class Counting:
    """A policy that keeps what it is asked about."""

    def __init__(self, policy):
        self.policy, self.judged = policy, []

    def evaluate(self, item, *views):
        self.judged.append(item.task_id)
        return self.policy.evaluate(item, *views)


@pytest.mark.parametrize("policy", ["strict_fair", "bounded_borrow", "provider_aware"])
@pytest.mark.parametrize(("limit", "judged"), [(None, [1, 9, 2]), (5, [1, 9, 2, 3])])
def test_t9_a_group_without_a_limit_is_judged_once_in_a_run(policy, limit, judged):
    _, view = configured_admission(submission=4)
    counting = Counting(policy_named(policy))
    dispatcher = Dispatcher(counting, view)
    group = a_group("a", limit=limit)
    dispatcher.queue.enqueue([*(an_item(number, group) for number in (1, 2, 3)), an_item(9, "b")])
    assert [selection.item.task_id for selection in dispatcher.select()] == [1, 9, 2, 3]
    assert counting.judged == judged
    assert view.resources_available == {"submission": 0}
    assert view.running_by_group == {"a": 3, "b": 1}


def test_t13_a_run_takes_what_fits_and_no_less(pair_of):
    pair = pair_of(submission=7, gpu=4)
    group = a_group("a")
    pair.queue(*(an_item(number, group, submission=1, gpu=2) for number in (1, 2, 3)))
    pair.queue(*(an_item(number, group) for number in range(4, 12)))
    assert pair.ask() == [1, 2]
    pair.give_back(1)
    assert pair.ask() == [3, 4, 5, 6, 7, 8]
    pair.give_back(2, 3)
    assert pair.ask() == [9, 10]
