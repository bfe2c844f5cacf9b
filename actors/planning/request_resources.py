"""The one place where a job's aliases become the canonical keys of what is asked of providers."""

from __future__ import annotations

from collections.abc import Iterable

from actors.planning.endpoint_settings import EndpointSettings
from messages.job import Job, Problem, RequestAdmissionTuning
from messages.request_admission import ProviderModelKey, RequestAdmissionConfig, RequestResourceSpec
from messages.tasks import RequestResourceKey

_DEFAULT_TUNING = RequestAdmissionTuning()


class RequestResourceResolver:
    """Resolves aliases of one job. Aliases of one provider's model share its settings (A10).

    An *endpoint* is one provider's model. A *pool* is what serves an alias: its endpoint, or several under
    one name, `one+other/model`. Every endpoint is a pool of its own too.
    """

    def __init__(self, job: Job) -> None:
        self._models = job.models
        self._settings: dict[ProviderModelKey, EndpointSettings] = {}
        self._pools: dict[ProviderModelKey, tuple[ProviderModelKey, ...]] = {}
        self._pool_of: dict[str, ProviderModelKey] = {}
        named: dict[frozenset[ProviderModelKey], ProviderModelKey] = {}
        for alias, model in job.models.items():
            endpoints = self._served_by(alias)
            if not endpoints:
                continue  # reported where it is named
            for endpoint in endpoints:
                self._settings.setdefault(endpoint, EndpointSettings(endpoint)).add(alias, model)
                self._pools[endpoint] = (endpoint,)
            # The same providers in another order are the same pool.
            name = "+".join(endpoint.provider for endpoint in endpoints)
            pool = named.setdefault(frozenset(endpoints), ProviderModelKey(name, model.model))
            self._pools.setdefault(pool, endpoints)
            self._pool_of[alias] = pool

    def route(self, alias: str, domain: str) -> tuple[RequestResourceKey, ...]:
        """Return what a call of `domain` to the model `alias` may ask for: one per provider, in order.

        Raises:
            KeyError: the job has no such model.
        """
        return tuple(_resource(endpoint, domain) for endpoint in self._served_by(alias))

    def pool(self, alias: str) -> ProviderModelKey:
        """Return what serves `alias`, under one name; KeyError where there is no such model."""
        return self._pool_of[alias]

    def endpoints(self, pool: ProviderModelKey) -> tuple[ProviderModelKey, ...]:
        """Return the endpoints of a pool; KeyError where no alias stands for it."""
        return self._pools[pool]

    def knows(self, pool: ProviderModelKey) -> bool:
        """Return whether any alias of the job is served by this."""
        return pool in self._pools

    def pools(self) -> tuple[ProviderModelKey, ...]:
        """Return every pool, in the job's order."""
        return tuple(self._pools)

    def capacity(self, pool: ProviderModelKey) -> int:
        """Return the attempts that a pool takes at once: its endpoints' caps, added. KeyError as above."""
        return sum(self._settings[endpoint].static_cap for endpoint in self._pools[pool])

    def settings(self, endpoint: ProviderModelKey) -> EndpointSettings:
        """Return what the endpoint's aliases come to together; KeyError where no alias stands for it."""
        return self._settings[endpoint]

    def resources(self, pooled: RequestResourceKey) -> tuple[RequestResourceKey, ...]:
        """Return one resource per endpoint of what is asked of a pool; KeyError as `endpoints`."""
        pool = ProviderModelKey(pooled.provider, pooled.model_id)
        return tuple(_resource(endpoint, pooled.domain) for endpoint in self._pools[pool])

    def spec(self, resource: RequestResourceKey) -> RequestResourceSpec:
        """Return an endpoint's resource as request admission registers it; KeyError as `settings`."""
        settings = self._settings[ProviderModelKey(resource.provider, resource.model_id)]
        return RequestResourceSpec(
            resource=resource,
            static_cap=settings.static_cap,
            aliases=tuple(settings.raw_caps),
            raw_caps=settings.raw_caps,
            budgets=settings.budgets,
        )

    def admission(self, resources: Iterable[RequestResourceKey]) -> RequestAdmissionConfig:
        """Return how request admission works for these: of each, what differs from the defaults."""
        initial_limits, clamps, tuning = dict[str, int](), dict[str, int](), {}
        for resource in resources:
            settings = self._settings[ProviderModelKey(resource.provider, resource.model_id)]
            if settings.effective_max != settings.static_cap:
                clamps[resource.name] = settings.effective_max
            # Where none is named the algorithm chooses: `gradient` begins low, the others with all there is.
            if settings.tuning.initial is not None and settings.initial_limit != settings.static_cap:
                initial_limits[resource.name] = settings.initial_limit
            if settings.tuning != _DEFAULT_TUNING:
                tuning[resource.name] = settings.tuning
        return RequestAdmissionConfig(initial_limits, clamps, tuning)

    def warnings(self) -> list[str]:
        """Return a line for everything that the aliases of one endpoint disagree about and is settled."""
        return [warning for settings in self._settings.values() for warning in settings.warnings()]

    def problems(self) -> list[Problem]:
        """Return what the aliases of one endpoint disagree about and cannot be settled, each once."""
        found = {
            problem.path: problem for settings in self._settings.values() for problem in settings.problems()
        }
        return list(found.values())

    def connections(self) -> dict[str, int]:
        """Return how many attempts each provider may have in flight at once, over all of its models."""
        found: dict[str, int] = {}
        for endpoint, settings in self._settings.items():
            found[endpoint.provider] = found.get(endpoint.provider, 0) + settings.static_cap
        return found

    def _served_by(self, alias: str) -> tuple[ProviderModelKey, ...]:
        model = self._models[alias]
        named = (provider for provider in dict.fromkeys(model.served_by) if provider and model.model)
        return tuple(ProviderModelKey(provider, model.model) for provider in named)


def _resource(endpoint: ProviderModelKey, domain: str) -> RequestResourceKey:
    return RequestResourceKey(endpoint.provider, endpoint.model_id, domain)
