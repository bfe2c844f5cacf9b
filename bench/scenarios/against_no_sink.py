"""P4: the full event log on disk, against data-designer that makes no events at all."""

from __future__ import annotations

from bench.peers import lazily
from bench.results import Bar, Figure, Scenario, Side
from bench.scenarios.end_to_end import FULL_LOG, INPUTS

_PEER = Side(
    "data-designer, no sink",
    lazily("data_designer", "run_scheduler", sink="none"),
    share=0.2,
    requires="data-designer",
    peer=True,
)

SCENARIO = Scenario(
    id="P4",
    name="against-no-sink",
    question="What does a task cost data-designer without events, over Leasehold with its full log?",
    sides=(FULL_LOG, _PEER),
    figures=(
        Figure(
            "data-designer, no sink, over leasehold, full log",
            "ratio",
            _PEER.name,
            FULL_LOG.name,
            Bar("at least", 5.0),
        ),
    ),
    inputs=INPUTS,
    equal_outputs=True,
)
