"""The configured part of the capacity plan: every value, and where it came from."""

from __future__ import annotations

from actors.planning.capacity import describe_capacity
from actors.planning.prepare import Prepared, prepare
from messages.capacity import CapacityValue
from messages.job import ChatColumn, EmbeddingColumn, Job, Limits, ModelConfig, SimulatedProvider


def capacity_of(**fields):
    settings = {
        "name": "penguins",
        "rows": 10,
        "providers": {"sim": SimulatedProvider()},
        "models": {
            "writer": ModelConfig(provider="sim", model="sim-1", max_parallel_requests=8),
            "critic": ModelConfig(provider="sim", model="sim-1", max_parallel_requests=6),
            "plain": ModelConfig(provider="sim", model="sim-2", queue_timeout_seconds=5.0),
        },
        "columns": {
            "story": ChatColumn(model="writer", prompt="Tell."),
            "doubt": ChatColumn(model="critic", prompt="Doubt {{ story }}."),
            "place": EmbeddingColumn(model="plain", input="{{ story }}"),
        },
    }
    job = Job(**(settings | fields))
    prepared = prepare(job, run_id="run-1", source_fields=(), source_rows=0)
    assert isinstance(prepared, Prepared), prepared
    return describe_capacity(job, prepared.plan)


def test_a_value_is_the_jobs_where_it_is_not_the_default():
    configured = capacity_of(row_group_size=7, limits=Limits(threads=2, resources={"gpu": 3}))

    assert configured.row_group_size == CapacityValue(7, "job")
    assert configured.row_group_concurrency == CapacityValue(3, "default")
    assert configured.submission_capacity == CapacityValue(1024, "default")
    assert configured.task_resource_limits["threads"] == CapacityValue(2, "job")
    assert configured.task_resource_limits["local"] == CapacityValue(256, "default")
    assert configured.task_resource_limits["gpu"] == CapacityValue(3, "job")


def test_a_value_that_was_derived_says_from_what():
    derived, given = capacity_of(), capacity_of(limits=Limits(llm_wait=5))

    assert derived.task_resource_limits["llm_wait"].fallback_from == "provider_model_static_caps"
    assert given.task_resource_limits["llm_wait"] == CapacityValue(5, "job")


def test_a10_aliases_of_one_endpoint_are_merged_to_the_least_of_their_caps():
    configured = capacity_of()

    assert configured.provider_model_static_caps["sim/sim-1"] == CapacityValue(
        {
            "cap": 6,
            "aliases": ["critic", "writer"],
            "raw_caps": {"critic": 6, "writer": 8},
            "merge_rule": "min_same_endpoint",
        },
        "job",
    )
    assert configured.provider_model_static_caps["sim/sim-2"].source == "default"
    assert set(configured.request_resources) == {"sim/sim-1/chat", "sim/sim-2/embedding"}
    assert configured.request_initial_limits["sim/sim-1/chat"].value == 6


def test_queue_timeouts_and_transport_are_stated_even_where_there_is_none():
    configured = capacity_of()

    assert configured.request_admission_config["plain.queue_wait_timeout_seconds"] == CapacityValue(
        5.0, "job"
    )
    assert configured.request_admission_config["writer.queue_wait_timeout_seconds"] == CapacityValue(
        None, "default"
    )
    assert configured.transport_pool_limits["sim"].missing_reason
