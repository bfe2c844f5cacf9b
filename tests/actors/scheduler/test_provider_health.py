"""The warning that a provider does not answer as it should: when, how often, and what it names."""

from __future__ import annotations

import itertools

import msgspec

from actors.scheduler.provider_health import WARNING_SECONDS, ProviderHealth
from messages.tasks import RequestResourceKey
from tests.actors.scheduler.control_builders import a_generator, a_job_plan

WRITER = "sim/writer/chat"


def a_model_generator(name, model):
    generator = a_generator(name)
    scheduling = msgspec.structs.replace(
        generator.scheduling, request_resource=RequestResourceKey("sim", model, "chat")
    )
    return msgspec.structs.replace(generator, scheduling=scheduling)


def some_health():
    generators = (
        a_model_generator("story", "writer"),
        a_model_generator("title", "writer"),
        a_model_generator("verdict", "judge"),
        a_generator("local"),
    )
    return ProviderHealth(a_job_plan(*generators))


def done(**counts):
    return {"story": 0, "title": 0, "verdict": 0, "local": 0, **counts}


def test_a_few_failures_are_no_news():
    health = some_health()
    assert [health.failed("story", "rate_limited", done(), 0.0) for _ in range(4)] == [None] * 4


def test_the_warning_names_the_mix_of_each_resource_whose_columns_failed():
    health = some_health()
    health.failed("verdict", "provider_timeout", done(), 0.0)
    for _ in range(3):
        assert health.failed("story", "rate_limited", done(story=2), 1.0) is None
    health.failed("title", "provider_failure", done(story=2), 2.0)
    mix = health.failed("title", "provider_failure", done(story=3, title=4), 3.0)
    assert mix == {
        WRITER: {"success": 7, "rate_limited": 3, "provider_failure": 2},
        "sim/judge/chat": {"success": 0, "provider_timeout": 1},
    }


def test_failures_that_are_few_beside_what_ends_well_are_no_news():
    health = some_health()
    health.failed("story", "rate_limited", done(), 0.0)
    assert not any(health.failed("story", "rate_limited", done(story=1_000), 1.0) for _ in range(9))


def test_there_is_at_most_one_warning_in_its_time():
    health = some_health()
    warned = [
        at for at in range(100) if health.failed("story", "rate_limited", done(), float(at)) is not None
    ]
    assert warned[0] == 4
    assert all(later - earlier >= WARNING_SECONDS for earlier, later in itertools.pairwise(warned))
    assert len(warned) == 3


def test_old_failures_are_forgotten():
    health = some_health()
    for at in range(4):
        health.failed("story", "rate_limited", done(), float(at))
    assert health.failed("story", "rate_limited", done(), WARNING_SECONDS) is None


def test_work_without_a_model_says_nothing_of_providers():
    health = some_health()
    assert not any(health.failed("local", "worker_lost", done(), 0.0) for _ in range(50))
