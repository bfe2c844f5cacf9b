"""What the ready queue's order is made of: groups, the lanes they stand in, and what their tasks cost."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop
from math import inf
from typing import NamedTuple, Protocol

from messages.tasks import SchedulableTask, SchedulerResourceRequest, TaskGroupSpec


class TaskCost(NamedTuple):
    """What each further task of a group counts for, before it is divided by the group's weight.

    behind: how far before the virtual time the group may stand. stay: how far beyond others it keeps a turn.
    """

    cost: float = 1.0
    behind: float = inf
    stay: float = 0.0


ONE_EACH = TaskCost()


class TaskCosts(Protocol):
    """What tasks count for in the order."""

    def of(self, group: TaskGroupSpec) -> TaskCost:
        """Return what a group's tasks cost from now on."""
        ...


class Lane:
    """The groups whose next task asks for one resource vector, parked ones included."""

    __slots__ = ("groups", "heap", "request", "weight")

    def __init__(self, request: SchedulerResourceRequest) -> None:
        self.request = request
        self.heap: list[tuple[float, int, Group]] = []
        self.groups = 0
        self.weight = 0.0

    def top(self) -> tuple[float, int, Group] | None:
        """Return the entry of the group that is first; stale ones above it are dropped."""
        heap = self.heap
        while heap:
            entry = heap[0]
            if entry[1] == entry[2].ticket and entry[2].lane is self:
                return entry
            heappop(heap)
        return None

    def reorder(self, turn: Group | None) -> None:
        """Enter every group where it stands now, `turn` being whose turn it is; drop what is stale."""
        self.heap = [
            (group.place - group.stay if group is turn else group.place, ticket, group)
            for _, ticket, group in self.heap
            if ticket == group.ticket and group.lane is self
        ]
        heapify(self.heap)


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
        "stay",
        "step",
        "tag",
        "ticket",
        "version",
    )

    def __init__(self, spec: TaskGroupSpec, tag: float, version: int) -> None:
        self.spec = spec
        self.price(ONE_EACH)
        self.tag = tag  # where the group stands once everything committed is counted
        self.place = tag  # the same with everything held counted too: what orders it
        self.ready: deque[SchedulableTask] = deque()
        self.held: deque[SchedulableTask] = deque()
        self.lane: Lane | None = None
        self.ticket = 0  # the number of its valid heap entry; any other entry is stale
        self.version = version
        self.parked = False

    def price(self, cost: TaskCost) -> None:
        """Count further tasks so."""
        weight = self.spec.weight
        self.step, self.behind, self.stay = cost.cost / weight, cost.behind / weight, cost.stay / weight
