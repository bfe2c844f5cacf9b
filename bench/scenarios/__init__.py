"""The questions, in the order of the bars, one module each."""

from __future__ import annotations

from bench.results import Scenario
from bench.scenarios import (
    admission_against_peer,
    admission_by_groups,
    against_bare_pykka,
    against_counting_sink,
    against_no_sink,
    against_semaphore,
    heavy_root,
    moving_capacity,
    request_admission,
    startup,
    telemetry_cost,
)

SCENARIOS: tuple[Scenario, ...] = (
    admission_by_groups.SCENARIO,
    admission_against_peer.SCENARIO,
    against_counting_sink.SCENARIO,
    against_no_sink.SCENARIO,
    against_semaphore.SCENARIO,
    against_bare_pykka.SCENARIO,
    telemetry_cost.SCENARIO,
    heavy_root.SCENARIO,
    request_admission.SCENARIO,
    moving_capacity.SCENARIO,
    startup.SCENARIO,
)


def named(name: str) -> Scenario:
    """Return a scenario by its id (`P3`) or its name, in any case.

    Raises:
        KeyError: there is no such scenario.
    """
    for scenario in SCENARIOS:
        if name.lower() in (scenario.id.lower(), scenario.name):
            return scenario
    raise KeyError(name)
