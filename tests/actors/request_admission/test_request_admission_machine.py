"""Request admission under any interleaving: caps, fairness, nobody forgotten (A3, A7, A8, A10)."""

from __future__ import annotations

import gc

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.actors.request_admission.request_builders import (
    CHAT,
    EMBEDDING,
    OTHER,
    Admission,
    asking,
    cancelling,
    registering,
    returning,
)

CAPS = ((CHAT, 3), (EMBEDDING, 2), (OTHER, 1))
KEYS = [key for key, _ in CAPS]


class RequestMachine(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.admission = Admission(*CAPS)
        self.now = 0.0
        self.last = 0
        self.waiting, self.held, self.returned = {}, {}, []

    @rule(
        key=st.sampled_from(KEYS),
        group=st.sampled_from("ab"),
        timeout=st.sampled_from((None, None, 0.0, 1.0, 3.0)),
    )
    def ask(self, key, group, timeout):
        self.last += 1
        self.waiting[self.last] = None if timeout is None else self.now + timeout
        self._take(asking(self.last, group, resource=key, timeout=timeout, weight=ord(group) - 96))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def ask_again(self, data):
        self._take(asking(data.draw(st.sampled_from(sorted(self.waiting)))))

    @precondition(lambda self: self.last)
    @rule(data=st.data())
    def cancel(self, data):
        attempt = data.draw(st.integers(1, self.last))
        waited = attempt in self.waiting
        self._take(cancelling(attempt))
        assert not waited or self.admission.denied[attempt] == "cancellation"

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data):
        attempt = data.draw(st.sampled_from(sorted(self.held)))
        lease = self.held.pop(attempt)
        self.returned.append(lease)
        self._take(returning(lease, attempt=attempt))

    @precondition(lambda self: self.returned)
    @rule(data=st.data())
    def give_back_again(self, data):
        assert self._take(returning(data.draw(st.sampled_from(self.returned)))) == []

    @rule(seconds=st.sampled_from((0.5, 1.0, 10.0)))
    def wait(self, seconds):
        self.now += seconds
        self._note(self.admission.at(self.now))
        late = [attempt for attempt, due in self.waiting.items() if due is not None and due <= self.now]
        assert late == []

    @rule()
    def end_the_run(self):
        before = dict(self.waiting)
        self._take(registering(*CAPS))
        assert self.waiting == {}
        assert all(self.admission.denied[attempt] == "shutdown" for attempt in before)

    @invariant()
    def the_next_deadline_is_the_first(self):
        due = [time for time in self.waiting.values() if time is not None]
        assert self.admission.core.next_deadline() == min(due, default=None)

    @invariant()
    def everybody_is_in_one_place(self):
        assert len(self.waiting) == sum(
            resource.waiters for resource in self.admission.core.snapshot(now=self.now).resources
        )

    def _take(self, message):
        sent = self.admission.send(message, self.now)
        self._note(sent)
        return sent

    def _note(self, sent):
        for item in sent:
            attempt = getattr(item.message, "request_attempt_id", None)
            if attempt is None:
                continue
            assert attempt in self.waiting, "answered twice, or to nobody"
            del self.waiting[attempt]
            if hasattr(item.message, "lease"):
                self.held[attempt] = item.message.lease


RequestMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestRequestMachine = RequestMachine.TestCase


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=4),
    st.lists(st.integers(1, 3), min_size=4, max_size=4),
    st.integers(1, 3),
)
def test_a7_groups_that_always_wait_get_their_shares_however_few_they_queue(weights, depths, cap):
    """Each group keeps `depth` attempts waiting, one of them if need be, and asks anew when served."""
    admission = Admission((CHAT, cap))
    last, group_of = cap, {}

    def ask(group):
        nonlocal last
        last += 1
        group_of[last] = group
        admission.ask(last, group=str(group), weight=float(weights[group]))

    running = admission.ask(*range(1, cap + 1), group="first")
    for group in range(len(weights)):
        for _ in range(depths[group]):
            ask(group)
    served = [0] * len(weights)
    for _ in range(60):
        for attempt in admission.give_back(running.pop(0)):
            running.append(attempt)
            served[group_of[attempt]] += 1
            ask(group_of[attempt])
        for one, weight in enumerate(weights):
            for other, its_weight in enumerate(weights):
                ahead = served[one] / weight - served[other] / its_weight
                assert ahead <= 1 / weight + 1 / its_weight + 1e-6


def test_a7_waiters_that_give_up_leave_nothing_behind():
    """Also where nobody is served for long: the place of one that left must not be kept."""
    admission = Admission((CHAT, 1))
    admission.ask(1, 2)

    def things():
        gc.collect()
        return sum(type(found).__name__ in ("Waiter", "AcquireRequestLease") for found in gc.get_objects())

    before = things()
    for attempt in range(10, 2010):
        admission.core.handle(asking(attempt), now=0.0)
        admission.core.handle(cancelling(attempt), now=0.0)
        admission.core.idle(now=0.0)
    assert things() <= before + 40
    assert admission.give_back(1) == [2]
