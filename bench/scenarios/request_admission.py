"""P11: what an uncontended request lease costs through the actor."""

from __future__ import annotations

from bench.job_runs import Telemetry
from bench.noop_jobs import CAPACITY
from bench.peers import lazily
from bench.peers.semaphore import run_cycles
from bench.request_client import run_request_admission
from bench.results import Bar, Figure, Run, Scenario, Side


def _actor(telemetry: Telemetry) -> Side:
    def run(tasks: int) -> Run:
        return run_request_admission(tasks, telemetry=telemetry)

    return Side(f"request admission, {'full log' if telemetry == 'log' else 'telemetry off'}", run)


_OFF, _LOG = _actor("off"), _actor("log")
_PEER = Side(
    "data-designer, no sink",
    lazily("data_designer_admission", "run_request_admission"),
    share=0.5,
    requires="data-designer",
    peer=True,
)
_SEMAPHORE = Side("asyncio.Semaphore", run_cycles, peer=True)

SCENARIO = Scenario(
    id="P11",
    name="request-admission",
    question="What does it cost to acquire and return an uncontended request lease, batched?",
    sides=(_OFF, _PEER, _LOG, _SEMAPHORE),
    figures=(
        Figure("one lease, telemetry off", "cost", _OFF.name, bar=Bar("at most", 10.0)),
        Figure("one lease, full log", "cost", _LOG.name),
        Figure("data-designer over the actor, telemetry off", "ratio", _PEER.name, _OFF.name),
        Figure("the actor, telemetry off, over asyncio.Semaphore", "ratio", _OFF.name, _SEMAPHORE.name),
    ),
    inputs={
        "batch": CAPACITY,
        "static_cap": CAPACITY,
        "timed": "first ask to answer of the last return, the client's own messages included",
    },
)
