"""The one place where a job's aliases become the canonical keys of what is asked of providers."""

from __future__ import annotations

from messages.job import Job, ModelConfig
from messages.request_admission import ProviderModelKey, RequestResourceSpec
from messages.tasks import RequestResourceKey


class RequestResourceResolver:
    """Resolves aliases of one job. Aliases of one provider's model share its caps (A10).

    An endpoint's static cap is the least of all its aliases' caps; `caps_of` keeps each one.
    """

    def __init__(self, job: Job) -> None:
        self._models = job.models
        self._caps: dict[ProviderModelKey, dict[str, int]] = {}
        for alias, model in job.models.items():
            self._caps.setdefault(_endpoint(model), {})[alias] = model.max_parallel_requests

    def resolve(self, alias: str, domain: str) -> RequestResourceKey:
        """Return what a call of `domain` to the model `alias` asks for.

        Raises:
            KeyError: the job has no such model.
        """
        model = self._models[alias]
        return RequestResourceKey(model.served_by[0], model.model, domain)

    def endpoint(self, alias: str) -> ProviderModelKey:
        """Return the provider's model that `alias` stands for; KeyError where there is none."""
        return _endpoint(self._models[alias])

    def knows(self, endpoint: ProviderModelKey) -> bool:
        """Return whether any alias of the job stands for this provider's model."""
        return endpoint in self._caps

    def endpoints(self) -> tuple[ProviderModelKey, ...]:
        """Return every endpoint that an alias stands for, in the job's order."""
        return tuple(self._caps)

    def static_cap(self, endpoint: ProviderModelKey) -> int:
        """Return the endpoint's cap, at least 1; KeyError where no alias stands for it."""
        return max(1, min(self._caps[endpoint].values()))

    def spec(self, resource: RequestResourceKey) -> RequestResourceSpec:
        """Return the resource as request admission registers it; KeyError as `static_cap`."""
        endpoint = ProviderModelKey(resource.provider, resource.model_id)
        caps = self._caps[endpoint]
        return RequestResourceSpec(
            resource=resource,
            static_cap=self.static_cap(endpoint),
            aliases=tuple(caps),
            raw_caps=dict(caps),
        )

    def warnings(self) -> list[str]:
        """Return a line for every endpoint whose aliases disagree about its cap."""
        return [
            f"{endpoint.name}: its aliases have different caps "
            f"({', '.join(f'{alias} {cap}' for alias, cap in caps.items())}); "
            f"the least, {min(caps.values())}, holds for all of them"
            for endpoint, caps in self._caps.items()
            if len(set(caps.values())) > 1
        ]


def _endpoint(model: ModelConfig) -> ProviderModelKey:
    return ProviderModelKey(model.served_by[0], model.model)
