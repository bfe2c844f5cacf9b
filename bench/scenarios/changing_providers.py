"""S7: request admission under change, script by script, and how it shares one cap."""

from __future__ import annotations

from functools import partial

import msgspec

from bench.moving.playing import playing
from bench.moving.scripts import REFUSING
from bench.moving.sharing import CAP, SECONDS, SHARINGS, sharing
from bench.results import Bar, Figure, Scenario, Side
from bench.scenarios.moving_capacity import (
    DEFAULT,
    MODEL_INPUTS,
    SHARED,
    TUNED,
    core,
    oracle_side,
    peer_side,
)

_ORACLE = oracle_side("oracle")
_SIDES = (
    Side("aimd, tuned", playing(REFUSING, core(TUNED))),
    Side("aimd, defaults", playing(REFUSING, core(DEFAULT))),
    peer_side("shared tuning", SHARED),
)
_SHARED_CAPS = tuple(Side(who.name, sharing(who)) for who in SHARINGS)


def _figures(play: str) -> list[Figure]:
    figures = []
    for side in _SIDES:
        told = partial(Figure, kind="measured", side=side.name)
        figures += [
            Figure(
                f"{play}: goodput over the oracle, {side.name}",
                "measured ratio",
                side.name,
                _ORACLE.name,
                measure=play,
            ),
            told(f"{play}: attempts refused, {side.name}", measure=f"{play}: wasted", measured_in=" %"),
            told(f"{play}: time to recover, {side.name}", measure=f"{play}: recovery", measured_in=" s"),
        ]
    turning = {play.name for play in REFUSING if play.turns}
    return [figure for figure in figures if "recovery" not in figure.measure or play in turning]


SCENARIO = Scenario(
    id="S7",
    name="changing-providers",
    question="What of each change is made use of, what is wasted, and how long does recovering take?",
    sides=(_ORACLE, *_SIDES, *_SHARED_CAPS),
    figures=(
        *(figure for play in REFUSING for figure in _figures(play.name)),
        *(
            Figure(
                f"least served over its fair share, {side.name}",
                "measured",
                side.name,
                measure="least_served",
                measured_in="x",
                bar=Bar("at least", 0.95),
            )
            for side in _SHARED_CAPS
        ),
    ),
    inputs=MODEL_INPUTS
    | {"sharing": {"aggregate_cap": CAP, "seconds": SECONDS, "between": [who.name for who in SHARINGS]}},
    smoke_tasks=128,
    clock="virtual",
    provider_script={play.name: msgspec.to_builtins(play.steps) for play in REFUSING},
)
