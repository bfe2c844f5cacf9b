"""A mailbox in an actor's place: keeps what arrives, and sends what a person or a test decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, overload

from actors.harness.transcript import Transcript
from messages._base import ActorName, Message

M = TypeVar("M", bound=Message)


class Stage(Protocol):
    """What a probe needs of the harness that it belongs to."""

    @property
    def transcript(self) -> Transcript:
        """Everything that was delivered."""
        ...

    def send(self, to: ActorName, message: Message, *, sender: ActorName | None = None) -> None:
        """Send a message in somebody's name."""
        ...

    def expect(
        self,
        receiver: ActorName | None,
        match: Any,
        *,
        where: Callable[[Any], bool] | None = None,
        timeout: float = 5.0,
        sender: ActorName | None = None,
    ) -> Any:
        """Wait for a message."""
        ...


class Probe:
    """An address of its own in a harness: an actor that was not started, or the harness's client."""

    def __init__(self, harness: Stage, name: ActorName) -> None:
        self._harness = harness
        self.name = name

    def send(self, to: ActorName, message: Message) -> None:
        """Send `message` in this one's name. A query without `reply_to` is answered here."""
        self._harness.send(to, message, sender=self.name)

    @property
    def received(self) -> tuple[Message, ...]:
        """What has arrived so far, in order."""
        return self._harness.transcript.received(self.name)

    @overload
    def expect(
        self,
        match: type[M],
        *,
        where: Callable[[M], bool] | None = None,
        timeout: float = 5.0,
        sender: ActorName | None = None,
    ) -> M: ...

    @overload
    def expect(
        self,
        match: Callable[[Any], bool],
        *,
        where: Callable[[Any], bool] | None = None,
        timeout: float = 5.0,
        sender: ActorName | None = None,
    ) -> Message: ...

    def expect(
        self,
        match: Any,
        *,
        where: Callable[[Any], bool] | None = None,
        timeout: float = 5.0,
        sender: ActorName | None = None,
    ) -> Message:
        """Return the next message here that matches. As `Harness.expect`, with this as the receiver."""
        found: Message = self._harness.expect(self.name, match, where=where, timeout=timeout, sender=sender)
        return found
