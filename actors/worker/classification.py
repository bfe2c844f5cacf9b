"""How an attempt ended, by what came back from its provider (A11). Pure; trusts nothing of a client's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from actors.worker.providers.base import ProviderError
from messages.request_admission import RequestOutcomeKind

RETRYABLE: frozenset[RequestOutcomeKind] = frozenset(
    {"rate_limited", "provider_failure", "provider_timeout", "local_timeout"}
)
"""Outcomes that may be others the next time (R4)."""

REFUSED_BY_REPLICA = frozenset({401, 403, 404})
"""Statuses that are about this one endpoint: its key, or whether it knows the model."""

_UNAVAILABLE = 503
_TEXT_LIMIT = 500
_LONGEST_WAIT_SECONDS = 1e9


class Finding(NamedTuple):
    """What an exception means; `text` is told to people. `sent` False: nothing has left the process."""

    kind: RequestOutcomeKind
    text: str
    status: int | None = None
    retry_after_seconds: float | None = None
    sent: bool = True


def classify(error: BaseException, overload_statuses: Collection[int]) -> Finding:
    """Return what a provider client's exception means.

    `overload_statuses` are those that mean "too much"; a 503 that says when to come again always does.
    Of an exception that is no `ProviderError` only the type is told: its text may hold anything.
    """
    if not isinstance(error, ProviderError):
        return Finding("unexpected_exception", f"the provider client raised {type(error).__name__}")
    status, wait = _count(error.status), _seconds(error.retry_after_seconds)
    text, sent = _text(error), error.sent is not False
    if status in overload_statuses or (status == _UNAVAILABLE and wait is not None):
        return Finding("rate_limited", text, status, wait, sent)
    if status is None or status >= 500:
        return Finding("provider_failure", text, status, wait, sent)
    return Finding("unexpected_exception", text, status, None, sent)


def tokens_of(reply: object) -> tuple[int | None, int | None]:
    """Return the input and output tokens that a reply was billed for, as far as it says."""
    usage = getattr(reply, "usage", None)
    return _count(getattr(usage, "input_tokens", None)), _count(getattr(usage, "output_tokens", None))


def _text(error: ProviderError) -> str:
    try:
        return str(error)[:_TEXT_LIMIT] or type(error).__name__
    except Exception:  # noqa: BLE001 - a client's exception may fail to describe itself, by any means
        return type(error).__name__


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 <= value < _LONGEST_WAIT_SECONDS else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
