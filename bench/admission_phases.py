"""The admission cycle without threads and mailboxes: the real dispatcher and the real task admission core.

One thread hands each what the other has decided, a batch at a time, as their actors do: enqueue, select (a
batch of everything eligible), acquire, commit, return. Nothing is run between commit and return.
"""

from __future__ import annotations

import time
from itertools import count, cycle, islice
from typing import Literal

import msgspec

from actors.scheduler.dispatch import Dispatcher
from actors.task_admission.core import TaskAdmissionCore
from actors.task_admission.policies import policy_named
from bench.memory import MemoryWatch
from bench.results import BenchError, Evidence, Run
from bench.statistics import percentile
from bench.stopwatch import Stopwatch
from messages.job import Limits
from messages.task_admission import (
    AcquireTaskLeases,
    ConfigureTaskAdmission,
    ReturnTaskLeases,
    TaskAdmissionConfig,
    TaskAdmissionConfigured,
    TaskAdmissionView,
    TaskLeaseReturn,
    TaskLeasesDecided,
    TaskLeasesReturned,
)
from messages.tasks import (
    RuntimeCorrelation,
    SchedulableTask,
    SchedulerResourceRequest,
    Task,
    TaskGroupKey,
    TaskGroupSpec,
    TaskOutcome,
)

Resources = Literal["local", "model", "mixed"]
"""`mixed`: every other group is local."""

PHASES = ("enqueue", "select", "acquire", "commit", "return")

CAPACITY = 64
"""Tasks at once, and therefore tasks of one batch; of each resource there is as much."""

MODELS = 4
"""Models that the groups of model tasks share."""

_ENQUEUED_AT_ONCE = 1024
_DONE = TaskOutcome("success", 1)


class _Clock:
    """Microseconds per task that each phase took, batch by batch."""

    def __init__(self) -> None:
        self.samples: dict[str, list[float]] = {phase: [] for phase in PHASES}
        self._since = 0.0

    def start(self) -> None:
        self._since = time.perf_counter()

    def lap(self, phase: str, tasks: int) -> None:
        """Charge the time since the last call to a phase."""
        now = time.perf_counter()
        self.samples[phase].append((now - self._since) / tasks * 1e6)
        self._since = time.perf_counter()


def run_phases(tasks: int, groups: int, resources: Resources, *, policy: str = Limits().policy) -> Run:
    """Take `tasks` tasks of so many groups through the whole cycle, all queued before the first is selected.

    The measures are microseconds per task of each phase and of a whole cycle, `<phase>_p50` and `_p95` over
    batches. The memory is that of the queue at its longest, its tasks with it.

    Raises:
        BenchError: a task was not admitted although there was room.
    """
    clock = _Clock()
    with MemoryWatch() as memory:
        items = _items(tasks, groups, resources)
        core = TaskAdmissionCore(policy_named)
        dispatcher = Dispatcher(policy_named(policy), _configured(core, policy))
        with Stopwatch() as watch:
            for first in range(0, tasks, _ENQUEUED_AT_ONCE):
                chunk = items[first : first + _ENQUEUED_AT_ONCE]
                clock.start()
                dispatcher.queue.enqueue(chunk)
                clock.lap("enqueue", len(chunk))
            done = 0
            while batch := _cycle(dispatcher, core, clock):
                done += batch
    if done != tasks:
        raise BenchError(f"{done} of {tasks} tasks were admitted")
    snapshot = core.snapshot(now=0.0)
    return Run(
        done,
        watch.wall_seconds,
        watch.cpu_seconds,
        snapshot.active_leases,
        measures=_measures(clock),
        peak_bytes=memory.peak_bytes,
        evidence=Evidence(final_task_snapshot=msgspec.to_builtins(snapshot)),
    )


def _cycle(dispatcher: Dispatcher, core: TaskAdmissionCore, clock: _Clock) -> int:
    """Take one batch from the queue to its leases' return; return how many tasks it had."""
    clock.start()
    selections = dispatcher.select(now=time.monotonic())
    if not selections:
        return 0
    clock.lap("select", len(selections))
    told = core.handle(AcquireTaskLeases(selections), now=time.monotonic())
    clock.lap("acquire", len(selections))
    (decided,) = [each.message for each in told if isinstance(each.message, TaskLeasesDecided)]
    clock.start()
    starts, stale = dispatcher.decide(decided)
    clock.lap("commit", len(selections))
    if stale or len(starts) != len(selections):
        raise BenchError(f"{len(starts)} of {len(selections)} selected tasks were admitted")
    returns = ReturnTaskLeases([TaskLeaseReturn(lease, _DONE) for _, lease in starts])
    clock.start()
    for each in core.handle(returns, now=time.monotonic()):
        if isinstance(each.message, TaskLeasesReturned):
            dispatcher.returned(each.message)
    clock.lap("return", len(selections))
    return len(starts)


def _measures(clock: _Clock) -> dict[str, float]:
    samples = clock.samples
    batches = zip(*(samples[phase] for phase in PHASES if phase != "enqueue"), strict=True)
    enqueue = percentile(sorted(samples["enqueue"]), 0.5)
    whole = {"cycle": [enqueue + sum(batch) for batch in batches]}
    return {
        f"{phase}_{part}": percentile(sorted(taken), share)
        for phase, taken in (samples | whole).items()
        for part, share in (("p50", 0.5), ("p95", 0.95))
    }


def _configured(core: TaskAdmissionCore, policy: str) -> TaskAdmissionView:
    limits = {"submission": CAPACITY, "local": CAPACITY, "llm_wait": CAPACITY}
    limits |= {f"request:bench/m{model}": CAPACITY for model in range(MODELS)}
    config = TaskAdmissionConfig(limits, policy)
    (told,) = core.handle(ConfigureTaskAdmission("bench", config, reply_to="bench"), now=0.0)
    assert isinstance(told.message, TaskAdmissionConfigured)
    return told.message.view


def _items(tasks: int, groups: int, resources: Resources) -> list[SchedulableTask]:
    """Return the tasks, one of each group in turn."""
    kinds = [_local, _model] if resources == "mixed" else [_local if resources == "local" else _model]
    made = [kind(number) for number, kind in zip(range(groups), cycle(kinds), strict=False)]
    return [
        SchedulableTask(
            number,
            Task(group.name, 0, number, "cell"),
            group,
            request,
            None,
            RuntimeCorrelation("bench", 0, number, group.name, "cell", group.key.kind, "0" * 12, number),
        )
        for number, (group, request) in zip(islice(count(1), tasks), cycle(made), strict=False)
    ]


def _local(number: int) -> tuple[TaskGroupSpec, SchedulerResourceRequest]:
    key = TaskGroupKey("local", ("default", f"c{number}"))
    request = SchedulerResourceRequest((("local", 1), ("submission", 1)))
    return TaskGroupSpec(key, 1.0, None, f"local:default/c{number}"), request


def _model(number: int) -> tuple[TaskGroupSpec, SchedulerResourceRequest]:
    model = f"bench/m{number % MODELS}"
    key = TaskGroupKey("model", ("bench", f"m{number % MODELS}", "chat", f"c{number}"))
    request = SchedulerResourceRequest((("llm_wait", 1), (f"request:{model}", 1), ("submission", 1)))
    return TaskGroupSpec(key, float(CAPACITY), 2 * CAPACITY, f"model:{model}/c{number}"), request
