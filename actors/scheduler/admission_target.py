"""How many row groups adaptive admission wants in flight (R2). Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

AdmissionBlock: TypeAlias = Literal["target", "row_guard"]

_IDLE_SHARE = 0.25
"""So much of the model slots must be idle, beyond what is queued for them, before the target is raised."""


class AdmissionTarget:
    """A target that starts at 1 and is only ever raised, one row group at a time, up to `cap`.

    It is raised when model slots idle that queued work would not fill: then the row groups in flight
    cannot keep the models busy, and another may. What was admitted last must have reached the models
    first, or the target would run away while roots are being made. `row_guard` is how many rows may be in
    flight at most; None is no bound. A single row group is always let in.
    """

    def __init__(self, *, cap: int, row_guard: int | None) -> None:
        self.value = 1
        self._cap = cap
        self._row_guard = row_guard
        self._models_reached = False

    def consider(self, *, slots: int, free: int, queued: int) -> bool:
        """Raise the target if the models could do with more; return whether it was.

        `slots` is how many tasks may use models at once, 0 where the job has no models: it is then raised
        without further ado. `free` is how many of the slots are not leased, `queued` how many tasks are
        queued for them.
        """
        if free < slots or queued:
            self._models_reached = True
        if self.value >= self._cap:
            return False
        idle = free - queued
        if slots and not (self._models_reached and idle >= max(1, slots * _IDLE_SHARE)):
            return False
        self.value += 1
        self._models_reached = False
        return True

    def blocks(self, *, row_groups: int, rows: int, next_rows: int) -> AdmissionBlock | None:
        """Return what keeps the next row group, of `next_rows` rows, from joining those in flight."""
        if not row_groups:
            return None
        if row_groups >= self.value:
            return "target"
        if self._row_guard is not None and rows + next_rows > self._row_guard:
            return "row_guard"
        return None
