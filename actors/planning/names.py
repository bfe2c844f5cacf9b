"""Whether the names of a job can be told apart and be named by templates and functions."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping

from actors.generators import Generator, declared_outputs
from messages.hints import possible
from messages.job import ChatColumn, Column, EmbeddingColumn, Job, ModelConfig, Problem, PythonColumn
from messages.tasks import REQUEST_RESOURCE_PREFIX

RESERVED_RESOURCES = ("submission", "llm_wait", "local", "threads")
"""The resources that exist in every job."""

_NAME_RULE = "expected a name: letters, digits and underscores, no digit first, no word of Python"


def name_problems(job: Job, source_fields: tuple[str, ...]) -> Iterator[Problem]:
    """Yield a problem for every name that is unusable, taken, or refers to nothing.

    Names in templates and parameters are the generators' own business.
    """
    if not job.name.strip():
        yield Problem("name", "is empty", "give the job a name")
    if not job.columns:
        yield Problem("columns", "there are none", "describe at least one column", ("columns.*",))
    for provider in job.providers:
        # Both stand between names: `provider/model`, and `one+other/model` for a model of two providers.
        if not provider or "/" in provider or "+" in provider:
            expected = "expected a name without '/' and without '+'"
            yield Problem(f"providers.{provider}", f"is called {provider!r}", expected)
    for alias, model in job.models.items():
        if not model.model:
            yield Problem(f"models.{alias}.model", "is empty", "name the provider's model")
        yield from _server_problems(f"models.{alias}", model, job.providers)
    yield from _resource_problems(job)
    yield from _column_problems(job, source_fields)
    yield from _processor_problems(job, source_fields)
    yield from _model_problems(job)


def side_effect_problems(job: Job, generators: Mapping[str, Generator]) -> Iterator[Problem]:
    """Yield a problem for every generator that needs a side effect: nobody waits for one (R7)."""
    owners = {
        effect: f"columns.{table}"
        for table, column in job.columns.items()
        if isinstance(column, PythonColumn)
        for effect in column.side_effects
    }
    for name, generator in generators.items():
        for need in generator.needs:
            if need in owners:
                owner = owners[need]
                yield Problem(
                    f"columns.{name}",
                    f"needs {need!r}, a side effect of {owner}, which no column can wait for",
                    f"name it in {owner}.outputs",
                    (f"{owner}.side_effects",),
                )


def _server_problems(path: str, model: ModelConfig, providers: Mapping[str, object]) -> Iterator[Problem]:
    """Yield a problem where a model is served by nobody, or by whom cannot be told."""
    several, one = f"{path}.providers", f"{path}.provider"
    if not model.provider and not model.providers:
        known = possible("", providers) or "describe one under `providers`"
        yield Problem(one, "is missing", f"name one, or several in `providers`; {known}", (several,))
        return
    if model.provider and model.providers:
        yield Problem(several, "is given beside `provider`", "give one of the two", (one,))
    named = [(one, model.provider)] if model.provider else []
    named += ((f"{several}[{index}]", name) for index, name in enumerate(model.providers))
    seen: set[str] = set()
    for place, name in named:
        if name not in providers:
            known = possible(name, providers) or "describe it under `providers`"
            yield Problem(place, f"there is no provider {name!r}", known, ("providers.*",))
        elif name in seen:
            yield Problem(place, f"names {name!r} again", "name each provider once", (several,))
        if place != one:
            seen.add(name)


def _column_problems(job: Job, source_fields: tuple[str, ...]) -> Iterator[Problem]:
    repeated = {field for index, field in enumerate(source_fields) if field in source_fields[:index]}
    for field in sorted(repeated):
        yield Problem("source.path", f"has more than one field {field!r}", "rename all but one")
    owners: dict[str, str] = {}
    for table, column in job.columns.items():
        if not _is_name(table):
            yield Problem(f"columns.{table}", f"is called {table!r}", _NAME_RULE)
        for output, path in zip(declared_outputs(table, column), _output_paths(table, column), strict=True):
            if path != f"columns.{table}" and not _is_name(output):
                yield Problem(path, f"is {output!r}", _NAME_RULE)
            if output in source_fields:
                found, other = f"the source has a field {output!r} already", "source"
                yield Problem(path, found, "choose another name", (other, f"columns.{table}.outputs"))
            if output in owners:
                found, other = f"{owners[output]} fills {output!r} already", f"{owners[output]}.outputs"
                yield Problem(path, found, "choose another name", (other, f"columns.{table}.outputs"))
            owners.setdefault(output, f"columns.{table}")


def _output_paths(table: str, column: Column) -> list[str]:
    """Return where the job file names each of `declared_outputs`."""
    if not isinstance(column, PythonColumn):
        return [f"columns.{table}"]
    named = [f"columns.{table}.outputs[{index}]" for index in range(len(column.outputs))]
    return (named or [f"columns.{table}"]) + [
        f"columns.{table}.side_effects[{index}]" for index in range(len(column.side_effects))
    ]


def _processor_problems(job: Job, source_fields: tuple[str, ...]) -> Iterator[Problem]:
    """Yield a problem for every processor whose name is no name, or would be taken for a column's."""
    owners = dict.fromkeys(source_fields, "source")
    for table, column in job.columns.items():
        owners |= dict.fromkeys((table, *declared_outputs(table, column)), f"columns.{table}")
    for name in job.processors:
        path = f"processors.{name}"
        if not _is_name(name):
            yield Problem(path, f"is called {name!r}", _NAME_RULE)
        if name in owners:
            found, rests_on = f"{owners[name]} has the name {name!r} already", ("columns.*", "source")
            yield Problem(path, found, "choose another name", rests_on)


def _model_problems(job: Job) -> Iterator[Problem]:
    for name, column in job.columns.items():
        if isinstance(column, ChatColumn | EmbeddingColumn) and column.model not in job.models:
            yield Problem(
                f"columns.{name}.model",
                f"there is no model {column.model!r}",
                possible(column.model, job.models) or "describe it under `models`",
                ("models.*",),
            )


def _resource_problems(job: Job) -> Iterator[Problem]:
    for name in job.limits.resources:
        if not name or name in RESERVED_RESOURCES or name.startswith(REQUEST_RESOURCE_PREFIX):
            yield Problem(
                f"limits.resources.{name}",
                "is a name of the system's own",
                f"choose another than {', '.join(RESERVED_RESOURCES)} and {REQUEST_RESOURCE_PREFIX}...",
            )
    for table, column in job.columns.items():
        for name in column.resources:
            if name not in job.limits.resources:
                yield Problem(
                    f"columns.{table}.resources.{name}",
                    "there is no such resource",
                    possible(name, job.limits.resources) or "give its limit under `limits.resources`",
                    ("limits.resources.*",),
                )


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)
