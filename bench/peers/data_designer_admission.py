"""data-designer's two admission controllers alone, called as its scheduler and executor call them.

Task admission, its own best way: everything is enqueued in one call; then select, acquire and commit
as its dispatch loop does, and release at once. Filling the capacity first, as happens in a run, costs it
more, because each view it builds then has more leases to tell of. No events, no observed maxima, no
worker tasks, no loop: only the cycle. Groups and resources are those of Leasehold's side: a group may
hold all the capacity alone, and each task takes one `submission` and one `llm_wait`.

Request admission: `try_acquire` and `release` of the adaptive controller without an event sink, on one
thread, a batch of leases out at a time.
"""

from __future__ import annotations

from data_designer.engine.dataset_builders.scheduling.queue import FairTaskQueue
from data_designer.engine.dataset_builders.scheduling.resources import (
    SchedulableTask,
    SchedulerResourceRequest,
    TaskGroupKey,
    TaskGroupSpec,
    stable_task_id,
)
from data_designer.engine.dataset_builders.scheduling.task_admission import (
    TaskAdmissionConfig,
    TaskAdmissionController,
    TaskAdmissionLease,
)
from data_designer.engine.dataset_builders.scheduling.task_model import Task
from data_designer.engine.dataset_builders.scheduling.task_policies import (
    BoundedBorrowTaskAdmissionPolicyConfig,
)
from data_designer.engine.models.request_admission.controller import (
    AdaptiveRequestAdmissionController,
    RequestAdmissionLease,
)
from data_designer.engine.models.request_admission.outcomes import RequestReleaseOutcome
from data_designer.engine.models.request_admission.resources import (
    RequestAdmissionItem,
    RequestDomain,
    RequestGroupSpec,
    RequestResourceKey,
)

from bench.noop_jobs import CAPACITY, Policy
from bench.results import BenchError, Run
from bench.stopwatch import Stopwatch

_SUCCESS = RequestReleaseOutcome("success")


def run_task_admission(tasks: int, *, groups: int, policy: Policy) -> Run:
    """Pass `tasks` tasks of so many groups through queue and controller.

    Raises:
        BenchError: the controller refused a task that the queue had found eligible.
    """
    per_group = max(1, tasks // groups)
    request = SchedulerResourceRequest({"submission": 1, "llm_wait": 1})
    specs = [
        TaskGroupSpec(TaskGroupKey("custom_model", ("bench", f"g{number}", "1")), CAPACITY / 2, CAPACITY)
        for number in range(groups)
    ]
    payloads = [
        (Task(f"c{number}", 0, row, "cell"), spec)
        for row in range(per_group)
        for number, spec in enumerate(specs)
    ]
    items = [SchedulableTask(stable_task_id(task), task, spec, request) for task, spec in payloads]
    borrow = BoundedBorrowTaskAdmissionPolicyConfig() if policy == "bounded_borrow" else None
    config = TaskAdmissionConfig(resource_limits={"llm_wait": CAPACITY}, bounded_borrow=borrow)
    queue, controller = FairTaskQueue(), TaskAdmissionController(config)
    with Stopwatch() as watch:
        queue.enqueue(items)
        released = 0
        while queue.has_queued_tasks:
            released += controller.release(_admit(queue, controller)).released
    left = sum(controller.view().leased_resources.values())
    if released != len(items):
        raise BenchError(f"data-designer released {released} of {len(items)} leases")
    return Run(released, watch.wall_seconds, watch.cpu_seconds, left)


def _admit(queue: FairTaskQueue, controller: TaskAdmissionController) -> TaskAdmissionLease:
    selection = queue.select_next(controller.is_eligible)
    if selection is None:
        raise BenchError("data-designer found nothing eligible with all its capacity free")
    lease = controller.try_acquire(selection.item, selection.queue_view)
    if not isinstance(lease, TaskAdmissionLease) or queue.commit(selection) is None:
        raise BenchError("data-designer refused what it had selected")
    return lease


def run_request_admission(tasks: int) -> Run:
    """Take and return `tasks` uncontended request leases.

    Raises:
        BenchError: a lease was refused.
    """
    controller = AdaptiveRequestAdmissionController()
    controller.register(
        provider_name="bench", model_id="model", alias="model", max_parallel_requests=CAPACITY
    )
    resource = RequestResourceKey("bench", "model", RequestDomain.CHAT)
    group = RequestGroupSpec(resource)
    released = 0
    with Stopwatch() as watch:
        while released < tasks:
            batch = min(CAPACITY, tasks - released)
            leases = [controller.try_acquire(RequestAdmissionItem(resource, group)) for _ in range(batch)]
            for lease in leases:
                if not isinstance(lease, RequestAdmissionLease):
                    raise BenchError("data-designer refused an uncontended request lease")
                released += controller.release(lease, _SUCCESS).released
    snapshot = controller.snapshot(resource)
    left = snapshot.in_flight_count if snapshot is not None else 0
    return Run(released, watch.wall_seconds, watch.cpu_seconds, left)
