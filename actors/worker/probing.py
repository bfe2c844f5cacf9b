"""Asks every endpoint of a job after its health, and says what has to be mended before a row is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from actors.worker.attempt_scope import AttemptScope
from actors.worker.executor import ModelRequestExecutor
from actors.worker.failures import RequestFailedError
from actors.worker.model_request import ModelRequest
from actors.worker.providers.base import ProviderClient
from messages._base import Outgoing
from messages.job import OpenAIProvider, Problem, ProviderConfig, PythonProvider
from messages.request_admission import RequestGroupSpec
from messages.tasks import RequestResourceKey
from messages.worker import ModelsProbed, ProbeModels

_PROBE_SECONDS = 10.0
"""For the lease, for the connection and for the answer: each may take so long."""

_GROUP = RequestGroupSpec("healthcheck")

Routes: TypeAlias = Mapping[str, tuple[RequestResourceKey, ...]]
"""The endpoints that serve each alias."""

Answers: TypeAlias = Mapping[RequestResourceKey, RequestFailedError | None]
"""Every endpoint's answer; None where it is well."""


class Health(NamedTuple):
    """What the endpoints said: `problems` keep the job from running, `warnings` do not."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


_NOT_KNOWN = Health(warnings=("the health of the models is not known: the check was cut short",))


class Probes:
    """Answers `ProbeModels`, each in any case; a check that is cut short has returned its leases by then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[Outgoing], None]) -> None:
        self._loop = loop
        self._tell = tell
        self._under_way: dict[asyncio.Task[Health], None] = {}

    def begin(self, message: ProbeModels, check: Coroutine[Any, Any, Health] | None) -> None:
        """Run a check and answer with what it finds; without one nothing is known."""
        if check is None:
            self._answer(message, _NOT_KNOWN)
            return
        task = self._loop.create_task(check)
        self._under_way[task] = None
        task.add_done_callback(partial(self._ended, message))

    def cut_short(self) -> None:
        """Cancel what is under way."""
        for check in self._under_way:
            check.cancel()

    def _ended(self, message: ProbeModels, check: asyncio.Task[Health]) -> None:
        self._under_way.pop(check, None)
        failed = check.cancelled() or check.exception() is not None
        self._answer(message, _NOT_KNOWN if failed else check.result())

    def _answer(self, message: ProbeModels, health: Health) -> None:
        answer = ModelsProbed(message.run_id, health.problems, health.warnings)
        self._tell(Outgoing(message.reply_to, answer))


class HealthCheck:
    """One check of a job's endpoints: an attempt each, under a lease of its own, all at once, none again."""

    def __init__(
        self,
        providers: Mapping[str, ProviderConfig],
        clients: Mapping[str, ProviderClient],
        executor: ModelRequestExecutor,
    ) -> None:
        self._providers = providers
        self._clients = clients
        self._executor = executor
        self._scope = AttemptScope()

    async def made(self, routes: Routes) -> Health:
        """Return what is wrong, in the order of the aliases; each place is named once."""
        endpoints = list(dict.fromkeys(endpoint for route in routes.values() for endpoint in route))
        answers = await asyncio.gather(*(self._ask(endpoint) for endpoint in endpoints))
        return judge(self._providers, routes, dict(zip(endpoints, answers, strict=True)))

    async def _ask(self, endpoint: RequestResourceKey) -> RequestFailedError | None:
        if not hasattr(self._clients[endpoint.provider], "healthcheck"):
            return None
        request = ModelRequest(
            call=lambda client: client.healthcheck(endpoint.model_id),
            expects=object,
            alias=endpoint.model_id,
            resources=(endpoint,),
            clients=self._clients,
            overload_statuses={endpoint.provider: self._providers[endpoint.provider].overload_statuses},
            scope=self._scope,
            correlation=None,
            group=_GROUP,
            timeout_seconds=_PROBE_SECONDS,
            queue_timeout_seconds=_PROBE_SECONDS,
            input_tokens=0,
            output_tokens=0,
        )
        try:
            await self._executor.execute_attempt(request)
        except RequestFailedError as error:
            return error
        return None


def judge(providers: Mapping[str, ProviderConfig], routes: Routes, answers: Answers) -> Health:
    """Return what the answers mean for the job. A replica is no problem while its model has another."""
    problems: dict[str, Problem] = {}
    lesser: dict[str, str] = {}
    for alias, route in routes.items():
        found = [
            problem
            for endpoint in route
            if (problem := _problem(providers[endpoint.provider], alias, endpoint, answers[endpoint]))
        ]
        if len(found) == len(route):
            for problem in found:
                problems.setdefault(problem.path, problem)
        else:
            for problem in found:
                lesser.setdefault(problem.path, f"{problem}; model {alias} goes on without it")
    warnings = [text for path, text in lesser.items() if path not in problems]
    warnings += dict.fromkeys(_warnings(answers))
    return Health(tuple(problems.values()), tuple(warnings))


def _problem(
    config: ProviderConfig, alias: str, endpoint: RequestResourceKey, error: RequestFailedError | None
) -> Problem | None:
    """Return what keeps `alias` from being served by an endpoint, None where nothing does."""
    if error is None:
        return None
    name, place = endpoint.provider, f"providers.{endpoint.provider}"
    if error.status in (401, 403):
        at = f"{place}.api_key_env" if _key_variable(config) else place
        return Problem(at, f"provider {name} refuses the key (HTTP {error.status})", _key_remedy(config))
    if error.status == 404:
        text = f"provider {name} does not know model {endpoint.model_id!r} (HTTP 404)"
        return Problem(f"models.{alias}.model", text, _model_remedy(config))
    if _is_unreachable(error):
        return Problem(
            place, f"provider {name} cannot be reached: {error.detail}", _connection_remedy(config)
        )
    return None


def _warnings(answers: Answers) -> Iterator[str]:
    """Yield what is odd and may pass; to have too much to do is neither."""
    for endpoint, error in answers.items():
        if error is None or error.kind == "rate_limited" or error.status in (401, 403, 404):
            continue
        if not _is_unreachable(error):
            yield f"providers.{endpoint.provider}: its health is not known: {error.detail}"


def _is_unreachable(error: RequestFailedError) -> bool:
    return error.kind == "provider_timeout" or (error.kind == "provider_failure" and error.status is None)


def _key_variable(config: ProviderConfig) -> str | None:
    return config.api_key_env if isinstance(config, OpenAIProvider) else None


def _key_remedy(config: ProviderConfig) -> str:
    variable = _key_variable(config)
    if variable is not None:
        return f"set the environment variable {variable} to a key that it takes"
    if isinstance(config, OpenAIProvider):
        return "name the environment variable that holds its key in `api_key_env`"
    return "give its client a key that it takes"


def _model_remedy(config: ProviderConfig) -> str:
    remedy = "name a model that it serves"
    return f"{remedy}, and see that base_url {_address(config)} is right" if _address(config) else remedy


def _connection_remedy(config: ProviderConfig) -> str:
    if isinstance(config, PythonProvider):
        return "see that what its client connects to is there"
    if not isinstance(config, OpenAIProvider):
        return "its `script` has an outage at the start"
    if config.base_url is None:
        return "see that OpenAI can be reached from here, or set `base_url`"
    return f"see that a server listens at base_url {_address(config)}"


def _address(config: ProviderConfig) -> str:
    """Return a provider's base_url without what it may hold of a key; empty where it has none."""
    base_url = config.base_url if isinstance(config, OpenAIProvider) else None
    if base_url is None:
        return ""
    try:
        parts = urlsplit(base_url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
