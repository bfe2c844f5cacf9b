"""A closed population of clients that always want to call, under a controller, against a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush

from bench.moving.controllers import Controller, Grant
from bench.moving.server import Answer, VirtualServer

FAILURE_BACKOFF_SECONDS = 1.0
"""How long a client waits after it could not reach the server. After a refusal it asks again at once."""


class Success:
    """One call that was answered: when, how long it took, how long it would have taken alone."""

    __slots__ = ("at", "seconds", "service_seconds")

    def __init__(self, at: float, seconds: float, service_seconds: float) -> None:
        self.at = at
        self.seconds = seconds
        self.service_seconds = service_seconds


@dataclass
class Course:
    """What came of a simulation.

    refusals, failures: when calls came back that were refused, or found nobody there. left: grants and
    waiters that the controller still has afterwards.
    """

    successes: list[Success] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    failures: list[float] = field(default_factory=list)
    left: int = 0

    def between(self, start: float, end: float) -> list[Success]:
        """Return the calls that were answered from `start` up to `end`."""
        return [success for success in self.successes if start <= success.at < end]


class _Population:
    """The clients' side of one simulation: a heap of what is still to come."""

    def __init__(self, controller: Controller, server: VirtualServer, until: float) -> None:
        self._controller = controller
        self._server = server
        self._until = until
        self._calls: dict[int, tuple[Grant, float]] = {}
        self._coming: list[tuple[float, int, Answer | int | None]] = []
        self._numbers = 0
        self._woken_for: float | None = None
        self.course = Course()

    def run(self, clients: int) -> Course:
        for change in self._server.script.changes(self._until):
            self._at(change, None)
        for client in range(clients):
            self._at(0.0, client)
        while self._coming:
            self._arm()
            now, _, what = heappop(self._coming)
            if now > self._until and not self._calls:
                break
            self._happen(what, now)
        self.course.left = self._controller.close(now=self._until)
        return self.course

    def _happen(self, what: Answer | int | None, now: float) -> None:
        if isinstance(what, Answer):
            self._answered(what, now)
        elif what is None:
            self._woken_for = None
            self._follow(self._server.serve(now=now))
            self._granted(self._controller.wake(now=now), now)
        elif now <= self._until:
            self._granted(self._controller.ask(what, now=now), now)

    def _answered(self, answer: Answer, now: float) -> None:
        grant, called_at = self._calls.pop(answer.call)
        pause = 0.0
        if answer.outcome.kind == "success":
            self._server.ended()
            self._follow(self._server.serve(now=now))
            if now <= self._until:
                self.course.successes.append(Success(now, now - called_at, answer.service_seconds))
        elif answer.outcome.kind == "rate_limited":
            self.course.refusals.append(now)
        else:
            self.course.failures.append(now)
            pause = FAILURE_BACKOFF_SECONDS
        self._granted(self._controller.give_back(grant, answer.outcome, now=now), now)
        self._at(now + pause, grant.client)

    def _granted(self, grants: list[Grant], now: float) -> None:
        for grant in grants:
            self._numbers += 1
            self._calls[self._numbers] = (grant, now)
            self._follow(self._server.call(self._numbers, now=now))

    def _follow(self, answers: list[Answer]) -> None:
        for answer in answers:
            self._at(answer.at, answer)

    def _arm(self) -> None:
        """See to it that the controller is woken when it wants to be."""
        due = self._controller.wakes_at()
        if due is not None and due <= self._until and (self._woken_for is None or due < self._woken_for):
            self._woken_for = due
            self._at(due, None)

    def _at(self, time: float, what: Answer | int | None) -> None:
        self._numbers += 1
        heappush(self._coming, (time, self._numbers, what))


def simulate(controller: Controller, server: VirtualServer, *, clients: int, until: float) -> Course:
    """Let so many clients call, each again as soon as it has its answer, for `until` seconds."""
    return _Population(controller, server, until).run(clients)
