"""The whole system in worlds that are drawn from a number, of jobs whose rows stay in memory."""

from __future__ import annotations

import pytest

from tests.simulation.seeds import failed
from tests.simulation.worlds import draw

SEEDS = [seed for seed in range(320) if not draw(seed).in_folder]


@pytest.mark.parametrize("part", range(8))
def test_r12_r13_every_world_ends_with_every_lease_back_and_every_row_accounted_for(part):
    assert failed(SEEDS[part::8]) == []
