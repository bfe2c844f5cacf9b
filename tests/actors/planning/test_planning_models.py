"""What a job's models come to: resources, replicas, budgets, tuning, and how many tasks may hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.generators import Generator
from actors.planning import Prepared, RequestResourceResolver, TaskSchedulingResolver, prepare
from actors.planning.model_use import ModelUse
from actors.planning.resolver import task_slots
from messages import (
    ChatColumn,
    EmbeddingColumn,
    Job,
    Limits,
    ModelConfig,
    PythonColumn,
    SchedulingMetadata,
    SequenceColumn,
    SimulatedProvider,
    load_job,
)
from messages.job import RequestAdmissionTuning
from messages.request_admission import ProviderModelKey, RequestAdmissionConfig, RequestBudgets
from messages.tasks import RequestResourceKey, TaskGroupKey

SNIPPET = """
name = "storms"
rows = 4

on_provider_exhausted = "wait"         # or "stop"

[providers.local]
kind = "openai"
base_url = "http://127.0.0.1:8080/v1"
api_key_env = "LOCAL_KEY"              # name of the variable; may be left out for servers without keys

[providers.storm]
kind = "simulated"
latency_ms = { mean = 30, jitter = 10 }
script = [                              # what the endpoint does over time, seconds from the job's start
  { at = 0,  capacity = 16 },
  { at = 5,  capacity = 4, retry_after = 1.5 },
  { at = 20, outage = 10 },
  { at = 30, capacity = 16, error_rate = 0.02 },
]

[models.writer]
providers = ["local", "storm"]         # or provider = "local"
model = "small"
max_parallel_requests = 8
requests_per_minute = 600
output_tokens_per_minute = 100_000
timeout_seconds = 60
limit = { algorithm = "aimd", initial = 4 }
parameters = { temperature = 0.2, max_tokens = 64 }

[columns.story]
kind = "chat"
model = "writer"
prompt = "Tell."
"""
"""Providers and a model as the project promises that they can be written, with a column that uses them."""


def a_job(columns=None, **settings):
    made = {
        "name": "j",
        "rows": 4,
        "providers": {name: SimulatedProvider() for name in ("one", "two", "three")},
        "models": {
            "writer": ModelConfig(providers=("one", "two"), model="big", max_parallel_requests=8),
            "judge": ModelConfig(provider="one", model="small", max_parallel_requests=3),
        },
        "columns": columns or {"x": ChatColumn(model="writer", prompt="p")},
        "health_check": False,
    }
    return Job(**(made | settings))


def plan_of(job):
    found = prepare(job, run_id="r", source_fields=(), source_rows=0)
    assert isinstance(found, Prepared), found
    return found.plan


def names_in(plan):
    return [spec.resource.name for spec in plan.request_resources]


async def local_function():
    return 1


def test_a2_a13_the_promised_job_file_loads_and_prepares_as_it_was_written(tmp_path: Path):
    (tmp_path / "job.toml").write_text(SNIPPET)
    job = load_job(tmp_path / "job.toml")
    plan = plan_of(job)

    assert [step.at for step in job.providers["storm"].script] == [0, 5, 20, 30]
    assert job.providers["storm"].script[1].retry_after == 1.5
    assert job.models["writer"].parameters == {"temperature": 0.2, "max_tokens": 64}
    assert job.models["writer"].served_by == ("local", "storm")
    assert names_in(plan) == [
        "local/small/chat",
        "storm/small/chat",
    ]
    budgets = RequestBudgets(requests_per_minute=600, output_tokens_per_minute=100_000)
    assert {spec.budgets for spec in plan.request_resources} == {budgets}
    tuning = RequestAdmissionTuning(initial=4)
    assert plan.request_admission == RequestAdmissionConfig(
        initial_limits=dict.fromkeys(names_in(plan), 4), tuning=dict.fromkeys(names_in(plan), tuning)
    )
    assert plan.models == {"writer": "local+storm/small"}
    assert plan.replicas == {"request:local+storm/small": ("local/small", "storm/small")}
    assert (plan.on_provider_exhausted, plan.health_check) == ("wait", True)
    assert plan.warnings == ()


# -- replicas --------------------------------------------------------------------------------------


def test_a_route_has_one_resource_per_provider_in_order():
    resolver = RequestResourceResolver(a_job())
    assert resolver.route("writer", "chat") == (
        RequestResourceKey("one", "big", "chat"),
        RequestResourceKey("two", "big", "chat"),
    )
    assert resolver.route("judge", "embedding") == (RequestResourceKey("one", "small", "embedding"),)


def test_a_replicated_model_is_one_group_with_the_sum_of_the_caps_as_weight():
    (generator,) = plan_of(a_job(limits=Limits(group_limit_factor=3))).generators
    scheduling = generator.scheduling

    assert scheduling.group.key == TaskGroupKey("model", ("one+two", "big", "chat", "x"))
    assert (scheduling.group.weight, scheduling.group.admitted_limit) == (16, 48)
    assert scheduling.request_resource == RequestResourceKey("one+two", "big", "chat")
    assert dict(scheduling.resource_request.amounts) == {
        "submission": 1,
        "llm_wait": 1,
        "request:one+two/big": 1,
    }


def test_replicas_are_registered_one_by_one_and_held_by_tasks_together():
    plan = plan_of(
        a_job(
            {
                "x": ChatColumn(model="writer", prompt="p"),
                "y": EmbeddingColumn(model="judge", input="p"),
            }
        )
    )
    assert names_in(plan) == ["one/big/chat", "two/big/chat", "one/small/embedding"]
    assert plan.resource_limits["request:one+two/big"] == 20
    assert plan.resource_limits["request:one/small"] == 4
    assert plan.resource_limits["llm_wait"] == 24
    assert plan.replicas == {
        "request:one+two/big": ("one/big", "two/big"),
        "request:one/small": ("one/small",),
    }


def test_the_same_providers_in_another_order_are_held_together():
    models = {
        "a": ModelConfig(providers=("one", "two"), model="big"),
        "b": ModelConfig(providers=("two", "one"), model="big"),
    }
    columns = {alias: ChatColumn(model=alias, prompt="p") for alias in models}
    plan = plan_of(a_job(columns, models=models))

    assert plan.models == {"a": "one+two/big", "b": "one+two/big"}
    assert list(plan.replicas) == ["request:one+two/big"]
    route = RequestResourceResolver(a_job(models=models)).route("b", "chat")
    assert [resource.provider for resource in route] == ["two", "one"]


@pytest.mark.parametrize(("provider", "weight"), [("one+two", 16), ("two", 8)])
def test_a_function_may_declare_a_replicated_model_or_one_of_its_endpoints(provider, weight):
    metadata = SchedulingMetadata("model", (provider, "big", "chat"), 1)
    plan = plan_of(a_job({"x": PythonColumn(function=local_function, metadata=metadata)}))
    assert plan.generators[0].scheduling.group.weight == weight
    assert plan.warnings == ()
    assert len(names_in(plan)) == weight // 8


# -- A10: several aliases of one endpoint ------------------------------------------------------------


def shared(first, second):
    models = {
        "a": ModelConfig(provider="one", model="big", **first),
        "b": ModelConfig(providers=("two", "one"), model="big", **second),
    }
    plan = plan_of(a_job({"x": ChatColumn(model="a", prompt="p")}, models=models))
    (spec,) = plan.request_resources
    return plan, spec


def test_a10_a13_the_least_of_the_given_budgets_holds_and_the_plan_says_so():
    plan, spec = shared(
        {"requests_per_minute": 600, "input_tokens_per_minute": 50},
        {"requests_per_minute": 60, "output_tokens_per_minute": 70},
    )
    assert spec.budgets == RequestBudgets(60, 50, 70)
    (warning,) = plan.warnings
    assert "one/big: its aliases have different requests_per_minute (a 600, b 60); the least, 60" in warning


def test_a2_a10_an_alias_without_settings_takes_those_of_the_other():
    tuning = RequestAdmissionTuning(initial=5, maximum=6, algorithm="gradient")
    plan, spec = shared({"max_parallel_requests": 10}, {"max_parallel_requests": 8, "limit": tuning})

    assert (spec.static_cap, spec.raw_caps) == (8, {"a": 10, "b": 8})
    assert plan.request_admission == RequestAdmissionConfig(
        initial_limits={"one/big/chat": 5},
        max_limit_clamps={"one/big/chat": 6},
        tuning={"one/big/chat": tuning},
    )


def test_a2_what_is_asked_of_one_alias_does_not_exceed_the_cap_of_another():
    plan, spec = shared(
        {"max_parallel_requests": 10, "limit": RequestAdmissionTuning(initial=9, maximum=10)},
        {"max_parallel_requests": 2},
    )
    assert spec.static_cap == 2
    assert plan.request_admission.max_limit_clamps == {}
    assert plan.request_admission.initial_limits == {}


# -- which models are in use -------------------------------------------------------------------------


def test_only_used_models_are_registered_and_the_plan_says_whether_to_ask_after_their_health():
    quiet, asked = plan_of(a_job()), plan_of(a_job(health_check=True, on_provider_exhausted="stop"))

    assert names_in(quiet) == ["one/big/chat", "two/big/chat"]
    assert names_in(asked) == names_in(quiet)
    assert (quiet.on_provider_exhausted, quiet.health_check) == ("wait", False)
    assert (asked.on_provider_exhausted, asked.health_check) == ("stop", True)


def test_a_job_without_models_registers_nothing():
    assert names_in(plan_of(a_job({"n": SequenceColumn()}, health_check=True))) == []


def test_a_function_that_takes_the_jobs_models_may_call_any_of_them_in_any_way():
    columns = {"f": PythonColumn(function=local_function), "x": ChatColumn(model="judge", prompt="p")}
    job = a_job(columns)
    requests = RequestResourceResolver(job)
    generators = {"f": Generator("f", mode="async", takes_models=True), "x": Generator("x", mode="async")}
    resolver = TaskSchedulingResolver(requests, job.limits)
    scheduling = {name: resolver.resolve(made, job.columns[name]) for name, made in generators.items()}
    use = ModelUse(job, generators, scheduling, requests)

    assert use.aliases() == ("judge", "writer")
    assert [resource.name for resource in use.resources()] == [
        "one/small/chat",
        *(f"{each}/big/{domain}" for domain in ("chat", "embedding", "image") for each in ("one", "two")),
        "one/small/embedding",
        "one/small/image",
    ]
    # Its own tasks are local ones: they hold no model while they run.
    assert list(use.task_slots()) == ["request:one/small"]


# -- sizes -----------------------------------------------------------------------------------------


@given(st.integers(1, 10_000))
def test_a_model_is_held_by_a_quarter_more_tasks_than_it_takes_calls_and_by_one_at_least(capacity):
    slots = task_slots(capacity)
    assert slots > capacity
    assert slots - 1 < max(1.25 * capacity, capacity + 1) <= slots


def test_how_many_tasks_hold_a_model_is_not_the_groups_limit():
    plans = [plan_of(a_job(limits=Limits(group_limit_factor=factor))) for factor in (1, 5)]
    assert [plan.resource_limits["request:one+two/big"] for plan in plans] == [20, 20]
    assert [plan.generators[0].scheduling.group.admitted_limit for plan in plans] == [16, 80]


def test_every_endpoint_is_a_pool_of_its_own():
    resolver = RequestResourceResolver(a_job())
    assert [pool.name for pool in resolver.pools()] == ["one/big", "two/big", "one+two/big", "one/small"]
    assert resolver.endpoints(ProviderModelKey("two", "big")) == (ProviderModelKey("two", "big"),)
    assert not resolver.knows(ProviderModelKey("three", "big"))
