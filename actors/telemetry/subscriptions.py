"""Who wants to be told of which events, and what has gathered for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from messages._base import ActorName, Outgoing
from messages.telemetry import Event, EventsPublished, SequencedEvent, StreamName, Subscribe

PUBLISH_EVENTS: Final = 4096
"""So many events are sent on without waiting for a quiet moment."""


class _Filter:
    """What one subscriber wants. An empty part lets everything through."""

    __slots__ = ("columns", "kinds", "resources", "streams")

    def __init__(self, wanted: Subscribe) -> None:
        self.kinds = frozenset(wanted.kinds)
        self.streams = frozenset(wanted.streams)
        self.columns = frozenset(wanted.columns)
        self.resources = frozenset(wanted.resources)

    def wants(self, stream: StreamName, event: Event) -> bool:
        """Return whether an event passes every part."""
        if self.kinds and event.event_kind not in self.kinds:
            return False
        if self.streams and stream not in self.streams:
            return False
        if self.resources and event.resource not in self.resources:
            return False
        if not self.columns:
            return True
        return event.correlation is not None and event.correlation.task_column in self.columns


class Subscriptions:
    """Owns the subscribers and their events not yet sent. An address subscribes once: the last one holds."""

    def __init__(self) -> None:
        self._filters: dict[ActorName, _Filter] = {}
        self._gathered: dict[ActorName, list[SequencedEvent]] = {}
        self._count = 0
        self._kinds: frozenset[str] | None = frozenset()

    @property
    def overdue(self) -> bool:
        """Whether so much has gathered that it should be sent now."""
        return self._count >= PUBLISH_EVENTS

    def wants(self, kind: str) -> bool:
        """Return whether anyone may want an event of this kind: most kinds, nobody does."""
        return self._kinds is None or kind in self._kinds

    def add(self, wanted: Subscribe) -> None:
        """Gather for `reply_to` from now on what its filters let through."""
        if wanted.reply_to:
            self._filters[wanted.reply_to] = _Filter(wanted)
            self._subscribers_changed()

    def remove(self, subscriber: ActorName) -> None:
        """Forget a subscriber and what has gathered for it; an unknown one too."""
        self._filters.pop(subscriber, None)
        self._gathered.pop(subscriber, None)
        self._subscribers_changed()

    def gather(self, stream: StreamName, first_sequence: int, events: Sequence[Event]) -> None:
        """Keep these events for whoever wants them."""
        for subscriber, wanted in self._filters.items():
            found = [
                SequencedEvent(stream, sequence, event)
                for sequence, event in enumerate(events, first_sequence)
                if wanted.wants(stream, event)
            ]
            if found:
                self._gathered.setdefault(subscriber, []).extend(found)
                self._count += len(found)

    def publish(self) -> list[Outgoing]:
        """Return what has gathered, one message per subscriber, and start anew."""
        if not self._gathered:
            return []
        outgoing = [Outgoing(to, EventsPublished(events)) for to, events in self._gathered.items()]
        self._gathered = {}
        self._count = 0
        return outgoing

    def _subscribers_changed(self) -> None:
        filters = self._filters.values()
        everything = any(not wanted.kinds for wanted in filters)
        self._kinds = None if everything else frozenset().union(*(wanted.kinds for wanted in filters))
