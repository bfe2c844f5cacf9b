"""What may differ between a job and the one that resumes its folder (R10)."""

from __future__ import annotations

import pytest

from actors.storage.changes import changes
from actors.storage.manifest import canonical
from messages.job import (
    CategoryColumn,
    ChatColumn,
    FailurePolicy,
    Job,
    Latency,
    Limits,
    ModelConfig,
    OpenAIProvider,
    Output,
    PythonProvider,
    RequestAdmissionTuning,
    ScriptStep,
    SequenceColumn,
    SimulatedProvider,
)

MODEL = ModelConfig(provider="p", model="m")


def a_job(**changed):
    settings = {
        "name": "a job",
        "rows": 5,
        "providers": {"p": SimulatedProvider()},
        "models": {"m": MODEL},
        "columns": {
            "n": SequenceColumn(),
            "mood": CategoryColumn(values=("calm", 1)),
            "story": ChatColumn(model="m", prompt="a"),
        },
    }
    return Job(**{**settings, **changed})


def told(before, now):
    return [str(problem) for problem in changes(canonical(before), canonical(now))]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"rows": 50},
        {"base_dir": "/elsewhere"},
        {"limits": Limits(threads=2, resources={"gpu": 1})},
        {"failure": FailurePolicy(max_retries=0)},
        {"output": Output(journal_fsync="never")},
        {"on_provider_exhausted": "stop"},
        {"health_check": False},
        {"failure": FailurePolicy(request_retries=0)},
        {"models": {"m": ModelConfig(provider="p", model="m", timeout_seconds=1.0)}},
        {"models": {"m": ModelConfig(provider="p", model="m", queue_timeout_seconds=0.0)}},
        {"models": {"m": ModelConfig(provider="p", model="m", max_parallel_requests=1)}},
        {"models": {"m": ModelConfig(provider="p", model="m", requests_per_minute=1)}},
        {"models": {"m": ModelConfig(provider="p", model="m", input_tokens_per_minute=1)}},
        {"models": {"m": ModelConfig(provider="p", model="m", output_tokens_per_minute=1)}},
        {
            "models": {
                "m": ModelConfig(provider="p", model="m", limit=RequestAdmissionTuning(algorithm="fixed"))
            }
        },
        {
            "providers": {
                "p": SimulatedProvider(
                    latency_ms=Latency(1.0),
                    script=(ScriptStep(capacity=1), ScriptStep(at=1)),
                    repeat_seconds=9,
                    when_full="queue",
                    overload_statuses=(503,),
                )
            }
        },
    ],
)
def test_r10_what_makes_no_other_rows_may_change(changed):
    assert told(a_job(), a_job(**changed)) == []


@pytest.mark.parametrize(
    "changed",
    [
        OpenAIProvider(base_url="http://b/v1", api_key_env="B"),
        OpenAIProvider(connect_timeout_seconds=1.0),
        OpenAIProvider(overload_statuses=(429,)),
    ],
)
def test_r10_the_place_of_an_endpoint_may_change(changed):
    before = {"p": OpenAIProvider(base_url="http://a/v1", api_key_env="A")}
    assert told(a_job(providers=before), a_job(providers={"p": changed})) == []


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"models": {"m": ModelConfig(provider="p", model="n")}}, 'models.m.model: "m" -> "n"'),
        (
            {"models": {"m": ModelConfig(provider="p", model="m", parameters={"limit": 1})}},
            "models.m.parameters.limit: nothing -> 1",
        ),
        ({"providers": {"p": OpenAIProvider()}}, 'providers.p.kind: "simulated" -> "openai"'),
        ({"providers": {"p": PythonProvider(client="m:C")}}, "providers.p.kind: "),
        ({"models": {"m": MODEL, "timeout_seconds": MODEL}}, "models.timeout_seconds: nothing -> {"),
    ],
)
def test_r10_who_answers_and_what_is_sent_may_not_change(changed, place):
    assert any(problem.startswith(place) for problem in told(a_job(), a_job(**changed)))


def test_r10_what_a_reply_has_to_be_may_not_change():
    story = ChatColumn(model="m", prompt="a", output_schema={"type": "object"})
    (problem,) = told(a_job(), a_job(columns={**a_job().columns, "story": story}))
    assert problem.startswith('columns.story.output_schema: null -> {"type":"object"}')


def test_r10_the_options_of_a_client_may_not_change():
    before, now = ({"p": PythonProvider(client="m:C", options={"base_url": url})} for url in "ab")
    (problem,) = told(a_job(providers=before), a_job(providers=now))
    assert problem.startswith('providers.p.options.base_url: "a" -> "b"')


def test_r10_a_dot_in_a_name_is_no_place():
    before, now = ({"m-4.1": ModelConfig(provider="p", model="m", timeout_seconds=each)} for each in (1, 2))
    columns = {"story": ChatColumn(model="m-4.1", prompt="a")}
    assert told(a_job(models=before, columns=columns), a_job(models=now, columns=columns)) == []


def test_r10_a_folder_of_the_time_before_a_key_existed_can_be_gone_on_with():
    before = canonical(a_job())
    for key in ("parameters", "limit", "providers", "requests_per_minute"):
        del before["models"]["m"][key]
    for key in ("output_schema", "max_corrections"):
        del before["columns"]["story"][key]
    del before["providers"]["p"]["overload_statuses"]
    del before["health_check"]

    assert changes(before, canonical(a_job())) == ()
    columns = {**a_job().columns, "story": ChatColumn(model="m", prompt="a", max_corrections=5)}
    assert [problem.path for problem in changes(before, canonical(a_job(columns=columns)))] == [
        "columns.story.max_corrections"
    ]


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        ({"story": ChatColumn(model="m", prompt="b")}, 'columns.story.prompt: "a" -> "b"'),
        ({"mood": CategoryColumn(values=("calm", True))}, "columns.mood.values[1]: 1 -> true"),
        ({"mood": CategoryColumn(values=("calm",))}, 'columns.mood.values: ["calm",1] -> ["calm"]'),
        ({"more": SequenceColumn()}, "columns.more: nothing -> "),
    ],
)
def test_r10_what_makes_other_rows_is_told_with_its_place_and_both_values(columns, place):
    now = a_job(columns={**a_job().columns, **columns})
    (problem,) = told(a_job(), now)
    assert problem.startswith(place)
    assert problem.endswith("(run the job as it was, or choose another folder with --out)")


def test_r10_the_order_of_columns_is_that_of_a_rows_fields():
    now = a_job(columns=dict(reversed(a_job().columns.items())))
    assert told(a_job(), now)[0].startswith("columns: n, mood, story -> story, mood, n")


def test_r10_every_change_is_told_and_long_values_are_cut():
    columns = {**a_job().columns, "story": ChatColumn(model="m", prompt="x" * 500)}
    first, second = sorted(told(a_job(), a_job(seed=1, columns=columns)))
    assert first.startswith('columns.story.prompt: "a" -> "xxx')
    assert len(first) < 200
    assert second.startswith("seed: 0 -> 1")
