"""The same, of jobs whose rows are written: disks fail, processes are killed, and their runs are resumed."""

from __future__ import annotations

import pytest

from tests.simulation.seeds import failed
from tests.simulation.worlds import draw

SEEDS = [seed for seed in range(320) if draw(seed).in_folder]


@pytest.mark.parametrize("part", range(8))
def test_r10_r13_r14_every_row_is_written_once_whatever_ends_the_process(part):
    assert failed(SEEDS[part::8]) == []
