"""The capacity plan as the log tells it: when the run began, and completed when it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from messages.capacity import CapacityPlan, ObservedMaxima


class Capacity:
    """One run's capacity plan."""

    def __init__(self) -> None:
        self._plan: CapacityPlan | None = None

    def take(self, snapshot: dict[str, Any] | None) -> None:
        """Take the plan that a run's first or last event carries, if it does.

        Raises:
            msgspec.ValidationError: it is no capacity plan.
        """
        if snapshot is not None:
            self._plan = msgspec.convert(snapshot, CapacityPlan)

    def explained(self, seen: Callable[[], ObservedMaxima]) -> CapacityPlan | None:
        """Return the plan; of a run that has not ended with what was `seen` so far."""
        plan = self._plan
        if plan is None or plan.observed_maxima is not None:
            return plan
        return msgspec.structs.replace(plan, observed_maxima=seen())
