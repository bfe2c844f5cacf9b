"""What the ready queue stood at: what it was short of, what it waited for, when it was dry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from actors.inspection.explained import QueueExplained, ResourceExplained
from actors.inspection.measures import Series, Stretch
from messages.telemetry import Event, RunDescriptor

_MOMENT: Final = 50_000
"""Microseconds in which queued work may be on its way to a lease without being called idle."""

_SAMPLED: Final = 1_000
"""Depth and leases change with every task: their curves are looked at so often, in microseconds."""

Identity = tuple[str, int, int | None]
"""A task: its column, row group and row."""


class Queue:
    """Queued, leased and put-off work of one run, and the states that the scheduler told. Microseconds.

    `wanted` says for how long in all calls have waited for any model.
    """

    def __init__(self, run: RunDescriptor, wanted: Callable[[int], int]) -> None:
        self._wanted = wanted
        self._limits = run.resource_limits
        self._takes = {name: tuple(each.resources.items()) for name, each in run.generators.items()}
        self._held = dict.fromkeys(self._limits, 0)
        self._most_held = dict(self._held)
        self._group = {name: each.group for name, each in run.generators.items()}
        self._queued: dict[int, str] = {}
        self._queued_now: Counter[str] = Counter()
        self.most_by_group: dict[str, int] = {}
        """The most tasks that were queued at once, by scheduling group."""
        self._deferred: set[Identity] = set()
        self._leased = 0
        self._row_groups_bound = False
        self._most_queued = 0
        self._blocked: str | None = None
        self._blocked_since = 0
        self._short_of: tuple[str, ...] = ()
        self._short: Counter[str] = Counter()
        self._behind: Counter[str] = Counter()
        self._wanted_before = 0
        self._blocked_by: Counter[str] = Counter()
        self._capped = Stretch()
        self._flowing_since: int | None = None
        self._ready_idle = 0
        self._retry_only, self._storage_only, self._dry = Stretch(), Stretch(), Stretch()
        self._queued_series = Series()
        self._held_series = {name: Series() for name in self._limits}
        self._sampled_at = -_SAMPLED

    # -- work --------------------------------------------------------------------------------------------

    def enqueued(self, execution: int, column: str, at: int) -> None:
        """Note that an execution is queued."""
        group = self._queued[execution] = self._group[column]
        self._queued_now[group] += 1
        if self._queued_now[group] > self.most_by_group.get(group, 0):
            self.most_by_group[group] = self._queued_now[group]
        count = len(self._queued)
        self._most_queued = max(self._most_queued, count)
        if at - self._sampled_at >= _SAMPLED:
            self._sample(at)
        if count == 1:
            if self._blocked is None:
                self._flowing_since = at
            self._judge(at)

    def leased(self, execution: int, column: str, at: int) -> None:
        """Note that an execution has its lease."""
        self._unqueue(execution)
        self._leased += 1
        self._flowed(at, still=bool(self._queued))
        held, most = self._held, self._most_held
        for resource, amount in self._takes[column]:
            held[resource] += amount
            most[resource] = max(most[resource], held[resource])
        if at - self._sampled_at >= _SAMPLED:
            self._sample(at)
        if self._leased == 1 or not self._queued:
            self._judge(at)

    def released(self, column: str, at: int) -> None:
        """Note that an execution has given its lease back."""
        self._leased -= 1
        for resource, amount in self._takes[column]:
            self._held[resource] -= amount
        if at - self._sampled_at >= _SAMPLED or not self._leased:
            self._sample(at)
        if not self._leased:
            self._judge(at)

    def discarded(self, executions: Iterable[int], at: int) -> None:
        """Note that these are wanted no more."""
        for execution in executions:
            self._unqueue(execution)
        if not self._queued:
            self._flowed(at, still=False)
            self._judge(at)

    def stopped(self, at: int) -> None:
        """Note that the job admits nothing more: nothing is in the way of what is not wanted."""
        self._deferred.clear()
        self._unblocked(at)
        self.discarded(list(self._queued), at)

    def deferred(self, task: Identity, at: int) -> None:
        """Note that a failed task waits for its next try."""
        self._deferred.add(task)
        self._judge(at)

    def due(self, task: Identity) -> None:
        """Note that a task is ready, perhaps once more."""
        if self._deferred:
            self._deferred.discard(task)

    def row_groups(self, *, bound: bool, at: int) -> None:
        """Note whether there are row groups that may not be in flight yet."""
        self._row_groups_bound = bound
        self._judge(at)

    # -- states ------------------------------------------------------------------------------------------

    def selected(self, at: int) -> None:
        """Note that something could be selected: whatever was in the way is not any more."""
        if self._blocked is not None:
            self._unblocked(at)
            self._flowing_since = at if self._queued else None

    def told(self, event: Event, at: int) -> None:
        """Take `queue_empty`, `admission_blocked` or `group_capped`."""
        self._flowed(at, still=False)
        self._unblocked(at)
        if event.event_kind == "queue_empty":
            return
        said = event.diagnostics or {}
        reasons = said.get("reasons") or ["no_capacity"]
        self._blocked, self._blocked_since, self._wanted_before = reasons[0], at, self._wanted(at)
        self._short_of = tuple(said.get("short_of") or ())
        self._capped.set(holds=event.event_kind == "group_capped", at=at)

    def capped(self, at: int) -> int:
        """Return for how long in all the queue has stood at a group's cap."""
        return self._capped.total(at)

    @property
    def most_held(self) -> dict[str, int]:
        """The most of each resource that was leased at once."""
        return {name: most for name, most in self._most_held.items() if most}

    @property
    def now_short_of(self) -> str:
        """What the queue was told to lack just now, in words; empty while it flows."""
        if self._capped.holds:
            return "its column's share of a resource"
        if self._blocked is None:
            return ""
        return ", ".join(self._short_of) or self._blocked

    # -- what it came to -----------------------------------------------------------------------------------

    def explained(self, at: int, origin: int) -> QueueExplained:
        """Return what the queue stood at, up to now; `origin` is when the run began."""
        self._sample(at)
        blocked = self._blocked_by.copy()
        if self._blocked is not None:
            blocked[self._blocked] += max(0, at - self._blocked_since)
        return QueueExplained(
            most_queued=self._most_queued,
            queued=len(self._queued),
            group_capped_seconds=self._capped.seconds(at),
            blocked_seconds={reason: spent / 1e6 for reason, spent in blocked.items()},
            ready_idle_seconds=(self._ready_idle + self._idle_now(at)) / 1e6,
            retry_only_seconds=self._retry_only.seconds(at),
            storage_only_seconds=self._storage_only.seconds(at),
            queued_curve=self._queued_series.curve(origin),
        )

    def resources(self, at: int, origin: int) -> dict[str, ResourceExplained]:
        """Return every resource of task admission; `origin` is when the run began."""
        self._sample(at)
        short, behind = self._short.copy(), self._behind.copy()
        if self._blocked is not None:
            short.update(dict.fromkeys(self._short_of, max(0, at - self._blocked_since)))
            behind.update(dict.fromkeys(self._short_of, self._behind_models(at)))
        return {
            name: ResourceExplained(
                limit=limit,
                most_at_once=self._most_held[name],
                short_seconds=short[name] / 1e6,
                behind_models_seconds=behind[name] / 1e6,
                held_curve=self._held_series[name].curve(origin),
            )
            for name, limit in self._limits.items()
        }

    def row_groups_bound_seconds(self, at: int) -> float:
        """Return for how long the queue was dry while the number of row groups stood at its bound."""
        return self._dry.seconds(at)

    # -- inside --------------------------------------------------------------------------------------------

    def _sample(self, at: int) -> None:
        self._sampled_at = at
        self._queued_series.set(len(self._queued), at)
        for name, series in self._held_series.items():
            series.set(self._held[name], at)

    def _unqueue(self, execution: int) -> None:
        group = self._queued.pop(execution, None)
        if group is not None:
            self._queued_now[group] -= 1

    def _behind_models(self, at: int) -> int:
        """Return for how long of the present block calls have waited for models."""
        return min(max(0, self._wanted(at) - self._wanted_before), max(0, at - self._blocked_since))

    def _unblocked(self, at: int) -> None:
        if self._blocked is not None:
            spent = max(0, at - self._blocked_since)
            self._blocked_by[self._blocked] += spent
            behind = self._behind_models(at)
            for resource in self._short_of:
                self._short[resource] += spent
                self._behind[resource] += behind
            self._blocked, self._short_of = None, ()
            self._capped.set(holds=False, at=at)

    def _flowed(self, at: int, *, still: bool) -> None:
        """Close the time since something was last admitted; `still`: there is more of it."""
        self._ready_idle += self._idle_now(at)
        self._flowing_since = at if still and self._blocked is None else None

    def _idle_now(self, at: int) -> int:
        idle = 0 if self._flowing_since is None else at - self._flowing_since
        return idle if idle > _MOMENT else 0

    def _judge(self, at: int) -> None:
        """Note what a queue with nothing in it waits for."""
        nothing = not (self._queued or self._leased)
        self._retry_only.set(holds=nothing and bool(self._deferred), at=at)
        self._storage_only.set(holds=nothing and not self._deferred, at=at)
        dry = bool(self._leased) and not self._queued and self._row_groups_bound
        self._dry.set(holds=dry, at=at)
