"""A job file becomes a job; all of its mistakes of structure come out at once, each with its path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from messages import ChatColumn, ExpressionColumn, JobError, PythonColumn, SchedulingMetadata, load_job
from messages.callables import resolve_reference
from messages.job import Job, Limits, ModelConfig, Problem, PythonProvider, SimulatedProvider
from messages.job_file import job_from_builtins, normalized

PENGUINS = Path(__file__).parents[2] / "bench" / "jobs" / "penguins.toml"


def problems_of(data) -> dict[str, str]:
    with pytest.raises(JobError) as refused:
        job_from_builtins(data, base_dir="")
    return {problem.path: f"{problem.message} ({problem.remedy})" for problem in refused.value.problems}


def test_the_penguins_job_loads_as_it_stands():
    job = load_job(PENGUINS)
    assert job.name == "penguins"
    assert job.base_dir == str(PENGUINS.parent)
    assert list(job.columns) == ["mood", "story", "verdict", "words", "loud"]
    assert job.models["writer"].max_parallel_requests == 8
    assert job.providers["sim"].latency_ms.jitter == 10.0


def test_json_says_the_same_as_toml(tmp_path):
    (tmp_path / "job.toml").write_text('name = "a"\nrows = 3\n[columns.n]\nkind = "sequence"\nstep = 2\n')
    (tmp_path / "job.json").write_text(
        json.dumps({"name": "a", "rows": 3, "columns": {"n": {"kind": "sequence", "step": 2}}})
    )
    assert load_job(tmp_path / "job.toml") == load_job(str(tmp_path / "job.json"))


def test_rows_given_take_the_place_of_the_files_own(tmp_path):
    (tmp_path / "job.toml").write_text('name = "a"\nrows = 3\n')
    assert load_job(tmp_path / "job.toml", rows=7).rows == 7
    assert load_job(tmp_path / "job.toml").rows == 3


def test_every_mistake_is_reported_at_once_with_its_path():
    found = problems_of(
        {
            "nmae": "x",
            "rows": "ten",
            "models": {"writer": {"provider": "sim", "model": "m", "max_paralel_requests": 3}},
            "providers": {"sim": {"kind": "simulatd"}, "other": {"latency_ms": {}}},
            "columns": {
                "story": {"kind": "chat", "model": "writer", "promt": "hello"},
                "n": {"kind": "sequnce"},
                "x": {"kind": "expression", "template": 5, "dtype": "integer"},
                "mood": {"kind": "category", "values": "abc", "weights": [1, "two"]},
                "y": "sequence",
                "p": {"kind": "python", "function": "m:f", "metadata": {"kind": "local", "weight": 0}},
            },
            "limits": {"threads": 2.5, "resources": {"gpu": True}},
        }
    )
    assert set(found) == {
        "nmae",
        "name",
        "rows",
        "models.writer.max_paralel_requests",
        "providers.sim.kind",
        "providers.other.kind",
        "columns.story.promt",
        "columns.story.prompt",
        "columns.n.kind",
        "columns.x.template",
        "columns.x.dtype",
        "columns.mood.values",
        "columns.mood.weights[1]",
        "columns.y",
        "columns.p.metadata",
        "limits.threads",
        "limits.resources.gpu",
    }
    assert "did you mean 'name'" in found["nmae"]
    assert "did you mean 'prompt'" in found["columns.story.promt"]
    assert "is missing" in found["columns.story.prompt"]
    assert "did you mean 'sequence'" in found["columns.n.kind"]
    assert "category, sequence, expression, chat, embedding, python" in found["columns.n.kind"]
    assert found["rows"] == "found text 'ten' (expected a whole number)"
    assert "weight is 0" in found["columns.p.metadata"]


def test_every_mistake_about_providers_and_models_is_reported_at_once_with_its_path():
    found = problems_of(
        {
            "name": "a",
            "on_provider_exhausted": "halt",
            "health_check": "no",
            "providers": {
                "storm": {
                    "kind": "simulated",
                    "script": [{"at": "now"}, {"capacity": "many", "retry_afer": 1}, 5, {"outage": None}],
                    "when_full": "drop",
                    "overload_statuses": [429, "529", True],
                },
                "local": {"kind": "openai", "base_url": 8080, "api_key": "sk-secret"},
                "own": {"kind": "python", "options": ["a"]},
                "mine": {"kind": "python", "client": 5},
                "list": {"kind": "simulated", "script": {"at": 0}},
            },
            "models": {
                "writer": {
                    "providers": ["local", 5],
                    "model": "m",
                    "requests_per_minute": 0.5,
                    "limit": {"algoritm": "aimd", "algorithm": "aimed", "initial": "4"},
                    "parameters": "temperature",
                },
                "critic": {"providers": "local", "model": "m", "limit": "aimd"},
            },
        }
    )
    assert set(found) == {
        "on_provider_exhausted",
        "health_check",
        "providers.storm.script[0].at",
        "providers.storm.script[1].capacity",
        "providers.storm.script[1].retry_afer",
        "providers.storm.script[2]",
        "providers.storm.script[3].outage",
        "providers.storm.when_full",
        "providers.storm.overload_statuses[1]",
        "providers.storm.overload_statuses[2]",
        "providers.local.base_url",
        "providers.local.api_key",
        "providers.own.client",
        "providers.own.options",
        "providers.mine.client",
        "providers.list.script",
        "models.writer.providers[1]",
        "models.writer.requests_per_minute",
        "models.writer.limit.algoritm",
        "models.writer.limit.algorithm",
        "models.writer.limit.initial",
        "models.writer.parameters",
        "models.critic.providers",
        "models.critic.limit",
    }
    assert found["providers.storm.script[1].capacity"] == "found text 'many' (expected a whole number)"
    assert found["providers.storm.script[2]"] == "found a whole number 5 (expected a table)"
    assert "did you mean 'retry_after'" in found["providers.storm.script[1].retry_afer"]
    assert found["providers.storm.overload_statuses[1]"] == "found text '529' (expected a whole number)"
    assert found["providers.own.client"] == "is missing (expected text)"
    assert found["providers.mine.client"] == "found a whole number 5 (expected text)"
    assert "did you mean 'api_key_env'" in found["providers.local.api_key"]
    assert "did you mean 'aimd'" in found["models.writer.limit.algorithm"]
    assert "possible: stop, wait" in found["on_provider_exhausted"]
    assert found["models.critic.providers"] == "found text 'local' (expected a list)"
    assert "sk-secret" not in str(found)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("job.yaml", b"", "does not end in .toml or .json"),
        ("job.toml", b"name = \n", "line 1, column 8"),
        ("job.json", b'{"name": }', "line 1 column 10"),
        ("job.json", b'{"name": "a", "name": "b"}', "'name' stands twice"),
        ("job.json", b'{"name": NaN}', "NaN is not a JSON number"),
        ("job.toml", b"name = '\xff'", "is not UTF-8"),
        ("job.json", b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_file_that_is_no_job_is_one_problem(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(JobError) as refused:
        load_job(tmp_path / name)
    (problem,) = refused.value.problems
    assert said in str(problem)


def test_a_missing_file_or_a_folder_is_one_problem(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    for name in ("none.toml", "folder.toml"):
        with pytest.raises(JobError, match="cannot be read"):
            load_job(tmp_path / name)


def test_a_job_that_is_no_table_is_refused():
    assert problems_of([1]) == {"": "found a list (expected a table)"}


def test_a_base_dir_in_the_file_is_relative_to_its_folder():
    job = job_from_builtins({"name": "a", "base_dir": "sub"}, base_dir="/jobs")
    assert job.base_dir == "/jobs/sub"


def test_a_job_made_by_hand_is_read_as_a_file_would_be():
    job = Job(
        name="a",
        rows=1,
        providers={"sim": SimulatedProvider()},
        columns={"c": PythonColumn(function="m:f", needs=["x"], metadata=SchedulingMetadata(weight=2))},
    )
    assert normalized(job).columns["c"].needs == ("x",)


def test_wrong_types_in_a_job_made_by_hand_are_problems():
    job = Job(
        name=5,
        rows="10",
        columns={"a": ExpressionColumn(template=None), "b": ChatColumn(model="m", prompt="p"), "c": 3},
        limits=Limits(threads="8"),
    )
    with pytest.raises(JobError) as refused:
        normalized(job)
    assert {problem.path for problem in refused.value.problems} == {
        "name",
        "rows",
        "columns.a.template",
        "columns.c",
        "limits.threads",
    }


def test_a_job_made_by_hand_with_values_that_no_file_could_hold_names_the_column():
    job = Job(name="a", columns={"a": ExpressionColumn(template=object())})
    with pytest.raises(JobError) as refused:
        normalized(job)
    assert [problem.path for problem in refused.value.problems] == ["columns.a"]


def test_a_client_of_a_job_made_by_hand_is_referred_to():
    class Client: ...

    job = Job(name="a", providers={"own": PythonProvider(client=Client, options={"a": [1, {"b": None}]})})
    own = normalized(job).providers["own"]

    assert resolve_reference(own.client) is Client
    assert own.options == {"a": [1, {"b": None}]}
    assert own.overload_statuses == (429, 529)


@pytest.mark.parametrize(
    ("table", "entry"),
    [
        ("models", ModelConfig(provider="p", model="m", parameters={"stop": object()})),
        ("providers", PythonProvider(client="m:C", options={"a": object()})),
    ],
)
def test_values_that_no_file_could_hold_name_their_table(table, entry):
    with pytest.raises(JobError) as refused:
        normalized(Job(name="a", **{table: {"x": entry}}))
    assert [problem.path for problem in refused.value.problems] == [f"{table}.x"]


def test_what_can_be_read_of_a_job_comes_with_the_refusal():
    data = {
        "rows": "ten",
        "models": {"writer": 5},
        "columns": {
            "n": {"kind": "sequnce"},
            "pair": {"kind": "pyton", "outputs": ["left", "right"]},
            "x": {"kind": "expression", "template": "{{ n }}", "dtype": "integer"},
        },
        "limits": {"threads": "8", "local": 2},
    }
    with pytest.raises(JobError) as refused:
        job_from_builtins(data, base_dir="/jobs")

    job = refused.value.readable
    assert (job.name, job.base_dir, list(job.columns)) == ("", "/jobs", ["n", "pair", "x"])
    assert list(job.models) == ["writer"]
    assert job.columns["pair"].outputs == ("left", "right")
    assert job.columns["x"] == ExpressionColumn(template="{{ n }}")
    assert job.limits == Limits(local=2)


def test_a_problem_that_rests_on_what_could_not_be_read_is_not_joined_to_the_others():
    structure = Problem("limits.resources", "found text")
    error = JobError((structure,), unsure=frozenset({"limits.resources", "columns.mood.weights"}))
    sure = [Problem("limits.resource", "a"), Problem("columns.mood", "b"), Problem("x", "c", rests_on=("y",))]
    resting = [
        Problem("limits.resources.gpu", "d"),
        Problem("columns.mood.weights[1]", "e"),
        Problem("columns.x.resources.gpu", "f", rests_on=("limits.resources.*",)),
    ]

    assert error.joined(resting + sure) == (structure, *sure)
