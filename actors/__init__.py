"""Leasehold's actors, and the system that runs them in your process.

from actors import ActorSystem
from messages import Job

`ProviderClient` and its neighbours are for a provider client of your own.
"""

from actors.system.handle import JobHandle
from actors.system.system import ActorSystem
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
    "ProviderClient",
    "ProviderError",
    "Usage",
    "request_sent",
]
