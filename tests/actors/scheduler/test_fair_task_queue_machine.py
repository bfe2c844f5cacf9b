"""The ready queue against a plain model, under any interleaving of what may be done to it (Q1 to Q4)."""

from __future__ import annotations

import copy
import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.scheduler.fair_queue import FairTaskQueue
from tests.actors.scheduler.control_builders import a_group, an_item

NAMES = ("a", "b", "c", "d")
names = st.sampled_from(NAMES)


def anything(_):
    return True


class Shares:
    """What each pair of groups was given while both had work and nothing stood in their way.

    Start-time fair queueing promises that two such groups differ by at most one quantum of each.
    """

    def __init__(self, weights):
        self._weights = weights
        self._served = dict.fromkeys(weights, 0)
        self._active = {}  # group -> whether it came while others were held and not yet committed
        self._since = {}

    def __contains__(self, name):
        return name in self._active

    def begin(self, name, *, late):
        for other in self._active:
            self._since[frozenset((name, other))] = dict(self._served)
        self._active[name] = late

    def end(self, name):
        self._active.pop(name, None)

    def serve(self, name):
        self._served[name] += 1

    def check(self):
        for one, other in itertools.permutations(self._active, 2):
            since = self._since[frozenset((one, other))]
            ahead = self._share(one, since) - self._share(other, since)
            # What was held when one of them came is committed after it: that is not being ahead of it, nor is
            # it being ahead to make up for that.
            if not (self._active[one] or self._active[other]):
                assert ahead <= 1 / self._weights[one] + 1 / self._weights[other] + 1e-6, (one, other)

    def _share(self, name, since):
        return (self._served[name] - since[name]) / self._weights[name]


class QueueMachine(RuleBasedStateMachine):
    @initialize(weights=st.lists(st.integers(1, 5), min_size=len(NAMES), max_size=len(NAMES)))
    def start(self, weights):
        self.queue = FairTaskQueue()
        self.weights = dict(zip(NAMES, weights, strict=True))
        self.ready = {name: [] for name in NAMES}  # task ids in order, held ones not among them
        self.held = []
        self.parked = set()
        self.shares = Shares(self.weights)
        self.last_id = 0

    # -- what may be done --------------------------------------------------------------------------

    @rule(name=names, count=st.integers(1, 6))
    def enqueue(self, name, count):
        if not self._queued_of(name):
            self.shares.begin(name, late=bool(self.held))
        elif not self.ready[name] and name in self.shares:
            # All it had was held: it could not be selected for a while, so it begins anew. One that was
            # passed over is no longer compared: it keeps its place, and may make up for all it missed.
            self.shares.end(name)
            self.shares.begin(name, late=True)
        new = [self.last_id + 1 + number for number in range(count)]
        self.last_id += count
        group = a_group(name, weight=self.weights[name])
        items = [an_item(number, group) for number in new]
        assert self.queue.enqueue([*items, *items]) == new
        self.ready[name] += new

    @rule(count=st.integers(1, 8))
    def hold(self, count):
        for _ in range(count):
            selection = self.queue.select_next(anything)
            if selection is None:
                assert not any(self.ready[name] for name in NAMES if name not in self.parked)
                return
            assert self.queue.select_next(anything) == selection
            name = selection.item.group.name
            assert name not in self.parked
            assert selection.item.task_id == self.ready[name].pop(0)
            self.queue.hold(selection)
            self.held.append(selection)

    @rule(most=st.integers(1, 8))
    def hold_run(self, most):
        """A run is what would be selected one by one."""
        first = self.queue.select_next(anything)
        if first is None:
            return
        one_by_one = copy.deepcopy(self.queue)
        run = self.queue.hold_run(first, most)
        assert 1 <= len(run) <= most
        name = first.item.group.name
        for selection in run:
            single = one_by_one.select_next(anything)
            assert (single.item, single.sequence_version) == (selection.item, selection.sequence_version)
            one_by_one.hold(single)
            assert selection.item.task_id == self.ready[name].pop(0)
            self.held.append(selection)
        following = [queue.select_next(anything) for queue in (self.queue, one_by_one)]
        assert len({each and each.item.task_id for each in following}) == 1

    @precondition(lambda self: self.held)
    @rule(denied=st.sets(names))
    def decide(self, denied):
        """Commit what is held, but for the groups that are denied: those are put back."""
        decided, self.held = self.held, []
        for name in denied:
            self.ready[name][:0] = [
                selection.item.task_id for selection in decided if selection.item.group.name == name
            ]
        still = [selection for selection in decided if selection.item.group.name not in denied]
        while still:
            selection = still.pop(0)
            name = selection.item.group.name
            more = any(other.item.group.name == name for other in still)
            self._commit(selection, more=more)
        for name in denied.intersection(selection.item.group.name for selection in decided):
            self.queue.abort(name)
            self.shares.end(name)
        for selection in decided:
            assert self.queue.commit(selection) is None

    @precondition(lambda self: not self.held)
    @rule(only=st.sets(names, min_size=1))
    def dispatch_one(self, only):
        """One selection and its commit, with a predicate that refuses some groups."""
        selection = self.queue.select_next(lambda item: item.group.name in only)
        able = [name for name in NAMES if self.ready[name] and name not in self.parked]
        if selection is None:
            assert not only.intersection(able)
            return
        name = selection.item.group.name
        assert name in only
        assert selection.item.task_id == self.ready[name].pop(0)
        for other in set(able) - only:
            self.shares.end(other)
        self._commit(selection)

    @rule(data=st.data())
    def discard(self, data):
        queued = [number for ready in self.ready.values() for number in ready]
        queued += [selection.item.task_id for selection in self.held]
        gone = data.draw(st.sets(st.sampled_from(queued)) if queued else st.just(set()))
        removed = self.queue.discard([*gone, self.last_id + 1])
        assert {item.task_id for item in removed} == gone
        for selection in self.held:
            if selection.item.task_id in gone:
                assert self.queue.commit(selection) is None
        self.held = [selection for selection in self.held if selection.item.task_id not in gone]
        for name in NAMES:
            self.ready[name] = [number for number in self.ready[name] if number not in gone]
            self._note_dry(name)

    @rule(name=names)
    def park(self, name):
        self.queue.park(name)
        if self.ready[name] or name in {selection.item.group.name for selection in self.held}:
            self.parked.add(name)
            self.shares.end(name)

    @rule(name=names)
    def unpark(self, name):
        self.queue.unpark(name)
        self.parked.discard(name)

    # -- what must hold ----------------------------------------------------------------------------

    @invariant()
    def it_is_whole(self):
        self.queue.check()

    @invariant()
    def it_knows_what_is_queued(self):
        counts = {name: len(self._queued_of(name)) for name in NAMES}
        view = self.queue.view()
        assert view.queued_by_group == {name: count for name, count in counts.items() if count}
        assert len(self.queue) == view.queued_total == sum(counts.values())
        assert sum(head.groups for head in view.heads) == sum(bool(self.ready[name]) for name in NAMES)
        assert {name: ids[0] for name in NAMES if (ids := self._queued_of(name))} == (
            view.first_candidate_by_group
        )

    @invariant()
    def groups_get_their_shares(self):
        if not self.held:
            self.shares.check()

    # -- inside ------------------------------------------------------------------------------------

    def _commit(self, selection, *, more=False):
        assert self.queue.commit(selection) is selection.item
        name = selection.item.group.name
        self.shares.serve(name)
        if not more:
            self._note_dry(name)

    def _queued_of(self, name):
        held = [item.item.task_id for item in self.held if item.item.group.name == name]
        return held + self.ready[name]

    def _note_dry(self, name):
        if not self._queued_of(name):
            self.shares.end(name)
            self.parked.discard(name)


QueueMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestFairTaskQueueMachine = QueueMachine.TestCase
