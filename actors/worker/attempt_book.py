"""What is written down of attempts: their events, and per model how they ended and what they used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from messages.request_admission import RequestEventContext, RequestLease, RequestOutcome
from messages.scheduler import ModelUsage
from messages.telemetry import Event, EventKind


class _Account:
    """One alias's attempts so far."""

    __slots__ = ("input_tokens", "outcomes", "output_tokens")

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.input_tokens = 0
        self.output_tokens = 0


class AttemptBook:
    """Tells every attempt, and counts those of tasks by alias: asking after a provider's health is no use."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._events: list[Event] = []
        self._accounts: dict[str, _Account] = {}
        self._in_flight: dict[int, str | None] = {}
        """The alias by attempt; None for one that is no task's."""

    @property
    def in_flight(self) -> int:
        """How many attempts have begun under a lease and are not over."""
        return len(self._in_flight)

    def started(self, alias: str, lease: RequestLease, context: RequestEventContext) -> None:
        """Note an attempt whose lease has come."""
        self._in_flight[context.request_attempt_id] = alias if context.correlation is not None else None
        self._record("model_request_started", lease, context)

    def completed(
        self,
        lease: RequestLease,
        context: RequestEventContext,
        outcome: RequestOutcome,
        connection_seconds: float | None,
    ) -> None:
        """Note how an attempt ended; `connection_seconds` is what it waited for a connection, if known."""
        alias = self._in_flight.pop(context.request_attempt_id)
        if alias is not None:
            account = self._accounts.setdefault(alias, _Account())
            account.outcomes[outcome.kind] += 1
            account.input_tokens += outcome.input_tokens or 0
            account.output_tokens += outcome.output_tokens or 0
        numbers = {
            "connection_seconds": connection_seconds,
            "input_tokens": outcome.input_tokens,
            "output_tokens": outcome.output_tokens,
        }
        known = {name: number for name, number in numbers.items() if number is not None}
        self._record("model_request_completed", lease, context, outcome.kind, known)

    def take_events(self) -> list[Event]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events

    def usage(self) -> dict[str, ModelUsage]:
        """Return the attempts per alias, by how they ended, and the tokens that providers counted."""
        return {
            alias: ModelUsage(
                attempts=account.outcomes.total(),
                outcomes=dict(account.outcomes),
                input_tokens=account.input_tokens,
                output_tokens=account.output_tokens,
            )
            for alias, account in sorted(self._accounts.items())
        }

    def reset(self) -> None:
        """Start counting anew, for the next job."""
        self._accounts.clear()

    def take_over(self, lost: AttemptBook) -> None:
        """Go on counting where a lost worker's book was; what it had begun and not heard of is over."""
        self._accounts, lost._accounts = lost._accounts, {}
        for alias in lost._in_flight.values():
            if alias is not None:
                self._accounts.setdefault(alias, _Account()).outcomes["local_cancelled"] += 1

    def _record(
        self,
        kind: EventKind,
        lease: RequestLease,
        context: RequestEventContext,
        outcome: str = "",
        numbers: dict[str, float | int] | None = None,
    ) -> None:
        self._events.append(
            Event(
                kind,
                self._now(),
                context.correlation,
                request_lease_id=lease.lease_id,
                request_attempt_id=context.request_attempt_id,
                resource=lease.resource.name,
                reason_or_outcome=outcome,
                diagnostics=numbers or None,
            )
        )
