"""Dispatcher and task admission on virtual time: groups whose tasks take known times share some slots."""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from typing import NamedTuple

from actors.scheduler.dispatch import Dispatcher
from actors.task_admission.policies import policy_named
from messages.task_admission import AcquireTaskLeases, ReturnTaskLeases
from tests.actors.scheduler.control_builders import a_group, an_item, configured_admission, returned, told


class Dispatched(NamedTuple):
    at: float
    group: str
    seconds: float


class ServiceWorld:
    """`weights` are those of the groups by name; `slots` how many tasks run at once.

    After each look for work it is asserted that no slot is left idle while any task could take it.
    """

    def __init__(self, weights, slots, policy="service_time_fair", **limits):
        judge = policy_named(policy)
        self.admission, view = configured_admission(policy=judge, submission=slots, **limits)
        self.dispatcher = Dispatcher(judge, view)
        self.groups = {name: a_group(name, weight=weight) for name, weight in weights.items()}
        self.now = 0.0
        self.dispatched = []
        self.served = Counter()
        self.waiting = Counter()
        self._slots = slots
        self._seconds = {}
        self._running = []

    def enqueue(self, name, *seconds, **amounts):
        """Queue tasks that take so many seconds each."""
        items = []
        for each in seconds:
            number = len(self._seconds) + 1
            self._seconds[number] = each
            items.append(an_item(number, self.groups[name], **amounts))
        self.waiting[name] += len(items)
        self.dispatcher.queue.enqueue(items)

    def look(self):
        """Start all that may start now."""
        while selections := self.dispatcher.select(now=self.now):
            for message in self._tell(AcquireTaskLeases(selections)):
                starts, stale = self.dispatcher.decide(message)
                assert stale == []
                for item, lease in starts:
                    seconds = self._seconds[item.task_id]
                    self.waiting[item.group.name] -= 1
                    self.dispatched.append(Dispatched(self.now, item.group.name, seconds))
                    heappush(self._running, (round(self.now + seconds, 6), item.task_id, lease))
        queue, available = self.dispatcher.queue, self.dispatcher.available
        for name in self.groups:
            head = queue.head_of(name)
            assert head is None or any(
                available(resource) < amount for resource, amount in head.resource_request.amounts
            ), f"{name} could run"

    def next_end(self):
        """Return when the next task ends; None where none runs."""
        return self._running[0][0] if self._running else None

    def pass_to_next_end(self):
        """Let time pass until something ends, and give all back that has; return whether anything ran."""
        if not self._running:
            return False
        self.now = self._running[0][0]
        back = []
        while self._running and self._running[0][0] <= self.now:
            _, _, lease = heappop(self._running)
            self.served[lease.group.name] += self.now - lease.acquired_at
            back.append(returned(lease))
        for message in self._tell(ReturnTaskLeases(back)):
            self.dispatcher.returned(message)
        return True

    def served_so_far(self):
        """Return each group's lease-seconds, those of what runs among them."""
        served = Counter(self.served)
        for _, _, lease in self._running:
            served[lease.group.name] += self.now - lease.acquired_at
        return served

    def run_dry(self):
        """Do all that is queued."""
        self.look()
        while self.pass_to_next_end():
            self.look()

    def keep_busy(self, durations, *, tasks):
        """Keep every group's queue filled from its endless durations until so many tasks were dispatched.

        Yields after each look.
        """
        while len(self.dispatched) < tasks:
            for name, each in durations.items():
                while self.waiting[name] < 2 * self._slots:
                    self.enqueue(name, next(each))
            self.look()
            yield
            self.pass_to_next_end()

    def _tell(self, message):
        return [answer for _, answer in told(self.admission.handle(message, now=self.now))]
