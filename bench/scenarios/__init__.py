"""The questions, one module each: those with bars first, then the rest of the matrix.

A module is imported when its scenario is asked for, so that a scenario whose product lacks something does not
keep the others from being measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from bench.results import Scenario

MODULES = (
    "admission_by_groups",
    "admission_against_peer",
    "against_counting_sink",
    "against_no_sink",
    "against_semaphore",
    "against_bare_pykka",
    "telemetry_cost",
    "memory_by_rows",
    "preparing",
    "heavy_root",
    "request_admission",
    "moving_capacity",
    "startup",
    "admission_phases",
    "shapes",
    "changing_providers",
    "scale",
    "logs",
)
"""In the order of the bars, and of the matrix."""


def all_scenarios() -> tuple[Scenario, ...]:
    """Return every scenario.

    Raises:
        ImportError: one of them needs what the product has not.
    """
    return tuple(_scenarios(lacking=None))


def named(name: str) -> Scenario:
    """Return a scenario by its id (`P3`) or its name, in any case.

    Raises:
        KeyError: there is no such scenario.
        ImportError: there is none among those that can be imported.
    """
    lacking: list[ImportError] = []
    for scenario in _scenarios(lacking):
        if name.lower() in (scenario.id.lower(), scenario.name):
            return scenario
    if lacking:
        raise lacking[0]
    raise KeyError(name)


def _scenarios(lacking: list[ImportError] | None) -> Iterator[Scenario]:
    """Yield the scenarios; what keeps one from being imported is noted in `lacking`, where that is given."""
    for module in MODULES:
        try:
            scenario: Scenario = import_module(f"bench.scenarios.{module}").SCENARIO
        except ImportError as error:
            if lacking is None:
                raise
            lacking.append(error)
        else:
            yield scenario
