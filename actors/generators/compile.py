"""A column of a job file becomes a generator, or the list of what is wrong with it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import assert_never

from actors.generators.base import Generator
from actors.generators.category import compile_category
from actors.generators.expression import ExpressionGenerator
from actors.generators.functions import FunctionTable
from actors.generators.model_calls import ChatGenerator, EmbeddingGenerator
from actors.generators.output_schema import compile_output_schema
from actors.generators.python_function import compile_python
from actors.generators.sequence import SequenceGenerator
from actors.generators.skipping import conditional, default_problems
from actors.generators.templates import Template, compile_template
from messages.job import (
    CategoryColumn,
    ChatColumn,
    Column,
    EmbeddingColumn,
    ExpressionColumn,
    Job,
    Problem,
    PythonColumn,
    SequenceColumn,
)


def declared_outputs(name: str, column: Column) -> tuple[str, ...]:
    """Return the dataset columns that the table `name` of a job fills."""
    if isinstance(column, PythonColumn):
        return (*(column.outputs or (name,)), *column.side_effects)
    return (name,)


def declared_columns(job: Job) -> AbstractSet[str]:
    """Return the dataset columns that a job's tables fill, in their order."""
    return dict.fromkeys(
        output for name, column in job.columns.items() for output in declared_outputs(name, column)
    ).keys()


def compile_generator(
    name: str,
    column: Column,
    job: Job,
    known: AbstractSet[str] | None,
    *,
    functions: FunctionTable | None = None,
    columns: AbstractSet[str] | None = None,
) -> Generator | tuple[Problem, ...]:
    """Return the generator that `column`, the table `name` of `job`, describes, or all its problems.

    `known` are the names that a row has, columns and source fields; None where the source could not be
    read: names are then taken on trust. `functions` is shared by the columns of one preparation, and so are
    `columns`, the job's `declared_columns`.
    """
    columns = declared_columns(job) if columns is None else columns
    made = _unconditional(name, column, job, known, columns, functions)
    problems = [*(made if isinstance(made, tuple) else ()), *default_problems(name, column)]
    if column.skip is not None:
        # Where the column itself cannot be compiled, its condition is judged as a cell's.
        inner = Generator(name, mode="inline") if isinstance(made, tuple) else made
        made = conditional(inner, column, known=known, columns=columns)
        problems += made if isinstance(made, tuple) else ()
    return tuple(problems) or made


def _unconditional(
    name: str,
    column: Column,
    job: Job,
    known: AbstractSet[str] | None,
    columns: AbstractSet[str],
    functions: FunctionTable | None,
) -> Generator | tuple[Problem, ...]:
    match column:
        case CategoryColumn():
            return compile_category(name, column, job.seed)
        case SequenceColumn():
            return SequenceGenerator(name, column)
        case PythonColumn():
            table = functions or FunctionTable(job.base_dir)
            return compile_python(name, column, job, known=known, columns=columns, functions=table)
        case ExpressionColumn() | ChatColumn() | EmbeddingColumn():
            return _TemplateCompiler(name, job, known, columns).compile(column)
        case _:
            assert_never(column)


class _TemplateCompiler:
    """Compiles the templates of one column and gathers their problems."""

    def __init__(
        self, name: str, job: Job, known: AbstractSet[str] | None, columns: AbstractSet[str]
    ) -> None:
        self._name = name
        self._job = job
        self._known = known
        self._columns = columns

    def compile(
        self, column: ExpressionColumn | ChatColumn | EmbeddingColumn
    ) -> Generator | tuple[Problem, ...]:
        match column:
            case ExpressionColumn():
                template = self._template("template", column.template)
                if isinstance(template, tuple):
                    return template
                return ExpressionGenerator(self._name, column, template)
            case EmbeddingColumn():
                text = self._template("input", column.input)
                if isinstance(text, tuple):
                    return text
                return EmbeddingGenerator(self._name, column, text=text, job_seed=self._job.seed)
            case ChatColumn():
                return self._chat(column)

    def _chat(self, column: ChatColumn) -> Generator | tuple[Problem, ...]:
        prompt = self._template("prompt", column.prompt)
        system = self._template("system", column.system)
        path = f"columns.{self._name}"
        schema = compile_output_schema(path, column.output_schema, column.max_corrections)
        if isinstance(prompt, tuple) or isinstance(system, tuple) or isinstance(schema, tuple):
            parts = (prompt, system, schema)
            return tuple(problem for made in parts if isinstance(made, tuple) for problem in made)
        return ChatGenerator(
            self._name, column, prompt=prompt, system=system, schema=schema, job_seed=self._job.seed
        )

    def _template(self, field: str, source: str) -> Template | tuple[Problem, ...]:
        return compile_template(
            self._name,
            f"columns.{self._name}.{field}",
            source,
            known=self._known,
            columns=self._columns,
        )
