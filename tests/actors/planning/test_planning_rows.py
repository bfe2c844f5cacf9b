"""Processors, conditions, side effects and resources of a job are judged before work starts."""

from __future__ import annotations

import pytest

from actors.planning import Prepared, Unpreparable, prepare
from messages import (
    CategoryColumn,
    ChatColumn,
    EmbeddingColumn,
    ExpressionColumn,
    Job,
    Limits,
    ModelConfig,
    Processor,
    PythonColumn,
    SequenceColumn,
    SimulatedProvider,
    Source,
)


def a_job(**changes):
    settings = {
        "name": "j",
        "rows": 10,
        "providers": {"sim": SimulatedProvider()},
        "models": {"writer": ModelConfig(provider="sim", model="m")},
        "columns": {"n": SequenceColumn()},
    }
    return Job(**(settings | changes))


def problems_of(job, *, source_fields=()):
    found = prepare(job, run_id="r", source_fields=source_fields, source_rows=3)
    assert isinstance(found, Unpreparable), found
    return {problem.path: f"{problem.message}; {problem.remedy}" for problem in found.problems}


def generators_of(job, *, source_fields=()):
    found = prepare(job, run_id="r", source_fields=source_fields, source_rows=3)
    assert isinstance(found, Prepared), found
    return {generator.name: generator for generator in found.plan.generators}


def keep(rows):
    return [True] * len(rows)


def yields(rows):
    yield from rows


def two(rows, more):
    return [more for _ in rows]


def processor(function=keep, stage="pre_batch", **settings):
    return Processor(stage=stage, function=function, **settings)


# -- processors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "path", "said"),
    [
        ({"processors": {"p": processor("nowhere:f")}}, "processors.p.function", "no module 'nowhere'"),
        ({"processors": {"p": processor(yields)}}, "processors.p.function", "`yield`"),
        ({"processors": {"p": processor(two)}}, "processors.p.function", "take one argument"),
        ({"processors": {"p": processor(timeout_seconds=0)}}, "processors.p.timeout_seconds", "above 0"),
        (
            {"processors": {"p": processor(stage="late")}},
            "processors.p.stage",
            "possible: post_batch, pre_batch",
        ),
        ({"processors": {"n": processor()}}, "processors.n", "columns.n has the name 'n' already"),
        ({"processors": {"a b": processor()}}, "processors.a b", "expected a name"),
        (
            {"processors": {"p": processor()}, "columns": {"c": ExpressionColumn(template="x")}},
            "processors.p.stage",
            "nothing is there before other columns",
        ),
    ],
)
def test_r8_a_processor_that_cannot_run_is_refused(changes, path, said):
    found = problems_of(a_job(**changes))
    assert list(found) == [path]
    assert said in found[path]


def test_r8_a_processor_may_not_be_called_like_a_field_of_the_source():
    job = a_job(source=Source(path="x.csv"), processors={"bird": processor()})
    assert (
        "source has the name 'bird' already" in problems_of(job, source_fields=("bird",))["processors.bird"]
    )


def test_r8_processors_stand_between_what_is_made_from_scratch_and_what_is_written():
    processors = {
        "first": processor(),
        "last": processor(stage="post_batch"),
        "second": processor(),
        "really_last": processor(stage="post_batch"),
    }
    columns = {"n": SequenceColumn(), "text": ExpressionColumn(template="{{ n }}"), "m": SequenceColumn()}
    found = generators_of(a_job(columns=columns, processors=processors))
    assert found["first"].upstream == ("n", "m")
    assert found["second"].upstream == ("first",)
    assert found["text"].upstream == ("n", "second")
    assert set(found["last"].upstream) == {"n", "m", "text", "second"}
    assert found["really_last"].upstream == ("last",)
    assert found["first"].needs == ("n", "m")
    assert found["last"].needs == ("n", "text", "m")
    assert found["last"].outputs == ()
    assert found["first"].task_type == "pre_batch_processor"
    assert found["first"].scheduling.group.key.kind == "local"


def test_r8_a_job_without_processors_waits_for_none():
    columns = {"n": SequenceColumn(), "text": ChatColumn(model="writer", prompt="{{ n }}")}
    assert generators_of(a_job(columns=columns))["text"].upstream == ("n",)


# -- conditions ------------------------------------------------------------------------------------


def with_columns(**columns):
    return a_job(columns={"n": SequenceColumn(), **columns})


def text(template="{{ n }}", **settings):
    return ExpressionColumn(template=template, **settings)


@pytest.mark.parametrize(
    ("column", "key", "said"),
    [
        (text(skip="{{ m }}"), "skip", "'m'"),
        (text(skip="{{ n"), "skip", "unexpected end"),
        (text(skip="n > 1"), "skip", "names no column"),
        (text(skip_default=float("nan")), "skip_default", "not a JSON number"),
        (SequenceColumn(skip="{{ n }}"), "skip", "made from scratch"),
        (ChatColumn(model="writer", prompt="{{ n }}", skip="{{ m }}"), "skip", "'m'"),
    ],
)
def test_r9_a_condition_that_cannot_be_used_is_refused(column, key, said):
    found = problems_of(with_columns(x=column))
    assert said in found[f"columns.x.{key}"]
    assert len(found) == 1


def test_r9_the_problems_of_a_column_and_of_its_condition_are_told_together():
    found = problems_of(with_columns(x=text("{{ a }}", skip="{{ b }}")))
    assert set(found) == {"columns.x.template", "columns.x.skip"}


def test_r9_a_condition_makes_a_dependency():
    found = generators_of(with_columns(x=text("constant", skip="{{ y }}"), y=text()))
    assert found["x"].upstream == ("y",)
    assert found["x"].needs == ("y",)
    circle = problems_of(with_columns(x=text("constant", skip="{{ x }}")))
    assert "x -> x" in circle["columns.x"]


def test_r9_the_plan_says_how_skips_spread():
    column = text(skip="{{ n }}", skip_default=1, skip_propagates=False, skip_when_upstream_skipped=False)
    found = generators_of(with_columns(x=column))["x"]
    assert (found.skip_default, found.skip_propagates, found.skip_with_upstream) == (1, False, False)


# -- side effects ----------------------------------------------------------------------------------


def judged(n):
    return [n, n]


def test_r7_a_column_cannot_need_a_side_effect():
    found = problems_of(
        with_columns(
            v=PythonColumn(function=judged, side_effects=("notes",)),
            x=text("{{ notes }}"),
            y=text("{{ v }}", skip="{{ notes }}"),
        )
    )
    assert set(found) == {"columns.x", "columns.y"}
    assert found["columns.x"] == (
        "needs 'notes', a side effect of columns.v, which no column can wait for; "
        "name it in columns.v.outputs"
    )


def test_r7_side_effects_are_columns_with_names_of_their_own():
    column = PythonColumn(function=judged, side_effects=("m", "not a name"))
    assert set(problems_of(with_columns(m=text(), v=column))) == {
        "columns.v.side_effects[0]",
        "columns.v.side_effects[1]",
    }
    found = generators_of(with_columns(v=PythonColumn(function=judged, side_effects=("notes",))))
    assert found["v"].outputs == ("v", "notes")


# -- named resources -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    [
        CategoryColumn(values=(1,), resources={"gpu": 2}),
        SequenceColumn(resources={"gpu": 2}),
        text(resources={"gpu": 2}),
        ChatColumn(model="writer", prompt="x", resources={"gpu": 2}),
        EmbeddingColumn(model="writer", input="x", resources={"gpu": 2}),
        PythonColumn(function=judged, resources={"gpu": 2}),
    ],
)
def test_t7_every_kind_of_column_may_ask_for_named_resources_within_their_limits(column):
    def job(gpus):
        columns = {"n": SequenceColumn(), "x": column}
        return a_job(columns=columns, limits=Limits(resources={"gpu": gpus} if gpus else {}))

    assert ("gpu", 2) in generators_of(job(2))["x"].scheduling.resource_request.amounts
    assert "each task asks for 2, the limit is 1" in problems_of(job(1))["columns.x.resources.gpu"]
    assert "there is no such resource" in problems_of(job(0))["columns.x.resources.gpu"]


def test_t7_an_amount_of_nothing_is_no_amount():
    job = a_job(columns={"n": SequenceColumn(resources={"gpu": 0})}, limits=Limits(resources={"gpu": 1}))
    assert "expected at least 1" in problems_of(job)["columns.n.resources.gpu"]


# -- adaptive admission ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "key", "said"),
    [
        (Limits(row_group_admission="sometimes"), "row_group_admission", "adaptive, fixed"),
        (Limits(adaptive_row_guard=1000), "adaptive_row_guard", "row_group_admission is not 'adaptive'"),
        (Limits(row_group_admission="adaptive", adaptive_row_guard=99), "adaptive_row_guard", "at least"),
    ],
)
def test_r2_an_adaptive_admission_that_cannot_work_is_refused(limits, key, said):
    assert said in problems_of(a_job(limits=limits))[f"limits.{key}"]
