"""What a processor decided about a row group's rows, applied to their values (R8). Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.scheduler.row_groups import RowGroup


def apply_verdicts(group: RowGroup, verdicts: Sequence[Any], offsets: Sequence[int] | None) -> list[int]:
    """Write what a processor changed; return the offsets of the rows that it dropped.

    `verdicts` has one entry per row that the processor was given: None drops the row, True keeps it as it
    was, a dict has its new values. `offsets` are those rows, None for all of the row group's.
    """
    dropped: list[int] = []
    for offset, verdict in zip(range(group.rows) if offsets is None else offsets, verdicts, strict=True):
        if verdict is None:
            dropped.append(offset)
        elif verdict is not True:
            for name, value in verdict.items():
                group.columns[name][offset] = value
    return dropped
