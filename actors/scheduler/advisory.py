"""Which groups are passed over because a provider is under pressure (A12): told once each, when it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from actors.scheduler.fair_queue import FairTaskQueue
from messages.task_admission import TaskAdmissionPolicyDecision, TaskAdmissionView
from messages.tasks import GroupName, SchedulableTask


class Skip(NamedTuple):
    """A candidate whose group has begun to be passed over, and what the policy said of it."""

    item: SchedulableTask
    decision: TaskAdmissionPolicyDecision


class Advisory:
    """Keeps who was told of; a group is told of anew after it had its turn, or its pressure had ended."""

    def __init__(self, queue: FairTaskQueue) -> None:
        self._queue = queue
        self._told: set[GroupName] = set()
        self._skips: list[Skip] = []

    def note(self, yielding: Mapping[GroupName, TaskAdmissionPolicyDecision]) -> None:
        """Take in which groups were passed over at the end of a pass."""
        for name, decision in yielding.items():
            head = self._queue.head_of(name)
            if name not in self._told and head is not None:
                self._told.add(name)
                self._skips.append(Skip(head, decision))

    def take(self) -> list[Skip]:
        """Return the groups that have begun to be passed over since the last call."""
        taken, self._skips = self._skips, []
        return taken

    def gets_its_turn(self, name: GroupName) -> None:
        """Note that a task of a group was selected."""
        self._told.discard(name)

    def lost_a_task(self, name: GroupName) -> None:
        """Note that a task of a group is no longer queued, and nothing of it may be."""
        if name in self._told and self._queue.head_of(name) is None:
            self._told.discard(name)

    def pressure_changed(self, view: TaskAdmissionView) -> None:
        """Forget the groups that are under pressure no more."""
        heads = ((name, self._queue.head_of(name)) for name in self._told)
        self._told = {
            name
            for name, head in heads
            if head is not None and view.pressed_of(head.resource_request) is not None
        }
