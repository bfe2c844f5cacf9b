"""Whether the names of a job can be told apart and be named by templates and functions."""

from __future__ import annotations

import keyword
from collections.abc import Iterator

from actors.generators import declared_outputs
from messages.hints import possible
from messages.job import ChatColumn, EmbeddingColumn, Job, Problem, PythonColumn

RESERVED_RESOURCES = ("submission", "llm_wait", "local", "threads")
"""The resources that exist in every job."""

_REQUEST_PREFIX = "request:"
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
        if not provider or "/" in provider:
            yield Problem(f"providers.{provider}", f"is called {provider!r}", "expected a name without '/'")
    for alias, model in job.models.items():
        if not model.model:
            yield Problem(f"models.{alias}.model", "is empty", "name the provider's model")
        if model.provider not in job.providers:
            yield Problem(
                f"models.{alias}.provider",
                f"there is no provider {model.provider!r}",
                possible(model.provider, job.providers) or "describe it under `providers`",
                ("providers.*",),
            )
    yield from _resource_problems(job)
    yield from _column_problems(job, source_fields)
    yield from _model_problems(job)


def _column_problems(job: Job, source_fields: tuple[str, ...]) -> Iterator[Problem]:
    repeated = {field for index, field in enumerate(source_fields) if field in source_fields[:index]}
    for field in sorted(repeated):
        yield Problem("source.path", f"has more than one field {field!r}", "rename all but one")
    owners: dict[str, str] = {}
    for table, column in job.columns.items():
        if not _is_name(table):
            yield Problem(f"columns.{table}", f"is called {table!r}", _NAME_RULE)
        listed = isinstance(column, PythonColumn) and bool(column.outputs)
        for index, output in enumerate(declared_outputs(table, column)):
            path = f"columns.{table}.outputs[{index}]" if listed else f"columns.{table}"
            if listed and not _is_name(output):
                yield Problem(path, f"is {output!r}", _NAME_RULE)
            if output in source_fields:
                found, other = f"the source has a field {output!r} already", "source"
                yield Problem(path, found, "choose another name", (other, f"columns.{table}.outputs"))
            if output in owners:
                found, other = f"{owners[output]} fills {output!r} already", f"{owners[output]}.outputs"
                yield Problem(path, found, "choose another name", (other, f"columns.{table}.outputs"))
            owners.setdefault(output, f"columns.{table}")


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
        if not name or name in RESERVED_RESOURCES or name.startswith(_REQUEST_PREFIX):
            yield Problem(
                f"limits.resources.{name}",
                "is a name of the system's own",
                f"choose another than {', '.join(RESERVED_RESOURCES)} and {_REQUEST_PREFIX}...",
            )
    for table, column in job.columns.items():
        for name in column.resources if isinstance(column, PythonColumn) else ():
            if name not in job.limits.resources:
                yield Problem(
                    f"columns.{table}.resources.{name}",
                    "there is no such resource",
                    possible(name, job.limits.resources) or "give its limit under `limits.resources`",
                    ("limits.resources.*",),
                )


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)
