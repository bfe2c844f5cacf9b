"""P6: how near to the floor: actors that move the same leases and events and decide nothing."""

from __future__ import annotations

from bench.peers.bare_pykka import run_pipeline
from bench.peers.tokens import OwnTokens, ThinTokens, Tokens
from bench.results import Bar, Figure, Run, Scenario, Side
from bench.scenarios.end_to_end import FULL_LOG, INPUTS, TELEMETRY_OFF


def _pipeline(name: str, tokens: Tokens, *, events: bool, share: float) -> Side:
    def run(tasks: int) -> Run:
        return run_pipeline(tasks, tokens, events=events)

    return Side(f"bare Pykka, {name}, {'7 events' if events else 'no events'}", run, share, peer=True)


_OWN_EVENTS = _pipeline("own tokens", OwnTokens(), events=True, share=2.0)
_OWN = _pipeline("own tokens", OwnTokens(), events=False, share=10.0)
_THIN_EVENTS = _pipeline("thin tokens", ThinTokens(), events=True, share=5.0)
_THIN = _pipeline("thin tokens", ThinTokens(), events=False, share=20.0)

SCENARIO = Scenario(
    id="P6",
    name="against-bare-pykka",
    question="What does a task cost, over the least that Pykka actors can move one for?",
    sides=(FULL_LOG, _OWN_EVENTS, TELEMETRY_OFF, _OWN, _THIN_EVENTS, _THIN),
    figures=(
        Figure(
            "full log over bare Pykka with the same tokens, 7 events",
            "ratio",
            FULL_LOG.name,
            _OWN_EVENTS.name,
            Bar("at most", 3.0),
        ),
        Figure("telemetry off over bare Pykka with the same tokens", "ratio", TELEMETRY_OFF.name, _OWN.name),
        Figure(
            "full log over bare Pykka with bare numbers, 7 events",
            "ratio",
            FULL_LOG.name,
            _THIN_EVENTS.name,
        ),
        Figure("telemetry off over bare Pykka with bare numbers", "ratio", TELEMETRY_OFF.name, _THIN.name),
    ),
    inputs=INPUTS,
    equal_outputs=True,
)
