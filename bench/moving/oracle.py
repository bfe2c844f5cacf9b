"""Who knows the capacity at every moment: what any controller is measured by."""

from __future__ import annotations

from collections import deque

from bench.moving.controllers import Grant, Line
from bench.moving.server import VirtualServer
from messages.request_admission import RequestOutcome


class Oracle(Line):
    """Knows the server's capacity, and keeps exactly so many calls in flight."""

    def __init__(self, server: VirtualServer, *, until: float) -> None:
        super().__init__()
        self._server = server
        self._changes = deque(sorted(set(server.changes(until))))

    def ask(self, client: int, *, now: float) -> list[Grant]:
        """Let a client ask."""
        self.waiting.append(client)
        return self._serve(now)

    def give_back(self, grant: Grant, outcome: RequestOutcome, *, now: float) -> list[Grant]:
        """Take back a grant."""
        del grant, outcome
        self.in_flight -= 1
        return self._serve(now)

    def wake(self, *, now: float) -> list[Grant]:
        """Look at the capacity again."""
        while self._changes and self._changes[0] <= now:
            self._changes.popleft()
        return self._serve(now)

    def wakes_at(self) -> float | None:
        """Return when the capacity changes next."""
        return self._changes[0] if self._changes else None

    def _serve(self, now: float) -> list[Grant]:
        granted, room = [], self._server.room(now)
        while self.waiting and self.in_flight < room:
            self.in_flight += 1
            granted.append(Grant(self.waiting.popleft(), None))
        return granted
