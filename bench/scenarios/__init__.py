"""The questions, one module each: those with bars first, then the rest of the matrix."""

from __future__ import annotations

from bench.results import Scenario
from bench.scenarios import (
    admission_against_peer,
    admission_by_groups,
    admission_phases,
    against_bare_pykka,
    against_counting_sink,
    against_no_sink,
    against_semaphore,
    changing_providers,
    heavy_root,
    logs,
    memory_by_rows,
    moving_capacity,
    preparing,
    request_admission,
    scale,
    shapes,
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
    memory_by_rows.SCENARIO,
    preparing.SCENARIO,
    heavy_root.SCENARIO,
    request_admission.SCENARIO,
    moving_capacity.SCENARIO,
    startup.SCENARIO,
    admission_phases.SCENARIO,
    shapes.SCENARIO,
    changing_providers.SCENARIO,
    scale.SCENARIO,
    logs.SCENARIO,
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
