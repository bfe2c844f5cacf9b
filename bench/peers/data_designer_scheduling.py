"""data-designer's ready queue and task admission under the virtual clock, doing the same workloads.

Its queue, its controller and its policies are used as its scheduler uses them: what is ready is enqueued,
then select, acquire and commit for as long as anything is eligible, at every moment at which something has
ended or become ready. Readiness is Leasehold's tracker's, on both sides. A workload is what it is for ours:
the same groups, weights, admitted limits and resources. No time is lost between two steps, on either side.
"""

from __future__ import annotations

from heapq import heappop, heappush

from data_designer.engine.dataset_builders.scheduling import resources as peer
from data_designer.engine.dataset_builders.scheduling.queue import FairTaskQueue
from data_designer.engine.dataset_builders.scheduling.task_admission import (
    TaskAdmissionConfig,
    TaskAdmissionController,
    TaskAdmissionLease,
)
from data_designer.engine.dataset_builders.scheduling.task_model import Task as PeerTask
from data_designer.engine.dataset_builders.scheduling.task_policies import (
    BoundedBorrowTaskAdmissionPolicyConfig,
)

from actors.scheduler.completion import CompletionTracker
from bench.noop_jobs import Policy
from bench.results import BenchError
from bench.schedules.course import Course, Execution
from bench.schedules.workload import CAPACITY, Workload
from messages.plan import GeneratorPlan
from messages.tasks import Task, TaskId


class _Play:
    """One workload under a policy of the peer's, from time 0 until nothing is left."""

    def __init__(self, workload: Workload, policy: Policy) -> None:
        self._plan = workload.plan("peer", policy)
        self._seconds = workload.seconds
        self._tracker = CompletionTracker(self._plan, stored=())
        self._generators = {generator.name: generator for generator in self._plan.generators}
        self._queue = FairTaskQueue()
        limits = dict(self._plan.resource_limits)
        borrow = BoundedBorrowTaskAdmissionPolicyConfig() if policy == "bounded_borrow" else None
        self.controller = TaskAdmissionController(
            TaskAdmissionConfig(limits.pop("submission"), limits, bounded_borrow=borrow)
        )
        self.executions: list[Execution] = []
        self._queued: dict[str, tuple[Task, Execution]] = {}
        self._starts = 0
        self._running: list[tuple[float, int, TaskAdmissionLease, Task, Execution]] = []

    def run(self) -> None:
        """Do the work."""
        for number in range(self._plan.row_groups):
            first = number * self._plan.row_group_size
            rows = min(self._plan.row_group_size, self._plan.rows - first)
            self._tracker.admit(number, first, rows)
        now = 0.0
        while True:
            self._enqueue(self._tracker.ready_frontier(), now)
            self._dispatch(now)
            if not self._running:
                break
            now = self._running[0][0]
            while self._running and self._running[0][0] <= now:
                self._end(now)
        if self._queue.has_queued_tasks:
            raise BenchError("data-designer left ready tasks undone")

    def _enqueue(self, frontier: dict[TaskId, Task], now: float) -> None:
        items = []
        for task in frontier.values():
            item = _item(self._generators[task.column], task)
            row = task.row_index if task.row_index is not None else -1
            execution = Execution(task.column, (task.row_group, row), now)
            self.executions.append(execution)
            self._queued[item.task_id] = (task, execution)
            items.append(item)
        self._queue.enqueue(items)
        self._tracker.mark_enqueued(frontier)

    def _dispatch(self, now: float) -> None:
        while (selection := self._queue.select_next(self.controller.is_eligible)) is not None:
            lease = self.controller.try_acquire(selection.item, selection.queue_view)
            if not isinstance(lease, TaskAdmissionLease) or self._queue.commit(selection) is None:
                raise BenchError("data-designer refused what it had selected")
            task, execution = self._queued.pop(selection.item.task_id)
            execution.leased_at = now
            end = round(now + self._seconds[task.column], 6)
            self._starts += 1
            heappush(self._running, (end, self._starts, lease, task, execution))

    def _end(self, now: float) -> None:
        _, _, lease, task, execution = heappop(self._running)
        if not self.controller.release(lease).released:
            raise BenchError("data-designer refused to take a lease back")
        execution.ended_at = now
        self._tracker.mark_complete(task)


def play(workload: Workload, policy: Policy) -> Course:
    """Run the workload under the peer's policy; return what every task went through.

    Raises:
        BenchError: a task was not done, or a lease was refused.
    """
    playing = _Play(workload, policy)
    playing.run()
    left = sum(playing.controller.view().leased_resources.values())
    return Course(playing.executions, CAPACITY, workload.measured, left=left)


def _item(generator: GeneratorPlan, task: Task) -> peer.SchedulableTask:
    scheduling = generator.scheduling
    group = scheduling.group
    payload = PeerTask(task.column, task.row_group, task.row_index, task.task_type)
    return peer.SchedulableTask(
        peer.stable_task_id(payload),
        payload,
        peer.TaskGroupSpec(
            peer.TaskGroupKey("custom_model", group.key.identity), group.weight, group.admitted_limit
        ),
        peer.SchedulerResourceRequest(dict(scheduling.resource_request.amounts)),
    )
