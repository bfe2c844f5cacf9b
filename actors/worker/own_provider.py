"""What a provider client of your own is written with; `actors` has all of it."""

from actors.worker.providers.base import (
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
    "ChatMessage",
    "ChatReply",
    "ChatRequest",
    "EmbeddingReply",
    "EmbeddingRequest",
    "ImageReply",
    "ImageRequest",
    "ProviderClient",
    "ProviderError",
    "Usage",
    "request_sent",
]
