"""A filtered stream of events for somebody outside the actors."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import msgspec

from actors.runtime.client import Client
from actors.runtime.router import UnreachableError
from messages._base import TELEMETRY
from messages.telemetry import EventsPublished, SequencedEvent, Subscribe, Unsubscribe

MOST_HELD: Final = 100_000
"""Events that wait for a reader who does not read. What comes then is left out, and counted."""


class Subscription:
    """Events as they happen: iterate, or `get` what has come. Use as a context manager.

    Iterating ends when the system stops. `missed` is how many events were left out because the reader was
    too slow to take them (O6).
    """

    def __init__(self, client: Client, wanted: Subscribe) -> None:
        self.missed = 0
        self._client = client
        self._wanted = wanted
        self._box = client.reply_box(most=MOST_HELD, weigh=_weight)

    def __enter__(self) -> Self:
        """Subscribe.

        Raises:
            UnreachableError: no telemetry actor runs.
        """
        asked = msgspec.structs.replace(self._wanted, reply_to=self._box.address)
        if not self._client.tell(TELEMETRY, asked):
            self._box.close()
            raise UnreachableError("no telemetry actor runs here: there is nothing to subscribe to")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Subscribe no longer."""
        self._client.tell(TELEMETRY, Unsubscribe(reply_to=self._box.address))
        self._box.close()

    def end(self) -> None:
        """Let `get` raise, in whichever thread it waits, once everything that has come was read."""
        self._box.end()

    def __iter__(self) -> Iterator[SequencedEvent]:
        """Yield events until the system stops."""
        while True:
            try:
                yield from self.get()
            except UnreachableError:
                return

    def get(self, timeout: float | None = None) -> list[SequencedEvent]:
        """Return the next events, in stream order, at least one.

        Raises:
            TimeoutError: none came within `timeout` seconds.
            UnreachableError: none will come: the system has stopped, or the subscription was closed.
        """
        while True:
            message = self._box.get(timeout)
            self.missed = self._box.refused
            if isinstance(message, EventsPublished):
                return message.events


def _weight(message: object) -> int:
    return len(message.events) if isinstance(message, EventsPublished) else 1
