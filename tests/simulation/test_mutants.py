"""The simulator is worth something: it finds every bug that was planted, and soon."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.play import Play
from tests.simulation.seeds import judge
from tests.simulation.worlds import draw

WORLDS = 1000


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_planted_bug_is_found_within_a_thousand_worlds_from_outside(mutant, monkeypatch):
    monkeypatch.setattr(Play, "checks_cores", False)  # what the cores assert of themselves is left out
    with mutant():
        found = next((seed for seed in range(WORLDS) if judge(draw(seed), compare=False).problems), None)
    assert found is not None
    assert judge(draw(found), compare=False).problems == [], "the world is a good one without the bug"
