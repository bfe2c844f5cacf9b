"""data-designer's adaptive request controller as a controller of the simulation.

Its controller has no clock of its own to set: it calls `time.monotonic` of its module. So that name is bound
to the simulation's clock from when the controller is made until it is closed; nothing else is changed.

Its own best way: `try_acquire` for whoever is first in line, whenever a lease has come back and when the
cooldown that it names is over. In a run its waiters look every 50 ms; here nobody loses that time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

from data_designer.engine.models.request_admission import controller as peer
from data_designer.engine.models.request_admission.config import RequestAdmissionConfig
from data_designer.engine.models.request_admission.outcomes import RequestReleaseOutcome
from data_designer.engine.models.request_admission.resources import (
    RequestAdmissionItem,
    RequestDomain,
    RequestGroupSpec,
    RequestResourceKey,
)

from bench.moving.controllers import Grant, Line
from bench.moving.playing import playing, under
from bench.moving.scripts import CLIENTS, REFUSING
from bench.moving.server import VirtualServer
from bench.results import BenchError, Run
from messages.job import RequestAdmissionTuning
from messages.request_admission import RequestOutcome


class PeerController(Line):
    """`AdaptiveRequestAdmissionController`, with the settings that it shares with ours."""

    def __init__(self, tuning: RequestAdmissionTuning, *, static_cap: int) -> None:
        super().__init__()
        self._now = 0.0
        self._opens_at: float | None = None
        peer.time = SimpleNamespace(monotonic=lambda: self._now)
        resource = RequestResourceKey("virtual", "model", RequestDomain.CHAT)
        self._item = RequestAdmissionItem(resource, RequestGroupSpec(resource))
        self._controller = peer.AdaptiveRequestAdmissionController(
            RequestAdmissionConfig(
                initial_limits={} if tuning.initial is None else {resource: tuning.initial},
                cooldown_seconds=tuning.cooldown_seconds,
                multiplicative_decrease_factor=tuning.multiplicative_decrease_factor,
                additive_increase_step=tuning.additive_increase_step,
                successes_until_increase=tuning.successes_until_increase,
                startup_ramp_seconds=tuning.startup_ramp_seconds,
            )
        )
        self._controller.register(
            provider_name="virtual", model_id="model", alias="model", max_parallel_requests=static_cap
        )

    def ask(self, client: int, *, now: float) -> list[Grant]:
        """Let a client ask for a lease."""
        self.waiting.append(client)
        return self._serve(now)

    def give_back(self, grant: Grant, outcome: RequestOutcome, *, now: float) -> list[Grant]:
        """Release a client's lease."""
        lease = grant.token
        assert isinstance(lease, peer.RequestAdmissionLease)
        self._now = now
        self.in_flight -= 1
        released = RequestReleaseOutcome(outcome.kind, outcome.retry_after_seconds, outcome.provider_status)
        if not self._controller.release(lease, released).released:
            raise BenchError("data-designer refused to take a lease back")
        return self._serve(now)

    def wake(self, *, now: float) -> list[Grant]:
        """Ask again, the cooldown being over."""
        return self._serve(now)

    def close(self, *, now: float) -> int:
        """Let nobody wait any more, and the module have its clock back; return how many leases are left."""
        peer.time = time
        return super().close(now=now)

    def wakes_at(self) -> float | None:
        """Return when the cooldown is over that stood in the way of the last one who asked."""
        return self._opens_at if self.waiting else None

    def _serve(self, now: float) -> list[Grant]:
        self._now = now
        self._opens_at = None
        grants = []
        while self.waiting:
            decision = self._controller.try_acquire(self._item)
            if isinstance(decision, peer.RequestAdmissionDenied):
                self._opens_at = decision.available_after_monotonic
                break
            self.in_flight += 1
            grants.append(Grant(self.waiting.popleft(), decision))
        return grants


def run_moving(tasks: int, *, tuning: RequestAdmissionTuning) -> Run:
    """Play the scripts of servers that refuse under the peer's controller."""
    return _playing(tuning)(tasks)


@cache
def _playing(tuning: RequestAdmissionTuning) -> Callable[[int], Run]:
    """Return the run of these settings: one for all iterations, because it counts their seeds."""

    def make(server: VirtualServer, until: float) -> PeerController:
        del server, until
        return PeerController(tuning, static_cap=CLIENTS)

    return playing(REFUSING, under(make))
