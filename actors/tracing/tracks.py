"""Which track a thing stands on: one owner for the processes, threads and lanes of a trace.

Slices on one track must nest or follow one another. What goes on at the same time therefore gets a lane
each: the lowest that is free, so that as many are used as were at work at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from actors.tracing.trace_events import TraceEvent, Track

ACTORS: Final = 1
ROW_GROUPS: Final = 2
TASKS: Final = 3
_FIRST_MODEL: Final = 10

_ACTOR_ORDER: Final = (
    "scheduler",
    "ready queue",
    "task_admission",
    "request_admission",
    "worker",
    "storage",
    "telemetry",
)
_LIMIT, _PAUSES, _CIRCUIT = 1, 2, 3
_FIRST_LANE: Final = 10
_TIDS: Final = 1000
"""A thread with its process's number would pass for the main thread of a program."""


class Lanes:
    """The lanes of one process. When what stood on a lane is over is kept: slices never overlap."""

    def __init__(self, pid: int, what: str) -> None:
        self.pid = pid
        self._what = what
        self._free: list[int] = []
        self._over_at: dict[int, int] = {}
        self.names: list[tuple[Track, str]] = []

    def take(self, at: int) -> Track:
        """Return the lowest lane on which nothing goes on from `at` on."""
        busy_still = []
        found = None
        while self._free:
            tid = heappop(self._free)
            if self._over_at[tid] <= at:
                found = tid
                break
            busy_still.append(tid)
        for tid in busy_still:
            heappush(self._free, tid)
        if found is None:
            found = _TIDS * self.pid + _FIRST_LANE + len(self._over_at)
            self._over_at[found] = at
            self.names.append((Track(self.pid, found), f"{self._what} {len(self._over_at)}"))
        return Track(self.pid, found)

    def give_back(self, track: Track, at: int) -> None:
        """Note that what stood on a lane is over at `at`."""
        self._over_at[track.tid] = at
        heappush(self._free, track.tid)


class Tracks:
    """Every track of one trace, and its names."""

    def __init__(self) -> None:
        self.tasks = Lanes(TASKS, "task")
        self.row_groups = Lanes(ROW_GROUPS, "row group")
        self._models: dict[str, Lanes] = {}
        self._model_names: dict[str, str] = {}
        self._actors: dict[str, Track] = {
            name: Track(ACTORS, _TIDS * ACTORS + number) for number, name in enumerate(_ACTOR_ORDER, 1)
        }
        self._job = ""

    def describe(self, job: str, models: dict[str, tuple[str, ...]]) -> None:
        """Take the job's name, and the aliases of its models by their resources."""
        self._job = job
        for resource, aliases in models.items():
            self.model(resource)
            self._model_names[resource] = f"model {', '.join(aliases)} ({resource})" if aliases else resource

    def actor(self, name: str) -> Track:
        """Return an actor's track."""
        return self._actors.setdefault(name, Track(ACTORS, _TIDS * ACTORS + len(self._actors) + 1))

    def model(self, resource: str) -> Lanes:
        """Return the lanes on which a model's calls stand."""
        lanes = self._models.get(resource)
        if lanes is None:
            lanes = self._models[resource] = Lanes(_FIRST_MODEL + len(self._models), "call")
        return lanes

    def limit(self, resource: str) -> Track:
        """Return the track of what happened to a model's limit."""
        return _fixed(self.model(resource), _LIMIT)

    def pauses(self, resource: str) -> Track:
        """Return the track of a model's cooldowns."""
        return _fixed(self.model(resource), _PAUSES)

    def circuit(self, resource: str) -> Track:
        """Return the track of a model's circuit."""
        return _fixed(self.model(resource), _CIRCUIT)

    def give_back(self, lane: Track, at: int) -> None:
        """Note that what stood on a model's lane is over at `at`."""
        for lanes in self._models.values():
            if lanes.pid == lane.pid:
                lanes.give_back(lane, at)

    def named(self) -> Iterator[TraceEvent]:
        """Yield the names of all tracks, in the order in which they are to be shown."""
        yield from _process(ACTORS, f"actors of {self._job}" if self._job else "actors")
        for name, track in self._actors.items():
            yield from _thread(track, name)
        for resource, lanes in self._models.items():
            yield from _process(lanes.pid, self._model_names.get(resource, f"model {resource}"))
            for tid, name in ((_LIMIT, "limit"), (_PAUSES, "pauses"), (_CIRCUIT, "circuit")):
                yield from _thread(_fixed(lanes, tid), name)
            yield from _lanes(lanes)
        yield from _process(TASKS, "tasks, on the worker")
        yield from _lanes(self.tasks)
        yield from _process(ROW_GROUPS, "row groups")
        yield from _lanes(self.row_groups)


def _fixed(lanes: Lanes, number: int) -> Track:
    return Track(lanes.pid, _TIDS * lanes.pid + number)


def _process(pid: int, name: str) -> Iterator[TraceEvent]:
    yield TraceEvent("M", pid, 0, "process_name", args={"name": name})
    # The actors first, then models, tasks, row groups: what decides above what is decided on.
    order = {TASKS: 1000, ROW_GROUPS: 1001}.get(pid, pid)
    yield TraceEvent("M", pid, 0, "process_sort_index", args={"sort_index": order})


def _lanes(lanes: Lanes) -> Iterator[TraceEvent]:
    for track, name in lanes.names:
        yield from _thread(track, name)


def _thread(track: Track, name: str) -> Iterator[TraceEvent]:
    yield TraceEvent("M", track.pid, track.tid, "thread_name", args={"name": name})
    yield TraceEvent("M", track.pid, track.tid, "thread_sort_index", args={"sort_index": track.tid})
