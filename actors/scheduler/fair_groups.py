"""What the ready queue's order is made of: groups, the lanes they stand in, and what their tasks cost."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Protocol

from messages.tasks import SchedulableTask, SchedulerResourceRequest, TaskGroupSpec


class TaskCosts(Protocol):
    """What a task counts for in the order."""

    def of(self, group: TaskGroupSpec) -> tuple[float, float]:
        """Return what each further task of `group` costs, and how far before the virtual time it may stand.

        Both before they are divided by the group's weight.
        """
        ...


class Lane:
    """The groups whose next task asks for one resource vector, parked ones included."""

    __slots__ = ("groups", "heap", "request", "weight")

    def __init__(self, request: SchedulerResourceRequest) -> None:
        self.request = request
        self.heap: list[tuple[float, int, Group]] = []
        self.groups = 0
        self.weight = 0.0


class Group:
    """One group's queued tasks and its place in the order."""

    __slots__ = (
        "behind",
        "held",
        "lane",
        "parked",
        "place",
        "ready",
        "spec",
        "step",
        "tag",
        "ticket",
        "version",
    )

    def __init__(self, spec: TaskGroupSpec, tag: float, version: int) -> None:
        self.spec = spec
        self.step = 1.0 / spec.weight
        self.behind = inf
        self.tag = tag  # where the group stands once everything committed is counted
        self.place = tag  # the same with everything held counted too: what orders it
        self.ready: deque[SchedulableTask] = deque()
        self.held: deque[SchedulableTask] = deque()
        self.lane: Lane | None = None
        self.ticket = 0  # the number of its valid heap entry; any other entry is stale
        self.version = version
        self.parked = False
