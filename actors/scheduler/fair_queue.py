"""The ready queue: weighted fair order over groups, first in first out inside a group.

Owns ready order only (Q5): it knows nothing of what is admitted, of providers or of policies. A task
leaves it by dispatch in two steps: `select_next` names it and changes nothing, `commit` removes it. In
between, `hold` lets a whole batch be selected before the first is decided: a held task is still queued,
but the next selection looks past it; `abort` puts a group's held tasks back in their old place.

Order is by virtual time: each dispatched task moves its group's tag on by its cost over the group's weight,
and the group with the least tag is next. A group that becomes active starts at the present virtual time, or
at its own tag where that is later, so that idling earns nothing and costs nothing (Q1).

A task costs 1, or what whoever makes the queue says. Then it may turn out otherwise: `correct` moves a group
to where its tasks' true costs put it, and nobody stands further before the virtual time than is allowed for.
Where costs differ, a group of small ones keeps its turn for about as long as one of the largest takes.

Cost: groups whose next task asks for the same resource vector stand in one lane, a heap by tag. There
are few lanes however many groups there are, so what does not fit is skipped lane by lane, and a
selection costs O(lanes + log groups).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush, heapreplace
from itertools import islice
from math import inf
from typing import Any

from actors.scheduler.fair_groups import Group, Lane, TaskCosts
from messages.tasks import (
    GroupName,
    HeadDemand,
    QueueSelection,
    QueueView,
    SchedulableTask,
    SchedulerResourceKey,
    SchedulerResourceRequest,
    TaskGroupSpec,
    TaskId,
)

_NONE: dict[Any, Any] = {}
"""What a view says of each group, where nobody asks for that."""


class FairTaskQueue:
    """Rules Q1 to Q6. All methods are O(log groups) or better unless they say otherwise.

    Without `costs` every task costs 1, and a group that was passed over keeps its place however long.
    """

    def __init__(self, costs: TaskCosts | None = None) -> None:
        self._costs = costs
        self._groups: dict[GroupName, Group] = {}
        self._lanes: dict[SchedulerResourceRequest, Lane] = {}
        self._items: dict[TaskId, SchedulableTask] = {}
        self._idle_tags: dict[GroupName, float] = {}
        self._virtual_time = 0.0
        self._turn: Group | None = None
        self._numbers = 0
        self._view: QueueView | None = None

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, task_id: TaskId) -> bool:
        return task_id in self._items

    # -- in and out ----------------------------------------------------------------------------------

    def enqueue(self, items: Iterable[SchedulableTask]) -> list[TaskId]:
        """Append ready tasks to their groups; return the ids that were not queued already (Q2)."""
        accepted: list[TaskId] = []
        known, groups = self._items, self._groups
        for item in items:
            if item.task_id in known:
                continue
            known[item.task_id] = item
            accepted.append(item.task_id)
            group = groups.get(item.group.name) or self._activate(item.group)
            group.ready.append(item)
            if group.lane is None:
                self._place(group)
        if accepted:
            self._view = None
        return accepted

    def select_next(
        self,
        is_eligible: Callable[[SchedulableTask], bool],
        fits: Callable[[SchedulerResourceRequest], bool] | None = None,
    ) -> QueueSelection | None:
        """Return the first eligible task in fair order, changing nothing (Q3).

        `fits`, where given, is asked once per distinct resource vector: a vector that does not fit makes
        all its groups ineligible.
        """
        lanes = [lane for lane in self._lanes.values() if fits is None or fits(lane.request)]
        if not lanes:
            return None
        aside: list[tuple[Lane, tuple[float, int, Group]]] = []
        try:
            while True:
                first: tuple[float, int, Group] | None = None
                at: Lane | None = None
                for lane in lanes:
                    top = lane.top()
                    if top is not None and (first is None or top < first):
                        first, at = top, lane
                if first is None or at is None:
                    return None
                item = first[2].ready[0]
                if is_eligible(item):
                    return QueueSelection(item, self.pressure(), first[2].version)
                aside.append((at, heappop(at.heap)))
        finally:
            for lane, entry in aside:
                heappush(lane.heap, entry)

    def hold(self, selection: QueueSelection) -> None:
        """Look past this selection until it is committed or aborted.

        Raises:
            ValueError: the selection is not its group's next task.
        """
        group = self._groups.get(selection.item.group.name)
        if group is None or not group.ready or group.ready[0] is not selection.item:
            raise ValueError(f"task {selection.item.task_id} is not the next of its group")
        ready, lane = group.ready, group.lane
        if not group.held and group.tag < self._virtual_time - group.behind:
            self._catch_up(group)
        group.held.append(ready.popleft())
        group.place += group.step
        if group is not self._turn:
            last, self._turn = self._turn, group
            if last is not None and last.stay:
                self._end_turn(last)
        if (
            not ready
            or lane is None
            or not lane.heap
            or lane.heap[0][1] != group.ticket
            or ready[0].resource_request is not lane.request
        ):
            self._place(group)
            return
        # By far the most frequent case: the group's entry is on top, and moves within its lane.
        group.ticket = self._numbers = self._numbers + 1
        heapreplace(lane.heap, (group.place - group.stay, group.ticket, group))

    def hold_run(self, selection: QueueSelection, most: int) -> list[QueueSelection]:
        """Hold a selection, and those of its group that follow it in fair order before any other group's.

        At most so many in all, all of one vector: what `select_next` would return one by one, were all of
        them eligible. A run may end early; O(lanes) besides its length.

        Raises:
            ValueError: the selection is not its group's next task.
        """
        self.hold(selection)
        run = [selection]
        group = self._groups[selection.item.group.name]
        lane = group.lane
        if most <= 1 or lane is None or lane.heap[0][1] != group.ticket:
            return run
        place, stay, step, ready, held = group.place, group.stay, group.step, group.ready, group.held
        rival, request = self._rival_of(lane), selection.item.resource_request
        view, version = self.pressure(), selection.sequence_version
        while len(run) < most and place - stay < rival and ready and ready[0].resource_request is request:
            item = ready.popleft()
            held.append(item)
            place += step
            run.append(QueueSelection(item, view, version))
        group.place = place
        if len(run) > 1:
            self._place(group)
        return run

    def commit(self, selection: QueueSelection) -> SchedulableTask | None:
        """Remove a selected task and move its group on; None if the selection has gone stale (Q4)."""
        item = selection.item
        group = self._groups.get(item.group.name)
        if group is None or selection.sequence_version != group.version:
            return None
        if group.held:
            if group.held[0] is not item:
                return None
            group.held.popleft()
        elif group.ready and group.ready[0] is item:
            if group.tag < self._virtual_time - group.behind:
                self._catch_up(group)
            group.ready.popleft()
            group.place += group.step
            last, self._turn = self._turn, group
            if last is not None and last is not group and last.stay:
                self._end_turn(last)
            self._place(group)
        else:
            return None
        del self._items[item.task_id]
        self._view = None
        self._virtual_time = max(self._virtual_time, group.tag - group.stay)
        group.tag += group.step
        if not group.ready and not group.held:
            self._deactivate(group)
        return item

    def commit_all(self, selections: Sequence[QueueSelection]) -> list[SchedulableTask | None]:
        """Commit selections in turn, runs of one group at once; return what `commit` returns of each."""
        committed: list[SchedulableTask | None] = []
        end = len(selections)
        while (at := len(committed)) < end:
            spec = selections[at].item.group
            is_run = at + 1 < end and selections[at + 1].item.group is spec
            group = self._groups.get(spec.name) if is_run else None
            if group is None or not self._commit_held(group, selections, at, committed):
                committed.append(self.commit(selections[at]))
        return committed

    def _commit_held(
        self,
        group: Group,
        selections: Sequence[QueueSelection],
        at: int,
        committed: list[SchedulableTask | None],
    ) -> int:
        """Commit what a group holds while it is what was selected next; return how many those are."""
        held, items, version, before = group.held, self._items, group.version, len(committed)
        began = tag = group.tag
        step = group.step
        for selection in islice(selections, at, None):
            item = selection.item
            if not held or held[0] is not item or selection.sequence_version != version:
                break
            held.popleft()
            del items[item.task_id]
            committed.append(item)
            began, tag = tag, tag + step
        run = len(committed) - before
        if run:
            self._view = None
            self._virtual_time = max(self._virtual_time, began - group.stay)
            group.tag = tag
            if not group.ready and not held:
                self._deactivate(group)
        return run

    def abort(self, name: GroupName) -> None:
        """Put a group's held tasks back where they were; their selections have gone stale."""
        group = self._groups.get(name)
        if group is None or not group.held:
            return
        group.ready.extendleft(reversed(group.held))
        group.held.clear()
        group.place = group.tag
        group.version = self._next_number()
        self._place(group)

    def discard(self, task_ids: Iterable[TaskId]) -> list[SchedulableTask]:
        """Remove tasks that are no longer wanted; return those that were queued.

        A held one is removed too: its commit then finds it stale. O(queued tasks of the groups touched).
        """
        gone: dict[GroupName, set[TaskId]] = {}
        removed: list[SchedulableTask] = []
        for task_id in task_ids:
            item = self._items.get(task_id)
            if item is not None:
                gone.setdefault(item.group.name, set()).add(task_id)
                removed.append(item)
                del self._items[task_id]
                self._view = None
        for name, ids in gone.items():
            group = self._groups[name]
            # What stays held can still be committed: only what went has gone stale.
            group.held = deque(item for item in group.held if item.task_id not in ids)
            group.ready = deque(item for item in group.ready if item.task_id not in ids)
            group.place = group.tag + group.step * len(group.held)
            if group.ready or group.held:
                self._place(group)
            else:
                self._leave_lane(group)
                self._deactivate(group)
        return removed

    def queued_ids(self) -> list[TaskId]:
        """Return the ids of everything queued."""
        return list(self._items)

    # -- costs -----------------------------------------------------------------------------------------

    def reprice(self, name: GroupName) -> None:
        """Ask anew what a group's further tasks cost. Not while any of them is held."""
        group = self._groups.get(name)
        if group is None:
            return
        stay = group.stay
        self._price(group)
        if group is self._turn and group.stay != stay and group.lane is not None and not group.parked:
            self._push(group, group.lane)

    def correct(self, changes: Sequence[tuple[TaskGroupSpec, float]]) -> None:
        """Move groups on by what their dispatched tasks cost more than they were taken for, or back.

        O(log groups) for each, and less where they are many.
        """
        groups, tags = self._groups, self._idle_tags
        many = len(changes) > max(8, len(groups) // 4)
        for spec, amount in changes:
            move = amount / spec.weight
            group = groups.get(spec.name)
            if group is None:
                tags[spec.name] = tags.get(spec.name, self._virtual_time) + move
                continue
            group.tag += move
            group.place += move
            if not many and group.lane is not None and not group.parked:
                self._push(group, group.lane)
        if many:
            for lane in self._lanes.values():
                lane.reorder(self._turn)

    # -- passing over ----------------------------------------------------------------------------------

    def park(self, name: GroupName) -> None:
        """Look past a group that was found ineligible, until `unpark`. Its place and demand stay."""
        group = self._groups.get(name)
        if group is not None and not group.parked:
            group.parked = True
            group.ticket = 0

    def unpark(self, name: GroupName) -> None:
        """Look at a parked group again."""
        group = self._groups.get(name)
        if group is not None and group.parked:
            group.parked = False
            self._place(group)

    # -- facts -------------------------------------------------------------------------------------------

    def pressure(self) -> QueueView:
        """Return what policies read of the queue: totals, and the heads per distinct vector."""
        if self._view is None:
            heads = [HeadDemand(lane.request, lane.groups, lane.weight) for lane in self._lanes.values()]
            self._view = QueueView(len(self._items), tuple(heads), _NONE, _NONE, _NONE, _NONE)
        return self._view

    def head_of(self, name: GroupName) -> SchedulableTask | None:
        """Return a group's next task that is not held."""
        group = self._groups.get(name)
        return group.ready[0] if group is not None and group.ready else None

    def queued_in(self, names: Iterable[GroupName]) -> int:
        """Return how many tasks of these groups are queued."""
        found = (self._groups.get(name) for name in names)
        return sum(len(group.ready) + len(group.held) for group in found if group is not None)

    def view(self) -> QueueView:
        """Return everything about the queue, per group too. O(queued): for snapshots."""
        by_group: dict[GroupName, int] = {}
        demand: dict[GroupName, dict[SchedulerResourceKey, int]] = {}
        total: dict[SchedulerResourceKey, int] = {}
        first: dict[GroupName, TaskId] = {}
        for name, group in self._groups.items():
            by_group[name] = len(group.ready) + len(group.held)
            totals = demand.setdefault(name, {})
            for item in (*group.held, *group.ready):
                first.setdefault(name, item.task_id)
                for resource, amount in item.resource_request.amounts:
                    totals[resource] = totals.get(resource, 0) + amount
                    total[resource] = total.get(resource, 0) + amount
        return QueueView(
            queued_total=len(self._items),
            heads=self.pressure().heads,
            queued_peer_demand_by_resource=total,
            queued_by_group=by_group,
            queued_demand_by_group_resource=demand,
            first_candidate_by_group=first,
        )

    def check(self) -> None:
        """Assert that the parts which summarise each other agree. O(queued)."""
        queued = [item for group in self._groups.values() for item in (*group.held, *group.ready)]
        assert {item.task_id for item in queued} == set(self._items)
        assert len(queued) == len(self._items)
        for lane in self._lanes.values():
            members = [group for group in self._groups.values() if group.lane is lane]
            assert lane.groups == len(members) > 0
            assert abs(lane.weight - sum(group.spec.weight for group in members)) < 1e-6
        for group in self._groups.values():
            assert group.ready or group.held
            assert (group.lane is not None) == bool(group.ready)
            assert group.lane is None or group.lane.request == group.ready[0].resource_request

    # -- inside ------------------------------------------------------------------------------------------

    def _activate(self, spec: TaskGroupSpec) -> Group:
        tag = max(self._idle_tags.pop(spec.name, 0.0), self._virtual_time)
        # A version that no earlier group of this name had: a selection does not outlive its group.
        group = self._groups[spec.name] = Group(spec, tag, self._next_number())
        self._price(group)
        return group

    def _price(self, group: Group) -> None:
        if self._costs is not None:
            group.price(self._costs.of(group.spec))

    def _catch_up(self, group: Group) -> None:
        """Bring a group that was passed over, or counted for too much, to where it may stand."""
        group.tag = group.place = self._virtual_time - group.behind

    def _end_turn(self, last: Group) -> None:
        """Enter a group that kept its turn where it stands without it: another's it is now."""
        if last.lane is not None and not last.parked:
            self._push(last, last.lane)

    def _deactivate(self, group: Group) -> None:
        del self._groups[group.spec.name]
        if group is self._turn:
            self._turn = None
        if not self._groups:
            # Nothing is queued: whoever comes next starts level.
            self._virtual_time = max([self._virtual_time, group.tag, *self._idle_tags.values()])
            self._idle_tags.clear()
        elif group.tag > self._virtual_time or self._costs is not None:
            self._idle_tags[group.spec.name] = group.tag  # one that lies back may yet be moved on
            if len(self._idle_tags) > 2 * len(self._groups) + 16:
                now = self._virtual_time
                self._idle_tags = {name: tag for name, tag in self._idle_tags.items() if tag > now}

    def _place(self, group: Group) -> None:
        """Bring a group's lane and heap entry up to date with its next task."""
        if not group.ready:
            self._leave_lane(group)
            return
        request = group.ready[0].resource_request
        lane = group.lane
        if lane is None or (lane.request is not request and lane.request != request):
            lane = self._change_lane(group, request)
        if not group.parked:
            self._push(group, lane)

    def _push(self, group: Group, lane: Lane) -> None:
        """Enter a group in its lane where it stands now; any other entry of it is stale."""
        group.ticket = self._numbers = self._numbers + 1
        key = group.place - group.stay if group is self._turn else group.place
        heappush(lane.heap, (key, group.ticket, group))
        if len(lane.heap) > 2 * lane.groups + 16:  # stale entries below the top (Q6)
            lane.reorder(self._turn)

    def _rival_of(self, lane: Lane) -> float:
        """Return where the group stands that comes after the one on top of a lane, or a place before it."""
        rivals = [entry[0] for entry in lane.heap[1:3]]  # a stale one stands before its group
        rivals += [top[0] for other in self._lanes.values() if other is not lane and (top := other.top())]
        return min(rivals, default=inf)

    def _change_lane(self, group: Group, request: SchedulerResourceRequest) -> Lane:
        self._leave_lane(group)
        lane = self._lanes.get(request)
        if lane is None:
            lane = self._lanes[request] = Lane(request)
        lane.groups += 1
        lane.weight += group.spec.weight
        group.lane = lane
        self._view = None
        return lane

    def _leave_lane(self, group: Group) -> None:
        lane = group.lane
        if lane is None:
            return
        lane.groups -= 1
        lane.weight -= group.spec.weight
        if not lane.groups:
            del self._lanes[lane.request]
        group.lane = None
        group.ticket = 0
        self._view = None

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers
