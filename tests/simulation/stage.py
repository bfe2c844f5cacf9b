"""The whole system on one thread: the product's bodies and cores, and a seeded choice of who does what next.

What is really concurrent is chosen here, one step at a time: which actor takes its next entry, which of a
flush's sends arrives before another actor goes on, when the worker's loop turns, when a deadline or a
thread's end comes. What the product promises is kept: a sender's messages arrive in the order in which they
were sent, and an actor that is still sending takes nothing.
"""

from __future__ import annotations

from collections import deque

from actors.runtime.body import ActorBody
from actors.runtime.router import Router
from actors.system.cores import core_makers
from actors.worker.body import WorkerBody
from messages._base import ACTOR_NAMES, WORKER
from messages.supervision import DeadlineReached
from tests.simulation.mailboxes import SimulatedInbox, SimulatedLoopInbox
from tests.simulation.pool import SimulatedPool
from tests.simulation.virtual_time import VirtualLoop


class StuckError(AssertionError):
    """Nothing can happen any more, and what was waited for has not."""


class SimulatedRouter(Router):
    """Keeps what an actor sends in flight until the stage lets it arrive."""

    def __init__(self, *, serialize):
        super().__init__(serialize=serialize)
        self.in_flight = {name: deque() for name in ACTOR_NAMES}
        self.spreads = False
        self.on_send = None

    def send(self, sender, to, messages):
        if self.on_send is not None:
            messages = self.on_send(sender, to, messages)
            if not messages:
                return True
        if self.spreads and sender in self.in_flight:
            self.in_flight[sender].append((to, messages))
            return True
        return super().send(sender, to, messages)

    def arrive(self, sender):
        to, messages = self.in_flight[sender].popleft()
        super().send(sender, to, messages)


class Stage:
    """Six actors, and one step at a time. `chance` decides everything that is not determined.

    `spread`: the share of an actor's turns whose sends arrive one by one. `slow`: an actor that is passed
    over nine times in ten. `jitter`: seconds that a step may take at most.
    """

    def __init__(self, ports, clock, chance, *, spread=0.0, slow=None, jitter=0.0, serialize=False):
        self.clock = clock
        self.chance = chance
        self.router = SimulatedRouter(serialize=serialize)
        self.loop = VirtualLoop(clock)
        self.pools = []
        self.steps = 0
        self.decisions = 0
        self.trail = 0
        self.after_step = None
        self._spread = spread
        self._slow = slow
        self._jitter = jitter
        self.inboxes = {}
        self.bodies = {}
        for name, make in core_makers(ports).items():
            self._add(name, make)
        for name in ACTOR_NAMES:
            self.bodies[name].start()

    def _add(self, name, make):
        if name == WORKER:
            inbox = SimulatedLoopInbox(self.clock, self.loop)
            body = WorkerBody(name, make(None), self.router, self.clock, inbox, make, self._make_pool)
        else:
            inbox = SimulatedInbox(self.clock)
            body = ActorBody(name, make(None), self.router, self.clock, inbox, make)
        self.inboxes[name], self.bodies[name] = inbox, body

        def deliver(messages):
            inbox.put(messages)
            return True

        self.router.register(name, deliver)

    def _make_pool(self, size, done):
        pool = SimulatedPool(size, done, self.clock)
        self.pools.append(pool)
        return pool

    # -- steps ---------------------------------------------------------------------------------------

    def choices(self):
        """Return what may happen next, in an order of its own, as (name, what) pairs."""
        found = []
        in_flight, now = self.router.in_flight, self.clock.time
        for name, inbox in self.inboxes.items():
            if in_flight[name]:
                found.append((name, "arrive"))
                continue
            if inbox.deadline is not None and inbox.deadline <= now:
                found.append((name, "deadline"))
            if name == WORKER:
                if self.loop.has_work:
                    found.append((name, "turn"))
                    if inbox.turn_due:
                        continue  # a turn comes first, as on the worker's thread
                if inbox.attention:
                    found.append((name, "attend"))
                    continue
            if inbox.entries:
                found.append((name, "take"))
        return found + self._choices_of_pools() if self.pools else found

    def _choices_of_pools(self):
        found = []
        for pool in self.pools:
            if pool.can_begin:
                found.append((pool, "begin"))
            found += [(pool, key) for key in pool.ended()]
        return found

    def step(self):
        """Do one thing; return False where nothing is left to do but to let time pass."""
        found = self.choices()
        if not found:
            return False
        if len(found) > 1:
            if self._slow is not None and self.chance.random() < 0.9:
                found = [each for each in found if each[0] != self._slow] or found
            index = self.chance.randrange(len(found))
            self.decisions += 1
            self.trail = hash((self.trail, index, len(found)))
        else:
            index = 0
        self._do(*found[index])
        self.steps += 1
        if self._jitter and self.chance.random() < 0.1:
            self.clock.pass_to(self.clock.time + self.chance.random() * self._jitter)
        if self.after_step is not None:
            self.after_step(*found[index])
        return True

    def next_time(self):
        """Return when something happens by itself; None where nothing does."""
        times = [inbox.deadline for inbox in self.inboxes.values()]
        times += [self.loop.next_timer(), *(pool.next_end() for pool in self.pools)]
        return min((time for time in times if time is not None), default=None)

    def _do(self, who, what):
        if not isinstance(who, str):
            if what == "begin":
                who.begin()
            else:
                who.end(what)
            return
        if what == "arrive":
            self.router.arrive(who)
            return
        self.router.spreads = self.chance.random() < self._spread
        try:
            self._let(who, what)
        finally:
            self.router.spreads = False

    def _let(self, name, what):
        inbox, body = self.inboxes[name], self.bodies[name]
        match what:
            case "take":
                body.take(inbox.get())
            case "deadline":
                inbox.deadline = None
                body.take(DeadlineReached())
            case "turn":
                inbox.turn_due = False
                self.loop.turn()
                if inbox.attention:
                    self._let(name, "attend")
            case "attend":
                inbox.attention = False
                body.take(DeadlineReached())

    # -- the end -------------------------------------------------------------------------------------

    def stop(self):
        """Stop the actors as the system does, the last one started first."""
        for name in ACTOR_NAMES:
            while self.router.in_flight[name]:
                self.router.arrive(name)
        for name in reversed(ACTOR_NAMES):
            # Pykka's stop is an entry like any other: what came before it is handled first.
            body, inbox = self.bodies[name], self.inboxes[name]
            while not inbox.empty():
                body.take(inbox.get())
            body.stop()
            self.router.unregister(name)
        self.loop.close()
