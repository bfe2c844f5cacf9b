"""Everything that was sent in a system, by whom and to whom, as it happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from actors.telemetry.log_codec import events_of
from messages._base import TELEMETRY, ActorName, Message
from messages.telemetry import Event, RecordEvents, RecordTaskEvents


class Delivery(NamedTuple):
    """One message on its way. `at` is run time: seconds since the system started."""

    at: float
    sender: ActorName
    receiver: ActorName
    message: Message


Wanted = Callable[[int, Delivery], bool]
"""Called with a delivery's place in the transcript and the delivery; says whether it is the one."""


class Transcript:
    """Every delivery, in the order of sending. Any thread may write and read.

    What one actor sent another stands in the order in which it arrives. Between different senders the
    order is that of sending; their messages may reach a mailbox the other way round.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._deliveries: list[Delivery] = []
        self._changed = threading.Condition()
        self._hidden: set[ActorName] = set()

    def record(self, sender: ActorName, receiver: ActorName, message: Message) -> None:
        """Append a delivery. Made to be a router's tap."""
        if sender in self._hidden or receiver in self._hidden:
            return
        with self._changed:
            self._deliveries.append(Delivery(self._now(), sender, receiver, message))
            self._changed.notify_all()

    def hide(self, address: ActorName) -> None:
        """Record nothing that `address` sends or receives from now on."""
        self._hidden.add(address)

    def __len__(self) -> int:
        return len(self._deliveries)

    def deliveries(self, start: int = 0) -> tuple[Delivery, ...]:
        """Return the deliveries so far, from place `start`."""
        with self._changed:
            return tuple(self._deliveries[start:])

    def received(self, actor: ActorName) -> tuple[Message, ...]:
        """Return what `actor` was sent so far."""
        return tuple(delivery.message for delivery in self.deliveries() if delivery.receiver == actor)

    def sent(self, actor: ActorName) -> tuple[Message, ...]:
        """Return what `actor` has sent so far."""
        return tuple(delivery.message for delivery in self.deliveries() if delivery.sender == actor)

    def emitted(self, actor: ActorName) -> tuple[Event, ...]:
        """Return the events that `actor` has told telemetry so far, in order."""
        return tuple(
            event
            for delivery in self.deliveries()
            if delivery.sender == actor and delivery.receiver == TELEMETRY
            for event in _events_in(delivery.message)
        )

    def wait(self, wanted: Wanted, *, start: int = 0, timeout: float = 0.0) -> int | None:
        """Return the place of the first delivery from `start` on that is `wanted`.

        None: there was none after `timeout` seconds. `wanted` runs in the caller's thread.
        """
        deadline = time.monotonic() + timeout
        place = start
        while True:
            with self._changed:
                while place >= len(self._deliveries):
                    remaining = deadline - time.monotonic()
                    if remaining <= 0 or not self._changed.wait(remaining):
                        return None
                fresh = self._deliveries[place:]
            for delivery in fresh:
                if wanted(place, delivery):
                    return place
                place += 1


class Subscription:
    """The deliveries of some sender or receiver, one after the other, from when it was made."""

    def __init__(
        self, transcript: Transcript, *, sender: ActorName | None = None, receiver: ActorName | None = None
    ) -> None:
        self._transcript = transcript
        self._sender = sender
        self._receiver = receiver
        self._next = len(transcript)

    def get(self, timeout: float = 5.0) -> Delivery:
        """Return the next delivery.

        Raises:
            TimeoutError: there was none within `timeout` seconds.
        """
        place = self._transcript.wait(self._is_mine, start=self._next, timeout=timeout)
        if place is None:
            parties = f"from {self._sender or 'anybody'} to {self._receiver or 'anybody'}"
            raise TimeoutError(f"no message {parties} within {timeout:g} s")
        self._next = place + 1
        return self._transcript.deliveries(place)[0]

    def _is_mine(self, _place: int, delivery: Delivery) -> bool:
        return self._sender in (None, delivery.sender) and self._receiver in (None, delivery.receiver)


def _events_in(message: Message) -> list[Event]:
    """Return the events that a message tells telemetry of; none for other messages."""
    if isinstance(message, RecordEvents):
        return message.events
    return events_of(message) if isinstance(message, RecordTaskEvents) else []
