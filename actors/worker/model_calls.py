"""A job's models as its generators call them: aliases resolved, every attempt under its task's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from actors.generators import Turn
from actors.planning import RequestResourceResolver
from actors.worker.executor import ModelRequestExecutor
from actors.worker.failures import ModelCallRefusedError
from actors.worker.providers.base import (
    ChatMessage,
    ChatRequest,
    EmbeddingRequest,
    ImageRequest,
    ProviderClient,
)
from actors.worker.providers.registry import make_client
from messages.job import Job
from messages.tasks import RequestResourceKey, RuntimeCorrelation


class _Binding(NamedTuple):
    """One alias, ready to be called."""

    alias: str
    client: ProviderClient
    model: str
    chat: RequestResourceKey
    embedding: RequestResourceKey
    image: RequestResourceKey
    timeout_seconds: float
    queue_timeout_seconds: float | None


class JobModels:
    """The models of one job and the provider clients behind them."""

    def __init__(self, job: Job, executor: ModelRequestExecutor) -> None:
        self._executor = executor
        resolver = RequestResourceResolver(job)
        used = {provider for model in job.models.values() for provider in model.served_by}
        self._clients = {name: make_client(config) for name, config in job.providers.items() if name in used}
        self._bindings = {
            alias: _Binding(
                alias,
                self._clients[model.served_by[0]],
                model.model,
                resolver.resolve(alias, "chat"),
                resolver.resolve(alias, "embedding"),
                resolver.resolve(alias, "image"),
                model.timeout_seconds,
                model.queue_timeout_seconds,
            )
            for alias, model in job.models.items()
        }

    def calls_of(self, correlation: RuntimeCorrelation) -> TaskModelCalls:
        """Return the models as one task execution calls them."""
        return TaskModelCalls(self._bindings, self._executor, correlation)

    async def close(self) -> None:
        """Let go of the clients' connections."""
        for client in self._clients.values():
            await client.close()


class TaskModelCalls:
    """`ModelCalls` for one task execution. `answered` counts the calls that brought a reply."""

    __slots__ = ("_bindings", "_correlation", "_ended", "_executor", "answered")

    def __init__(
        self,
        bindings: dict[str, _Binding],
        executor: ModelRequestExecutor,
        correlation: RuntimeCorrelation,
    ) -> None:
        self._bindings = bindings
        self._executor = executor
        self._correlation = correlation
        self._ended = False
        self.answered = 0

    def end(self) -> None:
        """The task is over: refuse every call from now on."""
        self._ended = True

    def _binding(self, alias: str) -> _Binding:
        if self._ended:
            raise ModelCallRefusedError("the task that this model call belongs to has ended")
        return self._bindings[alias]

    async def chat(
        self,
        *,
        model: str,
        messages: Sequence[Turn],
        seed: int,
        output_schema: dict[str, Any] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the model's reply to the last of `messages`."""
        binding = self._binding(model)
        request = ChatRequest(
            model=binding.model,
            messages=tuple(ChatMessage(role, content) for role, content in messages),
            seed=seed,
            parameters=parameters or {},
            output_schema=output_schema,
        )
        reply = await self._executor.execute_attempt(
            lambda: binding.client.chat(request),
            alias=binding.alias,
            resource=binding.chat,
            correlation=self._correlation,
            timeout_seconds=binding.timeout_seconds,
            queue_timeout_seconds=binding.queue_timeout_seconds,
        )
        self.answered += 1
        return reply.text

    async def embed(
        self,
        *,
        model: str,
        input: str,  # noqa: A002 - its name
        seed: int,
        parameters: dict[str, Any] | None = None,
    ) -> list[float]:
        """Return the model's embedding of `input`."""
        binding = self._binding(model)
        request = EmbeddingRequest(model=binding.model, text=input, seed=seed, parameters=parameters or {})
        reply = await self._executor.execute_attempt(
            lambda: binding.client.embed(request),
            alias=binding.alias,
            resource=binding.embedding,
            correlation=self._correlation,
            timeout_seconds=binding.timeout_seconds,
            queue_timeout_seconds=binding.queue_timeout_seconds,
        )
        self.answered += 1
        return reply.vector

    async def image(
        self,
        *,
        model: str,
        prompt: str,
        seed: int,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the model's picture of `prompt`: in base64, or where it can be fetched."""
        binding = self._binding(model)
        request = ImageRequest(model=binding.model, prompt=prompt, seed=seed, parameters=parameters or {})
        reply = await self._executor.execute_attempt(
            lambda: binding.client.image(request),
            alias=binding.alias,
            resource=binding.image,
            correlation=self._correlation,
            timeout_seconds=binding.timeout_seconds,
            queue_timeout_seconds=binding.queue_timeout_seconds,
        )
        self.answered += 1
        return reply.base64 or reply.url or ""
