"""P13: how long until a system stands, and is gone again."""

from __future__ import annotations

from bench.results import Bar, Figure, Run, Scenario, Side
from bench.startup import IMPORT, NOTHING, START_AND_STOP, run_program


def _child(name: str, program: str, *, peer: bool = False) -> Side:
    def run(_tasks: int) -> Run:
        return run_program(program)

    return Side(name, run, peer=peer)


_BARE = _child("python -c pass", NOTHING, peer=True)
_IMPORTED = _child("import", IMPORT)
_STARTED = _child("import, start, stop", START_AND_STOP)

SCENARIO = Scenario(
    id="P13",
    name="startup",
    question="How long do import, start and stop of an idle system take in a fresh interpreter?",
    sides=(_BARE, _STARTED, _IMPORTED),
    figures=(
        Figure(
            "import, start and stop above python -c pass",
            "difference",
            _STARTED.name,
            _BARE.name,
            Bar("at most", 300.0),
        ),
        Figure("import alone above python -c pass", "difference", _IMPORTED.name, _BARE.name),
    ),
    inputs={"process": "a fresh child each time, timed from outside"},
)
