"""The answers that one task execution's model calls were given: kept for its next try if it fails (R14).

A call that was answered is paid for. A task of several calls that has to try again, because of the one that
was refused, is given the others' answers as they were; otherwise a limit that lets through fewer calls than
a task makes would have it pay for its first ones again and again, and never end.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeVar

import msgspec

from messages.tasks import KeptAnswer

T = TypeVar("T")

_DIGEST_BYTES = 16
_MOST_LEFT = 64
"""How many answers are kept that a try did not ask for."""

_UNREADABLE = (TypeError, ValueError, RecursionError, msgspec.MsgspecError)
"""What msgspec raises of a request or reply that cannot be written down, or read again."""


class Answers:
    """Starts from the answers of earlier tries. Equal calls share theirs, in the order in which they came."""

    __slots__ = ("_earlier", "_given", "_known")

    def __init__(self, earlier: Iterable[KeptAnswer] = ()) -> None:
        self._earlier: dict[str, list[KeptAnswer]] = {}
        for answer in earlier:
            self._earlier.setdefault(answer.call, []).append(answer)
        self._given: list[KeptAnswer] = []
        self._known: list[tuple[object, object]] = []
        """Calls answered in this try, and their replies: written down when somebody asks for them."""

    def take(self, call: object, expects: type[T]) -> T | None:
        """Return the answer that this call was given before; None where there is none left."""
        name = _name_of(call) if self._earlier else None
        kept = self._earlier.get(name) if name is not None else None
        if not kept:
            return None
        answer = kept.pop(0)
        reply = _read(answer, expects)
        if reply is not None:
            self._given.append(answer)
        return reply

    def note(self, call: object, reply: object) -> None:
        """Keep what a call was answered."""
        self._known.append((call, reply))

    def kept(self) -> tuple[KeptAnswer, ...]:
        """Return the answers for the task's next try: those of this one, and what it did not come to.

        The latter are bounded: the calls of a function that asks something else in every try do not pile up.
        """
        given = self._given + [answer for known in self._known if (answer := _written(*known)) is not None]
        left = [answer for answers in self._earlier.values() for answer in answers]
        return (*left[-_MOST_LEFT:], *given)


def _name_of(call: object) -> str | None:
    """Return what stands for a call; None for one that cannot be written down."""
    try:
        written = msgspec.json.encode(call, order="deterministic")
    except _UNREADABLE:
        return None
    return blake2b(written, digest_size=_DIGEST_BYTES).hexdigest()


def _written(call: object, reply: object) -> KeptAnswer | None:
    name = _name_of(call)
    if name is None:
        return None
    try:
        return KeptAnswer(name, msgspec.msgpack.encode(reply))
    except _UNREADABLE:
        return None


def _read(answer: KeptAnswer, expects: type[T]) -> T | None:
    try:
        return msgspec.msgpack.decode(answer.reply, type=expects)
    except _UNREADABLE:
        return None
