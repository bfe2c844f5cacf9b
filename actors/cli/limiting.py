"""What limits a run right now, and which setting would move that limit. Pure: snapshots in, words out."""

from __future__ import annotations

from typing import Literal, NamedTuple

from actors.cli.view import ModelView, RunView
from actors.inspection.computing import ONE_PROCESS
from actors.inspection.words import told_duration
from messages.task_admission import TaskAdmissionView
from messages.tasks import REQUEST_RESOURCE_PREFIX

Layer = Literal["phase", "request", "processor", "task", "retry", "storage", "row_groups", "nothing"]

_PHASES = {
    "preparing": "preparing the job",
    "stopping": "stopping: waiting for running work to end",
    "closing": "closing the run's files",
}

_OWN_LIMITS = ("submission", "llm_wait", "local", "threads")
"""Task resources with a setting of their own. `submission`, which every task takes, is judged last."""


_MANY = 10
"""So many failed calls are more than bad luck."""


class Limiting(NamedTuple):
    """The layer that holds the run back, and the words for it."""

    layer: Layer
    text: str


def limiting(view: RunView) -> Limiting:
    """Return what holds the run back, the layer nearest to the provider first.

    Work waits for a model before a task resource can fill up behind it, so a full model with waiters is
    the cause and the full resource its consequence.
    """
    job = view.job
    if job.phase in _PHASES:
        return Limiting("phase", _PHASES[job.phase])
    return (
        _refused(view.models())
        or _failing(view.models())
        or _waited_for_model(view.models())
        or _passed_over(view)
        or _busy(view)
        or _full_resource(view)
        or _full_model(view.models())
        or _no_running_work(view)
        or _row_groups(view)
        or Limiting("nothing", "nothing: work is flowing")
    )


def _refused(models: list[ModelView]) -> Limiting | None:
    """Return the model whose provider refuses everything, the longest of several (A9)."""
    model = max(models, key=lambda model: model.refused_for or 0.0, default=None)
    if model is None or model.refused_for is None:
        return None
    probe = "" if model.next_probe_in is None else f", next probe in {told_duration(model.next_probe_in)}"
    refused = f"provider {model.provider} has refused everything for {told_duration(model.refused_for)}"
    return Limiting("request", f"{refused}: circuit of {model.name} open{probe}")


def _failing(models: list[ModelView]) -> Limiting | None:
    """Return the model most of whose calls fail: nothing that is full or waited for matters beside that."""
    failing = [each for each in models if each.failed >= _MANY and each.failed * 2 >= each.ended]
    if not failing:
        return None
    model = max(failing, key=lambda model: model.failed)
    text = f"model {model.name}: {model.failed} of {model.ended} calls have failed"
    return Limiting("request", f"{text}; see why with `leasehold inspect`")


def _waited_for_model(models: list[ModelView]) -> Limiting | None:
    """Return the model that most attempts wait for."""
    model = max(models, key=lambda model: model.waiting, default=None)
    if model is None or not model.waiting:
        return None
    if model.cooldown_remaining > 0:
        paused = f"model {model.name}: paused by its provider for {model.cooldown_remaining:.1f} s"
        return Limiting("request", f"{paused}, {model.waiting} waiting")
    if model.budget_in > 0:
        spent = f"model {model.name}: its budget is used up for {model.budget_in:.1f} s"
        return Limiting(
            "request", f"{spent}, {model.waiting} waiting; raise its requests or tokens per minute"
        )
    if model.in_flight >= model.limit:
        return Limiting("request", _full(model, f"{model.waiting} waiting"))
    return None


def _full_model(models: list[ModelView]) -> Limiting | None:
    for model in models:
        if model.in_flight and model.in_flight >= model.limit:
            return Limiting("request", _full(model, "none waiting"))
    return None


def _full(model: ModelView, waiting: str) -> str:
    slots = "the only slot" if model.limit == 1 else f"all {model.limit} slots"
    less = f" (of {model.maximum} at most)" if model.limit < model.maximum else ""
    return f"model {model.name}: {slots}{less} in use, {waiting}"


def _passed_over(view: RunView) -> Limiting | None:
    """Return who lets other work go first, where provider pressure is what stops most groups (A12)."""
    blocked = view.job.blocked
    if blocked is None or blocked.dominant_reasons[:1] != ("provider_pressure",):
        return None
    groups: dict[str, str] = blocked.diagnostics.get("passed_over", {})
    if not groups:
        return Limiting("request", "provider pressure: other work goes first")
    name, resource = next(iter(groups.items()))
    others = f" and {len(groups) - 1} more are" if len(groups) > 1 else " is"
    return Limiting("request", f"group {name}{others} passed over: {_pressure_on(view, resource)}")


def _pressure_on(view: RunView, task_resource: str) -> str:
    """Return what presses the endpoint, or the replicas, that a task resource stands for."""
    name = task_resource.removeprefix(REQUEST_RESOURCE_PREFIX)
    providers, _, model_id = name.partition("/")
    for pressure in view.requests.resources:
        key = pressure.resource
        if key.model_id != model_id or key.provider not in providers.split("+") or not pressure.is_pressed:
            continue
        if pressure.circuit == "open":
            return f"the circuit of {name} is open"
        if pressure.cooldown_remaining > 0:
            return f"{name} is cooling down for {pressure.cooldown_remaining:.1f} s"
        return f"{name} has {pressure.waiters} calls waiting"
    return f"{name} is under pressure"


def _busy(view: RunView) -> Limiting | None:
    """Return the process itself, where it computes all the time: no limit that is raised makes it faster."""
    effort = view.effort
    if not effort.is_all and view.tasks_per_second <= ONE_PROCESS:
        return None
    text = f"the processor: this process keeps {effort.busy:.1f} of {effort.processors} busy"
    rate = f"with {view.tasks_per_second:,.0f} tasks a second"
    return Limiting("processor", f"{text} {rate}; raising a limit makes it no faster")


def _full_resource(view: RunView) -> Limiting | None:
    job, accounts = view.job, view.tasks.view
    if not job.queued:
        return None
    full = [name for name, free in accounts.resources_available.items() if free == 0]
    if full:
        # What every task of its kind takes is full because something narrower is, where that is full too.
        name = min(full, key=lambda name: (name == "submission", name == "llm_wait", name))
        limit = accounts.resource_limits[name]
        held = f"{name}: all {limit} in use, {job.queued} tasks queued; raise {_setting_of(name)}"
        return Limiting("task", held)
    if job.blocked is not None and "group_cap" in job.blocked.dominant_reasons:
        text = f"a column's share of a resource, {job.queued} tasks queued"
        helps = "raise what columns share, or limits.group_limit_factor (`leasehold inspect` says which)"
        return Limiting("task", f"{text}; {helps}")
    return None


def _setting_of(resource: str) -> str:
    """Return what in the job file sets how much there is of a task resource."""
    if resource.startswith(REQUEST_RESOURCE_PREFIX):
        endpoint = resource.removeprefix(REQUEST_RESOURCE_PREFIX)
        return f"max_parallel_requests of the model {endpoint}"
    return f"limits.{resource}" if resource in _OWN_LIMITS else f"limits.resources.{resource}"


def _no_running_work(view: RunView) -> Limiting | None:
    """Return what is waited for while nothing runs and nothing is ready to."""
    job = view.job
    if job.leased or job.queued:
        return None
    if job.deferred:
        return Limiting("retry", f"failures: {job.deferred} tasks wait for their next try")
    if job.row_groups_in_flight:
        return Limiting("storage", f"storage: {job.row_groups_in_flight} row groups are read or written")
    return None


def _row_groups(view: RunView) -> Limiting | None:
    """Return the bound on row groups where more of them would mean more work, and there is room for it."""
    job = view.job
    rest = job.row_groups_total - job.row_groups_stored - job.row_groups_in_flight
    if job.queued or rest <= 0 or _is_full(view.tasks.view):
        return None
    text = f"row groups: all {job.row_groups_in_flight} in flight, no task is waiting"
    return Limiting("row_groups", f"{text}; raise limits.row_group_concurrency")


def _is_full(accounts: TaskAdmissionView) -> bool:
    return any(free == 0 for free in accounts.resources_available.values())
