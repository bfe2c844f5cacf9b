"""From a provider's configuration to its client, or to what has to be mended first."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator

from actors.generators import FunctionTable
from actors.worker.providers import own_client
from actors.worker.providers.base import ProviderClient
from actors.worker.providers.simulated import SimulatedClient
from messages.job import Job, OpenAIProvider, Problem, ProviderConfig, PythonProvider, SimulatedProvider

_OPENAI_NEEDS = ("openai", "httpx2")


class ProviderUnusableError(Exception):
    """A provider that no client can be made for. `problem` names the place and the remedy."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def client_of(job: Job, provider: str, *, elapsed: Callable[[], float], connections: int) -> ProviderClient:
    """Return a new client for one of a job's providers.

    elapsed: seconds since the job's start, 0 before. connections: how many attempts may be under way at once.

    Raises:
        ProviderUnusableError: there can be none as the job, or its surroundings, are.
    """
    return make_client(
        job.providers[provider],
        name=provider,
        seed=job.seed,
        elapsed=elapsed,
        connections=connections,
        base_dir=job.base_dir,
    )


def make_client(
    config: ProviderConfig,
    *,
    name: str = "",
    seed: int = 0,
    elapsed: Callable[[], float] = lambda: 0.0,
    connections: int = 100,
    base_dir: str = "",
) -> ProviderClient:
    """Return a new client for a provider.

    name: what the job calls it. seed: the job's. elapsed: seconds since the job's start, 0 before.
    connections: how many attempts may be under way at once. base_dir: where `module:Class` is looked for
    first.

    Raises:
        ProviderUnusableError: there can be none as the configuration, or its surroundings, are.
    """
    match config:
        case SimulatedProvider():
            return SimulatedClient(config, seed=seed, elapsed=elapsed)
        case PythonProvider():
            made = own_client.make(config, f"providers.{name}", FunctionTable.newest(base_dir))
            if isinstance(made, Problem):
                raise ProviderUnusableError(made)
            return made
        case OpenAIProvider():
            for problem in _of_openai(config, f"providers.{name}"):
                raise ProviderUnusableError(problem)
            from actors.worker.providers.openai_client import OpenAIClient  # noqa: PLC0415 - an extra need not be there

            return OpenAIClient(config, api_key=_key(config), connections=connections)


def provider_problems(job: Job) -> Iterator[Problem]:
    """Yield what keeps clients from being made for the providers that `job` uses; makes none.

    Users' classes are found and judged, not made: whether their `__init__` works is seen when it runs. Call
    it after the job's functions are found, so that both share the modules beside the job file.
    """
    used = {provider for model in job.models.values() for provider in model.served_by}
    for name, config in job.providers.items():
        if name not in used:
            continue
        if isinstance(config, OpenAIProvider):
            yield from _of_openai(config, f"providers.{name}")
        elif isinstance(config, PythonProvider):
            functions = FunctionTable.newest(job.base_dir)
            found = own_client.find_class(config, f"providers.{name}", functions)
            if isinstance(found, Problem):
                yield found


def _of_openai(config: OpenAIProvider, path: str) -> Iterator[Problem]:
    if any(importlib.util.find_spec(package) is None for package in _OPENAI_NEEDS):
        yield Problem(f"{path}.kind", "'openai' needs an extra", "pip install 'leasehold[openai]'")
    place, variable, key = f"{path}.api_key_env", config.api_key_env, _key(config)
    if variable is None:
        if config.base_url is None:
            remedy = "name the environment variable that holds the key, or give a base_url"
            yield Problem(
                place, "is missing: OpenAI's own endpoint wants a key", remedy, (f"{path}.base_url",)
            )
    elif not variable.isidentifier():
        return  # it may well be the key itself, which must not be repeated: planning tells that
    elif not key:
        remedy = "set it, or leave api_key_env out for a server without keys"
        yield Problem(place, f"there is no environment variable {variable!r}, or it is empty", remedy)
    elif not (key.isascii() and key.isprintable() and " " not in key):
        what = f"what the environment variable {variable!r} holds cannot be sent as a key"
        yield Problem(place, what, "expected letters, digits and signs, without spaces and line ends")


def _key(config: OpenAIProvider) -> str | None:
    return os.environ.get(config.api_key_env, "").strip() if config.api_key_env is not None else None
