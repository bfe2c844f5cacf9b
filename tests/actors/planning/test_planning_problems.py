"""A job that cannot run is refused before work starts, with everything that is wrong with it at once."""

from __future__ import annotations

import pytest

from actors.planning import Prepared, Unpreparable, prepare
from messages import (
    CategoryColumn,
    ChatColumn,
    EmbeddingColumn,
    ExpressionColumn,
    FailurePolicy,
    Job,
    Latency,
    Limits,
    ModelConfig,
    PythonColumn,
    SchedulingMetadata,
    SequenceColumn,
    SimulatedProvider,
    Source,
)


def a_job(**changes):
    """A job that can run, except for what a test changes about it."""
    settings = {
        "name": "j",
        "rows": 10,
        "providers": {"sim": SimulatedProvider()},
        "models": {"writer": ModelConfig(provider="sim", model="m")},
        "columns": {"n": SequenceColumn()},
    }
    return Job(**(settings | changes))


def problems_of(job, *, source_fields=(), source_rows=0):
    found = prepare(job, run_id="r", source_fields=source_fields, source_rows=source_rows)
    assert isinstance(found, Unpreparable), found
    return {problem.path: f"{problem.message}; {problem.remedy}" for problem in found.problems}


def prepared(job, *, source_fields=(), source_rows=0):
    found = prepare(job, run_id="r", source_fields=source_fields, source_rows=source_rows)
    assert isinstance(found, Prepared), found
    return found


def with_columns(**columns):
    return a_job(columns=columns)


def expression(template):
    return ExpressionColumn(template=template)


@pytest.mark.parametrize(
    ("job", "path", "said"),
    [
        (a_job(name=" "), "name", "is empty"),
        (a_job(columns={}), "columns", "none"),
        (a_job(rows=None), "rows", "is missing"),
        (a_job(rows=-1), "rows", "at least 0"),
        (a_job(row_group_size=0), "row_group_size", "at least 1"),
        (a_job(seed=2**63), "seed", "64-bit"),
        (a_job(providers={"a/b": SimulatedProvider()}, models={}), "providers.a/b", "without '/'"),
        (
            a_job(providers={"sim": SimulatedProvider(latency_ms=Latency(mean=5, jitter=6))}),
            "providers.sim.latency_ms.jitter",
            "0 to the mean",
        ),
        (
            a_job(providers={"sim": SimulatedProvider(latency_ms=Latency(mean=-1))}),
            "providers.sim.latency_ms.mean",
            "at least 0",
        ),
        (
            a_job(models={"w": ModelConfig(provider="smi", model="m")}),
            "models.w.provider",
            "did you mean 'sim'",
        ),
        (a_job(models={"w": ModelConfig(provider="sim", model="")}), "models.w.model", "is empty"),
        (
            a_job(models={"w": ModelConfig(provider="sim", model="m", max_parallel_requests=0)}),
            "models.w.max_parallel_requests",
            "at least 1",
        ),
        (
            a_job(models={"w": ModelConfig(provider="sim", model="m", timeout_seconds=0)}),
            "models.w.timeout_seconds",
            "above 0",
        ),
        (
            a_job(models={"w": ModelConfig(provider="sim", model="m", queue_timeout_seconds=float("nan"))}),
            "models.w.queue_timeout_seconds",
            "at least 0",
        ),
        (a_job(limits=Limits(submission=0)), "limits.submission", "at least 1"),
        (a_job(limits=Limits(row_group_concurrency=0)), "limits.row_group_concurrency", "at least 1"),
        (a_job(limits=Limits(llm_wait=0)), "limits.llm_wait", "at least 1"),
        (a_job(limits=Limits(local=-1)), "limits.local", "at least 1"),
        (a_job(limits=Limits(threads=0)), "limits.threads", "at least 1"),
        (a_job(limits=Limits(group_limit_factor=0)), "limits.group_limit_factor", "at least 1"),
        (a_job(limits=Limits(resources={"gpu": 0})), "limits.resources.gpu", "at least 1"),
        (a_job(limits=Limits(resources={"local": 1})), "limits.resources.local", "system's own"),
        (a_job(limits=Limits(resources={"request:a": 1})), "limits.resources.request:a", "system's own"),
        (a_job(failure=FailurePolicy(max_retries=-1)), "failure.max_retries", "at least 0"),
        (a_job(failure=FailurePolicy(request_retries=-1)), "failure.request_retries", "at least 0"),
        (a_job(failure=FailurePolicy(backoff_seconds=-1)), "failure.backoff_seconds", "at least 0"),
        (
            a_job(failure=FailurePolicy(backoff_seconds=5, max_backoff_seconds=1)),
            "failure.max_backoff_seconds",
            "at least backoff_seconds",
        ),
        (with_columns(n=CategoryColumn(values=())), "columns.n.values", "at least one"),
        (with_columns(**{"not a name": SequenceColumn()}), "columns.not a name", "expected a name"),
        (with_columns(**{"class": SequenceColumn()}), "columns.class", "expected a name"),
        (with_columns(n=SequenceColumn(start=2**63 - 5)), "columns.n", "64-bit"),
        (with_columns(mood=SequenceColumn(), x=expression("{{ mod }}")), "columns.x.template", "'mood'"),
        (with_columns(x=expression("{{ x")), "columns.x.template", "line 1"),
        (with_columns(x=ChatColumn(model="wrter", prompt="p")), "columns.x.model", "did you mean 'writer'"),
        (
            with_columns(x=ChatColumn(model="writer", prompt="p", max_corrections=-1)),
            "columns.x.max_corrections",
            "at least 0",
        ),
        (with_columns(x=EmbeddingColumn(model="z", input="p")), "columns.x.model", "possible: writer"),
        (with_columns(x=PythonColumn(function="nowhere_at_all:f")), "columns.x.function", "no module"),
        (with_columns(x=PythonColumn(function=lambda nope: nope)), "columns.x.function", "'nope'"),
        (
            with_columns(x=PythonColumn(function=lambda: 1, timeout_seconds=0)),
            "columns.x.timeout_seconds",
            "above 0",
        ),
        (
            with_columns(n=SequenceColumn(), x=PythonColumn(function=lambda: 1, outputs=("a", "n"))),
            "columns.x.outputs[1]",
            "columns.n fills 'n' already",
        ),
        (
            with_columns(x=PythonColumn(function=lambda: 1, outputs=("a", "a"))),
            "columns.x.outputs[1]",
            "fills 'a' already",
        ),
        (
            with_columns(x=PythonColumn(function=lambda: 1, outputs=("a", "1b"))),
            "columns.x.outputs[1]",
            "expected a name",
        ),
        (
            with_columns(x=PythonColumn(function=lambda: 1, resources={"gpu": 1})),
            "columns.x.resources.gpu",
            "no such resource",
        ),
        (
            with_columns(
                x=PythonColumn(
                    function=lambda: 1, metadata=SchedulingMetadata("model", ("sim", "m", "chatt"))
                )
            ),
            "columns.x.metadata",
            "did you mean 'chat'",
        ),
        (a_job(rows="ten"), "rows", "expected a whole number"),
    ],
)
def test_each_problem_names_its_path_and_the_remedy(job, path, said):
    found = problems_of(job)
    assert list(found) == [path]
    assert said in found[path]


def test_t7_a_request_above_its_limit_is_refused_with_the_resource_and_both_numbers():
    job = a_job(
        columns={"x": PythonColumn(function=lambda: 1, resources={"gpu": 3})},
        limits=Limits(resources={"gpu": 2}),
    )
    found = problems_of(job)
    assert list(found) == ["columns.x.resources.gpu"]
    assert "asks for 3, the limit is 2" in found["columns.x.resources.gpu"]


@pytest.mark.parametrize(
    ("columns", "path", "circle"),
    [
        ({"a": expression("{{ a }}")}, "columns.a", "a -> a"),
        ({"a": expression("{{ b }}"), "b": expression("{{ a }}")}, "columns.a", "a -> b -> a"),
        (
            {
                "start": SequenceColumn(),
                "after": expression("{{ b }}"),
                "a": expression("{{ b }}{{ start }}"),
                "b": expression("{{ c }}"),
                "c": expression("{{ a }}"),
            },
            "columns.a",
            "a -> b -> c -> a",
        ),
    ],
)
def test_a_circle_is_printed(columns, path, circle):
    found = problems_of(a_job(columns=columns))
    assert found == {path: f"needs itself: {circle}; break the circle"}


def test_two_circles_are_two_problems():
    columns = {"a": expression("{{ a }}"), "b": expression("{{ c }}{{ a }}"), "c": expression("{{ b }}")}
    assert set(problems_of(a_job(columns=columns))) == {"columns.a", "columns.b"}


def test_all_problems_are_reported_at_once():
    job = a_job(
        name="",
        rows=-1,
        models={"w": ModelConfig(provider="no", model="m", max_parallel_requests=0)},
        columns={
            "a": expression("{{ a }}"),
            "b": expression("{{ nothing }}{{ nobody }}"),
            "c": ChatColumn(model="v", prompt="{{ c"),
            "d": PythonColumn(function="no_such_module_here:f"),
            "e": CategoryColumn(values=(), weights=(1,)),
        },
    )
    found = prepare(job, run_id="r", source_fields=(), source_rows=0)
    assert isinstance(found, Unpreparable)
    paths = [problem.path for problem in found.problems]
    assert paths.count("columns.b.template") == 2
    assert set(paths) == {
        "name",
        "rows",
        "models.w.provider",
        "models.w.max_parallel_requests",
        "columns.a",
        "columns.b.template",
        "columns.c.model",
        "columns.c.prompt",
        "columns.d.function",
        "columns.e.values",
        "columns.e.weights",
    }


# -- the source ------------------------------------------------------------------------------------


def a_sourced_job(**changes):
    return a_job(source=Source(path="x.csv"), rows=None, **changes)


def test_a_column_must_not_hide_a_field_of_the_source():
    job = a_sourced_job(columns={"species": expression("{{ species | upper }}")})
    assert set(problems_of(job, source_fields=("species",))) == {"columns.species"}


def test_a_source_with_two_fields_of_one_name_is_a_problem():
    assert "'a'" in problems_of(a_sourced_job(), source_fields=("a", "b", "a"))["source.path"]


def test_names_are_checked_against_the_sources_fields():
    job = a_sourced_job(columns={"x": expression("{{ specis }}")})
    assert "'species'" in problems_of(job, source_fields=("species",))["columns.x.template"]


def test_names_are_taken_on_trust_where_the_source_could_not_be_read():
    job = a_sourced_job(columns={"x": expression("{{ whatever }}"), "y": ChatColumn(model="v", prompt="p")})
    assert set(problems_of(job, source_fields=None)) == {"columns.y.model"}


@pytest.mark.parametrize(("rows", "expected"), [(None, 7), (3, 3), (10, 7), (0, 0)])
def test_rows_are_those_of_the_source_at_the_most(rows, expected):
    job = a_job(source=Source(path="x.csv"), rows=rows)
    assert prepared(job, source_fields=("a",), source_rows=7).plan.rows == expected


def test_without_a_source_rows_are_as_many_as_the_job_says():
    assert prepared(a_job(rows=0)).plan.rows == 0
    assert prepared(a_job(rows=25, row_group_size=10)).plan.row_groups == 3
