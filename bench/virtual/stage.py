"""The whole system on one thread: the product's bodies and cores, and a seeded choice of who does what next.

What is really concurrent is chosen here, one step at a time: which actor takes its next entry, which of a
flush's sends arrives before another actor goes on, when the worker's loop turns, when a deadline or a
thread's end comes. What the product promises is kept: a sender's messages arrive in the order in which they
were sent, and an actor that is still sending takes nothing.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Literal, TypeAlias

from actors.runtime.body import ActorBody
from actors.runtime.router import Router
from actors.system.cores import MakeCore, Ports, core_makers
from actors.worker.body import WorkerBody
from actors.worker.threads import Done
from bench.virtual.clock import VirtualClock
from bench.virtual.event_loop import VirtualLoop
from bench.virtual.mailboxes import VirtualInbox, VirtualLoopInbox
from bench.virtual.pool import VirtualPool
from messages import Message
from messages._base import ACTOR_NAMES, WORKER, ActorName
from messages.supervision import DeadlineReached

What: TypeAlias = Literal["arrive", "deadline", "turn", "attend", "take", "begin"] | int
"""What somebody may do next; a number is the call of a pool that ends."""

Choice: TypeAlias = tuple[ActorName | VirtualPool, What]

Action: TypeAlias = Callable[[], object]

OnSend: TypeAlias = Callable[[ActorName, ActorName, list[Message]], list[Message]]
"""Called with (sender, receiver, messages) before they are sent; returns what is sent instead."""


class StuckError(AssertionError):
    """What was waited for does not come."""


class VirtualRouter(Router):
    """Keeps what an actor sends in flight until the stage lets it arrive."""

    def __init__(self, *, serialize: bool) -> None:
        super().__init__(serialize=serialize)
        self.in_flight: dict[ActorName, deque[tuple[ActorName, list[Message]]]] = {
            name: deque() for name in ACTOR_NAMES
        }
        self.spreads = False
        self.on_send: OnSend | None = None

    def send(self, sender: ActorName, to: ActorName, messages: list[Message]) -> bool:
        """Send, or keep in flight while `spreads`; what `on_send` returns nothing of is lost."""
        if self.on_send is not None:
            messages = self.on_send(sender, to, messages)
            if not messages:
                return True
        if self.spreads and sender in self.in_flight:
            self.in_flight[sender].append((to, messages))
            return True
        return super().send(sender, to, messages)

    def arrive(self, sender: ActorName) -> None:
        """Let the first of what a sender has in flight arrive."""
        to, messages = self.in_flight[sender].popleft()
        super().send(sender, to, messages)


class Stage:
    """Six actors, and one step at a time. `chance` decides everything that is not determined.

    `spread`: the share of an actor's turns whose sends arrive one by one. `slow`: an actor that is passed
    over nine times in ten. `jitter`: seconds that a step may take at most. `after_step`: called with who did
    what. `steps` counts what was done, `decisions` where there was a choice, and `trail` tells two courses
    apart.
    """

    def __init__(
        self,
        ports: Ports,
        clock: VirtualClock,
        chance: Random,
        *,
        spread: float = 0.0,
        slow: ActorName | None = None,
        jitter: float = 0.0,
        serialize: bool = False,
    ) -> None:
        self.clock = clock
        self.chance = chance
        self.router = VirtualRouter(serialize=serialize)
        self.loop = VirtualLoop(clock)
        self.pools: list[VirtualPool] = []
        self.steps = 0
        self.decisions = 0
        self.trail = 0
        self.after_step: Callable[[ActorName | VirtualPool, What], None] | None = None
        self._spread = spread
        self._slow = slow
        self._jitter = jitter
        self._at_steps: list[tuple[int, int, Action]] = []
        self._at_times: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()
        self.inboxes: dict[ActorName, VirtualInbox] = {}
        self.bodies: dict[ActorName, ActorBody] = {}
        for name, make in core_makers(ports).items():
            self._add(name, make)
        for name in ACTOR_NAMES:
            self.bodies[name].start()

    def _add(self, name: ActorName, make: MakeCore) -> None:
        if name == WORKER:
            inbox = self._worker_inbox = VirtualLoopInbox(self.clock, self.loop)
            self.inboxes[name] = inbox
            self.bodies[name] = WorkerBody(
                name, make(None), self.router, self.clock, inbox, make, self._make_pool
            )
        else:
            self.inboxes[name] = VirtualInbox(self.clock)
            self.bodies[name] = ActorBody(name, make(None), self.router, self.clock, self.inboxes[name], make)
        self.router.register(name, self.inboxes[name].put)

    def _make_pool(self, size: int, done: Done) -> VirtualPool:
        pool = VirtualPool(size, done, self.clock)
        self.pools.append(pool)
        return pool

    # -- what happens from outside -------------------------------------------------------------------

    def at_step(self, step: int, action: Action) -> None:
        """Do something once so many steps have been done."""
        heappush(self._at_steps, (step, next(self._numbers), action))

    def at_time(self, time: float, action: Action) -> None:
        """Do something at a time."""
        heappush(self._at_times, (time, next(self._numbers), action))

    def forget_steps(self) -> None:
        """Do nothing any more of what was to be done at a step."""
        self._at_steps.clear()

    # -- running -------------------------------------------------------------------------------------

    def run(
        self,
        done: Callable[[], bool] = lambda: False,
        *,
        most_steps: float = math.inf,
        longest: float = math.inf,
    ) -> bool:
        """Step, and let time pass where nobody has anything to do; return whether it is `done`.

        It is not where nothing happens any more.

        Raises:
            StuckError: it took more than `most_steps`, or until after the time `longest`.
        """
        while not done():
            while self._at_steps and self._at_steps[0][0] <= self.steps:
                heappop(self._at_steps)[2]()
            while self._at_times and self._at_times[0][0] <= self.clock.time:
                heappop(self._at_times)[2]()
            if self.step():
                if self.steps > most_steps:
                    raise StuckError(f"{most_steps} steps were not enough")
                continue
            due = self.next_time()
            if due is None:
                return False
            self.clock.pass_to(due)
            if self.clock.time > longest:
                raise StuckError(f"{longest:.0f} virtual seconds were not enough")
        return True

    # -- steps ---------------------------------------------------------------------------------------

    def choices(self) -> list[Choice]:
        """Return what may happen next, in an order of its own, as (who, what) pairs."""
        found: list[Choice] = []
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
                    if self._worker_inbox.turn_due:
                        continue  # a turn comes first, as on the worker's thread
                if self._worker_inbox.attention:
                    found.append((name, "attend"))
                    continue
            if inbox.entries:
                found.append((name, "take"))
        return found + self._choices_of_pools() if self.pools else found

    def _choices_of_pools(self) -> list[Choice]:
        found: list[Choice] = []
        for pool in self.pools:
            if pool.can_begin:
                found.append((pool, "begin"))
            found += [(pool, key) for key in pool.ended()]
        return found

    def step(self) -> bool:
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

    def next_time(self) -> float | None:
        """Return when something happens without a step; None where nothing does."""
        times: list[float | None] = [inbox.deadline for inbox in self.inboxes.values()]
        times += [self.loop.next_timer(), *(pool.next_end() for pool in self.pools)]
        times += [time for time, _, _ in self._at_times[:1]]
        return min((time for time in times if time is not None), default=None)

    def _do(self, who: ActorName | VirtualPool, what: What) -> None:
        if isinstance(who, VirtualPool):
            if isinstance(what, int):
                who.end(what)
            else:
                who.begin()
            return
        if what == "arrive":
            self.router.arrive(who)
            return
        self.router.spreads = self.chance.random() < self._spread
        try:
            self._let(who, what)
        finally:
            self.router.spreads = False

    def _let(self, name: ActorName, what: What) -> None:
        inbox, body = self.inboxes[name], self.bodies[name]
        match what:
            case "take":
                body.take(inbox.get())
            case "deadline":
                inbox.deadline = None
                body.take(DeadlineReached())
            case "turn":
                self._worker_inbox.turn_due = False
                self.loop.turn()
                if self._worker_inbox.attention:
                    self._let(name, "attend")
            case "attend":
                self._worker_inbox.attention = False
                body.take(DeadlineReached())

    # -- the end -------------------------------------------------------------------------------------

    def stop(self) -> None:
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
