"""Request admission under any interleaving: caps, gates, fairness, nobody forgotten (A3, A4, A7-A10, A13)."""

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
KINDS = (
    "success",
    "success",
    "success",
    "rate_limited",
    "provider_failure",
    "provider_timeout",
    "local_cancelled",
    "unexpected_exception",
)
TUNING = st.fixed_dictionaries(
    {
        "algorithm": st.sampled_from(("aimd", "fixed", "gradient")),
        "cooldown_seconds": st.sampled_from((0.0, 0.5, 2.0)),
        "successes_until_increase": st.sampled_from((1, 2, 25)),
        "startup_ramp_seconds": st.sampled_from((0.0, 0.0, 5.0)),
        "circuit_after_seconds": st.sampled_from((1.0, 5.0, 60.0)),
        "circuit_probe_seconds": st.sampled_from((0.5, 3.0)),
    }
)
BUDGETS = st.sampled_from(({}, {}, {"requests_per_minute": 4}, {"output_tokens_per_minute": 20}))


class RequestMachine(RuleBasedStateMachine):
    @initialize(tuning=TUNING, budgets=BUDGETS)
    def start(self, tuning, budgets):
        self.admission = Admission(*CAPS, budgets=budgets, **tuning)
        self.budgets, self.tuning = budgets, tuning
        self.now = 0.0
        self.last = 0
        self.waiting, self.held, self.returned, self.earlier = {}, {}, [], []
        self.gates = dict.fromkeys(KEYS, 0.0)

    @rule(
        key=st.sampled_from(KEYS),
        replicas=st.sampled_from(((), (), (OTHER,), (CHAT, OTHER))),
        group=st.sampled_from("ab"),
        timeout=st.sampled_from((None, None, 0.0, 1.0, 3.0)),
        tokens=st.sampled_from((None, 1, 9, 30)),
    )
    def ask(self, key, replicas, group, timeout, tokens):
        self.last += 1
        self.waiting[self.last] = None if timeout is None else self.now + timeout
        others = tuple(each for each in replicas if each != key)
        self._take(
            asking(
                self.last,
                group,
                resource=key,
                timeout=timeout,
                weight=ord(group) - 96,
                replicas=others,
                output_tokens=tokens,
            )
        )

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
    @rule(
        data=st.data(),
        kind=st.sampled_from(KINDS),
        wait=st.sampled_from((None, 0.0, 1.0, 20.0)),
        tokens=st.sampled_from((None, 0, 5)),
    )
    def give_back(self, data, kind, wait, tokens):
        attempt = data.draw(st.sampled_from(sorted(self.held)))
        lease = self.held.pop(attempt)
        self.returned.append(lease)
        if kind == "rate_limited" and lease not in self.earlier:
            until = self.now + (self.tuning["cooldown_seconds"] if wait is None else wait)
            self.gates[lease.resource] = max(self.gates[lease.resource], until)
        self._take(
            returning(
                lease, kind, attempt=attempt, retry_after=wait, output_tokens=tokens, duration_seconds=0.1
            )
        )

    @precondition(lambda self: self.returned)
    @rule(data=st.data())
    def give_back_again(self, data):
        assert self._take(returning(data.draw(st.sampled_from(self.returned)))) == []

    @rule(seconds=st.sampled_from((0.5, 1.0, 10.0, 61.0)))
    def wait(self, seconds):
        """Let time pass, waking the core when it asked to be woken and at no other time."""
        until = self.now + seconds
        while (due := self.admission.core.next_deadline()) is not None and due <= until:
            assert due > self.now, "it asked to be woken for what is over"
            self.now = due
            self._note(self.admission.at(due))
        self.now = until
        late = [attempt for attempt, due in self.waiting.items() if due is not None and due <= until]
        assert late == []
        self._note(self.admission.at(until))

    @precondition(lambda self: not self.held)
    @rule()
    def everybody_is_served_in_the_end(self):
        """With every lease given back as a success, and time, nobody waits for ever (A8, A9)."""
        for _ in range(2000):
            if not self.waiting:
                return
            for attempt in sorted(self.held):
                self.returned.append(lease := self.held.pop(attempt))
                self._take(returning(lease, attempt=attempt, output_tokens=1))
            due = self.admission.core.next_deadline()
            if due is not None and self.waiting and not self.held:
                self.now = max(self.now, due)
                self._note(self.admission.at(self.now))
        raise AssertionError(f"{self.waiting} wait for ever")

    @rule()
    def end_the_run(self):
        before = dict(self.waiting)
        self._take(registering(*CAPS, budgets=self.budgets, **self.tuning))
        self.gates = dict.fromkeys(KEYS, 0.0)
        self.earlier += self.held.values()
        assert self.waiting == {}
        assert all(self.admission.denied[attempt] == "shutdown" for attempt in before)

    @invariant()
    def it_wakes_for_the_first_whose_time_is_up(self):
        due = [time for time in self.waiting.values() if time is not None]
        if due:
            assert self.admission.core.next_deadline() <= min(due)

    @invariant()
    def gates_are_what_the_rate_limits_said(self):
        for found in self.admission.core.snapshot(now=self.now).resources:
            until = self.gates[found.resource]
            assert found.blocked_until == (until if until > self.now else None)

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
                lease = self.held[attempt] = item.message.lease
                assert self.gates[lease.resource] <= self.now, "granted behind a closed gate"
                found = self.admission.resource(lease.resource, now=self.now)
                if found.circuit == "open":
                    assert found.in_flight == 1, "more than a probe"


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
