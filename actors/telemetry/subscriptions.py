"""Who wants to be told of which events, and what has gathered for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from messages._base import ActorName, Outgoing
from messages.telemetry import Event, EventKind, EventsPublished, SequencedEvent, StreamName

PUBLISH_EVENTS: Final = 4096
"""So many events are sent on without waiting for a quiet moment."""


class Subscriptions:
    """Owns the subscribers and their events not yet sent. An address subscribes once: the last one holds."""

    def __init__(self) -> None:
        self._kinds: dict[ActorName, frozenset[str]] = {}
        self._gathered: dict[ActorName, list[SequencedEvent]] = {}
        self._count = 0

    def __bool__(self) -> bool:
        """Return whether there is anyone to tell."""
        return bool(self._kinds)

    @property
    def overdue(self) -> bool:
        """Whether so much has gathered that it should be sent now."""
        return self._count >= PUBLISH_EVENTS

    def add(self, subscriber: ActorName, kinds: Sequence[EventKind]) -> None:
        """Gather events of `kinds` (none given: all) for `subscriber` from now on."""
        if subscriber:
            self._kinds[subscriber] = frozenset(kinds)

    def remove(self, subscriber: ActorName) -> None:
        """Forget a subscriber and what has gathered for it; an unknown one too."""
        self._kinds.pop(subscriber, None)
        self._gathered.pop(subscriber, None)

    def gather(self, stream: StreamName, first_sequence: int, events: Sequence[Event]) -> None:
        """Keep these events for whoever wants them."""
        placed = [
            SequencedEvent(stream, sequence, event) for sequence, event in enumerate(events, first_sequence)
        ]
        for subscriber, kinds in self._kinds.items():
            wanted = [one for one in placed if one.event.event_kind in kinds] if kinds else placed
            if wanted:
                self._gathered.setdefault(subscriber, []).extend(wanted)
                self._count += len(wanted)

    def publish(self) -> list[Outgoing]:
        """Return what has gathered, one message per subscriber, and start anew."""
        if not self._gathered:
            return []
        outgoing = [Outgoing(to, EventsPublished(events)) for to, events in self._gathered.items()]
        self._gathered = {}
        self._count = 0
        return outgoing
