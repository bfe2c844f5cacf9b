"""A job's models as its generators call them: aliases resolved, every attempt under its task's name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from actors.generators import Turn
from actors.planning import RequestResourceResolver, connections_of
from actors.worker.attempt_scope import AttemptScope
from actors.worker.executor import ModelRequestExecutor
from actors.worker.failures import ModelCallRefusedError, RequestFailedError
from actors.worker.job_clock import JobClock
from actors.worker.kept_answers import Answers
from actors.worker.model_request import ModelRequest
from actors.worker.probing import Health, HealthCheck
from actors.worker.providers.base import (
    ChatMessage,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    ImageReply,
    ImageRequest,
    ProviderClient,
)
from actors.worker.providers.registry import client_of
from messages.hints import possible
from messages.job import Job, ModelConfig
from messages.request_admission import RequestDomain, RequestGroupSpec
from messages.tasks import KeptAnswer, RequestResourceKey, RuntimeCorrelation

T = TypeVar("T")

_DOMAINS: tuple[RequestDomain, ...] = ("chat", "embedding", "image")
_CHARACTERS_PER_TOKEN = 4
_OUTPUT_BOUNDS = ("max_completion_tokens", "max_tokens")


class _Binding(NamedTuple):
    """One alias, ready to be called."""

    alias: str
    model: ModelConfig
    routes: dict[RequestDomain, tuple[RequestResourceKey, ...]]
    clients: Mapping[str, ProviderClient]
    overload_statuses: Mapping[str, Collection[int]]
    retries: int


class JobModels:
    """The models of one job and the provider clients behind them.

    Raises:
        ProviderUnusableError: a client cannot be made.
    """

    def __init__(self, job: Job, executor: ModelRequestExecutor, clock: JobClock) -> None:
        self._job = job
        self._executor = executor
        self._clock = clock
        self._resolver = resolver = RequestResourceResolver(job)
        self._clients = {
            provider: client_of(job, provider, elapsed=clock.elapsed, connections=connections)
            for provider, connections in connections_of(job).items()
        }
        statuses = {name: frozenset(job.providers[name].overload_statuses) for name in self._clients}
        self._bindings = {
            alias: _Binding(
                alias,
                model,
                {domain: resolver.route(alias, domain) for domain in _DOMAINS},
                self._clients,
                statuses,
                job.failure.request_retries,
            )
            for alias, model in job.models.items()
        }

    def job_started(self) -> None:
        """Let the job's time begin, which its providers' scripts go by; does nothing the second time."""
        self._clock.start()

    def calls_of(
        self, correlation: RuntimeCorrelation, answers: tuple[KeptAnswer, ...] = ()
    ) -> TaskModelCalls:
        """Return the models as one task execution calls them; `answers` are those of its earlier tries."""
        return TaskModelCalls(self._bindings, self._executor, correlation, Answers(answers))

    async def health(self) -> Health:
        """Ask after every endpoint at once; return what they said, in the order of the job's models."""
        routes = {alias: self._resolver.route(alias, "healthcheck") for alias in self._job.models}
        return await HealthCheck(self._job.providers, self._clients, self._executor).made(routes)

    async def close(self) -> None:
        """Let go of the clients' connections. What a client raises is not told: its work is done."""
        await asyncio.gather(*(client.close() for client in self._clients.values()), return_exceptions=True)


class TaskModelCalls:
    """`ModelCalls` for one task execution. `answered` counts the calls that brought a reply.

    A call that an earlier try of the task was answered is given that answer, and not made again (R14). A
    refusal is told once the calls that are under way have had their answers: it will most likely end the
    task, which would cut them off, and they have been sent and will be billed.
    Calls may be made one after the other or at once, by the task's coroutine or by tasks that it has
    started, until `end`. `is_overdue`, set by who watches the task's time, tells whether that is up.
    """

    __slots__ = ("_answers", "_bindings", "_correlation", "_executor", "_scope", "answered")

    def __init__(
        self,
        bindings: dict[str, _Binding],
        executor: ModelRequestExecutor,
        correlation: RuntimeCorrelation,
        answers: Answers,
    ) -> None:
        self._bindings = bindings
        self._executor = executor
        self._correlation = correlation
        self._answers = answers
        self._scope = AttemptScope()
        self.answered = 0

    def watch(self, is_overdue: Callable[[], bool]) -> None:
        """Take the answer to whether the task's own time is up: what it cuts off is a `local_timeout`."""
        self._scope.is_overdue = is_overdue

    def end(self) -> None:
        """Refuse further calls and give up those under way; their leases are returned before this returns."""
        self._scope.end()

    def kept(self) -> tuple[KeptAnswer, ...]:
        """Return the answers for the task's next try."""
        return self._answers.kept()

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
            model=binding.model.model,
            messages=tuple(ChatMessage(role, content) for role, content in messages),
            seed=seed,
            parameters={**binding.model.parameters, **(parameters or {})},
            output_schema=output_schema,
        )
        reply = await self._made(
            binding,
            "chat",
            request,
            ChatReply,
            lambda client: client.chat(request),
            characters=sum(len(message.content) for message in request.messages),
            output_tokens=_most_output(request.parameters),
        )
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
        request = EmbeddingRequest(
            model=binding.model.model,
            text=input,
            seed=seed,
            parameters={**binding.model.parameters, **(parameters or {})},
        )
        reply = await self._made(
            binding,
            "embedding",
            request,
            EmbeddingReply,
            lambda client: client.embed(request),
            characters=len(input),
            output_tokens=0,
        )
        return list(reply.vector)  # the caller may change it; the answer stays as it was

    async def image(
        self,
        *,
        model: str,
        prompt: str,
        seed: int,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the model's image for `prompt`: in base64, or the address where it can be fetched."""
        binding = self._binding(model)
        request = ImageRequest(
            model=binding.model.model,
            prompt=prompt,
            seed=seed,
            parameters={**binding.model.parameters, **(parameters or {})},
        )
        reply = await self._made(
            binding,
            "image",
            request,
            ImageReply,
            lambda client: client.image(request),
            characters=len(prompt),
            output_tokens=None,
        )
        picture = reply.base64 or reply.url
        if picture is None:
            text = f"model {model}: the reply holds no image"
            raise RequestFailedError("unexpected_exception", text, retryable=False)
        return picture

    def _binding(self, model: str) -> _Binding:
        binding = self._bindings.get(model)
        if binding is None:
            hint = possible(model, self._bindings) or "it has none"
            raise ModelCallRefusedError(f"the job has no model {model!r}; {hint}")
        if self._scope.ended:
            raise ModelCallRefusedError(
                f"model {model} cannot be called: the task that this belongs to has ended (await every "
                "call before the function returns)"
            )
        return binding

    async def _made(
        self,
        binding: _Binding,
        domain: RequestDomain,
        asked: ChatRequest | EmbeddingRequest | ImageRequest,
        expects: type[T],
        call: Callable[[ProviderClient], Awaitable[T]],
        *,
        characters: int,
        output_tokens: int | None,
    ) -> T:
        known = (binding.alias, domain, asked)
        reply = self._answers.take(known, expects)
        if reply is not None:
            self.answered += 1
            return reply
        request = ModelRequest(
            call=call,
            expects=expects,
            alias=binding.alias,
            resources=binding.routes[domain],
            clients=binding.clients,
            overload_statuses=binding.overload_statuses,
            scope=self._scope,
            correlation=self._correlation,
            group=RequestGroupSpec(self._correlation.task_column),
            timeout_seconds=binding.model.timeout_seconds,
            queue_timeout_seconds=binding.model.queue_timeout_seconds,
            input_tokens=-(-characters // _CHARACTERS_PER_TOKEN),
            output_tokens=output_tokens,
            retries=binding.retries,
        )
        try:
            reply = await self._executor.execute(request)
        except RequestFailedError as error:
            if error.retryable:
                await self._scope.until_answered()
            raise
        self._answers.note(known, reply)
        self.answered += 1
        return reply


def _most_output(parameters: dict[str, Any]) -> int | None:
    """Return the most tokens that a reply may have, where the parameters say so."""
    bounds = [parameters[name] for name in _OUTPUT_BOUNDS if type(parameters.get(name)) is int]
    return bounds[0] if bounds else None
