"""Somebody outside the actors who speaks with them: sends messages, and waits for the answers."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actors.runtime.router import ReplyBox, Router, UnreachableError
from messages._base import ActorName, Message, Query
from messages.supervision import ActorSnapshot, GetSnapshot


class Client:
    """Any thread may use it."""

    def __init__(self, router: Router, name: ActorName) -> None:
        self._router = router
        self._name = name

    def tell(self, actor: ActorName, message: Message) -> bool:
        """Send `message` to an actor and return at once: whether there is somebody to take it."""
        return self._router.send(self._name, actor, [message])

    def ask(self, actor: ActorName, query: Query, *, timeout: float = 5.0) -> Message:
        """Send `query` to an actor and return its answer.

        Raises:
            TimeoutError: no answer came within `timeout` seconds.
            UnreachableError: nobody of that name runs here, or the system has stopped.
        """
        with self.reply_box() as box:
            if not self.tell(actor, msgspec.structs.replace(query, reply_to=box.address)):
                running = ", ".join(self._router.names()) or "none: the system has stopped"
                raise UnreachableError(f"no actor {actor!r} runs here; there is {running}")
            return box.get(timeout)

    def snapshot(self, actor: ActorName, *, timeout: float = 5.0) -> ActorSnapshot:
        """Return an actor's snapshot. Raises as `ask`."""
        answer = self.ask(actor, GetSnapshot(), timeout=timeout)
        assert isinstance(answer, ActorSnapshot)
        return answer

    def reply_box(
        self, *, most: int | None = None, weigh: Callable[[Message], int] = lambda _: 1
    ) -> ReplyBox:
        """Return a new address at which answers can be received; `most` and `weigh` as in `ReplyBox`."""
        return self._router.open_reply_box(most=most, weigh=weigh)
