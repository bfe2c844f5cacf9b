"""From an exception to a task's outcome: what may pass, and what never will (R4, R5)."""

from __future__ import annotations

from actors.generators import GeneratorError
from actors.worker.providers.base import ProviderError
from messages.tasks import RequestResourceKey, TaskError, TaskOutcome

_TEXT_LIMIT = 2_000


class RequestFailedError(Exception):
    """A model call did not give a reply. `kind` is a request outcome or denial kind.

    `status` is the HTTP status where there was one, `resource` the one that was asked where one was, and
    `detail` what the message says without the model's name.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retryable: bool,
        retry_after_seconds: float | None = None,
        status: int | None = None,
        resource: RequestResourceKey | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        self.status = status
        self.resource = resource
        self.detail = detail or message


class ModelCallRefusedError(Exception):
    """A model call that may not be made: its task has ended, or the job has no such model."""


def outcome_of(error: BaseException) -> TaskOutcome:
    """Return the outcome of a task whose generator raised `error`.

    A group of nothing but failures that keep a kind of their own, as task groups make one, is its first.
    """
    error = _first_of_a_kind(error)
    causes = _told(error)
    if isinstance(error, RequestFailedError):
        found = TaskError(error.kind, str(error), causes, error.retry_after_seconds)
        return TaskOutcome("retryable_failure" if error.retryable else "non_retryable_failure", error=found)
    if isinstance(error, GeneratorError):
        return TaskOutcome("non_retryable_failure", error=TaskError(error.kind, error.message, causes))
    return TaskOutcome("non_retryable_failure", error=TaskError("user_exception", describe(error), causes))


def timed_out(seconds: float) -> TaskOutcome:
    """Return the outcome of a task that took longer than its column allows."""
    error = TaskError("task_timeout", f"did not end within {seconds:g} s (timeout_seconds)")
    return TaskOutcome("non_retryable_failure", error=error)


def describe(error: BaseException) -> str:
    """Return an exception as one bounded text that can be encoded, whatever its own text does."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - a user's exception may fail to describe itself, by any means
        text = "(its text cannot be made)"
    found = f"{type(error).__name__}: {text}"[:_TEXT_LIMIT] if text else type(error).__name__
    return found if found.isascii() else found.encode(errors="backslashreplace").decode()[:_TEXT_LIMIT]


def _first_of_a_kind(error: BaseException) -> BaseException:
    """Return the first failure of a group of model calls' failures, and any other error as it is."""
    first: BaseException | None = None
    pending = [error]
    while pending:
        found = pending.pop()
        # By its very type: a user's own group may do anything when it is asked for what it holds.
        if type(found) is ExceptionGroup or type(found) is BaseExceptionGroup:
            pending += reversed(found.exceptions)
        elif isinstance(found, RequestFailedError | GeneratorError):
            first = found if first is None else first
        else:
            return error
    return error if first is None else first


def _told(error: BaseException) -> tuple[str, ...]:
    """Return what led to `error` as text. What lies behind a model call may hold a key or a reply.

    So nothing is told of that but what the client itself has put into words, and the types of the rest.
    """
    told: list[str] = []
    behind_call = isinstance(error, RequestFailedError)
    for cause in _chain(error):
        private = behind_call and not isinstance(cause, ProviderError)
        told.append(type(cause).__name__ if private else describe(cause))
        behind_call = behind_call or isinstance(cause, RequestFailedError)
    return tuple(told)


def _chain(error: BaseException) -> list[BaseException]:
    """Return what led to `error`, nearest first, at most ten."""
    found: list[BaseException] = []
    cause = _cause(error)
    # By identity: a user's exception may raise on being compared, or asked whether it is true.
    while cause is not None and all(cause is not known for known in found) and len(found) < 10:
        found.append(cause)
        cause = _cause(cause)
    return found


def _cause(error: BaseException) -> BaseException | None:
    return error.__context__ if error.__cause__ is None else error.__cause__
