"""Dispatcher and task admission together, whatever is in flight between them (T6, T10, T13, A12)."""

from __future__ import annotations

from collections import Counter, deque

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.scheduler.dispatch import Dispatcher
from actors.task_admission.policies import (
    BoundedBorrowConfig,
    BoundedBorrowTaskAdmissionPolicy,
    ProviderAwareTaskAdmissionPolicy,
    StrictFairTaskAdmissionPolicy,
)
from messages.request_admission import RequestPressureChanged
from messages.task_admission import AcquireTaskLeases, ReturnTaskLeases, TaskLeasesDecided, TaskLeasesReturned
from messages.tasks import TaskOutcome
from tests.actors.scheduler.control_builders import (
    RUN,
    a_group,
    a_pressure,
    an_item,
    configured_admission,
    returned,
    told,
)
from tests.own_policy import OneAtATime

LIMITS = {"submission": 12, "gpu": 3, "llm_wait": 8, "request:x/m": 6, "request:y/m": 5, "request:x+y/n": 4}
REPLICAS = {"request:x+y/n": ("x/n", "y/n")}
ENDPOINTS = ("x/m", "y/m", "x/n", "y/n")
VECTORS = (
    {"submission": 1},
    {"submission": 1, "gpu": 1},
    {"submission": 1, "gpu": 2},
    {"submission": 1, "llm_wait": 1},
    {"submission": 2, "llm_wait": 1},
    {"submission": 1, "llm_wait": 1, "request:x/m": 1},
    {"submission": 1, "llm_wait": 1, "request:y/m": 1},
    {"submission": 1, "llm_wait": 2, "request:x+y/n": 1},
    {"submission": 1, "gpu": 1, "request:x/m": 1},
)
WEIGHTS = (0.5, 1.0, 1.0, 2.0, 3.0, 5.0)
JUDGES = (
    StrictFairTaskAdmissionPolicy(),
    BoundedBorrowTaskAdmissionPolicy(),
    BoundedBorrowTaskAdmissionPolicy(BoundedBorrowConfig(default_ceiling=1, rounding="floor")),
    OneAtATime(),
)
NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")


def without_zeros(entries):
    kept = {
        name: ({k: v for k, v in e.items() if v} if isinstance(e, dict) else e) for name, e in entries.items()
    }
    return {name: entry for name, entry in kept.items() if entry}


class DispatchMachine(RuleBasedStateMachine):
    """Both sides' messages keep their order; which side is delivered next is anybody's choice."""

    @initialize(
        limits=st.lists(st.sampled_from((None, 1, 2, 4, 8)), min_size=len(NAMES), max_size=len(NAMES)),
        weights=st.lists(st.sampled_from(WEIGHTS), min_size=len(NAMES), max_size=len(NAMES)),
        vectors=st.none() | st.lists(st.sampled_from(VECTORS), min_size=len(NAMES), max_size=len(NAMES)),
        judge=st.sampled_from(JUDGES),
        aware=st.booleans(),
        charge=st.sampled_from(("task", "lease_seconds")),
    )
    def start(self, limits, weights, vectors, judge, aware, charge):
        self.judge, self.aware = judge, aware
        self.policy = ProviderAwareTaskAdmissionPolicy(judge) if aware else judge
        self.policy.charge = charge
        self.now = 0.0
        self.admission, self.view = configured_admission(policy=self.policy, replicas=REPLICAS, **LIMITS)
        self.dispatcher = Dispatcher(self.policy, self.view)
        self.groups = {
            name: a_group(name, limit=limit, weight=weight)
            for name, limit, weight in zip(NAMES, limits, weights, strict=True)
        }
        self.vectors = vectors
        self.from_scheduler, self.from_worker, self.to_scheduler = deque(), deque(), deque()
        self.from_requests = deque()
        self.running, self.done = {}, []
        self.started, self.discarded = Counter(), set()
        self.last_id = 0

    # -- what may happen ---------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 4), vector=st.sampled_from(VECTORS))
    def enqueue(self, name, count, vector):
        if self.vectors is not None:
            vector = self.vectors[NAMES.index(name)]
        for _ in range(count):
            self.last_id += 1
            self.dispatcher.queue.enqueue([an_item(self.last_id, self.groups[name], **vector)])

    @rule(count=st.integers(2, 8), vector=st.sampled_from(VECTORS))
    def enqueue_everywhere(self, count, vector):
        for name in NAMES:
            self.enqueue(name, count, vector)

    @rule()
    def ask(self):
        if self.dispatcher.asking:
            assert self.dispatcher.select() == []
            return
        eligible = self._eligible_heads()
        selections = self.dispatcher.select(now=self.now)
        assert bool(selections) == bool(eligible), f"T13: {eligible} could go"
        assert not selections or selections[0].item.task_id in eligible, "A12: whose turn it is"
        assert self.dispatcher.asking == bool(selections)
        if selections:
            self.from_scheduler.append(AcquireTaskLeases(selections))

    @precondition(lambda self: self.from_scheduler)
    @rule()
    def deliver_from_scheduler(self):
        self._admit(self.from_scheduler.popleft())

    @precondition(lambda self: self.from_worker)
    @rule()
    def deliver_from_worker(self):
        self._admit(self.from_worker.popleft())

    @rule(pressed=st.sets(st.sampled_from(ENDPOINTS)), waiting=st.booleans())
    def press(self, pressed, waiting):
        """A provider comes under pressure or recovers, at any time."""
        how = {"waiters": 1} if waiting else {"cooldown": 2.0}
        snapshots = tuple(a_pressure(name, **(how if name in pressed else {})) for name in ENDPOINTS)
        self.from_requests.append(RequestPressureChanged(RUN, snapshots))

    @precondition(lambda self: self.from_requests)
    @rule()
    def deliver_from_requests(self):
        self._admit(self.from_requests.popleft())

    @precondition(lambda self: self.to_scheduler)
    @rule()
    def deliver_to_scheduler(self):
        message = self.to_scheduler.popleft()
        if isinstance(message, TaskLeasesReturned):
            self.dispatcher.returned(message)
            return
        if not isinstance(message, TaskLeasesDecided):
            self.dispatcher.apply(message.view)
            return
        starts, stale = self.dispatcher.decide(message)
        assert not self.dispatcher.asking
        for item, lease in starts:
            assert item.task_id == lease.task_id
            assert item.task_id not in self.discarded
            self.started[item.task_id] += 1
            self.running[lease.lease_id] = lease
        # T6: whatever was granted for work that is gone goes back before anything starts.
        assert {lease.task_id for lease in stale} <= self.discarded
        if stale:
            outcome = TaskOutcome("stale_discard")
            self.from_scheduler.append(ReturnTaskLeases([returned(lease, outcome) for lease in stale]))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data):
        ids = data.draw(st.sets(st.sampled_from(sorted(self.running)), min_size=1, max_size=3))
        leases = [self.running.pop(lease_id) for lease_id in sorted(ids)]
        self.done += leases
        self.from_worker.append(ReturnTaskLeases([returned(lease) for lease in leases]))

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def return_again(self, data):
        lease = data.draw(st.sampled_from(self.done))
        self.from_worker.append(ReturnTaskLeases([returned(lease)]))

    @rule(data=st.data())
    def discard(self, data):
        queued = self.dispatcher.queue.queued_ids()
        gone = data.draw(st.sets(st.sampled_from(queued), max_size=4) if queued else st.just(set()))
        self.discarded |= gone
        self.dispatcher.discard(gone)

    @rule(seconds=st.floats(0.01, 10.0))
    def let_time_pass(self, seconds):
        self.now += seconds

    @rule()
    def come_to_rest(self):
        """Let everything that is on its way arrive, and ask until nothing more can go."""
        for _ in range(10 * self.last_id + 10):
            self._deliver_all()
            self.ask()
            if not self.dispatcher.asking:
                return
        raise AssertionError("it asks for ever")

    # -- what must hold ----------------------------------------------------------------------------

    @invariant()
    def both_are_whole(self):
        self.admission.check()
        self.dispatcher.queue.check()

    @invariant()
    def with_nothing_in_flight_both_know_the_same(self):
        if self.from_scheduler or self.from_worker or self.to_scheduler or self.dispatcher.asking:
            return
        truth = self.admission.snapshot(now=0.0).view
        assert self.view.resources_available == truth.resources_available
        assert self.view.pressed == truth.pressed
        assert without_zeros(self.view.running_by_group) == truth.running_by_group
        assert without_zeros(self.view.leased_resources_by_group) == truth.leased_resources_by_group

    @invariant()
    def nothing_starts_twice(self):
        assert all(count == 1 for count in self.started.values())

    def teardown(self):
        """Everything queued gets its turn, and every token comes back, whatever stays under pressure."""
        if not hasattr(self, "dispatcher"):
            return
        for _ in range(20 * self.last_id + 50):
            self.ask()
            self._deliver_all()
            if self.running:
                leases = list(self.running.values())
                self.running.clear()
                self.from_worker.append(ReturnTaskLeases([returned(lease) for lease in leases]))
            elif not self.dispatcher.asking and not len(self.dispatcher.queue):
                break
        assert len(self.dispatcher.queue) == 0
        assert set(self.started) == set(range(1, self.last_id + 1)) - self.discarded
        assert self.admission.snapshot(now=0.0).active_leases == 0
        self.with_nothing_in_flight_both_know_the_same()

    # -- inside ------------------------------------------------------------------------------------

    def _deliver_all(self):
        while self.from_scheduler or self.from_worker or self.from_requests or self.to_scheduler:
            for side in (self.from_scheduler, self.from_worker, self.from_requests):
                if side:
                    self._admit(side.popleft())
            if self.to_scheduler:
                self.deliver_to_scheduler()

    def _admit(self, message):
        outgoing = self.admission.handle(message, now=self.now)
        assert all(to == "scheduler" for to, _ in told(outgoing))
        self.to_scheduler.extend(message for _, message in told(outgoing))

    def _eligible_heads(self):
        """Judge every group's next task by itself, from the view that the dispatcher has.

        A policy that heeds pressure lets those go first that are under none, and judges them among
        themselves; if none of them can go, all others may that the policy inside it allows.
        """
        queue, available = self.dispatcher.queue, self.view.resources_available
        heads = [head for name in NAMES if (head := queue.head_of(name)) is not None]
        fitting = [
            head
            for head in heads
            if all(available[resource] >= amount for resource, amount in head.resource_request.amounts)
        ]
        everybody = queue.pressure()
        if not self.aware:
            return self._allowed(fitting, everybody)
        unpressed = msgspec.structs.replace(
            everybody, heads=tuple(head for head in everybody.heads if not self._is_pressed(head.request))
        )
        free = [head for head in fitting if not self._is_pressed(head.resource_request)]
        others = [head for head in fitting if self._is_pressed(head.resource_request)]
        return self._allowed(free, unpressed) or self._allowed(others, everybody)

    def _allowed(self, heads, queue_view):
        return [head.task_id for head in heads if self.judge.evaluate(head, queue_view, self.view).allowed]

    def _is_pressed(self, request):
        return any(resource in self.view.pressed for resource, _ in request.amounts)


DispatchMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestDispatchMachine = DispatchMachine.TestCase
