"""Peer pressure: who else is queued for the same resource and could take it right now."""

from __future__ import annotations

from typing import NamedTuple

from messages.tasks import HeadDemand, QueueView, SchedulerResourceKey, SchedulerResourceRequest

_GENERIC: SchedulerResourceKey = "submission"


def fits(request: SchedulerResourceRequest, available: dict[SchedulerResourceKey, int]) -> bool:
    """Return whether all of the request's amounts are free."""
    for resource, amount in request.amounts:  # noqa: SIM110 - a generator costs more than the loop
        if available.get(resource, 0) < amount:
            return False
    return True


def pressure_resources(request: SchedulerResourceRequest) -> tuple[SchedulerResourceKey, ...]:
    """Return the resources that pressure is judged on: the typed ones, else `submission` (T11)."""
    typed = tuple(resource for resource, _ in request.amounts if resource != _GENERIC)
    return typed or tuple(resource for resource, _ in request.amounts)


def peers_of(request: SchedulerResourceRequest, head: HeadDemand) -> int:
    """Return how many groups other than the candidate's own queue under `head`.

    The candidate is the first of its group, so it counts itself among the heads with its own vector.
    """
    return head.groups - 1 if head.request == request else head.groups


def pressed_resources(
    request: SchedulerResourceRequest,
    queue_view: QueueView,
    available: dict[SchedulerResourceKey, int],
) -> tuple[SchedulerResourceKey, ...]:
    """Return the resources of `request` that a queued peer group could use right now."""
    pressing: set[SchedulerResourceKey] = set()
    for head in queue_view.heads:
        if peers_of(request, head) > 0 and fits(head.request, available):
            pressing.update(resource for resource, _ in head.request.amounts)
    return tuple(resource for resource in pressure_resources(request) if resource in pressing)


class Competition(NamedTuple):
    """Who else is after a candidate's resources right now.

    `weights`: the weights of all groups whose next task could take the resource (T12).
    `pressed`: the candidate's resources that a peer group could use, judged as in T11.
    """

    weights: dict[SchedulerResourceKey, float]
    pressed: frozenset[SchedulerResourceKey]


_NOBODY: frozenset[SchedulerResourceKey] = frozenset()


def competition_for(
    request: SchedulerResourceRequest,
    queue_view: QueueView,
    available: dict[SchedulerResourceKey, int],
) -> Competition:
    """Return the competition that the heads of the queue make for `request`, in one look at each."""
    weights: dict[SchedulerResourceKey, float] = {}
    pressing: set[SchedulerResourceKey] = set()
    for head in queue_view.heads:
        if not fits(head.request, available):
            continue
        peers = peers_of(request, head)
        for resource, _ in head.request.amounts:
            weights[resource] = weights.get(resource, 0.0) + head.weight
            if peers > 0:
                pressing.add(resource)
    if not pressing:
        return Competition(weights, _NOBODY)
    return Competition(weights, frozenset(pressing.intersection(pressure_resources(request))))
