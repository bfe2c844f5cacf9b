"""A job says before it runs that calls of its simulated providers cannot end in time."""

from __future__ import annotations

import pytest

from actors import ActorSystem
from actors.planning import Prepared, prepare
from messages import (
    ChatColumn,
    FailurePolicy,
    Job,
    Latency,
    ModelConfig,
    OpenAIProvider,
    ScriptStep,
    SequenceColumn,
    SimulatedProvider,
)


def a_job(*, mean, jitter=0.0, timeout=1.0, script=(), **changes):
    settings = {
        "name": "late",
        "rows": 4,
        "providers": {"sim": SimulatedProvider(latency_ms=Latency(mean, jitter), script=script)},
        "models": {"m": ModelConfig(provider="sim", model="one", timeout_seconds=timeout)},
        "columns": {"n": SequenceColumn(), "told": ChatColumn(model="m", prompt="{{ n }}")},
    }
    return Job(**{**settings, **changes})


def warnings_of(job):
    prepared = prepare(job, run_id="run", source_fields=(), source_rows=0)
    assert isinstance(prepared, Prepared), prepared
    return prepared.plan.warnings


@pytest.mark.parametrize(
    "job",
    [
        a_job(mean=1000),
        a_job(mean=600, jitter=400),
        a_job(mean=2000, script=(ScriptStep(latency_factor=0.5),)),
        a_job(mean=2000, providers={"sim": OpenAIProvider(base_url="http://127.0.0.1:1/v1")}),
        a_job(mean=2000, columns={"n": SequenceColumn()}),
    ],
    ids=["at the timeout", "jitter up to the timeout", "twice as fast", "a real provider", "never called"],
)
def test_calls_that_end_in_time_or_are_not_known_are_no_warning(job):
    assert warnings_of(job) == ()


def test_calls_that_never_end_in_time_are_a_warning_with_place_and_remedy():
    (warning,) = warnings_of(a_job(mean=1500, jitter=200))
    assert warning == (
        "models.m.timeout_seconds is 1, and calls of provider sim take from 1.3 to 1.7 s: all of them will "
        "time out, at every try; raise it above 1.7, or lower providers.sim.latency_ms"
    )
    assert "take 1.5 s: all of them" in warnings_of(a_job(mean=1500))[0]


def test_calls_of_which_some_end_in_time_are_a_warning_about_the_others():
    (warning,) = warnings_of(a_job(mean=900, jitter=200))
    assert (
        "take from 0.7 to 1.1 s: the longer ones will time out, at every try; raise it above 1.1" in warning
    )


def test_the_slowest_time_of_a_script_counts_and_is_named():
    script = (ScriptStep(at=5, latency_factor=3.0), ScriptStep(at=9, latency_factor=1.0))
    (warning,) = warnings_of(a_job(mean=500, script=script))
    assert "take from 0.5 to 1.5 s: the longer ones will time out; raise it above 1.5" in warning
    assert warning.endswith("or lower providers.sim.latency_ms or providers.sim.script[0].latency_factor")
    slow_from_the_start = (ScriptStep(latency_factor=3.0),)
    assert "take 1.5 s: all of them" in warnings_of(a_job(mean=500, script=slow_from_the_start))[0]


def test_each_replica_that_is_too_slow_is_named():
    providers = {
        "fast": SimulatedProvider(latency_ms=Latency(10)),
        "slow": SimulatedProvider(latency_ms=Latency(2000)),
    }
    models = {"m": ModelConfig(providers=("fast", "slow"), model="one", timeout_seconds=1.0)}
    (warning,) = warnings_of(a_job(mean=1, providers=providers, models=models))
    assert "calls of provider slow take 2 s" in warning


@pytest.mark.parametrize(("timeout", "dropped"), [(0.02, 4), (1.0, 0)])
def test_the_run_does_what_the_warning_says(timeout, dropped):
    job = a_job(
        mean=60, jitter=20, timeout=timeout, failure=FailurePolicy(max_retries=1, backoff_seconds=0.0)
    )
    assert bool(warnings_of(job)) == bool(dropped)
    with ActorSystem.start() as system:
        result = system.run(job)
    assert (result.rows_dropped, result.drop_reasons) == (dropped, {"provider_timeout": 4} if dropped else {})
