"""P12: goodput under a provider whose real capacity moves, and under one that never refuses."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.moving.controllers import Controller
from bench.moving.core_controller import CoreController
from bench.moving.playing import How, oracle, playing, under
from bench.moving.scripts import BLIND, CLIENTS, JITTER, LATENCY_SECONDS, REFUSING
from bench.moving.server import VirtualServer
from bench.moving.whole_system import whole_system
from bench.peers import lazily
from bench.results import Bar, Figure, Scenario, Side
from messages.job import RequestAdmissionTuning

DEFAULT = RequestAdmissionTuning()

SHARED = RequestAdmissionTuning(
    multiplicative_decrease_factor=0.9, successes_until_increase=5, cooldown_seconds=0.25
)
"""For calls of seconds and a capacity that moves within minutes: the settings that the peer has too."""

TUNED = msgspec.structs.replace(SHARED, ceiling_hold_seconds=10.0)
"""The same, and some seconds' patience below the limit that was refused last, which the peer has not."""


MODEL_INPUTS: dict[str, Any] = {
    "clients": CLIENTS,
    "static_cap": CLIENTS,
    "latency_seconds": LATENCY_SECONDS,
    "jitter": JITTER,
    "tuned": msgspec.to_builtins(TUNED),
    "shared_tuning": msgspec.to_builtins(SHARED),
    "defaults": msgspec.to_builtins(DEFAULT),
    "seed": "the number of the run, the same for all sides of an iteration",
}


def core(tuning: RequestAdmissionTuning) -> How:
    """Return how clients fare under the real core of request admission with these settings."""

    def make(server: VirtualServer, until: float) -> Controller:
        del server, until
        return CoreController(tuning, static_cap=CLIENTS)

    return under(make)


def _ours(name: str, tuning: RequestAdmissionTuning) -> Side:
    return Side(f"aimd, {name}", playing(REFUSING, core(tuning)))


def oracle_side(name: str) -> Side:
    """Return who knows the capacity of the servers that refuse."""
    return Side(name, playing(REFUSING, under(oracle)), peer=True)


def peer_side(name: str, tuning: RequestAdmissionTuning) -> Side:
    """Return data-designer's controller with these settings."""
    run = lazily("data_designer_limits", "run_moving", tuning=tuning)
    return Side(f"data-designer, {name}", run, requires="data-designer", peer=True)


def _blind(algorithm: str) -> Side:
    tuning = msgspec.structs.replace(DEFAULT, algorithm=algorithm)
    return Side(f"blind server, {algorithm}", playing(BLIND, core(tuning)))


_ORACLE = oracle_side("oracle")
_TUNED, _SHARED, _DEFAULT = _ours("tuned", TUNED), _ours("shared tuning", SHARED), _ours("defaults", DEFAULT)
_WHOLE = Side("whole system, tuned", playing(REFUSING, whole_system(TUNED)))
_PEER_SHARED, _PEER_DEFAULT = peer_side("shared tuning", SHARED), peer_side("defaults", DEFAULT)
_BLIND_ORACLE = Side("blind server, oracle", playing(BLIND, under(oracle)), peer=True)
_AIMD, _GRADIENT = _blind("aimd"), _blind("gradient")


def _goodput(label: str, side: Side, against: Side, *, bar: Bar | None = None) -> Figure:
    return Figure(label, "measured ratio", side.name, against.name, bar=bar, measure="goodput")


def _measured(label: str, measure: str, unit: str, side: Side) -> Figure:
    return Figure(f"{label}, {side.name}", "measured", side.name, measure=measure, measured_in=unit)


SCENARIO = Scenario(
    id="P12",
    name="moving-capacity",
    question="How much of a capacity that moves is made use of, by who has to find it out?",
    sides=(
        _ORACLE,
        _TUNED,
        _SHARED,
        _DEFAULT,
        _WHOLE,
        _PEER_SHARED,
        _PEER_DEFAULT,
        _BLIND_ORACLE,
        _AIMD,
        _GRADIENT,
    ),
    figures=(
        _goodput("goodput over the oracle, aimd, tuned", _TUNED, _ORACLE, bar=Bar("at least", 0.9)),
        _goodput(
            "goodput, aimd, tuned, over data-designer, shared tuning",
            _TUNED,
            _PEER_SHARED,
            bar=Bar("at least", 1.0),
        ),
        _goodput("goodput over the oracle, whole system, tuned", _WHOLE, _ORACLE, bar=Bar("at least", 0.9)),
        _goodput("goodput over the oracle, aimd, shared tuning", _SHARED, _ORACLE),
        _goodput("goodput over data-designer, both shared tuning", _SHARED, _PEER_SHARED),
        _goodput("goodput over the oracle, aimd, defaults", _DEFAULT, _ORACLE),
        _goodput("goodput over data-designer, both defaults", _DEFAULT, _PEER_DEFAULT),
        *(
            Figure(
                f"goodput over the oracle, aimd, tuned: {play.name}",
                "measured ratio",
                _TUNED.name,
                _ORACLE.name,
                measure=play.name,
            )
            for play in REFUSING
        ),
        *(
            _measured(label, measure, unit, side)
            for label, measure, unit in (
                ("attempts refused", "wasted", " %"),
                ("slowest recovery from a change", "recovery", " s"),
            )
            for side in (_TUNED, _PEER_SHARED, _DEFAULT, _PEER_DEFAULT)
        ),
        *(
            _goodput(f"goodput over the oracle, {side.name}", side, _BLIND_ORACLE)
            for side in (_AIMD, _GRADIENT)
        ),
        *(
            _measured(f"{part} latency over the unloaded", f"{part} latency", "x", side)
            for part in ("p50", "p95")
            for side in (_AIMD, _GRADIENT)
        ),
    ),
    inputs=MODEL_INPUTS,
    smoke_tasks=128,
    clock="virtual",
    provider_script={play.name: msgspec.to_builtins(play.steps) for play in (*REFUSING, *BLIND)},
)
