"""Leasehold's actors, and the system that runs them in your process.

from actors import ActorSystem
from messages import Job

`ProviderClient` and its neighbours are for a provider client of your own. `RequestFailedError` and
`ModelCallRefusedError` are what a call raises that a function of yours makes with its `models`.
"""

from actors.system.handle import JobHandle
from actors.system.system import ActorSystem
from actors.worker.failures import ModelCallRefusedError, RequestFailedError
from actors.worker.own_provider import (
    ChatMessage,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    ImageReply,
    ImageRequest,
    ProviderClient,
    ProviderError,
    Usage,
    request_sent,
)

__all__ = [
    "ActorSystem",
    "ChatMessage",
    "ChatReply",
    "ChatRequest",
    "EmbeddingReply",
    "EmbeddingRequest",
    "ImageReply",
    "ImageRequest",
    "JobHandle",
    "ModelCallRefusedError",
    "ProviderClient",
    "ProviderError",
    "RequestFailedError",
    "Usage",
    "request_sent",
]
