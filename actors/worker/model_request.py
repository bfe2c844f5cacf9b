"""What the executor is asked for: one model call, as a value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

import msgspec

from actors.worker.attempt_scope import AttemptScope
from actors.worker.providers.base import ProviderClient
from messages.request_admission import RequestGroupSpec
from messages.tasks import RequestResourceKey, RuntimeCorrelation

T = TypeVar("T")


class ModelRequest(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One model call, however many attempts it takes.

    call: makes it with a provider's client. expects: the type of a reply.
    alias: what the job calls the model. resources: who may serve it, at least one; several are replicas.
    clients and overload_statuses: by provider.
    scope: whose attempts these are. correlation: the task's, None where it is no task's.
    timeout_seconds: bounds the provider's time in one attempt, and the wait for a connection before it.
    queue_timeout_seconds: bounds one wait for a lease; None waits as long as it takes.
    input_tokens, output_tokens: estimates for the budgets (A13); None where there is none.
    retries: how often it is made again after a 5xx or a broken connection.
    """

    call: Callable[[ProviderClient], Awaitable[T]]
    expects: type[T]
    alias: str
    resources: tuple[RequestResourceKey, ...]
    clients: Mapping[str, ProviderClient]
    overload_statuses: Mapping[str, Collection[int]]
    scope: AttemptScope
    correlation: RuntimeCorrelation | None
    group: RequestGroupSpec
    timeout_seconds: float
    queue_timeout_seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    retries: int = 0

    def without(self, refused: RequestResourceKey) -> ModelRequest[T]:
        """Return the same call for the other replicas."""
        left = tuple(resource for resource in self.resources if resource != refused)
        return msgspec.structs.replace(self, resources=left)
