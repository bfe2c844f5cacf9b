"""Who decides how many calls are in flight: the common face, and a limit on its own."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

from actors.request_admission.limits import LimitTransition, RequestLimit
from messages.request_admission import RequestLease, RequestOutcome
from messages.tasks import RequestResourceKey

RESOURCE = RequestResourceKey("virtual", "model", "chat")


class Grant(NamedTuple):
    """A client may call; `token` is the controller's own."""

    client: int
    token: object


class Controller(Protocol):
    """Admission as a closed population of clients sees it. Every client has at most one wish at a time."""

    def ask(self, client: int, *, now: float) -> list[Grant]:
        """Let a client ask; return who may call now."""
        ...

    def give_back(self, grant: Grant, outcome: RequestOutcome, *, now: float) -> list[Grant]:
        """Take back a grant; return who may call now."""
        ...

    def wake(self, *, now: float) -> list[Grant]:
        """Let time pass; return who may call now."""
        ...

    def wakes_at(self) -> float | None:
        """Return when `wake` has something to do."""
        ...

    def close(self, *, now: float) -> int:
        """Let nobody wait any more; return how many grants and waiters are left."""
        ...


class Line:
    """Clients that wait, first come, first served, and how many are in flight."""

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()
        self.in_flight = 0

    def close(self, *, now: float) -> int:
        """Let nobody wait any more; return how many grants are left."""
        del now
        self.waiting.clear()
        return self.in_flight


class LimitAlone(Line):
    """One `RequestLimit` and the gate of rule A4, without the rest of request admission."""

    def __init__(self, limit: RequestLimit, *, cooldown_seconds: float = 2.0) -> None:
        super().__init__()
        self.limit = limit
        self.transitions: list[tuple[float, LimitTransition]] = []
        self._cooldown = cooldown_seconds
        self._blocked_until = 0.0
        self._leases = 0

    def ask(self, client: int, *, now: float) -> list[Grant]:
        """Let a client ask."""
        self.waiting.append(client)
        return self._serve(now)

    def give_back(self, grant: Grant, outcome: RequestOutcome, *, now: float) -> list[Grant]:
        """Take back a grant, and let the limit learn from it."""
        lease = grant.token
        assert isinstance(lease, RequestLease)
        cooling = now < self._blocked_until
        told = self.limit.on_return(lease, outcome, now=now, in_flight=self.in_flight, cooling=cooling)
        self.transitions += [(now, transition) for transition in told]
        self.in_flight -= 1
        if outcome.kind == "rate_limited":
            pause = outcome.retry_after_seconds or self._cooldown
            self._blocked_until = max(self._blocked_until, now + pause)
        return self._serve(now)

    def wake(self, *, now: float) -> list[Grant]:
        """Let the limit's time pass."""
        self.transitions += [(now, transition) for transition in self.limit.advance(now=now)]
        return self._serve(now)

    def wakes_at(self) -> float | None:
        """Return when the gate opens or the limit changes by itself."""
        times = [time for time in (self.limit.next_change(), self._opens_at()) if time is not None]
        return min(times) if times else None

    def _opens_at(self) -> float | None:
        return self._blocked_until if self.waiting and self.in_flight < self.limit.current else None

    def _serve(self, now: float) -> list[Grant]:
        granted = []
        while self.waiting and now >= self._blocked_until and self.in_flight < self.limit.current:
            self.in_flight += 1
            self._leases += 1
            self.limit.on_acquire(now=now)
            limit = self.limit
            lease = RequestLease(self._leases, 1, RESOURCE, now, limit.current, limit.effective_max)
            granted.append(Grant(self.waiting.popleft(), lease))
        return granted
