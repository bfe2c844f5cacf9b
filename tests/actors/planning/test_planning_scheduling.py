"""What generators come to for the scheduler: groups, resources, limits, request resources."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest

from actors.planning import Prepared, RequestResourceResolver, prepare
from messages import (
    CategoryColumn,
    ChatColumn,
    EmbeddingColumn,
    ExpressionColumn,
    Job,
    Limits,
    ModelConfig,
    PythonColumn,
    SchedulingMetadata,
    SequenceColumn,
    SimulatedProvider,
    load_job,
)
from messages.plan import JobPlan
from messages.request_admission import RequestAdmissionConfig
from messages.tasks import RequestResourceKey, TaskGroupKey

JOBS = Path(__file__).parents[3] / "bench" / "jobs"


def plan_of(columns, **settings) -> JobPlan:
    job = Job(
        name="j",
        rows=4,
        providers={"sim": SimulatedProvider()},
        models={
            "writer": ModelConfig(provider="sim", model="big", max_parallel_requests=8),
            "judge": ModelConfig(provider="sim", model="small", max_parallel_requests=3),
        }
        | settings.pop("models", {}),
        columns=columns,
        **settings,
    )
    found = prepare(job, run_id="r1", source_fields=(), source_rows=0)
    assert isinstance(found, Prepared), found
    assert list(found.generators) == list(columns)
    return found.plan


def scheduling_of(column, **settings):
    (generator,) = plan_of({"x": column}, **settings).generators
    return generator.scheduling


def amounts_of(column, **settings):
    return dict(scheduling_of(column, **settings).resource_request.amounts)


def called_in(plan):
    """Return the resources that a plan registers for calls, by name."""
    return [spec.resource.name for spec in plan.request_resources]


async def async_function():
    return 1


def plain_function():
    return 1


def test_the_penguins_job_prepares_as_it_stands():
    with (JOBS / "penguins.csv").open(encoding="utf-8") as file:
        fields, *records = csv.reader(file)
    found = prepare(
        load_job(JOBS / "penguins.toml"), run_id="r", source_fields=tuple(fields), source_rows=len(records)
    )
    assert isinstance(found, Prepared)
    plan = found.plan
    assert (plan.rows, plan.row_groups, plan.warnings) == (344, 7, ())
    assert [each.name for each in plan.generators] == ["mood", "story", "verdict", "words", "loud"]
    assert [each.task_type for each in plan.generators] == ["from_scratch", *["cell"] * 4]
    assert [each.upstream for each in plan.generators] == [(), ("mood",), *[("story",)] * 3]
    assert plan.generators[1].needs == ("island", "mood", "species")
    assert plan.dataset_columns == (*fields, "mood", "story", "verdict", "words", "loud")
    assert plan.resource_limits == {
        "submission": 1024,
        "llm_wait": 15,
        "local": 256,
        "threads": 32,
        "request:sim/sim-writer": 10,
        "request:sim/sim-judge": 5,
    }
    assert plan.replicas == {
        "request:sim/sim-writer": ("sim/sim-writer",),
        "request:sim/sim-judge": ("sim/sim-judge",),
    }
    assert plan.request_admission == RequestAdmissionConfig()
    assert plan.models == {"writer": "sim/sim-writer", "judge": "sim/sim-judge"}
    assert [spec.resource.name for spec in plan.request_resources] == [
        "sim/sim-writer/chat",
        "sim/sim-judge/chat",
    ]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=JobPlan) == plan


@pytest.mark.parametrize(
    ("column", "amounts"),
    [
        (SequenceColumn(), {"submission": 1, "local": 1}),
        (CategoryColumn(values=("a",)), {"submission": 1, "local": 1}),
        (ExpressionColumn(template="x"), {"submission": 1, "local": 1}),
        (
            ChatColumn(model="writer", prompt="p"),
            {"submission": 1, "llm_wait": 1, "request:sim/big": 1},
        ),
        (
            EmbeddingColumn(model="writer", input="p"),
            {"submission": 1, "llm_wait": 1, "request:sim/big": 1},
        ),
        (PythonColumn(function=async_function), {"submission": 1, "local": 1}),
        (PythonColumn(function=plain_function), {"submission": 1, "local": 1, "threads": 1}),
        (
            PythonColumn(
                function=plain_function, metadata=SchedulingMetadata("custom_model", ("a", "b", "1"), 5)
            ),
            {"submission": 1, "llm_wait": 1, "threads": 1},
        ),
        (
            PythonColumn(function=async_function, metadata=SchedulingMetadata("local", ("gpu",))),
            {"submission": 1, "local": 1, "gpu": 1},
        ),
        (
            PythonColumn(function=async_function, resources={"gpu": 2}),
            {"submission": 1, "local": 1, "gpu": 2},
        ),
    ],
)
def test_t7_a_task_takes_what_its_kind_takes(column, amounts):
    limits = Limits(resources={"gpu": 2})
    assert amounts_of(column, limits=limits) == amounts
    request = scheduling_of(column, limits=limits).resource_request
    assert list(request.amounts) == sorted(request.amounts)


def test_a_model_columns_group_has_its_endpoints_cap_as_weight():
    scheduling = scheduling_of(ChatColumn(model="writer", prompt="p"), limits=Limits(group_limit_factor=3))
    assert scheduling.group.key == TaskGroupKey("model", ("sim", "big", "chat", "x"))
    assert scheduling.group.name == scheduling.group.key.name
    assert (scheduling.group.weight, scheduling.group.admitted_limit) == (8, 24)
    assert scheduling.request_resource == RequestResourceKey("sim", "big", "chat")


def test_local_and_custom_groups_have_their_declared_weight():
    local = scheduling_of(PythonColumn(function=plain_function, metadata=SchedulingMetadata(weight=4)))
    assert (local.group.weight, local.group.admitted_limit, local.request_resource) == (4, None, None)
    custom = scheduling_of(
        PythonColumn(
            function=plain_function, metadata=SchedulingMetadata("custom_model", ("ns", "res", "1"), 5)
        )
    )
    assert (custom.group.weight, custom.group.admitted_limit, custom.request_resource) == (5, 10, None)


def test_columns_of_one_model_queue_apart_and_share_their_vectors():
    plan = plan_of(
        {
            "a": ChatColumn(model="writer", prompt="p"),
            "b": ChatColumn(model="writer", prompt="q"),
            "c": SequenceColumn(),
            "d": SequenceColumn(),
        }
    )
    a, b, c, d = (each.scheduling for each in plan.generators)
    assert len({each.group.name for each in (a, b, c, d)}) == 4
    assert len({each.group.key.identity_hash for each in (a, b, c, d)}) == 4
    assert a.resource_request is b.resource_request
    assert c.resource_request is d.resource_request
    assert called_in(plan) == ["sim/big/chat"]


def test_a_function_may_declare_an_endpoint_of_the_job():
    metadata = SchedulingMetadata("model", ("sim", "big", "embedding"), 2)
    plan = plan_of({"x": PythonColumn(function=async_function, metadata=metadata)})
    scheduling = plan.generators[0].scheduling
    assert (scheduling.group.weight, scheduling.group.admitted_limit) == (8, 16)
    assert scheduling.request_resource == RequestResourceKey("sim", "big", "embedding")
    assert {spec.resource.name: spec.static_cap for spec in plan.request_resources} == {
        "sim/big/embedding": 8,
    }


def test_metadata_with_a_fallback_is_resolved_with_a_warning():
    metadata = SchedulingMetadata("model", ("sim", "bgi", "chat"), 2)
    plan = plan_of({"x": PythonColumn(function=async_function, metadata=metadata)})
    scheduling = plan.generators[0].scheduling
    assert scheduling.group.key.kind == "custom_model"
    assert (scheduling.group.weight, scheduling.group.admitted_limit) == (2, 4)
    assert scheduling.request_resource is None
    (warning,) = plan.warnings
    assert "columns.x.metadata" in warning
    assert "did you mean 'sim/big'" in warning


def test_a_named_resource_without_a_limit_is_a_warning():
    plan = plan_of(
        {"x": PythonColumn(function=async_function, metadata=SchedulingMetadata("local", ("gpu",)))}
    )
    assert "'gpu' has no limit" in plan.warnings[0]
    assert "gpu" not in plan.resource_limits


def test_a10_aliases_of_one_endpoint_share_the_least_of_their_caps():
    plan = plan_of(
        {"a": ChatColumn(model="writer", prompt="p"), "b": ChatColumn(model="again", prompt="p")},
        models={"again": ModelConfig(provider="sim", model="big", max_parallel_requests=5)},
    )
    (spec,) = plan.request_resources
    assert (spec.static_cap, spec.aliases) == (5, ("writer", "again"))
    assert spec.raw_caps == {"writer": 8, "again": 5}
    assert {each.scheduling.group.weight for each in plan.generators} == {5}
    assert plan.resource_limits["llm_wait"] == plan.resource_limits["request:sim/big"] == 7
    assert plan.models == {"writer": "sim/big", "again": "sim/big"}
    assert "sim/big" in plan.warnings[0]
    assert "writer 8, again 5" in plan.warnings[0]


def test_each_domain_of_a_model_is_a_resource_and_the_endpoint_counts_once():
    plan = plan_of(
        {
            "a": ChatColumn(model="writer", prompt="p"),
            "b": EmbeddingColumn(model="writer", input="p"),
            "c": ChatColumn(model="judge", prompt="p"),
        }
    )
    assert called_in(plan) == ["sim/big/chat", "sim/big/embedding", "sim/small/chat"]
    assert plan.resource_limits["llm_wait"] == 10 + 4


def test_limits_come_from_the_job():
    limits = Limits(
        submission=9, llm_wait=7, local=5, threads=3, resources={"gpu": 2}, row_group_concurrency=4
    )
    plan = plan_of({"x": SequenceColumn()}, limits=limits)
    assert plan.resource_limits == {"submission": 9, "llm_wait": 7, "local": 5, "threads": 3, "gpu": 2}
    assert plan.row_group_concurrency == 4
    assert plan_of({"x": SequenceColumn()}).resource_limits["llm_wait"] == 1


def test_outputs_stand_in_declared_order_whatever_the_order_of_work():
    plan = plan_of(
        {
            "last": ExpressionColumn(template="{{ a }}{{ n }}"),
            "pair": PythonColumn(function=plain_function, outputs=("a", "b"), order_dependent=True),
            "n": SequenceColumn(),
        }
    )
    assert plan.dataset_columns == ("last", "a", "b", "n")
    assert [each.name for each in plan.generators] == ["pair", "n", "last"]
    assert plan.generators[2].upstream == ("pair", "n")
    assert [each.order_dependent for each in plan.generators] == [True, False, False]


def test_the_resolver_of_request_resources_keeps_aliases_out_of_keys():
    job = Job(name="j", models={"w": ModelConfig(provider="p", model="m", max_parallel_requests=2)})
    resolver = RequestResourceResolver(job)
    assert resolver.route("w", "chat") == (RequestResourceKey("p", "m", "chat"),)
    assert resolver.route("w", "chat") == (RequestResourceKey("p", "m", "chat"),)
    with pytest.raises(KeyError):
        resolver.route("v", "chat")
