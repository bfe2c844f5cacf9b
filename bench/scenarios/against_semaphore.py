"""P5: the full event log on disk, against a semaphore and other bare limiters."""

from __future__ import annotations

from bench.peers import lazily
from bench.peers.semaphore import run_gather
from bench.results import Bar, Figure, Run, Scenario, Side
from bench.scenarios.end_to_end import FULL_LOG, INPUTS, TELEMETRY_OFF

_SEMAPHORE = Side("asyncio.Semaphore + gather", run_gather, peer=True)


def _at_once(tasks: int) -> Run:
    return run_gather(tasks, at_once=True)


_AT_ONCE = Side("asyncio.Semaphore + one gather", _at_once, peer=True)
_AIOMETER = Side("aiometer", lazily("aiometer_peer", "run_all"), share=0.5, requires="aiometer", peer=True)
_ANYIO = Side(
    "anyio.CapacityLimiter",
    lazily("anyio_limiter", "run_task_group"),
    share=0.25,
    requires="anyio",
    peer=True,
)

SCENARIO = Scenario(
    id="P5",
    name="against-semaphore",
    question="What does a task cost under leases and with a full log, over one under a bare semaphore?",
    sides=(FULL_LOG, _SEMAPHORE, TELEMETRY_OFF, _AT_ONCE, _AIOMETER, _ANYIO),
    figures=(
        Figure(
            "leasehold, full log, over asyncio.Semaphore",
            "ratio",
            FULL_LOG.name,
            _SEMAPHORE.name,
            Bar("at most", 2.0),
        ),
        Figure(
            "leasehold, telemetry off, over asyncio.Semaphore",
            "ratio",
            TELEMETRY_OFF.name,
            _SEMAPHORE.name,
        ),
        Figure("leasehold, full log, over one gather of everything", "ratio", FULL_LOG.name, _AT_ONCE.name),
        Figure("leasehold, full log, over aiometer", "ratio", FULL_LOG.name, _AIOMETER.name),
        Figure("leasehold, full log, over anyio", "ratio", FULL_LOG.name, _ANYIO.name),
    ),
    inputs=INPUTS,
    equal_outputs=True,
)
