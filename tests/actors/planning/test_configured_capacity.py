"""The configured part of the capacity plan: every value, and where it came from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.planning import Prepared, connections_of, describe_capacity, prepare
from actors.planning.endpoint_settings import EndpointSettings
from messages.capacity import CapacityValue
from messages.job import (
    ChatColumn,
    EmbeddingColumn,
    Job,
    Limits,
    ModelConfig,
    OpenAIProvider,
    PythonProvider,
    RequestAdmissionTuning,
    SimulatedProvider,
)
from messages.request_admission import ProviderModelKey

SIM = SimulatedProvider()
PLAIN = ModelConfig(provider="sim", model="sim-2", queue_timeout_seconds=5.0)


class OwnClient:
    """A client that could be called, and is not."""

    async def chat(self, request): ...

    async def embed(self, request): ...

    async def image(self, request): ...

    async def healthcheck(self, model): ...


def a_job(**fields):
    settings = {
        "name": "penguins",
        "rows": 10,
        "providers": {"sim": SIM},
        "models": {
            "writer": ModelConfig(provider="sim", model="sim-1", max_parallel_requests=8),
            "critic": ModelConfig(provider="sim", model="sim-1", max_parallel_requests=6),
            "plain": PLAIN,
        },
        "columns": {
            "story": ChatColumn(model="writer", prompt="Tell."),
            "doubt": ChatColumn(model="critic", prompt="Doubt {{ story }}."),
            "place": EmbeddingColumn(model="plain", input="{{ story }}"),
        },
    }
    return Job(**(settings | fields))


def capacity_of(**fields):
    return described(a_job(**fields))


def described(job):
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
    assert configured.request_resources == (
        "sim/sim-1/chat",
        "sim/sim-2/embedding",
    )
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


def test_a2_limits_are_stated_as_they_are_in_force_each_with_its_source():
    limit = RequestAdmissionTuning(initial=3, maximum=5, cooldown_seconds=0.5)
    writer = ModelConfig(provider="sim", model="sim-1", max_parallel_requests=8, limit=limit)
    models = {"writer": writer, "critic": ModelConfig(provider="sim", model="sim-1"), "plain": PLAIN}
    configured = capacity_of(models=models)
    initial, config = configured.request_initial_limits, configured.request_admission_config

    assert initial["sim/sim-1/chat"] == CapacityValue(3, "job")
    assert initial["sim/sim-2/embedding"] == CapacityValue(
        4, "default", fallback_from="provider_model_static_caps"
    )
    assert config["sim/sim-1/chat.initial"] == initial["sim/sim-1/chat"]
    # The critic's cap is the least: the clamp does not go beyond it.
    assert config["sim/sim-1/chat.maximum"] == CapacityValue(4, "job")
    assert config["sim/sim-2/embedding.maximum"].fallback_from == "provider_model_static_caps"
    assert config["sim/sim-1/chat.cooldown_seconds"] == CapacityValue(0.5, "job")
    assert config["sim/sim-1/chat.algorithm"] == CapacityValue("aimd", "default")
    assert config["sim/sim-2/embedding.cooldown_seconds"] == CapacityValue(2.0, "default")
    fields = set(RequestAdmissionTuning.__struct_fields__)
    for name in configured.request_resources:
        assert {key.removeprefix(f"{name}.") for key in config if key.startswith(f"{name}.")} == fields


def test_a13_budgets_are_stated_by_endpoint():
    models = {
        "writer": ModelConfig(provider="sim", model="sim-1", requests_per_minute=600),
        "critic": ModelConfig(provider="sim", model="sim-1", requests_per_minute=500),
        "plain": PLAIN,
    }
    config = capacity_of(models=models).request_admission_config

    assert config["sim/sim-1.requests_per_minute"] == CapacityValue(500, "job")
    assert config["sim/sim-1.output_tokens_per_minute"] == CapacityValue(None, "default")
    assert config["sim/sim-2.requests_per_minute"] == CapacityValue(None, "default")


def test_a11_a_transport_pool_has_a_connection_for_every_attempt_that_may_be_in_flight():
    job = a_job(
        providers={"net": OpenAIProvider(), "own": PythonProvider(client=OwnClient), "sim": SIM},
        models={
            "writer": ModelConfig(providers=("net", "own"), model="one", max_parallel_requests=8),
            "critic": ModelConfig(provider="net", model="one", max_parallel_requests=6),
            "plain": ModelConfig(providers=("net", "sim"), model="two", max_parallel_requests=5),
        },
    )

    assert connections_of(job) == {"net": 6 + 5, "own": 8, "sim": 5}
    pools = described(job).transport_pool_limits
    assert pools["net"] == CapacityValue(11, "job", fallback_from="provider_model_static_caps")
    assert pools["own"] == CapacityValue(None, "adapter_config", missing_reason="the client's own")
    assert pools["sim"].value is None


@given(
    caps=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    initial=st.none() | st.integers(1, 40),
    maximum=st.none() | st.integers(1, 40),
)
def test_a2_a_limit_begins_between_1_and_its_effective_maximum(caps, initial, maximum):
    limit = RequestAdmissionTuning(initial=initial, maximum=maximum)
    settings = EndpointSettings(ProviderModelKey("sim", "m"))
    for number, cap in enumerate(caps):
        settings.add(
            str(number), ModelConfig(provider="sim", model="m", max_parallel_requests=cap, limit=limit)
        )

    assert settings.effective_max == min([*caps, *([] if maximum is None else [maximum])])
    assert settings.initial_limit == min([settings.effective_max, *([] if initial is None else [initial])])
