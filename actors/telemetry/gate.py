"""What stands before telemetry's mailbox, so that it cannot grow without bound (O6).

While more events wait than telemetry has been able to take, those of low value are left out and counted;
everything else, and every event about a lease, is let in. What was left out is told at its place in the
order, so that the log says where it is thin.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from messages._base import Message
from messages.telemetry import (
    LOW_VALUE_KINDS,
    EventKind,
    RecordEvents,
    RecordLeftOut,
    RecordLog,
    RecordTaskEvents,
)

MOST_WAITING: Final = 100_000
"""Events that wait at the most before low-value ones are left out: some tens of MiB."""

_FACTS: Final[frozenset[type[Message]]] = frozenset(
    {RecordEvents, RecordTaskEvents, RecordLeftOut, RecordLog}
)


class EventGate:
    """Delivers to telemetry. Any thread may call it.

    `taken` tells how many events telemetry has taken since it was started. What holds nothing but facts goes
    by `deliver_facts`, where given: nobody waits for telemetry to have read them.
    """

    def __init__(
        self,
        deliver: Callable[[list[Message]], bool],
        taken: Callable[[], int],
        *,
        deliver_facts: Callable[[list[Message]], bool] | None = None,
        most: int = MOST_WAITING,
    ) -> None:
        self._deliver = deliver
        self._deliver_facts = deliver_facts or deliver
        self._taken = taken
        self._most = most
        self._let_in = 0
        self._lock = threading.Lock()

    def __call__(self, messages: list[Message]) -> bool:
        """Deliver what may be let in; return False if telemetry is gone."""
        events = sum(map(_weight, messages))
        if not events:
            return self._deliver(messages)
        with self._lock:
            if self._let_in + events - self._taken() > self._most:
                messages, events = _thinned(messages)
            self._let_in += events
            # Under the lock in either case: both ways end in the one mailbox, and in this order.
            deliver = self._deliver_facts if all(type(each) in _FACTS for each in messages) else self._deliver
            return deliver(messages)


def _weight(message: Message) -> int:
    if isinstance(message, RecordTaskEvents):
        return len(message.correlations)
    return len(message.events) if isinstance(message, RecordEvents) else 0


def _thinned(messages: list[Message]) -> tuple[list[Message], int]:
    """Return the messages without events of low value, and how many events are left in them."""
    kept: list[Message] = []
    left_out: Counter[EventKind] = Counter()
    for message in messages:
        if isinstance(message, RecordTaskEvents) and message.event_kind in LOW_VALUE_KINDS:
            left_out[message.event_kind] += len(message.correlations)
        elif isinstance(message, RecordEvents):
            events = [event for event in message.events if event.event_kind not in LOW_VALUE_KINDS]
            left_out.update(
                event.event_kind for event in message.events if event.event_kind in LOW_VALUE_KINDS
            )
            if events:
                kept.append(msgspec.structs.replace(message, events=events))
        else:
            kept.append(message)
    if left_out:
        kept.insert(0, RecordLeftOut(dict(left_out)))
    return kept, sum(map(_weight, kept))
