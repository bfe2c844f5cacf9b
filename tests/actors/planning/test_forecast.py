"""The forecast of a job: its bounds are lower bounds, and its exact calls are the calls that are made."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import ActorSystem
from actors.planning import Prepared, describe_capacity, prepare
from actors.planning.forecast import forecast
from messages import (
    CategoryColumn,
    ChatColumn,
    ExpressionColumn,
    Job,
    Latency,
    Limits,
    ModelConfig,
    OpenAIProvider,
    Processor,
    PythonColumn,
    ScriptStep,
    SimulatedProvider,
)

SLOW = (ScriptStep(latency_factor=2.0),)


def a_job(rows=40, cap=4, **more):
    settings = {
        "name": "planned",
        "rows": rows,
        "row_group_size": 10,
        "providers": {"sim": SimulatedProvider(latency_ms=Latency(10, 4))},
        "models": {"m": ModelConfig(provider="sim", model="one", max_parallel_requests=cap)},
        "columns": {
            "mood": CategoryColumn(values=("glad", "sad")),
            "told": ChatColumn(model="m", prompt="{{ mood }}"),
            "judged": ChatColumn(model="m", prompt="{{ told }}"),
        },
    }
    return Job(**{**settings, **more})


def forecast_of(job, **latencies):
    prepared = prepare(job, run_id="run", source_fields=(), source_rows=0)
    assert isinstance(prepared, Prepared), prepared
    return forecast(job, prepared.plan, describe_capacity(job, prepared.plan), latencies=latencies)


def call_model(mood: str, models) -> str:
    return models.m.chat(mood)


def keep_all(rows: list) -> list:
    return rows


@pytest.mark.parametrize(
    "job",
    [
        a_job(),
        a_job(cap=1, rows=12),
        a_job(cap=64, limits=Limits(row_group_concurrency=1)),
        a_job(limits=Limits(llm_wait=1), rows=15),
        a_job(
            providers={
                "sim": SimulatedProvider(latency_ms=Latency(10), script=(ScriptStep(latency_factor=2.0),))
            }
        ),
    ],
    ids=["plain", "cap of one", "one row group at once", "one task at once", "slow script"],
)
def test_no_run_is_faster_than_its_bounds_and_makes_just_the_calls_that_were_told(job):
    told = forecast_of(job)
    with ActorSystem.start() as system:
        result = system.run(job)
    assert result.status == "succeeded"
    assert 0 < told.least_seconds <= result.wall_seconds
    for name, model in told.models.items():
        assert model.calls.exact, name
        made = sum(result.models[alias].attempts for alias in model.aliases)
        assert made == model.calls.least


@pytest.mark.parametrize(
    ("more", "by", "remedy"),
    [
        ({"cap": 1}, "request_limit", "models.m.max_parallel_requests (now 1"),
        (
            {"cap": 64, "limits": Limits(row_group_concurrency=1)},
            "row_groups",
            "limits.row_group_concurrency",
        ),
        ({"cap": 64, "limits": Limits(llm_wait=2)}, "task_capacity", "limits.llm_wait (now 2)"),
        (
            {
                "models": {
                    "m": ModelConfig(
                        provider="sim", model="one", max_parallel_requests=64, requests_per_minute=20
                    )
                }
            },
            "budget",
            "models.m.requests_per_minute (now 20)",
        ),
    ],
)
def test_the_first_bound_names_the_setting_that_moves_it(more, by, remedy):
    first = forecast_of(a_job(**more)).bounds[0]
    assert first.by == by
    assert remedy in first.remedy


def test_a13_a_budget_bounds_by_whole_minutes():
    told = forecast_of(
        a_job(models={"m": ModelConfig(provider="sim", model="one", requests_per_minute=20)})
    )  # 80 calls: the last of them leaves in the fourth minute
    assert told.bounds[0].seconds == 180.0


@given(rows=st.integers(1, 300), cap=st.integers(1, 50), size=st.integers(1, 50), groups=st.integers(1, 8))
@settings(max_examples=60)
def test_more_rows_never_bound_less_and_more_capacity_never_more(rows, cap, size, groups):
    def least(rows, cap, groups):
        limits = Limits(row_group_concurrency=groups)
        return forecast_of(a_job(rows, cap, row_group_size=size, limits=limits)).least_seconds

    here = least(rows, cap, groups)
    assert least(rows + 1, cap, groups) >= here
    assert least(rows, cap + 1, groups) <= here
    assert least(rows, cap, groups + 1) <= here


def test_what_is_skipped_corrected_or_dropped_makes_the_calls_a_range():
    columns = a_job().columns
    skipped = {**columns, "told": ChatColumn(model="m", prompt="{{ mood }}", skip="{{ mood == 'sad' }}")}
    told = forecast_of(a_job(columns=skipped))
    assert told.columns["told"].calls.least == 0
    assert told.columns["judged"].calls.least == 0  # what needs a skipped cell is skipped too
    corrected = {
        **columns,
        "judged": ChatColumn(model="m", prompt="{{ told }}", output_schema={"type": "object"}),
    }
    told = forecast_of(a_job(columns=corrected))
    assert (told.columns["judged"].calls.least, told.columns["judged"].calls.most) == (40, 120)
    told = forecast_of(a_job(processors={"p": Processor(stage="pre_batch", function=keep_all)}))
    assert told.models["sim/one"].calls.least == 0
    assert "processors" in " ".join(told.unknown)


def test_what_is_not_known_is_said_and_can_be_told():
    job = a_job(providers={"sim": OpenAIProvider(base_url="http://127.0.0.1:1/v1")})
    told = forecast_of(job)
    assert told.models["sim/one"].latency_seconds is None
    assert any("--latency m=SECONDS" in each for each in told.unknown)
    assert forecast_of(job, m=1.5).least_seconds == 30.0  # 80 calls, 4 at once


def test_functions_that_are_given_the_models_may_call_them_without_end():
    columns = {**a_job().columns, "own": PythonColumn(function=call_model)}
    told = forecast_of(a_job(columns=columns))
    assert told.models["sim/one"].calls.least == 80
    assert told.models["sim/one"].calls.most is None


def test_a_job_without_models_has_no_bound():
    columns = {"mood": CategoryColumn(values=("glad",)), "loud": ExpressionColumn(template="{{ mood }}!")}
    told = forecast_of(a_job(columns=columns))
    assert told.bounds == ()
    assert told.least_seconds == 0.0
