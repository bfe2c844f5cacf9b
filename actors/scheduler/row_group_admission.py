"""When a job's row groups are taken in: as many as may be, or as many as the models need (R2)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from actors.scheduler.admission_target import AdmissionBlock, AdmissionTarget
from actors.scheduler.dispatch import Dispatcher
from actors.scheduler.facts import Facts
from actors.scheduler.row_groups import RowGroup, RowGroups
from messages.plan import JobPlan
from messages.telemetry import Event

_MODEL_SLOTS = "llm_wait"

RowGroupBlock: TypeAlias = AdmissionBlock | Literal["concurrency"]


class RowGroupAdmission:
    """Admits row groups: as many as may be at once, or against a target, of which it tells every change.

    It tells what blocks the next row group when that begins, and not at every look: at the fixed number,
    where each that is stored makes room for the next one, once.
    """

    def __init__(self, plan: JobPlan, row_groups: RowGroups, dispatcher: Dispatcher, facts: Facts) -> None:
        self._row_groups = row_groups
        self._dispatcher = dispatcher
        self._facts = facts
        self._target: AdmissionTarget | None = None
        self._told: tuple[RowGroupBlock, int] | None = None
        if plan.row_group_admission == "adaptive":
            self._target = AdmissionTarget(cap=plan.row_group_concurrency, row_guard=plan.adaptive_row_guard)
        users = [
            generator.scheduling.group.name
            for generator in plan.generators
            if any(key == _MODEL_SLOTS for key, _ in generator.scheduling.resource_request.amounts)
        ]
        self._model_groups = tuple(users)
        self._slots = plan.resource_limits[_MODEL_SLOTS] if users else 0

    def raise_target(self, now: float) -> bool:
        """Raise the target if models idle; return whether another row group may now be admitted."""
        target = self._target
        if target is None or not self._row_groups.next_rows:
            return False
        free = self._dispatcher.available(_MODEL_SLOTS) if self._slots else 0
        queued = self._dispatcher.queue.queued_in(self._model_groups)
        if not target.consider(slots=self._slots, free=free, queued=queued):
            return False
        facts = {"target": target.value, "free_model_slots": free, "queued_model_tasks": queued}
        self._facts.add(Event("row_group_admission_target_changed", now, diagnostics=facts))
        return True

    def admit_next(self, now: float) -> RowGroup | None:
        """Return the next row group if it may be in flight now."""
        groups, target = self._row_groups, self._target
        if target is not None and groups.next_rows:
            in_flight, rows = groups.in_flight, groups.rows_in_flight
            block = target.blocks(row_groups=in_flight, rows=rows, next_rows=groups.next_rows)
            if block is not None:
                self._tell(block, target.value, in_flight, rows, now)
                return None
            self._told = None
        admitted = groups.admit_next()
        if admitted is None and target is None and groups.next_rows:
            self._tell("concurrency", groups.in_flight, groups.in_flight, groups.rows_in_flight, now)
        return admitted

    def _tell(self, block: RowGroupBlock, target: int, in_flight: int, rows: int, now: float) -> None:
        if self._told == (block, target):
            return
        self._told = (block, target)
        facts = {"target": target, "row_groups_in_flight": in_flight, "rows_in_flight": rows}
        blocked = Event("row_group_admission_blocked", now, reason_or_outcome=block, diagnostics=facts)
        self._facts.add(blocked)
