"""Which resources are pressed, told to task admission when whether or why that is so has changed (A12)."""

from __future__ import annotations

from actors.request_admission.resources import Resource
from messages._base import TASK_ADMISSION, Outgoing
from messages.request_admission import CircuitState, RequestPressureChanged

_Pressed = tuple[CircuitState, float | None, bool]
_NOT_AT_ALL: _Pressed = ("closed", None, False)


class PressureWatch:
    """What was last told of each resource of a run. Probes of a provider's health press nobody."""

    def __init__(self, run_id: str, resources: list[Resource]) -> None:
        self._run_id = run_id
        self._told: list[tuple[Resource, _Pressed]] = [
            (resource, _NOT_AT_ALL) for resource in resources if resource.key.domain != "healthcheck"
        ]

    def changes(self, *, now: float, sequence: int) -> list[Outgoing]:
        """Return the message that tells what has changed since the last call, if anything has."""
        changed = []
        for index, (resource, told) in enumerate(self._told):
            pressed = _pressed(resource, now)
            if pressed != told:
                self._told[index] = (resource, pressed)
                changed.append(resource)
        if not changed:
            return []
        snapshots = tuple(resource.snapshot(now=now, sequence=sequence) for resource in changed)
        return [Outgoing(TASK_ADMISSION, RequestPressureChanged(self._run_id, snapshots))]


def _pressed(resource: Resource, now: float) -> _Pressed:
    """Return what makes a resource pressed; a number of waiters is one fact, however many they are."""
    blocked_until = resource.cooldown.blocked_until
    if blocked_until is not None and blocked_until <= now:
        blocked_until = None
    return resource.circuit.state, blocked_until, resource.waiting > 0
