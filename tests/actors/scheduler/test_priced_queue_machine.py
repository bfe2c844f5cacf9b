"""The ready queue with tasks of all costs against a plain model, whatever is done to it (Q1 to Q4)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.scheduler.fair_groups import TaskCost
from actors.scheduler.fair_queue import FairTaskQueue
from tests.actors.scheduler.control_builders import a_group, an_item

NAMES = ("a", "b", "c", "d")
names = st.sampled_from(NAMES)
costs = st.builds(
    TaskCost,
    cost=st.floats(0.01, 10.0),
    behind=st.floats(0.0, 20.0),
    stay=st.sampled_from((0.0, 0.0, 1.0, 5.0)),
)


class Prices(dict):
    def of(self, group):
        return self[group.name]


class Model:
    """The order as it is meant, with a look at every group for every question."""

    def __init__(self, prices, weights):
        self.prices, self.weights = prices, weights
        self.now = 0.0
        self.tags, self.places, self.costs = {}, {}, {}
        self.idle = {}
        self.turn = None

    def begin(self, name):
        self.tags[name] = self.places[name] = max(self.idle.pop(name, 0.0), self.now)
        self.reprice(name)

    def reprice(self, name):
        self.costs[name] = TaskCost(*(part / self.weights[name] for part in self.prices[name]))

    def key(self, name):
        return self.places[name] - (self.costs[name].stay if name == self.turn else 0.0)

    def hold(self, name, *, first):
        if first:
            least = self.now - self.costs[name].behind
            self.tags[name] = max(self.tags[name], least)
            self.places[name] = self.tags[name]
        self.places[name] += self.costs[name].cost
        self.turn = name

    def commit(self, name):
        self.now = max(self.now, self.tags[name] - self.costs[name].stay)
        self.tags[name] += self.costs[name].cost

    def correct(self, name, amount):
        move = amount / self.weights[name]
        if name in self.tags:
            self.tags[name] += move
            self.places[name] += move
        else:
            self.idle[name] = self.idle.get(name, self.now) + move

    def end(self, name):
        self.idle[name] = self.tags.pop(name)
        if name == self.turn:
            self.turn = None
        if not self.tags:
            self.now = max(self.now, *self.idle.values())
            self.idle.clear()


class PricedQueueMachine(RuleBasedStateMachine):
    @initialize(
        prices=st.fixed_dictionaries(dict.fromkeys(NAMES, costs)),
        weights=st.lists(st.integers(1, 5), min_size=len(NAMES), max_size=len(NAMES)),
    )
    def start(self, prices, weights):
        self.prices = Prices(prices)
        self.groups = {
            name: a_group(name, weight=weight) for name, weight in zip(NAMES, weights, strict=True)
        }
        self.queue = FairTaskQueue(self.prices)
        self.model = Model(self.prices, dict(zip(NAMES, weights, strict=True)))
        self.ready = {name: [] for name in NAMES}
        self.held, self.parked = [], set()
        self.last_id = 0

    @rule(name=names, number=st.integers(1, 5))
    def enqueue(self, name, number):
        if not self._queued_of(name):
            self.model.begin(name)
        for _ in range(number):
            self.last_id += 1
            self.queue.enqueue([an_item(self.last_id, self.groups[name])])
            self.ready[name].append(self.last_id)

    @rule(number=st.integers(1, 6))
    def hold(self, number):
        for _ in range(number):
            able = [name for name in NAMES if self.ready[name] and name not in self.parked]
            selection = self.queue.select_next(lambda _: True)
            assert (selection is None) == (not able)
            if selection is None:
                return
            name = selection.item.group.name
            assert selection.item.task_id == self.ready[name].pop(0)
            least = min(self.model.key(other) for other in able)
            assert self.model.key(name) <= least + 1e-6, "whose turn it is"
            first = name not in {each.item.group.name for each in self.held}
            self.model.hold(name, first=first)
            self.queue.hold(selection)
            self.held.append(selection)

    @rule(most=st.integers(1, 6))
    def hold_run(self, most):
        """A run is what would be selected one by one."""
        selection = self.queue.select_next(lambda _: True)
        if selection is None:
            return
        name = selection.item.group.name
        first = name not in {each.item.group.name for each in self.held}
        run = self.queue.hold_run(selection, most)
        assert 1 <= len(run) <= most
        for each in run:
            able = [other for other in NAMES if self.ready[other] and other not in self.parked]
            assert each.item.task_id == self.ready[name].pop(0)
            least = min(self.model.key(other) for other in able)
            assert self.model.key(name) <= least + 1e-6, "whose turn it is"
            self.model.hold(name, first=first)
            first = False
            self.held.append(each)

    @precondition(lambda self: self.held)
    @rule(denied=st.sets(names))
    def decide(self, denied):
        """Commit what is held, but for the groups that are denied: those are put back."""
        decided, self.held = self.held, []
        left = [each.item.group.name for each in decided]
        granted = [each for each in decided if each.item.group.name not in denied]
        assert self.queue.commit_all(granted) == [each.item for each in granted]
        for selection in decided:
            name = selection.item.group.name
            left.remove(name)
            if name in denied:
                continue
            self.model.commit(name)
            if not self.ready[name] and name not in left:
                self._end(name)
        for name in denied:
            back = [each.item.task_id for each in decided if each.item.group.name == name]
            if back:
                self.ready[name][:0] = back
                self.queue.abort(name)
                self.model.places[name] = self.model.tags[name]

    @rule(name=names, amount=st.floats(-10.0, 10.0))
    def correct(self, name, amount):
        self.queue.correct([(self.groups[name], amount)])
        self.model.correct(name, amount)

    @precondition(lambda self: not self.held)
    @rule(name=names, cost=costs)
    def reprice(self, name, cost):
        self.prices[name] = cost
        self.queue.reprice(name)
        if self._queued_of(name):
            self.model.reprice(name)

    @rule(name=names)
    def park(self, name):
        self.queue.park(name)
        if self._queued_of(name):
            self.parked.add(name)

    @rule(name=names)
    def unpark(self, name):
        self.queue.unpark(name)
        self.parked.discard(name)

    @invariant()
    def it_is_whole(self):
        self.queue.check()

    def _end(self, name):
        self.model.end(name)
        self.parked.discard(name)

    def _queued_of(self, name):
        held = [each.item.task_id for each in self.held if each.item.group.name == name]
        return held + self.ready[name]


PricedQueueMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestPricedQueueMachine = PricedQueueMachine.TestCase


def test_q1_a_group_that_has_the_turn_keeps_it_by_its_new_price():
    prices = Prices({name: TaskCost(1.0, 0.0, 0.0) for name in "ab"})
    queue = FairTaskQueue(prices)
    queue.enqueue([an_item(1, a_group("a")), an_item(2, a_group("b")), an_item(3, a_group("a"))])
    first = queue.select_next(lambda _: True)
    queue.hold(first)
    queue.commit(first)
    prices["a"] = TaskCost(1.0, 0.0, 2.0)
    queue.reprice("a")
    assert queue.select_next(lambda _: True).item.task_id == 3
