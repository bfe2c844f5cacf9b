"""What a job will ask for, and what will bound it, before anything of it has run.

Every bound is a lower bound on the duration of a run without failures: no such run can be faster. What is not
known, such as the time that a function or a real provider takes, counts as nothing and is named. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from messages._base import Value
from messages.capacity import ConfiguredCapacity
from messages.job import ChatColumn, EmbeddingColumn, Job, SimulatedProvider
from messages.plan import GeneratorPlan, JobPlan
from messages.tasks import REQUEST_RESOURCE_PREFIX

_BUDGET_SECONDS: Final = 60.0
_TOKENS: Final = ("input_tokens_per_minute", "output_tokens_per_minute")
_OWN_SETTINGS: Final = ("submission", "llm_wait", "local", "threads")

BoundBy = Literal["request_limit", "budget", "task_capacity", "row_groups", "dependency"]


class CallsForecast(Value, frozen=True):
    """How many calls there will be: at least, and at most; None where nothing bounds them."""

    least: int
    most: int | None

    @property
    def exact(self) -> bool:
        """Whether it is one number."""
        return self.least == self.most


class ColumnForecast(Value, frozen=True):
    """One generator: its tasks, at the most, and the calls that they make."""

    task_type: str
    tasks: int
    calls: CallsForecast


class ModelForecast(Value, frozen=True, kw_only=True):
    """What is asked of what serves a model: one endpoint, or its replicas.

    aliases: the job's models that mean it. at_once: calls that may be in flight. latency_seconds: what a call
    takes at the least; None where that is not known. requests_per_minute: None is without a bound.
    """

    aliases: tuple[str, ...]
    calls: CallsForecast
    at_once: int
    latency_seconds: float | None
    requests_per_minute: int | None


class Bound(Value, frozen=True, kw_only=True):
    """One thing that keeps a run from being faster than `seconds`, and the setting that moves it."""

    by: BoundBy
    subject: str
    seconds: float
    says: str
    remedy: str


class Forecast(Value, frozen=True, kw_only=True):
    """A job's forecast. `bounds` begins with the largest; `unknown` says what they leave out."""

    rows: int
    row_groups: int
    columns: dict[str, ColumnForecast]
    models: dict[str, ModelForecast]
    bounds: tuple[Bound, ...]
    unknown: tuple[str, ...]

    @property
    def least_seconds(self) -> float:
        """What the run takes at the least, as far as is known."""
        return self.bounds[0].seconds if self.bounds else 0.0


def forecast(
    job: Job, plan: JobPlan, configured: ConfiguredCapacity, *, latencies: Mapping[str, float] | None = None
) -> Forecast:
    """Return the forecast of a job under its plan.

    `latencies` are seconds that a call of a model takes at the least, by alias, where the job does not say.
    """
    told = _Forecast(job, plan, configured, latencies or {})
    bounds = sorted((each for each in told.bounds() if each.seconds > 0), key=lambda each: -each.seconds)
    return Forecast(
        rows=plan.rows,
        row_groups=plan.row_groups,
        columns=told.columns,
        models=told.models,
        bounds=tuple(bounds),
        unknown=tuple(told.unknown()),
    )


def _settings(found: Mapping[str, int]) -> str:
    return " and ".join(f"{place} (now {value})" for place, value in found.items())


Path = tuple[tuple[str, ...], float]
"""Columns whose calls follow one another, and the seconds that these take at the least."""


def _longest(paths: Iterable[Path]) -> Path:
    return max(paths, key=lambda path: path[1], default=((), 0.0))


class _Forecast:
    def __init__(
        self, job: Job, plan: JobPlan, configured: ConfiguredCapacity, latencies: Mapping[str, float]
    ) -> None:
        self._job, self._plan, self._configured = job, plan, configured
        self._latencies = latencies
        self._free = any(generator.takes_models for generator in plan.generators)
        """Whether functions may call the models as often as they like."""
        self._calls_of = {each.name: self._calls(each) for each in plan.generators}
        self.columns = {
            each.name: ColumnForecast(each.task_type, self._tasks(each), self._calls_of[each.name])
            for each in plan.generators
        }
        self.models = {pool: self._model(pool) for pool in dict.fromkeys(plan.models.values())}

    # -- how much there is to do ---------------------------------------------------------------------

    def _alias(self, generator: GeneratorPlan) -> str | None:
        column = self._job.columns.get(generator.name)
        return column.model if isinstance(column, ChatColumn | EmbeddingColumn) else None

    def _tasks(self, generator: GeneratorPlan) -> int:
        return self._plan.rows if generator.task_type == "cell" else self._plan.row_groups

    def _calls(self, generator: GeneratorPlan) -> CallsForecast:
        """Return a generator's calls in a run without failures: skips and corrections make them a range."""
        column = self._job.columns.get(generator.name)
        if not isinstance(column, ChatColumn | EmbeddingColumn):
            return CallsForecast(0, 0)
        rows = self._plan.rows
        each = 1
        if isinstance(column, ChatColumn) and column.output_schema is not None:
            each += column.max_corrections
        return CallsForecast(0 if self._may_lack_rows(generator) else rows, rows * each)

    def _may_lack_rows(self, generator: GeneratorPlan) -> bool:
        """Return whether some of its cells may not be made: skipped, or dropped by a processor before."""
        by_name = {each.name: each for each in self._plan.generators}
        waiting, seen = [generator.name], set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            column = self._job.columns.get(name)
            if column is None or column.skip is not None:  # a processor may drop rows
                return True
            waiting += by_name[name].upstream
        return False

    def _model(self, pool: str) -> ModelForecast:
        aliases = tuple(alias for alias, name in self._plan.models.items() if name == pool)
        called = [self._calls_of[each.name] for each in self._plan.generators if self._alias(each) in aliases]
        most = None if self._free else sum(each.most or 0 for each in called)
        endpoints = self._endpoints(pool)
        latencies = [latency for alias in aliases if (latency := self._latency(alias)) is not None]
        return ModelForecast(
            aliases=aliases,
            calls=CallsForecast(sum(each.least for each in called), most),
            at_once=sum(self._at_once(endpoint) for endpoint in endpoints),
            latency_seconds=min(latencies) if len(latencies) == len(aliases) else None,
            requests_per_minute=self._budget(endpoints),
        )

    # -- what there is to do it with -------------------------------------------------------------------

    def _endpoints(self, pool: str) -> tuple[str, ...]:
        return self._plan.replicas.get(f"{REQUEST_RESOURCE_PREFIX}{pool}", (pool,))

    def _at_once(self, endpoint: str) -> int:
        configured = self._configured
        maxima = [  # each domain has a limit of its own; the cap is for all of them together (A3)
            int(configured.request_admission_config[f"{resource}.maximum"].value)
            for resource in configured.request_resources
            if resource.rpartition("/")[0] == endpoint
        ]
        return min(self._cap(endpoint), sum(maxima))

    def _cap(self, endpoint: str) -> int:
        return int(self._configured.provider_model_static_caps[endpoint].value["cap"])

    def _cap_settings(self, endpoints: tuple[str, ...]) -> str:
        """Return the settings that bound the calls at once, with their values now: only those that do."""
        found = {}
        for endpoint in endpoints:
            caps = self._configured.provider_model_static_caps[endpoint].value["raw_caps"]
            clamped = self._at_once(endpoint) < self._cap(endpoint)
            for alias, cap in caps.items():
                maximum = self._job.models[alias].limit.maximum
                if clamped and maximum is not None:
                    found[f"models.{alias}.limit.maximum"] = maximum
                elif not clamped and cap <= self._cap(endpoint):
                    found[f"models.{alias}.max_parallel_requests"] = cap
        return _settings(found)

    def _budget_settings(self, endpoints: tuple[str, ...], budget: str) -> str:
        """Return the settings that give a budget, with their values now: the least of them hold (A10)."""
        found = {}
        for endpoint in endpoints:
            least = self._configured.request_admission_config[f"{endpoint}.{budget}"].value
            for alias in self._configured.provider_model_static_caps[endpoint].value["aliases"]:
                if least is not None and getattr(self._job.models[alias], budget) == least:
                    found[f"models.{alias}.{budget}"] = least
        return _settings(found)

    def _budget(self, endpoints: tuple[str, ...]) -> int | None:
        found = self._configured.request_admission_config
        budgets = [found[f"{each}.requests_per_minute"].value for each in endpoints]
        return None if None in budgets else sum(budgets)

    def _latency(self, alias: str) -> float | None:
        """Return what a call takes at the least, in seconds: as the job says, or whoever asks."""
        if alias in self._latencies:
            return self._latencies[alias]
        found = []
        for name in self._job.models[alias].served_by:
            provider = self._job.providers[name]
            if not isinstance(provider, SimulatedProvider):
                return None
            latency = provider.latency_ms
            factors = [step.latency_factor for step in provider.script if step.latency_factor is not None]
            found.append(max(0.0, latency.mean - latency.jitter) / 1000.0 * min([1.0, *factors]))
        return min(found, default=None)

    # -- what bounds it --------------------------------------------------------------------------------

    def bounds(self) -> Iterator[Bound]:
        """Yield everything that keeps the run from being faster than some time."""
        for pool, model in self.models.items():
            yield from self._of_model(model, self._endpoints(pool))
        yield from self._of_task_resources()
        yield from self._of_row_groups()

    def _of_model(self, model: ModelForecast, endpoints: tuple[str, ...]) -> Iterator[Bound]:
        named = " and ".join(f"models.{alias}" for alias in model.aliases)
        calls, latency, budget = model.calls.least, model.latency_seconds, model.requests_per_minute
        if latency is not None:
            yield Bound(
                by="request_limit",
                subject=named,
                seconds=math.ceil(calls / model.at_once) * latency,
                says=f"{calls} calls of {latency:.3g} s at the least, {model.at_once} at once",
                remedy=f"raise {self._cap_settings(endpoints)}",
            )
        if budget is not None and calls:
            yield Bound(
                by="budget",
                subject=named,
                seconds=_BUDGET_SECONDS * ((calls - 1) // budget),
                says=f"{calls} calls, {budget} in any minute",
                remedy=f"raise {self._budget_settings(endpoints, 'requests_per_minute')}",
            )

    def _of_task_resources(self) -> Iterator[Bound]:
        """Yield, for each task resource, how long what takes it holds all of it (T7)."""
        held: dict[str, float] = {}
        for generator in self._plan.generators:
            seconds = self._calls_of[generator.name].least * self._least_of(generator)
            for resource, amount in generator.scheduling.resource_request.amounts:
                held[resource] = held.get(resource, 0.0) + amount * seconds
        for resource, seconds in held.items():
            limit = self._plan.resource_limits[resource]
            if resource.startswith(REQUEST_RESOURCE_PREFIX):
                continue  # as many as the models' own caps allow, which are told above
            name = resource if resource in _OWN_SETTINGS else f"resources.{resource}"
            yield Bound(
                by="task_capacity",
                subject=f"limits.{name}",
                seconds=seconds / limit,
                says=f"its tasks hold {limit} of it for {seconds:.3g} s in all at the least",
                remedy=f"raise limits.{name} (now {limit})",
            )

    def _of_row_groups(self) -> Iterator[Bound]:
        path, seconds = self._longest_path()
        if not seconds:
            return
        plan = self._plan
        waves = math.ceil(plan.row_groups / plan.row_group_concurrency)
        chain = " -> ".join(path)
        yield Bound(
            by="dependency",
            subject=chain,
            seconds=seconds if plan.row_groups else 0.0,
            says=f"one row's calls after one another, {chain}, take {seconds:.3g} s at the least",
            remedy="let its columns depend on less",
        )
        if waves > 1:
            yield Bound(
                by="row_groups",
                subject="limits.row_group_concurrency",
                seconds=waves * seconds,
                says=f"{plan.row_groups} row groups of {seconds:.3g} s at the least, "
                f"{plan.row_group_concurrency} at once",
                remedy=f"raise limits.row_group_concurrency (now {plan.row_group_concurrency})",
            )

    def _longest_path(self) -> Path:
        """Return the calls that a row must make one after the other, and what they take at the least."""
        paths: dict[str, Path] = {}
        for generator in self._plan.generators:
            before = _longest(paths[name] for name in generator.upstream)
            own = self._least_of(generator) if self._calls_of[generator.name].least else 0.0
            paths[generator.name] = ((*before[0], generator.name), before[1] + own) if own else before
        return _longest(paths.values())

    def _least_of(self, generator: GeneratorPlan) -> float:
        alias = self._alias(generator)
        return (self._latency(alias) or 0.0) if alias is not None else 0.0

    def unknown(self) -> Iterator[str]:
        """Yield what the bounds leave out."""
        for pool, model in self.models.items():
            yield from self._unknown_of(model, self._endpoints(pool))
        for alias in self._plan.models if self._free else ():
            yield f"how often functions that are given the models call models.{alias}"
        functions = [name for name, column in self._job.columns.items() if hasattr(column, "function")]
        if functions:
            yield f"how long the functions of {', '.join(functions)} take"
        if any(each.task_type.endswith("_processor") for each in self._plan.generators):
            yield "how many rows the processors drop, and how long they take"

    def _unknown_of(self, model: ModelForecast, endpoints: tuple[str, ...]) -> Iterator[str]:
        calls, times = model.calls.least, math.ceil(model.calls.least / model.at_once)
        for alias in model.aliases:
            if self._latency(alias) is None:
                yield (
                    f"how long a call of models.{alias} takes: {calls} calls, {model.at_once} at once, "
                    f"take {times} times that at the least; say --latency {alias}=SECONDS"
                )
        for budget in _TOKENS:
            settings = self._budget_settings(endpoints, budget)
            if settings:
                yield f"how many tokens the calls take, which {settings} may bound"
