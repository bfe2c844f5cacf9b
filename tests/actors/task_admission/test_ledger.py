"""The hard ledger: tokens out, tokens back, and views as differences (T2, T7, T8)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.task_admission.ledger import LEASES_PER_GENERATION, Ledger
from messages.task_admission import PolicyStateDelta
from tests.actors.scheduler.control_builders import an_item

LIMITS = {"submission": 4, "gpu": 2}


@pytest.fixture
def ledger():
    ledger = Ledger(dict(LIMITS), generation=1)
    yield ledger
    ledger.check()


def take(ledger, task_id=1, group="g", **amounts):
    return take_run(ledger, [task_id], group, **amounts)[0]


def take_run(ledger, task_ids, group="g", **amounts):
    """Take leases for tasks of one group and vector, as they are asked for after each other."""
    first = an_item(task_ids[0], group, **amounts)
    return ledger.acquire([msgspec.structs.replace(first, task_id=number) for number in task_ids], now=1.5)


def give_back(ledger, lease):
    return ledger.release([lease])[0]


def follow(copy, update):
    """Apply an update to a copy of the view, as its contract says."""
    copy.resources_available.update(update.resources_available)
    for name in ("leased_resources_by_group", "running_by_group", "policy_debt_by_group_resource"):
        entries = getattr(copy, name)
        for group, value in getattr(update, name).items():
            if value:
                entries[group] = value
            else:
                entries.pop(group, None)
    return msgspec.structs.replace(copy, version=update.version)


def test_a_lease_takes_all_of_its_amounts_and_its_return_frees_them(ledger):
    lease = take(ledger, submission=1, gpu=2)
    assert ledger.snapshot().resources_available == {"submission": 3, "gpu": 0}
    assert ledger.snapshot().leased_resources == {"submission": 1, "gpu": 2}
    assert give_back(ledger, lease).reason == "released"
    empty = Ledger(dict(LIMITS), generation=1).snapshot()
    assert msgspec.structs.replace(ledger.snapshot(), version=0) == empty


def test_a_token_says_whose_it_is_and_since_when(ledger):
    lease = take(ledger, 7, "mine")
    assert (lease.lease_id, lease.generation, lease.task_id, lease.acquired_at) == (1, 1, 7, 1.5)
    assert lease.group.name == "mine"


def test_t2_a_second_return_is_a_duplicate_and_frees_nothing(ledger):
    lease, other = take(ledger, 1), take(ledger, 2)
    give_back(ledger, lease)
    result = give_back(ledger, lease)
    assert (result.released, result.reason) == (False, "duplicate")
    assert ledger.view.resources_available["submission"] == 3
    assert give_back(ledger, other).released


def test_t2_a_duplicate_is_known_however_long_ago_the_lease_was_returned(ledger):
    first = take(ledger)
    give_back(ledger, first)
    for number in range(2, 2002):
        give_back(ledger, take(ledger, number))
    assert give_back(ledger, first).reason == "duplicate"
    assert ledger.active == {}


def test_t2_a_token_of_another_task_is_stale(ledger):
    lease = take(ledger, 1)
    assert give_back(ledger, msgspec.structs.replace(lease, task_id=2)).reason == "stale_lease"
    assert give_back(ledger, lease).released


def test_t2_a_token_of_another_generation_is_refused_whatever_its_id(ledger):
    lease = take(ledger)
    for lease_id in (lease.lease_id, 5, 10**15):
        forged = msgspec.structs.replace(lease, lease_id=lease_id, generation=2)
        result = give_back(ledger, forged)
        assert (result.released, result.reason) == (False, "wrong_controller_generation")
    assert list(ledger.active) == [lease.lease_id]


@pytest.mark.parametrize("lease_id", [0, -1, 2, 10**15])
def test_t2_an_id_never_issued_is_unknown(ledger, lease_id):
    lease = take(ledger)
    forged = msgspec.structs.replace(lease, lease_id=lease_id)
    assert give_back(ledger, forged).reason == "unknown_lease"


def test_t2_ids_are_unique_over_ledgers_and_generations():
    first = Ledger(dict(LIMITS), generation=1)
    old = take(first)
    second = Ledger(dict(LIMITS), generation=1, last_id=first.last_id)
    assert give_back(second, old).reason == "unknown_lease"
    assert take(second).lease_id == old.lease_id + 1
    other = Ledger(dict(LIMITS), generation=2, last_id=second.last_id)
    assert take(other).lease_id == LEASES_PER_GENERATION + 1


def test_t2_every_reason_is_counted(ledger):
    lease = take(ledger)
    give_back(ledger, lease)
    give_back(ledger, lease)
    give_back(ledger, msgspec.structs.replace(lease, generation=9))
    assert ledger.releases_by_reason == {"released": 1, "duplicate": 1, "wrong_controller_generation": 1}


def test_t8_debt_is_beside_the_accounts_and_stops_at_zero(ledger):
    ledger.apply("g", PolicyStateDelta((("gpu", 2), ("submission", 1))))
    assert ledger.snapshot().resources_available == LIMITS
    ledger.apply("g", PolicyStateDelta((("gpu", -5),)))
    assert ledger.snapshot().policy_debt_by_group_resource == {"g": {"submission": 1}}
    ledger.apply("g", PolicyStateDelta((("submission", -1),)))
    ledger.apply("h", PolicyStateDelta((("submission", -1),)))
    assert ledger.snapshot().policy_debt_by_group_resource == {}


def test_t2_each_of_many_tokens_is_judged_by_itself_and_what_is_alike_is_freed_at_once(ledger):
    first, second = take_run(ledger, [1, 2], "a", submission=1, gpu=1)
    other = take(ledger, 3, "b", submission=2)
    forged = msgspec.structs.replace(other, task_id=9)
    assert ledger.snapshot().resources_available == {"submission": 0, "gpu": 0}
    results = ledger.release([first, forged, second, first, other])
    assert [result.reason for result in results] == [
        "released",
        "stale_lease",
        "released",
        "duplicate",
        "released",
    ]
    assert ledger.snapshot().resources_available == LIMITS
    assert ledger.releases_by_reason == {"released": 3, "stale_lease": 1, "duplicate": 1}


def test_an_update_tells_of_what_was_touched_and_of_nothing_else(ledger):
    lease = take(ledger, 1, "a")
    take(ledger, 2, "b")
    ledger.take_update()
    give_back(ledger, lease)
    ledger.touch("c")
    update = ledger.take_update()
    assert update.version == 2
    assert update.running_by_group == {"a": 0, "c": 0}
    assert update.leased_resources_by_group == {"a": {}, "c": {}}
    assert update.resources_available == {"submission": 3, "gpu": 2}
    assert ledger.take_update().running_by_group == {}


def test_what_left_the_ledger_does_not_change_with_it(ledger):
    take(ledger, 1, "a", submission=1, gpu=1)
    update, snapshot = ledger.take_update(), ledger.snapshot()
    before = msgspec.json.encode((update, snapshot))
    take(ledger, 2, "a", submission=1, gpu=1)
    ledger.apply("a", PolicyStateDelta((("gpu", 1),)))
    assert msgspec.json.encode((update, snapshot)) == before


class LedgerMachine(RuleBasedStateMachine):
    """Any order of grants, returns good and bad, and debt; and a copy that follows by updates alone."""

    @initialize()
    def start(self):
        self.ledger = Ledger(dict(LIMITS), generation=3)
        self.copy = self.ledger.snapshot()
        self.held, self.returned = {}, []
        self.last = 0

    @rule(group=st.sampled_from("abc"), gpu=st.integers(0, 2), number=st.integers(1, 3))
    def acquire(self, group, gpu, number):
        amounts = {"submission": 1, "gpu": gpu} if gpu else {"submission": 1}
        available = self.ledger.view.resources_available
        if any(available[resource] < amount * number for resource, amount in amounts.items()):
            return
        task_ids = [self.last + each for each in range(1, number + 1)]
        self.last += number
        for lease in take_run(self.ledger, task_ids, group, **amounts):
            assert lease.lease_id not in self.held
            self.held[lease.lease_id] = lease

    @precondition(lambda self: self.held)
    @rule(data=st.data(), forge=st.sampled_from((None, None, "task_id", "generation")))
    def release(self, data, forge):
        lease = self.held[data.draw(st.sampled_from(sorted(self.held)))]
        if forge is not None:
            result = give_back(self.ledger, msgspec.structs.replace(lease, **{forge: -7}))
            expected = {"task_id": "stale_lease", "generation": "wrong_controller_generation"}
            assert (result.released, result.reason) == (False, expected[forge])
            return
        assert give_back(self.ledger, lease).released
        self.returned.append(self.held.pop(lease.lease_id))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release_many(self, data):
        lease_ids = data.draw(st.lists(st.sampled_from(sorted(self.held)), max_size=4))
        reasons = [result.reason for result in self.ledger.release([self.held[each] for each in lease_ids])]
        firsts = [each not in lease_ids[:at] for at, each in enumerate(lease_ids)]
        assert reasons == ["released" if is_first else "duplicate" for is_first in firsts]
        self.returned += [self.held.pop(each) for each in dict.fromkeys(lease_ids)]

    @precondition(lambda self: self.returned)
    @rule(data=st.data())
    def release_again(self, data):
        assert give_back(self.ledger, data.draw(st.sampled_from(self.returned))).reason == "duplicate"

    @rule(group=st.sampled_from("abc"), resource=st.sampled_from(sorted(LIMITS)), by=st.integers(-3, 3))
    def owe(self, group, resource, by):
        self.ledger.apply(group, PolicyStateDelta(((resource, by),)))

    @rule()
    def update(self):
        self.copy = follow(self.copy, self.ledger.take_update())
        assert self.copy == self.ledger.snapshot()

    @invariant()
    def the_accounts_are_right(self):
        self.ledger.check()
        assert self.ledger.active == self.held
        assert self.ledger.issued == self.last
        taken = sum(dict(lease.resources.amounts).get("gpu", 0) for lease in self.held.values())
        assert self.ledger.view.resources_available["gpu"] == LIMITS["gpu"] - taken


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase
