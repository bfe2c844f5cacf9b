"""What things are called in the job file: a resource of the log, and the setting that bounds it."""

from __future__ import annotations

from actors.inspection.explained import ColumnExplained, ModelExplained, RunExplained
from messages.tasks import REQUEST_RESOURCE_PREFIX

_LIMITS = ("submission", "llm_wait", "local", "threads")


def model_name(model: ModelExplained) -> str:
    """Return a model as the job file names it: `models.judge`, or its endpoint where the log does not say."""
    aliases = " and ".join(f"models.{alias}" for alias in model.caps)
    return aliases or f"the model {model.endpoint}"


def model_setting(model: ModelExplained, setting: str) -> str:
    """Return one of a model's settings by its place in the job file."""
    return " and ".join(f"models.{alias}.{setting}" for alias in model.caps) or (
        f"{setting} of the model {model.endpoint}"
    )


def cap_setting(model: ModelExplained) -> str:
    """Return what bounds a model's calls in flight, with its value now.

    Of several models of the job that mean one endpoint, the least cap holds for all.
    """
    if model.effective_max < model.static_cap:
        return f"{model_setting(model, 'limit.maximum')} (now {model.effective_max})"
    least = [alias for alias, cap in model.caps.items() if cap <= model.static_cap] or list(model.caps)
    places = " and ".join(f"models.{alias}.max_parallel_requests" for alias in least)
    return f"{places or f'max_parallel_requests of the model {model.endpoint}'} (now {model.static_cap})"


def budget_settings(model: ModelExplained) -> str:
    """Return a model's budgets with their values now."""
    if not model.budgets:
        return model_setting(model, "requests_per_minute, or its tokens per minute")
    return " or ".join(f"{model_setting(model, name)} (now {bound})" for name, bound in model.budgets.items())


def resource_name(resource: str) -> str:
    """Return a task resource as the job file names it."""
    if resource.startswith(REQUEST_RESOURCE_PREFIX):
        return "limits.group_limit_factor"
    return f"limits.{resource}" if resource in _LIMITS else f"limits.resources.{resource}"


def resource_setting(resource: str, limit: int) -> str:
    """Return the setting of a task resource, with its value now."""
    if resource.startswith(REQUEST_RESOURCE_PREFIX):
        endpoint = resource.removeprefix(REQUEST_RESOURCE_PREFIX)
        return f"limits.group_limit_factor (with it, {limit} tasks of {endpoint} may run)"
    return f"{resource_name(resource)} (now {limit})"


def column_name(name: str, column: ColumnExplained | None) -> str:
    """Return a generator as the job file names it."""
    processor = column is not None and column.task_type.endswith("_processor")
    return f"processors.{name}" if processor else f"columns.{name}"


def row_groups_setting(run: RunExplained) -> str:
    """Return what bounds the number of row groups in flight, with its value now."""
    return f"limits.row_group_concurrency (now {run.row_groups.concurrency})"
