"""P2: how much quicker is an admission cycle than data-designer's?"""

from __future__ import annotations

from bench.peers import lazily
from bench.results import Bar, Figure, Scenario, Side
from bench.scenarios.admission_by_groups import GROUPS, POLICY, cycle

_SHARES = {1: 0.25, 8: 0.15, 64: 0.1, 256: 0.05}
_BARS = {1: Bar("at least", 2.0), 256: Bar("at least", 50.0)}


def _peer(groups: int, policy: str) -> Side:
    return Side(
        f"data-designer, {policy}, {groups}",
        lazily("data_designer_admission", "run_task_admission", groups=groups, policy=policy),
        share=_SHARES[groups],
        requires="data-designer",
    )


SCENARIO = Scenario(
    id="P2",
    name="admission-against-peer",
    question="What does data-designer's admission cycle cost, over one through the actors?",
    sides=tuple(
        side
        for groups in GROUPS
        for side in (cycle(groups), _peer(groups, "bounded_borrow"), _peer(groups, "strict"))
    ),
    figures=tuple(
        Figure(
            f"data-designer, {policy}, over the cycle, {groups} group{'' if groups == 1 else 's'}",
            "ratio",
            _peer(groups, policy).name,
            cycle(groups).name,
            _BARS.get(groups) if policy == "bounded_borrow" else None,
        )
        for policy in ("bounded_borrow", "strict")
        for groups in GROUPS
    ),
    inputs={"groups": list(GROUPS), "policy": POLICY, "peer_policies": ["bounded_borrow", "strict"]},
)
