"""P7: what the full event log costs."""

from __future__ import annotations

from bench.results import Bar, Figure, Scenario
from bench.scenarios.end_to_end import FULL_LOG, INPUTS, TELEMETRY_OFF

SCENARIO = Scenario(
    id="P7",
    name="telemetry-cost",
    question="What does a task cost with the full event log, over one with telemetry off?",
    sides=(FULL_LOG, TELEMETRY_OFF),
    figures=(
        Figure(
            "full log over telemetry off",
            "ratio",
            FULL_LOG.name,
            TELEMETRY_OFF.name,
            Bar("at most", 1.6),
        ),
    ),
    inputs=INPUTS,
    equal_outputs=True,
)
