"""A job becomes compiled generators and the plan that the scheduler runs, or all that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from actors.generators import FunctionTable, Generator, compile_generator, declared_columns
from actors.planning.graph import Upstream, cycles, dependency_order, upstream_of
from actors.planning.model_use import ModelUse
from actors.planning.models import model_problems
from actors.planning.names import name_problems, side_effect_problems
from actors.planning.numbers import number_problems, sequence_problems
from actors.planning.policies import policy_problems
from actors.planning.processors import Processors
from actors.planning.providers import provider_problems
from actors.planning.request_resources import RequestResourceResolver
from actors.planning.resolver import TaskSchedulingResolver
from actors.planning.timeouts import timeout_warnings
from messages.job import ChatColumn, ColumnSettings, EmbeddingColumn, Job, JobError, Problem, PythonColumn
from messages.job_file import normalized
from messages.metadata import SchedulingMetadataError
from messages.plan import GeneratorPlan, JobPlan, ResolvedTaskScheduling

_DECIDE_NEEDS = ("needs", "scope", "outputs", "side_effects", "skip")
"""What of a column, beside its templates or its function, decides what it waits for and what waits for it."""


ClientProblems = Callable[[Job], Iterable[Problem]]


def _no_problems(_job: Job) -> Iterable[Problem]:
    return ()


@dataclass(frozen=True)
class Prepared:
    """A job that can run. `generators` has each of the plan's generators by its name."""

    plan: JobPlan
    generators: dict[str, Generator]


@dataclass(frozen=True)
class Unpreparable:
    """A job that cannot run, with everything that has to be mended."""

    problems: tuple[Problem, ...]


def prepare(
    job: Job,
    *,
    run_id: str,
    source_fields: tuple[str, ...] | None,
    source_rows: int,
    client_problems: ClientProblems = _no_problems,
) -> Prepared | Unpreparable:
    """Import, compile, check and resolve everything that `job` names; run nothing.

    `source_fields` are the source's fields: None where the job has a source that could not be read, and
    names are then not checked against it. `source_rows` is how many records it has. `client_problems` says
    what keeps clients from being made for the job's providers, which is their maker's to know.
    """
    try:
        checked = normalized(job)
    except JobError as error:
        if error.readable is None:
            return Unpreparable(error.problems)
        found = _Preparation(error.readable, run_id, source_fields, source_rows, client_problems).result()
        return Unpreparable(error.joined(found.problems if isinstance(found, Unpreparable) else ()))
    return _Preparation(checked, run_id, source_fields, source_rows, client_problems).result()


class _Preparation:
    """One job on its way: gathers problems step by step, so that none hides another."""

    def __init__(
        self,
        job: Job,
        run_id: str,
        source_fields: tuple[str, ...] | None,
        source_rows: int,
        client_problems: ClientProblems,
    ) -> None:
        self._job = job
        self._client_problems = client_problems
        self._run_id = run_id
        self._fields = (source_fields or ()) if job.source is not None else ()
        self._fields_known = job.source is None or source_fields is not None
        self._rows = _row_count(job, source_rows)
        self._problems: list[Problem] = []
        self._requests = RequestResourceResolver(job)
        self._resolver = TaskSchedulingResolver(self._requests, job.limits)
        self._functions = FunctionTable(job.base_dir)

    def result(self) -> Prepared | Unpreparable:
        job = self._job
        self._problems += name_problems(job, self._fields)
        if job.rows is None and job.source is None:
            self._problems.append(
                Problem("rows", "is missing", "say how many, or give a source", ("source",))
            )
        self._problems += provider_problems(job)
        self._problems += model_problems(job)
        self._problems += self._requests.problems()
        self._problems += number_problems(job)
        self._problems += policy_problems(job)
        self._problems += sequence_problems(job, self._rows)
        columns = self._compiled()
        self._problems += self._client_problems(job)
        self._problems += side_effect_problems(job, columns)
        processors = Processors(job, self._fields, columns, self._functions)
        self._problems += processors.problems
        upstream = upstream_of(columns.values(), self._fields)
        self._problems += (
            Problem(
                f"columns.{cycle[0]}",
                f"needs itself: {' -> '.join(cycle)}",
                "break the circle",
                tuple(f"columns.{name}.{key}" for name in cycle[1:] for key in _DECIDE_NEEDS),
            )
            for cycle in cycles(upstream)
        )
        upstream = processors.woven_into(upstream, columns)
        generators = {**columns, **processors.generators}
        scheduling = self._resolved(generators)
        use = ModelUse(job, generators, scheduling, self._requests)
        limits = self._resource_limits(use)
        self._problems += self._beyond_limits(scheduling, limits)
        if self._problems:
            return Unpreparable(tuple(self._problems))
        return Prepared(self._plan(generators, upstream, scheduling, use, limits), generators)

    def _compiled(self) -> dict[str, Generator]:
        """Compile every column that can be compiled."""
        known: AbstractSet[str] | None = None
        columns = declared_columns(self._job)
        if self._fields_known:
            # A dict keeps the job's order, in which the names are listed to the user.
            known = dict.fromkeys((*self._fields, *columns)).keys()
        generators: dict[str, Generator] = {}
        for name, column in self._job.columns.items():
            made = compile_generator(
                name, column, self._job, known, functions=self._functions, columns=columns
            )
            if isinstance(made, tuple):
                self._problems += made
            else:
                generators[name] = made
        return generators

    def _resolved(self, generators: dict[str, Generator]) -> dict[str, ResolvedTaskScheduling]:
        resolved: dict[str, ResolvedTaskScheduling] = {}
        for name, generator in generators.items():
            column = self._job.columns.get(name)
            if isinstance(column, ChatColumn | EmbeddingColumn):
                model = self._job.models.get(column.model)
                if model is None or not all(model.served_by) or not model.model:
                    continue  # reported where it is named
            try:
                resolved[name] = self._resolver.resolve(generator, column)
            except SchedulingMetadataError as error:
                self._problems.append(Problem(f"columns.{name}.metadata", error.message))
        return resolved

    def _resource_limits(self, use: ModelUse) -> dict[str, int]:
        limits, slots = self._job.limits, use.task_slots()
        always = {
            **slots,
            "submission": limits.submission,
            "llm_wait": max(1, sum(slots.values())) if limits.llm_wait is None else limits.llm_wait,
            "local": limits.local,
            "threads": limits.threads,
        }
        return {**limits.resources, **always}

    def _beyond_limits(
        self, scheduling: dict[str, ResolvedTaskScheduling], limits: dict[str, int]
    ) -> Iterator[Problem]:
        """Yield a problem for every amount that could never be admitted (T7)."""
        for name, resolved in scheduling.items():
            for resource, amount in resolved.resource_request.amounts:
                limit = limits.get(resource)
                if limit is not None and amount > limit >= 1:
                    yield Problem(
                        f"columns.{name}.resources.{resource}",
                        f"each task asks for {amount}, the limit is {limit}",
                        "raise the limit, or ask for less",
                        (f"limits.resources.{resource}", f"limits.{resource}"),
                    )

    def _plan(
        self,
        generators: dict[str, Generator],
        upstream: Upstream,
        scheduling: dict[str, ResolvedTaskScheduling],
        use: ModelUse,
        limits: dict[str, int],
    ) -> JobPlan:
        job = self._job
        columns = declared_columns(job)
        resources = use.resources()
        return JobPlan(
            run_id=self._run_id,
            job_name=job.name,
            rows=self._rows,
            row_group_size=job.row_group_size,
            row_group_concurrency=job.limits.row_group_concurrency,
            source_fields=self._fields,
            dataset_columns=(*self._fields, *columns),
            generators=tuple(
                self._generator_plan(generators[name], upstream[name], scheduling[name])
                for name in dependency_order(upstream)
            ),
            resource_limits=limits,
            request_resources=tuple(self._requests.spec(resource) for resource in resources),
            policy=job.limits.policy,
            max_retries=job.failure.max_retries,
            backoff_seconds=job.failure.backoff_seconds,
            max_backoff_seconds=job.failure.max_backoff_seconds,
            early_shutdown_rate=job.failure.early_shutdown_rate,
            early_shutdown_window=job.failure.early_shutdown_window,
            row_group_admission=job.limits.row_group_admission,
            adaptive_row_guard=job.limits.adaptive_row_guard,
            warnings=(
                *self._requests.warnings(),
                *self._resolver.warnings,
                *timeout_warnings(job, use.aliases()),
            ),
            models={alias: self._requests.pool(alias).name for alias in use.aliases()},
            request_admission=self._requests.admission(resources),
            replicas=use.replicas(),
            on_provider_exhausted=job.on_provider_exhausted,
            health_check=job.health_check,
        )

    def _generator_plan(
        self, generator: Generator, upstream: tuple[str, ...], scheduling: ResolvedTaskScheduling
    ) -> GeneratorPlan:
        column = self._job.columns.get(generator.name)
        skips = column or ColumnSettings()
        return GeneratorPlan(
            name=generator.name,
            task_type=generator.task_type,
            outputs=generator.outputs,
            needs=generator.needs,
            upstream=upstream,
            scheduling=scheduling,
            order_dependent=isinstance(column, PythonColumn) and column.order_dependent,
            skip_default=skips.skip_default,
            skip_propagates=skips.skip_propagates,
            skip_with_upstream=skips.skip_when_upstream_skipped,
            takes_models=generator.takes_models,
        )


def _row_count(job: Job, source_rows: int) -> int:
    if job.source is None:
        return max(0, job.rows or 0)
    return source_rows if job.rows is None else max(0, min(job.rows, source_rows))
