"""Names to mailboxes: how a message gets from one actor to another.

Cores speak names. The router knows what each name stands for at the moment: an actor, a probe, or
the reply address of a client outside the actor system.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self, TypeAlias

from messages import codec
from messages._base import ActorName, Message

Deliver: TypeAlias = Callable[[list[Message]], bool]
"""Take messages, in order; return False if whoever should get them is gone."""

_SLICE_SECONDS = 0.2
"""How long a client waits at the most without letting its signal handlers run."""

Tap: TypeAlias = Callable[[ActorName, ActorName, Message], None]
"""Called with (sender, receiver, message) for every delivery, in the sender's thread."""


class UnreachableError(RuntimeError):
    """Nobody takes messages at an address: its actor was never started, or the system has stopped."""


class Router:
    """Delivers messages by name. Messages between two actors keep their order.

    With `serialize`, every message crosses as msgpack: nothing mutable is shared, and what cannot be
    encoded fails at the sender.
    """

    def __init__(self, *, serialize: bool = False) -> None:
        self._serialize = serialize
        self._destinations: dict[ActorName, Deliver] = {}
        self._taps: tuple[Tap, ...] = ()
        self._client_numbers = itertools.count(1)
        self._boxes: set[ReplyBox] = set()
        self._closed = False
        self._lock = threading.Lock()
        self.dead_letters: Counter[ActorName] = Counter()
        self.on_dead_letters: Callable[[ActorName, ActorName, Sequence[Message]], None] | None = None

    def register(self, name: ActorName, deliver: Deliver) -> None:
        """Make `name` stand for `deliver` from now on."""
        self._destinations[name] = deliver

    def unregister(self, name: ActorName) -> None:
        """Forget `name`; what is sent to it from now on is a dead letter."""
        self._destinations.pop(name, None)

    def names(self) -> tuple[ActorName, ...]:
        """Return the actors and probes that can be reached."""
        clients = {box.address for box in self._boxes}
        return tuple(name for name in tuple(self._destinations) if name not in clients)

    def add_tap(self, tap: Tap) -> None:
        """Show every delivery to `tap` too."""
        with self._lock:
            self._taps = (*self._taps, tap)

    def send(self, sender: ActorName, to: ActorName, messages: list[Message]) -> bool:
        """Deliver `messages`, in order, as one mailbox entry; return whether anybody took them.

        Never raises because `to` is gone: then they are dead letters.
        """
        if self._serialize:
            messages = [codec.unpack(codec.pack(message)) for message in messages]
        for tap in self._taps:
            for message in messages:
                tap(sender, to, message)
        deliver = self._destinations.get(to)
        if deliver is not None and deliver(messages):
            return True
        with self._lock:
            self.dead_letters[to] += len(messages)
        if self.on_dead_letters is not None:
            self.on_dead_letters(sender, to, messages)
        return False

    def open_reply_box(
        self, *, most: int | None = None, weigh: Callable[[Message], int] = lambda _: 1
    ) -> ReplyBox:
        """Return a new address for a client outside the actors; `most` and `weigh` as in `ReplyBox`."""
        box = ReplyBox(self, f"client-{next(self._client_numbers)}", most=most, weigh=weigh)
        with self._lock:
            self._boxes.add(box)
            closed = self._closed
        if closed:
            box.end()
        return box

    def forget_reply_box(self, box: ReplyBox) -> None:
        """Make what is still sent to `box` dead letters."""
        self.unregister(box.address)
        with self._lock:
            self._boxes.discard(box)

    def close(self) -> None:
        """Say that no actor answers any more: clients do not wait for ever. Harmless a second time."""
        with self._lock:
            self._closed = True
            boxes = list(self._boxes)
        for box in boxes:
            box.end()


class ReplyBox:
    """A client's mailbox. Use as a context manager: its address ends with the block.

    With `most`, messages that would make what waits heavier than that are refused, and their weight counted.
    """

    def __init__(
        self,
        router: Router,
        address: ActorName,
        *,
        most: int | None = None,
        weigh: Callable[[Message], int] = lambda _: 1,
    ) -> None:
        self._router = router
        self.address = address
        self.refused = 0
        self._most = most
        self._weigh = weigh
        self._taken = self._read = 0
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        router.register(address, self._deliver)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _deliver(self, messages: list[Message]) -> bool:
        for message in messages:
            if self._most is not None:
                weight = self._weigh(message)
                if self._taken + weight - self._read > self._most:
                    self.refused += weight
                    continue
                self._taken += weight
            self._messages.put(message)
        return True

    def get(self, timeout: float | None = None) -> Message:
        """Return the next message.

        Raises:
            TimeoutError: none came within `timeout` seconds.
            UnreachableError: none will come: the system has stopped.
        """
        message = self._next(timeout)
        if message is None:
            self.end()  # whoever asks next is to hear it too
            raise UnreachableError(f"no message will come for {self.address}: the actor system has stopped")
        if self._most is not None:
            self._read += self._weigh(message)
        return message

    def _next(self, timeout: float | None) -> Message | None:
        """Wait in slices: a signal that comes just before a wait is only noticed once that is over."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _SLICE_SECONDS if until is None else until - time.monotonic()
            try:
                return self._messages.get(timeout=max(0.0, min(left, _SLICE_SECONDS)))
            except queue.Empty:
                if left <= _SLICE_SECONDS and until is not None:
                    raise TimeoutError(f"no message for {self.address} within {timeout} s") from None

    def end(self) -> None:
        """Let `get` raise once everything that has come was read."""
        self._messages.put(None)

    def close(self) -> None:
        """Give the address up; what is still sent to it is a dead letter."""
        self._router.forget_reply_box(self)
