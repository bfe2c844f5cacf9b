"""Before any row: every endpoint is asked after its health, and what is wrong is said in one list."""

from __future__ import annotations

import pytest

from actors.worker.failures import RequestFailedError
from actors.worker.probing import Health, judge
from actors.worker.providers.base import ProviderError
from messages import ChatColumn, ModelConfig, SimulatedProvider
from messages.job import FailurePolicy, OpenAIProvider, Problem, PythonProvider
from messages.request_admission import ReturnRequestLease
from messages.tasks import RequestResourceKey
from messages.telemetry import Event
from tests.actors.worker.held_client import HeldClient

KEYED = OpenAIProvider(base_url="http://me:secret@localhost:1/v1?key=secret", api_key_env="THE_KEY")
KEYLESS = OpenAIProvider()
OWN = PythonProvider(client="mine:Client")


def failed(kind, status=None, detail="what it says"):
    return RequestFailedError(kind, f"model m: {detail}", retryable=False, status=status, detail=detail)


REFUSED = failed("unexpected_exception", 401)
UNKNOWN = failed("unexpected_exception", 404)
UNREACHABLE = failed("provider_failure")


def judged(providers, answers, **models):
    """Judge answers by `provider/model`, for aliases that are `provider/model` or several of them."""
    routes = {
        alias: tuple(RequestResourceKey(*name.split("/"), "healthcheck") for name in names)
        for alias, names in models.items()
    }
    endpoints = {endpoint for route in routes.values() for endpoint in route}
    found = {end: answers.get(f"{end.provider}/{end.model_id}") for end in endpoints}
    return judge(providers, routes, found)


def test_healthy_endpoints_say_nothing():
    assert judged({"p": KEYED}, {}, writer=["p/m"]) == Health()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_a_problem_of_its_variable(status):
    health = judged({"p": KEYED}, {"p/m": failed("unexpected_exception", status)}, writer=["p/m"])
    text = f"provider p refuses the key (HTTP {status})"
    remedy = "set the environment variable THE_KEY to a key that it takes"
    assert health == Health((Problem("providers.p.api_key_env", text, remedy),))


@pytest.mark.parametrize(("config", "remedy"), [(KEYLESS, "`api_key_env`"), (OWN, "give its client a key")])
def test_a_missing_key_is_a_problem_of_its_provider(config, remedy):
    (problem,) = judged({"p": config}, {"p/m": REFUSED}, writer=["p/m"]).problems
    assert problem.path == "providers.p"
    assert remedy in problem.remedy


def test_an_unknown_model_is_a_problem_of_every_alias_that_names_it():
    health = judged({"p": KEYED}, {"p/m": UNKNOWN}, writer=["p/m"], other=["p/n"], editor=["p/m"])
    assert [problem.path for problem in health.problems] == ["models.writer.model", "models.editor.model"]
    assert health.problems[0].message == "provider p does not know model 'm' (HTTP 404)"


@pytest.mark.parametrize("error", [UNREACHABLE, failed("provider_timeout")])
def test_an_unreachable_provider_is_one_problem_however_many_models_it_serves(error):
    health = judged({"p": KEYED}, {"p/m": error, "p/n": error}, writer=["p/m"], editor=["p/n"])
    (problem,) = health.problems
    assert problem.path == "providers.p"
    assert problem.message == "provider p cannot be reached: what it says"
    assert problem.remedy == "see that a server listens at base_url http://localhost:1/v1"


@pytest.mark.parametrize("config", [KEYLESS, OWN, SimulatedProvider()])
def test_every_kind_of_provider_has_a_remedy(config):
    for error in (REFUSED, UNKNOWN, UNREACHABLE):
        (problem,) = judged({"p": config}, {"p/m": error}, writer=["p/m"]).problems
        assert problem.remedy


@pytest.mark.parametrize("error", [REFUSED, UNKNOWN, UNREACHABLE])
def test_o4_nothing_of_a_base_urls_secrets_is_told(error):
    (problem,) = judged({"p": KEYED}, {"p/m": error}, writer=["p/m"]).problems
    assert "secret" not in str(problem)


def test_a_provider_that_has_too_much_to_do_is_healthy():
    assert judged({"p": KEYED}, {"p/m": failed("rate_limited", 429)}, writer=["p/m"]) == Health()


@pytest.mark.parametrize(
    "error",
    [
        failed("provider_failure", 500),
        failed("unexpected_exception", 400),
        failed("unexpected_exception"),
        failed("queue_timeout"),
    ],
)
def test_what_says_nothing_of_the_health_is_a_warning(error):
    health = judged({"p": KEYED}, {"p/m": error, "p/n": error}, writer=["p/m"], editor=["p/n"])
    assert health == Health((), ("providers.p: its health is not known: what it says",))


def test_a_replica_is_no_problem_while_its_model_has_another():
    providers = {"p": KEYED, "q": KEYED}
    health = judged(providers, {"p/m": REFUSED}, writer=["p/m", "q/m"])
    assert health.problems == ()
    (warning,) = health.warnings
    assert warning.startswith("providers.p.api_key_env: provider p refuses the key (HTTP 401)")
    assert warning.endswith("model writer goes on without it")


def test_replicas_that_all_fail_are_each_a_problem():
    providers = {"p": KEYED, "q": KEYED}
    health = judged(providers, {"p/m": REFUSED, "q/m": UNREACHABLE}, writer=["p/m", "q/m"])
    assert [problem.path for problem in health.problems] == ["providers.p.api_key_env", "providers.q"]


def test_a_provider_that_one_model_can_do_without_and_another_cannot_is_a_problem_alone():
    providers = {"p": KEYED, "q": KEYED}
    health = judged(
        providers, {"p/m": UNREACHABLE, "p/n": UNREACHABLE}, writer=["p/m", "q/m"], editor=["p/n"]
    )
    assert [problem.path for problem in health.problems] == ["providers.p"]
    assert health.warnings == ()


# -- through a worker ------------------------------------------------------------------------------


class ProbedClient(HeldClient):
    """Its health check raises what it was given, or waits to be ended."""

    def __init__(self, answer=None, **how):
        super().__init__(**how)
        self._answer = answer
        self.asked_for = []

    async def healthcheck(self, model):
        self.asked_for.append(model)
        if self._answer == "hold":
            await self._made(model)
        elif self._answer is not None:
            raise self._answer


def prepared(worker, *names, **models):
    providers = {name: SimulatedProvider() for name in names}
    models = {alias: ModelConfig(providers=tuple(by), model=f"m-{alias}") for alias, by in models.items()}
    columns = {alias: ChatColumn(model=alias, prompt="x") for alias in models}
    failure = FailurePolicy(request_retries=2)
    worker.prepare(columns, providers=providers, models=models, failure=failure)


def test_a1_every_endpoint_is_asked_at_once_under_a_lease_of_its_own(worker, provide):
    first, second = provide(ProbedClient(), ProbedClient(ProviderError("status 401", status=401)))
    prepared(worker, "one", "two", a=["one"], b=["one"], c=["two"])
    worker.probe()
    items = [worker.asked() for _ in range(3)]
    assert [item.resource.name for item in items] == [
        "one/m-a/healthcheck",
        "one/m-b/healthcheck",
        "two/m-c/healthcheck",
    ]
    assert {item.event_context.correlation for item in items} == {None}
    assert {(item.input_tokens, item.output_tokens, item.replicas) for item in items} == {(0, 0, ())}
    for item in items:
        worker.grant(item)
    answer = worker.probed()
    assert [problem.path for problem in answer.problems] == ["providers.two"]
    assert (sorted(first.asked_for), second.asked_for) == (["m-a", "m-b"], ["m-c"])
    returned = [message for message in worker.request_mail() if isinstance(message, ReturnRequestLease)]
    assert sorted(message.lease.lease_id for message in returned) == [1, 2, 3]
    assert worker.release().models == {}, "asking after the health is nobody's use of a model"


def test_probes_are_not_tried_again(worker, provide):
    client = provide(ProbedClient(ProviderError("the connection broke")))
    prepared(worker, "one", a=["one"])
    worker.probe()
    worker.grant(worker.asked())
    (problem,) = worker.probed().problems
    assert problem.message == "provider one cannot be reached: the connection broke"
    assert len(client.asked_for) == 1


def test_two_aliases_of_one_endpoint_are_one_probe(worker, provide):
    client = provide(ProbedClient())
    columns = {alias: ChatColumn(model=alias, prompt="x") for alias in ("a", "b")}
    models = dict.fromkeys(columns, ModelConfig(provider="one", model="m"))
    worker.prepare(columns, providers={"one": SimulatedProvider()}, models=models)
    worker.probe()
    worker.grant(worker.asked())
    assert worker.probed().problems == ()
    assert client.asked_for == ["m"]


def test_a_client_without_a_health_check_is_healthy(worker, provide):
    provide(HeldClient())
    prepared(worker, "one", a=["one"])
    worker.probe()
    assert (worker.probed().problems, worker.request_mail()) == ((), [])


def test_a_probe_that_is_not_admitted_is_a_warning(worker, provide):
    provide(ProbedClient())
    prepared(worker, "one", a=["one"])
    worker.probe()
    worker.deny(worker.asked(), "queue_timeout")
    answer = worker.probed()
    assert answer.problems == ()
    assert "its health is not known: one/m-a/healthcheck was not admitted" in answer.warnings[0]


@pytest.mark.parametrize("how", ["cancel", "release"])
def test_r11_a_health_check_that_is_cut_short_returns_its_leases_and_is_answered(worker, provide, how):
    client = provide(ProbedClient("hold", stubborn=True))
    prepared(worker, "one", a=["one"])
    worker.probe()
    lease = worker.grant(worker.asked())
    call = client.next()
    if how == "cancel":
        worker.cancel()
        answer = worker.probed()
        assert answer.problems == ()
        assert "cut short" in answer.warnings[0]
    else:
        worker.release()
    returned = worker.given_back()
    assert (returned.lease, returned.outcome.kind) == (lease, "local_cancelled")
    call.answer()


def test_r11_a_health_check_that_is_cancelled_before_it_began_is_answered(worker, provide):
    provide(ProbedClient())
    prepared(worker, "one", a=["one"])
    worker.probe()
    worker.cancel()
    assert worker.probed().problems == ()


def test_without_a_job_there_is_nobody_to_ask(worker):
    worker.probe()
    answer = worker.probed()
    assert answer.problems == ()
    assert "not known" in answer.warnings[0]


def test_a_probe_is_told_as_an_attempt_of_no_task(worker, provide):
    provide(ProbedClient())
    prepared(worker, "one", a=["one"])
    worker.probe()
    worker.grant(worker.asked())
    worker.probed()
    events = worker.request_events()
    assert [event.event_kind for event in events] == ["model_request_started", "model_request_completed"]
    assert all(isinstance(event, Event) and event.correlation is None for event in events)
