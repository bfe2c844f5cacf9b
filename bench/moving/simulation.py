"""A closed population of clients that always want to call, under a controller, against a server."""

from __future__ import annotations

from asyncio import TimerHandle
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.moving.controllers import Controller, Grant
from bench.moving.server import Answer, VirtualServer
from bench.results import Evidence
from bench.virtual.event_loop import VirtualLoop

FAILURE_BACKOFF_SECONDS = 1.0
"""How long a client waits after it could not reach the server. After a refusal it asks again at once."""


class Success(NamedTuple):
    """One call that was answered: when, and how long it took, seconds."""

    at: float
    seconds: float


@dataclass
class Course:
    """What came of a simulation.

    refusals, failures: when calls came back that were refused, or found nobody there. left: grants and
    waiters that the controller still has afterwards. evidence: what the actors left, where there were any.
    """

    successes: list[Success] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    failures: list[float] = field(default_factory=list)
    left: int = 0
    evidence: Evidence = field(default_factory=Evidence)

    def between(self, start: float, end: float) -> list[Success]:
        """Return the calls that were answered from `start` up to `end`."""
        return [success for success in self.successes if start <= success.at < end]


class _Population:
    """The clients' side of one simulation, on an event loop of virtual time."""

    def __init__(self, controller: Controller, server: VirtualServer, until: float) -> None:
        self._controller = controller
        self._server = server
        self._until = until
        self._loop = VirtualLoop()
        self._under_way = 0
        self._waking: TimerHandle | None = None
        self.course = Course()

    def run(self, clients: int) -> Course:
        for change in self._server.changes(self._until):
            self._loop.call_at(change, self._look_again)
        for client in range(clients):
            self._loop.call_soon(self._ask, client)
        self._loop.run_on(lambda: self._loop.time() >= self._until and not self._under_way)
        self.course.left = self._controller.close(now=self._loop.time())
        self._loop.close()
        return self.course

    def _ask(self, client: int) -> None:
        now = self._loop.time()
        if now < self._until:
            self._granted(self._controller.ask(client, now=now), now)

    def _look_again(self) -> None:
        """The server may serve others now, or the controller let others call."""
        now = self._loop.time()
        self._follow(self._server.serve(now=now))
        self._granted(self._controller.wake(now=now), now)

    def _granted(self, grants: list[Grant], now: float) -> None:
        for grant in grants:
            self._under_way += 1
            self._follow(self._server.call((grant, now), now=now))
        self._arm()

    def _follow(self, answers: list[Answer]) -> None:
        for answer in answers:
            self._loop.call_at(answer.at, self._answered, answer)

    def _answered(self, answer: Answer) -> None:
        now = self._loop.time()
        grant, called_at = answer.call
        self._under_way -= 1
        pause = 0.0
        if answer.outcome.kind == "success":
            self._server.ended()
            self._follow(self._server.serve(now=now))
            if now <= self._until:
                self.course.successes.append(Success(now, now - called_at))
        elif answer.outcome.kind == "rate_limited":
            self.course.refusals.append(now)
        else:
            self.course.failures.append(now)
            pause = FAILURE_BACKOFF_SECONDS
        self._granted(self._controller.give_back(grant, answer.outcome, now=now), now)
        self._loop.call_later(pause, self._ask, grant.client)

    def _arm(self) -> None:
        """See to it that the controller is woken when it wants to be."""
        due = self._controller.wakes_at()
        armed = self._waking
        if armed is not None and armed.when() != due:
            armed.cancel()
            self._waking = armed = None
        if armed is None and due is not None and due <= self._until:
            self._waking = self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._waking = None
        self._look_again()


def simulate(controller: Controller, server: VirtualServer, *, clients: int, until: float) -> Course:
    """Let so many clients call, each again as soon as it has its answer, for `until` seconds."""
    return _Population(controller, server, until).run(clients)
