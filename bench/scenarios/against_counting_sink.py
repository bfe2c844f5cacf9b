"""P3: the full event log on disk, against data-designer with a sink that only counts."""

from __future__ import annotations

from bench.peers import lazily
from bench.results import Bar, Figure, Scenario, Side
from bench.scenarios.end_to_end import FULL_LOG, INPUTS

_PEER = Side(
    "data-designer, counting sink",
    lazily("data_designer", "run_scheduler", sink="counting"),
    share=0.05,
    requires="data-designer",
    peer=True,
)

SCENARIO = Scenario(
    id="P3",
    name="against-counting-sink",
    question="What does a task cost data-designer with a counting sink, over Leasehold with its full log?",
    sides=(FULL_LOG, _PEER),
    figures=(
        Figure(
            "data-designer, counting sink, over leasehold, full log",
            "ratio",
            _PEER.name,
            FULL_LOG.name,
            Bar("at least", 20.0),
        ),
    ),
    inputs=INPUTS,
    equal_outputs=True,
)
