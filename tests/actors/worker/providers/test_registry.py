"""From a provider's configuration to its client, or to what has to be mended first."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from actors.harness.misbehaving_server import MisbehavingServer
from actors.worker.providers.base import ChatMessage, ChatRequest, ProviderClient
from actors.worker.providers.registry import (
    ProviderUnusableError,
    client_of,
    make_client,
    provider_problems,
)
from messages.job import (
    Job,
    ModelConfig,
    OpenAIProvider,
    Problem,
    PythonProvider,
    ScriptStep,
    SimulatedProvider,
)
from tests.actors.worker.providers.plain_client import PlainClient

LOCAL = "http://127.0.0.1:8080/v1"


def a_job(*configs, **settings):
    providers = {f"p{number}": config for number, config in enumerate(configs)}
    models = {f"m{name}": ModelConfig(provider=name, model="small") for name in providers}
    return Job(name="j", rows=1, providers=providers, models=models, **settings)


def problems(*configs, **settings):
    return list(provider_problems(a_job(*configs, **settings)))


def the_problem(config, **settings):
    """Return the one problem with a provider; making its client tells the same."""
    job = a_job(config, **settings)
    [problem] = provider_problems(job)
    with pytest.raises(ProviderUnusableError) as caught:
        client_of(job, "p0", elapsed=lambda: 0.0, connections=4)
    assert caught.value.problem == problem
    assert str(problem) == str(caught.value)
    return problem


# -- the three kinds -----------------------------------------------------------------------------------


def test_nothing_of_the_extra_is_imported_before_a_job_needs_it():
    told = (
        "import sys, actors, actors.cli.app, actors.harness.misbehaving_server; "
        "print({'openai', 'httpx2', 'httpx', 'pytest'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_simulated_provider_goes_by_the_jobs_time():
    seconds = [0.0]
    job = a_job(SimulatedProvider(script=(ScriptStep(), ScriptStep(at=5, outage=5))), seed=3)
    client = client_of(job, "p0", elapsed=lambda: seconds[0], connections=4)
    asyncio.run(client.healthcheck("m"))
    seconds[0] = 7.0
    with pytest.raises(Exception, match="cannot be reached"):
        asyncio.run(client.healthcheck("m"))


def test_an_openai_provider_has_a_connection_for_every_attempt_of_its_models(monkeypatch):
    """Two models of 3 and 2 calls at once: five calls are with the server together."""
    monkeypatch.setenv("SOME_KEY", "sk-1")
    with MisbehavingServer(api_key="sk-1") as server:
        job = Job(
            name="j",
            rows=1,
            providers={"p": OpenAIProvider(base_url=server.base_url, api_key_env="SOME_KEY")},
            models={
                "a": ModelConfig(provider="p", model="small", max_parallel_requests=3),
                "b": ModelConfig(providers=("p",), model="small", max_parallel_requests=2),
            },
        )
        assert list(provider_problems(job)) == []

        async def five():
            client = client_of(job, "p", elapsed=lambda: 0.0, connections=5)
            request = ChatRequest(model="small", messages=(ChatMessage("user", "u"),), seed=1)
            calls = [asyncio.ensure_future(client.chat(request)) for _ in range(5)]
            try:
                return await asyncio.gather(*calls)
            finally:
                await client.close()

        assert len(asyncio.run(five())) == server.requests == 5
        assert server.connections == 5


def test_a_providers_class_is_made_with_its_options():
    client = make_client(PythonProvider(client=PlainClient, options={"base_url": LOCAL}))
    assert isinstance(client, PlainClient)


def test_a_class_beside_the_job_file_shares_its_modules_with_the_columns(tmp_path):
    (tmp_path / "own.py").write_text(
        "from actors import ChatReply\n"
        "seen = []\n"
        "class Client:\n"
        "    async def chat(self, request): return ChatReply(request.prompt)\n"
        "    async def embed(self, request): ...\n"
        "    async def image(self, request): ...\n"
        "    async def healthcheck(self, model): ...\n"
        "    async def close(self): ...\n"
        "def column(): return seen\n"
    )
    from actors.generators import FunctionTable

    table = FunctionTable(str(tmp_path))
    column = table.find("own:column", "columns.c.function")
    config = PythonProvider(client="own:Client")
    assert list(provider_problems(a_job(config, base_dir=str(tmp_path)))) == []
    client = make_client(config, base_dir=str(tmp_path))
    assert type(client).chat.__globals__ is column.__globals__


def test_an_edited_class_takes_effect_with_the_next_preparation(tmp_path):
    from actors.generators import FunctionTable

    def names():
        FunctionTable(str(tmp_path))  # what preparing a job does first
        found = problems(PythonProvider(client="edited:Client"), base_dir=str(tmp_path))
        return [problem.message for problem in found]

    (tmp_path / "edited.py").write_text("class Other: ...\n")
    first = names()
    (tmp_path / "edited.py").write_text("class Client: ...\n")
    assert first == ["module 'edited' has no 'Client'"]
    assert names() == ["edited:Client has no chat and no embed and no image and no healthcheck and no close"]


# -- what is wrong -------------------------------------------------------------------------------------


def test_a_missing_extra_is_told_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    assert the_problem(OpenAIProvider(base_url=LOCAL)) == Problem(
        "providers.p0.kind", "'openai' needs an extra", "pip install 'leasehold[openai]'"
    )


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_key_that_is_not_there_is_told_by_the_name_of_its_variable(monkeypatch, value):
    monkeypatch.delenv("NO_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("NO_KEY", value)
    problem = the_problem(OpenAIProvider(base_url=LOCAL, api_key_env="NO_KEY"))
    assert problem.path == "providers.p0.api_key_env"
    assert "'NO_KEY'" in problem.message


@pytest.mark.parametrize("value", ["sk-a b", "sk-a\nb", "sk-ä"])
def test_a_key_that_cannot_be_sent_is_told_without_telling_it(monkeypatch, value):
    monkeypatch.setenv("ODD_KEY", value)
    problem = the_problem(OpenAIProvider(base_url=LOCAL, api_key_env="ODD_KEY"))
    assert "'ODD_KEY'" in problem.message
    assert "sk-" not in str(problem)


def test_a_line_end_after_a_key_does_no_harm(monkeypatch):
    monkeypatch.setenv("FILE_KEY", "sk-1\n")
    assert problems(OpenAIProvider(base_url=LOCAL, api_key_env="FILE_KEY")) == []


def test_openais_own_endpoint_wants_a_key():
    assert the_problem(OpenAIProvider()).path == "providers.p0.api_key_env"


class Silent(ProviderClient):
    """Derives from the protocol and does next to nothing."""

    async def chat(self, request): ...

    async def close(self): ...


class Blocking(PlainClient):
    def chat(self, request): ...


class Grumpy(PlainClient):
    def __init__(self):
        raise LookupError("there is no moon tonight")


@pytest.mark.parametrize(
    ("config", "path", "said"),
    [
        (PythonProvider(client="nowhere_at_all:Client"), "client", "no module 'nowhere_at_all'"),
        (PythonProvider(client="json:Client"), "client", "module 'json' has no 'Client'"),
        (PythonProvider(client="json"), "client", "expected 'module:Class'"),
        (PythonProvider(client=7), "client", "is a int"),
        (PythonProvider(client="math:pi"), "client", "expected a Class"),
        (PythonProvider(client=Silent), "client", "has no embed and no image and no healthcheck"),
        (PythonProvider(client=Blocking), "client", "has a chat that is not async"),
        (PythonProvider(client=PlainClient), "options", "missing a required argument: 'base_url'"),
        (PythonProvider(client=PlainClient, options={"base_url": "", "keys": 1}), "options", "'keys'"),
    ],
)
def test_a_class_that_is_no_client_is_told(config, path, said):
    problem = the_problem(config)
    assert problem.path == f"providers.p0.{path}"
    assert said in str(problem)
    assert problem.remedy


def test_a_class_that_cannot_be_made_is_told_when_it_is_made():
    config = PythonProvider(client=Grumpy)
    assert problems(config) == [], "no client is made for asking"
    with pytest.raises(ProviderUnusableError, match="LookupError: there is no moon tonight") as caught:
        make_client(config, name="moon")
    assert caught.value.problem.path == "providers.moon.client"


def test_what_a_function_makes_is_judged_when_it_is_made():
    config = PythonProvider(client=lambda: 7)
    assert problems(config) == []
    with pytest.raises(ProviderUnusableError, match="has no chat"):
        make_client(config)


def test_every_provider_is_judged_and_those_that_no_model_uses_are_not():
    job = Job(
        name="j",
        rows=1,
        providers={
            "a": OpenAIProvider(),
            "b": OpenAIProvider(base_url=LOCAL, api_key_env="UNSET"),
            "unused": OpenAIProvider(),
        },
        models={"m": ModelConfig(providers=("b", "a"), model="small")},
    )
    assert [problem.path for problem in provider_problems(job)] == [
        "providers.a.api_key_env",
        "providers.b.api_key_env",
    ]
