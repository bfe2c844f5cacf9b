"""P2: how much quicker is an admission cycle than data-designer's?"""

from __future__ import annotations

from bench.noop_jobs import Policy
from bench.peers import lazily
from bench.results import Bar, Figure, Scenario, Side
from bench.scenarios.admission_by_groups import GROUPS, cycle

_SHARES = {1: 0.25, 8: 0.15, 64: 0.1, 256: 0.05}
_BARS = {1: Bar("at least", 2.0), 256: Bar("at least", 50.0)}
_POLICIES: tuple[Policy, ...] = ("bounded_borrow", "strict_fair")


def _peer(groups: int, policy: Policy) -> Side:
    return Side(
        f"data-designer, {policy}, {groups}",
        lazily("data_designer_admission", "run_task_admission", groups=groups, policy=policy),
        share=_SHARES[groups],
        requires="data-designer",
        peer=True,
    )


def _figure(groups: int, policy: Policy) -> Figure:
    return Figure(
        f"data-designer over the cycle, {policy}, {groups} group{'' if groups == 1 else 's'}",
        "ratio",
        _peer(groups, policy).name,
        cycle(groups, policy).name,
        _BARS.get(groups) if policy == "bounded_borrow" else None,
    )


SCENARIO = Scenario(
    id="P2",
    name="admission-against-peer",
    question="What does data-designer's admission cycle cost, over one through the actors?",
    sides=tuple(side(groups, policy) for policy in _POLICIES for groups in GROUPS for side in (cycle, _peer)),
    figures=tuple(_figure(groups, policy) for policy in _POLICIES for groups in GROUPS),
    inputs={"groups": list(GROUPS), "policies": list(_POLICIES)},
)
