"""What limited a run, and what to change: findings, causes before their consequences.

A finding's share is the share of wall time in which it held; that of failures is the share of the tasks' time
under lease that went into them. A finding follows from another where that one would bring it about, and holds
for at least half as long: a resource that fills up behind a full model is no news of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

import msgspec

from actors.inspection.computing import ONE_PROCESS, busy_processor
from actors.inspection.explained import ColumnExplained, ModelExplained, RunExplained
from actors.inspection.failing import failures
from actors.inspection.finding import LAYERS, Finding
from actors.inspection.settings import (
    budget_settings,
    cap_setting,
    column_name,
    model_name,
    model_setting,
    resource_name,
    resource_setting,
    row_groups_setting,
)
from actors.inspection.sharing import share_remedy

_LEAST_SHARE: Final = 0.02

_SMALL_ROW_GROUP: Final = 20
"""Row groups of fewer rows than this are mostly overhead where storage is what is waited for."""

_ALWAYS: Final = {
    "event_loop": frozenset(LAYERS) - {"event_loop"},  # nothing in the worker moves meanwhile
    "processor": frozenset({"task_capacity", "task_share", "slow_column", "row_groups"}),
}
"""What some layers bring about whatever it is about."""

_OF_MODELS: Final = ("circuit", "cooldown", "budget", "request_limit")


def findings(run: RunExplained) -> list[Finding]:
    """Return what held the run back, the weightiest cause first, consequences after all causes."""
    if run.run.wall_seconds <= 0:
        return []
    found = sorted(
        (each for each in _candidates(run) if each.share >= _LEAST_SHARE), key=lambda each: -each.share
    )
    told = [_traced(each, found, run) for each in found]
    return sorted(told, key=lambda each: bool(each.follows_from))


def _candidates(run: RunExplained) -> Iterator[Finding]:
    yield from _event_loop(run)
    yield from busy_processor(run)
    yield from failures(run)
    for name, model in run.models.items():
        yield from _of_model(run, name, model)
    yield from _task_resources(run)
    yield from _slow_columns(run)
    yield from _the_rest(run)


def _traced(finding: Finding, found: list[Finding], run: RunExplained) -> Finding:
    """Return the finding with what it follows from, if it does: of several the one of the first layer."""
    causes = [
        cause for cause in found if cause.share * 2 >= finding.share and _brings_about(cause, finding, run)
    ]
    if not causes:
        return finding
    cause = min(causes, key=lambda cause: LAYERS.index(cause.layer))
    return msgspec.structs.replace(finding, follows_from=cause.subject)


def _brings_about(cause: Finding, finding: Finding, run: RunExplained) -> bool:
    """Return whether `cause` is the kind of thing that `finding` comes from."""
    if cause.layer in _ALWAYS:
        return finding.layer in _ALWAYS[cause.layer]
    if cause.layer == "failures":
        return _failures_bring_about(cause, finding, run)
    if cause.layer in _OF_MODELS:
        return _model_brings_about(cause, finding, run)
    if cause.layer == "task_capacity":
        if finding.layer == "slow_column":
            return cause.about in run.columns[finding.about].resources
        if finding.layer == "provider":  # calls that nobody waits with: their tasks are not let in
            return _share_users(cause.about, finding.about, run)
        return finding.layer in ("task_share", "row_groups")
    if cause.layer == "slow_column" and finding.layer == "row_groups":
        return not _has_few_rows(cause, run)
    if cause.layer in ("slow_column", "retries"):
        return finding.layer in ("row_groups", "storage")
    if cause.layer == "row_groups" and finding.layer == "slow_column":
        return _has_few_rows(finding, run)
    return cause.layer == "row_groups" and finding.layer == "provider"


def _failures_bring_about(cause: Finding, finding: Finding, run: RunExplained) -> bool:
    """Return whether what a column's failing tries hold, wait for or leave undone is the finding."""
    failing = run.columns[cause.about]
    if finding.layer in ("retries", "row_groups", "storage", "task_share"):
        return True
    if finding.layer == "slow_column":
        return finding.about == cause.about
    if finding.layer == "task_capacity":
        return finding.about in failing.resources
    return finding.layer in ("request_limit", "provider") and finding.about in failing.models


def _has_few_rows(slow: Finding, run: RunExplained) -> bool:
    """Return whether a column runs alone for want of rows to run beside it, and not for what a row takes."""
    column = run.columns[slow.about]
    return column.task_type == "cell" and bool(column.models)


def _model_brings_about(cause: Finding, finding: Finding, run: RunExplained) -> bool:
    """Return whether a model that may not be called more is what `finding` comes from."""
    if finding.layer in ("task_share", "row_groups"):
        return True
    if finding.layer == "provider":
        return finding.about == cause.about
    if finding.layer == "slow_column":
        return cause.about in run.columns[finding.about].models
    if finding.layer == "task_capacity":
        resource = run.resources[finding.about]
        is_behind = resource.behind_models_seconds * 2 >= resource.short_seconds
        return (is_behind or cause.layer in ("circuit", "cooldown")) and _share_users(
            finding.about, cause.about, run
        )
    if finding.layer == "retries":
        return cause.layer in ("circuit", "cooldown")
    return False


def _share_users(resource: str, model: str, run: RunExplained) -> bool:
    """Return whether any column takes the task resource for calls to the model."""
    return any(resource in each.resources and model in each.models for each in run.columns.values())


# -- the worker's loop, and models ------------------------------------------------------------------


def _event_loop(run: RunExplained) -> Iterator[Finding]:
    for name, blocked in run.loop_blocked.items():
        column = column_name(name, run.columns.get(name)) if name else "code that a column left behind"
        where = f", at {PurePath(blocked.at).name}" if blocked.at else ""
        yield Finding(
            layer="event_loop",
            subject=column,
            about=name,
            share=_share(run, blocked.seconds),
            says=f"{column} blocked the worker's event loop {_times(blocked.count)}, "
            f"{blocked.longest_seconds:.1f} s at the longest{where}: nothing else could go on meanwhile",
            remedy=f"make the function of {column} plain (not `async`), so that it gets a thread, or "
            "let it `await` instead of blocking (`asyncio.sleep` for `time.sleep`)",
        )


def _of_model(run: RunExplained, name: str, model: ModelExplained) -> Iterator[Finding]:
    subject = model_name(model)
    if model.circuit_seconds:
        yield Finding(
            layer="circuit",
            subject=subject,
            about=name,
            share=_share(run, model.circuit_seconds),
            says=f"{subject}: the provider did nothing but refuse, its circuit was open "
            f"{_times(model.circuit_openings)}",
            remedy=f"see to the provider's quota or lower {cap_setting(model)}; "
            'on_provider_exhausted = "stop" ends the job instead of waiting',
        )
    if model.rate_limited:
        paused = model.cooldown_seconds + model.cut_seconds
        refused = f"{model.rate_limited} of {model.attempts} calls were refused"
        is_cut = model.limit < model.effective_max
        cut = f", its limit is {model.limit} now" if is_cut else ""
        about = f", about {model.limit}" if is_cut else ""
        yield Finding(
            layer="cooldown",
            subject=subject,
            about=name,
            share=_share(run, paused),
            says=f"{subject}: {refused}, and then nothing was sent for {model.cooldown_seconds:.1f} s "
            f"in all{cut}",
            remedy=f"lower {cap_setting(model)} to what the provider takes{about}, "
            f"or set {model_setting(model, 'requests_per_minute')}, or get a higher rate limit from it",
        )
    elif model.cut_seconds:
        yield Finding(
            layer="request_limit",
            subject=subject,
            about=name,
            share=_share(run, model.cut_seconds),
            says=f"{subject}: its limit, {model.limit} now, was used up below the "
            f"{model.effective_max} that it may grow to",
            remedy=f"raise {model_setting(model, 'limit.initial')}",
        )
    if model.full_seconds:
        slots = "its only slot was" if model.effective_max == 1 else f"all {model.effective_max} slots were"
        yield Finding(
            layer="request_limit",
            subject=subject,
            about=name,
            share=_share(run, model.full_seconds),
            says=f"{subject}: {slots} in use while calls waited, {model.most_waiting} at the most; "
            f"a call takes {_per_call(model)}",
            remedy=f"raise {cap_setting(model)}",
        )
    waited = sum(model.waited_seconds.values())
    if model.waited_seconds.get("budget"):
        yield Finding(
            layer="budget",
            subject=subject,
            about=name,
            share=_share(run, model.waiting_seconds * model.waited_seconds["budget"] / waited),
            says=f"{subject}: calls waited for its budget per minute",
            remedy=f"raise {budget_settings(model)}",
        )
    if model.free_seconds:
        yield Finding(
            layer="provider",
            subject=subject,
            about=name,
            share=_share(run, model.free_seconds),
            says=f"{subject}: calls in flight, nobody waiting for a slot; a call takes {_per_call(model)}",
            remedy=f"use a faster model, ask for shorter replies ({model_setting(model, 'parameters')}), or "
            f"work on more rows at once: {row_groups_setting(run)}",
        )


# -- tasks, columns, row groups ---------------------------------------------------------------------


def _task_resources(run: RunExplained) -> Iterator[Finding]:
    for name, resource in run.resources.items():
        if _passes(name, run) > ONE_PROCESS:  # more of it would be no faster
            continue
        yield Finding(
            layer="task_capacity",
            subject=resource_name(name),
            about=name,
            share=_share(run, resource.short_seconds),
            says=f"{name}: all {resource.limit} in use while ready tasks were queued",
            remedy=f"raise {resource_setting(name, resource.limit)}",
        )
    yield Finding(
        layer="task_share",
        subject="limits.policy",
        share=_share(run, run.queue.group_capped_seconds),
        says="ready tasks waited because their column had its share of a resource",
        remedy=share_remedy(run),
    )


def _passes(resource: str, run: RunExplained) -> float:
    """Return how many tasks that take a resource were started in a second."""
    users = [each for each in run.columns.values() if resource in each.resources]
    return sum(each.started for each in users) / run.run.wall_seconds


def _slow_columns(run: RunExplained) -> Iterator[Finding]:
    for name, column in run.columns.items():
        subject = column_name(name, column)
        took = f"{column.longest_seconds:.2f} s at the longest"
        yield Finding(
            layer="slow_column",
            subject=subject,
            about=name,
            share=_share(run, column.alone_seconds),
            says=f"{subject}: nothing else ran while others had work left; "
            f"a task takes {_seconds(column.running_seconds / max(1, column.started))}, {took}",
            remedy=_faster(subject, column, run),
        )


def _faster(subject: str, column: ColumnExplained, run: RunExplained) -> str:
    """Return what helps against a column that everything waits for."""
    if column.models:
        return f"use a faster model for {subject}, or raise {row_groups_setting(run)}"
    if column.task_type != "cell":
        return (
            f"make {subject} faster: it makes a whole row group in one call; or have more and smaller row "
            f"groups at once: raise {row_groups_setting(run)}, lower row_group_size "
            f"(now {run.run.row_group_size})"
        )
    if column.started > ONE_PROCESS * run.run.wall_seconds:
        rate = column.started / run.run.wall_seconds
        return f"none of the settings: {rate:,.0f} tasks a second are about what one process can do"
    if "threads" in column.resources:
        return f"make {subject} faster, or raise {row_groups_setting(run)} if it waits for something outside"
    return (
        f"make {subject} faster; if its function is `async`, it must not compute for long or block: "
        "a plain one gets a thread"
    )


def _the_rest(run: RunExplained) -> Iterator[Finding]:
    rows = row_groups_setting(run)
    yield Finding(
        layer="row_groups",
        subject="limits.row_group_concurrency",
        share=_share(run, run.row_groups.bound_seconds),
        says=f"no task was queued, and no row group beyond the {run.row_groups.concurrency} that may be in "
        "flight could bring any",
        remedy=f"raise {rows}, or row_group_size (now {run.run.row_group_size})",
    )
    kinds = ", ".join(dict.fromkeys(each.kind for each in run.retries[:3]))
    yield Finding(
        layer="retries",
        subject="failure.backoff_seconds",
        share=_share(run, run.queue.retry_only_seconds),
        says=f"nothing but failed tasks was left, waiting for their next try ({kinds})",
        remedy="see to what fails, or lower failure.backoff_seconds and failure.max_backoff_seconds",
    )
    yield Finding(
        layer="storage",
        subject="storage",
        share=_share(run, run.queue.storage_only_seconds),
        says="no task ran or was ready while row groups were read or written, or the run began or ended",
        remedy=f"{_fewer_files(run)}write to a faster disk, or raise {rows}: some are then worked on while "
        "others are written",
    )


def _fewer_files(run: RunExplained) -> str:
    """Return the remedy for row groups so small that their files are what takes time."""
    size = run.run.row_group_size
    return f"raise row_group_size (now {size}) for fewer files, " if size < _SMALL_ROW_GROUP else ""


# -- words ------------------------------------------------------------------------------------------


def _share(run: RunExplained, seconds: float) -> float:
    return min(1.0, seconds / run.run.wall_seconds)


def _per_call(model: ModelExplained) -> str:
    return _seconds(model.provider_seconds / max(1, model.attempts))


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
