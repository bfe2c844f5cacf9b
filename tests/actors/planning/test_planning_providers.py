"""Providers, models and scripts that cannot be worked with are refused with the place and the remedy."""

from __future__ import annotations

import datetime as dt

import pytest

from actors.planning import Prepared, Unpreparable, prepare
from messages import Job, ModelConfig, PythonColumn, SequenceColumn, SimulatedProvider
from messages.job import OpenAIProvider, PythonProvider, RequestAdmissionTuning, ScriptStep

NAN, INFINITY = float("nan"), float("inf")


def problems_of(*, providers=None, models=None):
    job = Job(
        name="j",
        rows=1,
        providers={"sim": SimulatedProvider(), "local": SimulatedProvider(), **(providers or {})},
        models=models or {},
        columns={"n": SequenceColumn()},
    )
    found = prepare(job, run_id="r", source_fields=(), source_rows=0)
    problems = () if isinstance(found, Prepared) else found.problems
    return {problem.path: f"{problem.message} ({problem.remedy})" for problem in problems}


def of_model(**settings):
    return problems_of(models={"w": ModelConfig(**({"provider": "sim", "model": "m"} | settings))})


def of_tuning(**settings):
    return of_model(limit=RequestAdmissionTuning(**settings))


def of_script(*steps, **settings):
    return problems_of(providers={"sim": SimulatedProvider(script=steps, **settings)})


def of_openai(**settings):
    return problems_of(providers={"sim": OpenAIProvider(**settings)})


# -- who serves a model ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "path", "said"),
    [
        (
            {"provider": ""},
            "models.w.provider",
            "is missing (name one, or several in `providers`; possible: sim",
        ),
        ({"provider": "", "providers": ()}, "models.w.provider", "is missing"),
        ({"providers": ("sim", "local")}, "models.w.providers", "is given beside `provider`"),
        ({"provider": "", "providers": ("sim", "lokal")}, "models.w.providers[1]", "did you mean 'local'"),
        ({"provider": "", "providers": ("sim", "local", "sim")}, "models.w.providers[2]", "'sim' again"),
        ({"provider": "smi"}, "models.w.provider", "did you mean 'sim'"),
    ],
)
def test_a_model_has_one_provider_or_several_different_ones(settings, path, said):
    found = of_model(**settings)
    assert list(found) == [path]
    assert said in found[path]


def test_a_model_of_several_providers_is_fine():
    assert of_model(provider="", providers=("local", "sim")) == {}


def test_a_providers_name_cannot_be_taken_for_two():
    assert "without '+'" in problems_of(providers={"a+b": SimulatedProvider()})["providers.a+b"]


# -- models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "path", "said"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute", "at least 1"),
        ({"input_tokens_per_minute": 0}, "input_tokens_per_minute", "at least 1"),
        ({"output_tokens_per_minute": -5}, "output_tokens_per_minute", "at least 1"),
        ({"timeout_seconds": INFINITY}, "timeout_seconds", "finite"),
        ({"queue_timeout_seconds": -0.1}, "queue_timeout_seconds", "at least 0"),
        ({"parameters": {"t": NAN}}, "parameters.t", "JSON has no other"),
        ({"parameters": {"a": {"b": [1, dt.date(2024, 1, 1)]}}}, "parameters.a.b[1]", "is a date"),
        ({"parameters": {"a": {1: 2}}}, "parameters.a.1", "expected text as a name"),
    ],
)
def test_a13_each_setting_of_a_model_has_its_bounds(settings, path, said):
    found = of_model(**settings)
    assert list(found) == [f"models.w.{path}"]
    assert said in found[f"models.w.{path}"]


def test_a_model_need_not_wait_for_a_lease_and_sends_whatever_json_can_say():
    parameters = {"temperature": 0.2, "max_tokens": 64, "stop": ["a", None], "extra": {"deep": [True]}}
    assert of_model(queue_timeout_seconds=0.0, parameters=parameters) == {}


def test_parameters_that_cannot_be_told_to_anyone_name_the_model():
    assert list(of_model(parameters={"a": object()})) == ["models.w"]


@pytest.mark.parametrize(
    ("tuning", "path", "said"),
    [
        ({"initial": 0}, "initial", "expected 1 to max_parallel_requests, 4"),
        ({"initial": 5}, "initial", "expected 1 to max_parallel_requests, 4"),
        ({"maximum": 0}, "maximum", "at least 1"),
        ({"startup_ramp_seconds": -1}, "startup_ramp_seconds", "at least 0"),
        ({"cooldown_seconds": NAN}, "cooldown_seconds", "at least 0"),
        ({"multiplicative_decrease_factor": 0.0}, "multiplicative_decrease_factor", "between 0 and 1"),
        ({"multiplicative_decrease_factor": 1.0}, "multiplicative_decrease_factor", "between 0 and 1"),
        ({"additive_increase_step": 0}, "additive_increase_step", "at least 1"),
        ({"successes_until_increase": 0}, "successes_until_increase", "at least 1"),
        ({"circuit_after_seconds": 0}, "circuit_after_seconds", "above 0"),
        ({"circuit_probe_seconds": 0}, "circuit_probe_seconds", "above 0"),
        (
            {"circuit_max_probe_seconds": 4},
            "circuit_max_probe_seconds",
            "at least circuit_probe_seconds, 5.0",
        ),
    ],
)
def test_a2_a4_a5_a9_each_setting_of_a_limit_has_its_bounds(tuning, path, said):
    found = of_tuning(**tuning)
    assert list(found) == [f"models.w.limit.{path}"]
    assert said in found[f"models.w.limit.{path}"]


def test_a2_the_bounds_themselves_are_fine():
    assert of_tuning(initial=4, maximum=1, startup_ramp_seconds=0, cooldown_seconds=0) == {}
    assert of_tuning(circuit_probe_seconds=60.0, multiplicative_decrease_factor=0.999) == {}


# -- A10: aliases of one endpoint ------------------------------------------------------------------


def two_aliases(first, second):
    models = {"a": {"limit": first}, "b": {"limit": second}}
    return problems_of(
        models={alias: ModelConfig(provider="sim", model="m", **given) for alias, given in models.items()}
    )


def test_a10_aliases_of_one_endpoint_cannot_tune_it_in_two_ways():
    found = two_aliases(RequestAdmissionTuning(initial=2), RequestAdmissionTuning(initial=3))

    assert list(found) == ["models.b.limit"]
    assert "differs from that of models.a, which is sim/m too" in found["models.b.limit"]


def test_a10_an_alias_that_says_nothing_takes_what_the_other_says():
    tuning = RequestAdmissionTuning(initial=2)

    assert two_aliases(RequestAdmissionTuning(), tuning) == {}
    assert two_aliases(tuning, tuning) == {}


def test_a10_a_shared_replica_is_one_endpoint():
    models = {
        "a": ModelConfig(providers=("sim", "local"), model="m", limit=RequestAdmissionTuning(initial=2)),
        "b": ModelConfig(provider="local", model="m", limit=RequestAdmissionTuning(initial=3)),
        "c": ModelConfig(providers=("local", "sim"), model="n", limit=RequestAdmissionTuning(initial=1)),
    }
    assert list(problems_of(models=models)) == ["models.b.limit"]


# -- scripts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ({"capacity": -1}, "capacity"),
        ({"at": -1.0}, "at"),
        ({"at": INFINITY}, "at"),
        ({"ramp_seconds": -1.0}, "ramp_seconds"),
        ({"retry_after": -1.0}, "retry_after"),
        ({"outage": NAN}, "outage"),
        ({"error_rate": 1.5}, "error_rate"),
        ({"refuse_rate": -0.5}, "refuse_rate"),
        ({"hang_rate": NAN}, "hang_rate"),
        ({"reset_rate": 2.0}, "reset_rate"),
        ({"latency_factor": 0.0}, "latency_factor"),
    ],
)
def test_each_number_of_a_script_has_its_bounds(step, path):
    assert list(of_script(ScriptStep(**step))) == [f"providers.sim.script[0].{path}"]


def test_a_script_may_serve_nothing_and_rest():
    steps = (ScriptStep(capacity=0), ScriptStep(at=1, outage=2), ScriptStep(at=9, capacity=4, ramp_seconds=3))
    assert of_script(*steps, repeat_seconds=9.5) == {}


def test_steps_stand_in_the_order_of_time():
    found = of_script(ScriptStep(at=5), ScriptStep(at=5), ScriptStep(at=4), ScriptStep(at=6))
    assert list(found) == ["providers.sim.script[1].at", "providers.sim.script[2].at"]
    assert "more than the step before, 5.0" in found["providers.sim.script[1].at"]


def test_a_script_is_over_before_it_begins_anew():
    steps = (ScriptStep(), ScriptStep(at=5))
    assert "`at`, 5.0" in of_script(*steps, repeat_seconds=5.0)["providers.sim.repeat_seconds"]
    assert list(of_script(repeat_seconds=0.0)) == ["providers.sim.repeat_seconds"]


def test_a_call_ends_in_one_way_only_rates_that_stay_are_counted_too():
    found = of_script(
        ScriptStep(error_rate=0.5, hang_rate=0.5),
        ScriptStep(at=1, refuse_rate=0.1),
        ScriptStep(at=2, hang_rate=0.0),
    )
    assert list(found) == ["providers.sim.script[1]"]
    assert "error_rate 0.5, hang_rate 0.5, refuse_rate 0.1" in found["providers.sim.script[1]"]


@pytest.mark.parametrize(
    "made", [SimulatedProvider, OpenAIProvider, lambda **given: PythonProvider(client="m:C", **given)]
)
def test_a11_overload_is_told_by_statuses_that_are_errors(made):
    found = problems_of(providers={"sim": made(overload_statuses=(429, 200, 599, 600))})
    assert list(found) == ["providers.sim.overload_statuses[1]", "providers.sim.overload_statuses[3]"]


# -- OpenAI-compatible -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["", "localhost:8080/v1", "ftp://host/v1", "http://", "http://[::1", "http://host:99999/v1"]
)
def test_a_base_url_is_one(url):
    found = of_openai(base_url=url)
    assert list(found) == ["providers.sim.base_url"]
    assert "http://127.0.0.1:8080/v1" in found["providers.sim.base_url"]


@pytest.mark.parametrize(
    "url", [None, "http://127.0.0.1:8080/v1", "https://models.example", "http://[::1]:80/"]
)
def test_http_and_https_are_fine(url):
    assert of_openai(base_url=url) == {}


def test_o4_a_password_in_a_url_is_refused_and_not_repeated():
    found = of_openai(base_url="https://me:hunter2@host/v1")
    assert "hunter2" not in str(found)
    assert "api_key_env" in found["providers.sim.base_url"]


@pytest.mark.parametrize("key", ["sk-abcdef0123456789", "", "1KEY", "my key", "gsk9aB3kLmN0pQrStUvWxYz0123"])
def test_o4_a_key_in_place_of_its_variables_name_is_refused_and_not_repeated(key):
    found = of_openai(api_key_env=key)
    assert list(found) == ["providers.sim.api_key_env"]
    assert "is the name of a variable, not the key itself" in found["providers.sim.api_key_env"]
    assert not key or key not in str(found)


def test_names_of_variables_are_fine():
    for name in (None, "LOCAL_KEY", "_k", "A_RATHER_LONG_NAME_OF_A_VARIABLE_2"):
        assert of_openai(api_key_env=name) == {}


def test_getting_a_connection_takes_some_time():
    assert list(of_openai(connect_timeout_seconds=0)) == ["providers.sim.connect_timeout_seconds"]


# -- a file with much wrong in it --------------------------------------------------------------------


def test_mistakes_of_meaning_are_reported_all_at_once():
    job = Job(
        name="j",
        rows=1,
        providers={
            "net": OpenAIProvider(base_url="x", api_key_env="sk-1"),
            "storm": SimulatedProvider(script=(ScriptStep(capacity=-1), ScriptStep(error_rate=2.0))),
        },
        models={
            "a": ModelConfig(providers=("net", "nte"), model="m", requests_per_minute=0),
            "b": ModelConfig(provider="net", model="m", limit=RequestAdmissionTuning(initial=9)),
            "c": ModelConfig(model="m", limit=RequestAdmissionTuning(initial=1)),
        },
        columns={"x": PythonColumn(function="no_such_module_here:f")},
    )
    found = prepare(job, run_id="r", source_fields=(), source_rows=0)

    assert isinstance(found, Unpreparable)
    assert {problem.path for problem in found.problems} == {
        "providers.net.base_url",
        "providers.net.api_key_env",
        "providers.storm.script[0].capacity",
        "providers.storm.script[1].at",
        "providers.storm.script[1].error_rate",
        "models.a.providers[1]",
        "models.a.requests_per_minute",
        "models.b.limit.initial",
        "models.c.provider",
        "columns.x.function",
    }
