"""A job made ready to run: what the scheduler needs to know of it, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec

from messages._base import Value
from messages.request_admission import RequestAdmissionConfig, RequestResourceSpec
from messages.tasks import (
    RequestResourceKey,
    SchedulerResourceKey,
    SchedulerResourceRequest,
    TaskGroupSpec,
    TaskType,
)


class ResolvedTaskScheduling(Value, frozen=True):
    """What a generator's metadata comes to: its queue group and what its tasks take.

    The `request_resource` of a model with several providers names them all, `one+other`.
    """

    group: TaskGroupSpec
    resource_request: SchedulerResourceRequest
    request_resource: RequestResourceKey | None


class GeneratorPlan(Value, frozen=True):
    """One generator of a job: what it fills, what it needs, how its tasks are scheduled.

    `needs` are columns (source fields too) whose values a task is given; `upstream` the names of the
    generators that fill them. A processor fills nothing: its `outputs` are empty.

    One that `takes_models` is given the job's models, and may call any of them, any number of times.

    A skipped cell gets `skip_default`. Cells that need it are skipped too where it `skip_propagates` and
    they are to `skip_with_upstream`.
    """

    name: str
    task_type: TaskType
    outputs: tuple[str, ...]
    needs: tuple[str, ...]
    upstream: tuple[str, ...]
    scheduling: ResolvedTaskScheduling
    order_dependent: bool = False
    skip_default: Any = None
    skip_propagates: bool = True
    skip_with_upstream: bool = True
    takes_models: bool = False


class JobPlan(Value, frozen=True):
    """`generators` is in a dependency order. `dataset_columns` is the order of a row's fields.

    `resource_limits` are the capacities that task admission counts for this job.
    """

    run_id: str
    job_name: str
    rows: int
    row_group_size: int
    row_group_concurrency: int
    source_fields: tuple[str, ...]
    dataset_columns: tuple[str, ...]
    generators: tuple[GeneratorPlan, ...]
    resource_limits: dict[SchedulerResourceKey, int]
    request_resources: tuple[RequestResourceSpec, ...]
    policy: str
    max_retries: int
    backoff_seconds: float
    max_backoff_seconds: float
    early_shutdown_rate: float | None = None
    early_shutdown_window: int = 50
    row_group_admission: str = "fixed"
    adaptive_row_guard: int | None = None
    warnings: tuple[str, ...] = ()
    models: dict[str, str] = msgspec.field(default_factory=dict)
    """Alias of each model in use -> its endpoint's name, `provider/model`; of one with several providers,
    `one+other/model`."""
    request_admission: RequestAdmissionConfig = RequestAdmissionConfig()
    replicas: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Each task resource that stands for models, `request:...` -> the endpoints (`provider/model`) that serve
    its calls: one, or as many as the model has providers."""
    on_provider_exhausted: str = "wait"
    health_check: bool = True

    @property
    def row_groups(self) -> int:
        """How many row groups the rows make."""
        return -(-self.rows // self.row_group_size)
