"""Waiting for a message, and saying what came instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from actors.harness.render import render_transcript
from actors.harness.transcript import Delivery, Transcript
from messages._base import ActorName, Message

Match = type[Message] | Callable[[Any], bool]
"""A message class, or a predicate over messages of every class."""


class ExpectationFailed(AssertionError):  # noqa: N818 - says what happened, as test reports show it
    """A message did not come, or one came that should not have.

    `expectation` says what was wanted in one line; `transcript` is what was sent so far, as text.
    """

    def __init__(self, expectation: str, transcript: Transcript) -> None:
        self.expectation = expectation
        self.transcript = render_transcript(transcript.deliveries())
        super().__init__(f"{expectation}\nwhat was sent so far:\n{self.transcript}")


class Expected(NamedTuple):
    """A message that is waited for: what it is, and who sends it to whom (None: anybody)."""

    match: Match
    where: Callable[[Any], bool] | None = None
    sender: ActorName | None = None
    receiver: ActorName | None = None

    def met_by(self, delivery: Delivery) -> bool:
        """Return whether `delivery` is the message."""
        if self.sender not in (None, delivery.sender) or self.receiver not in (None, delivery.receiver):
            return False
        message = delivery.message
        found = isinstance(message, self.match) if isinstance(self.match, type) else self.match(message)
        return bool(found) and (self.where is None or bool(self.where(message)))

    def __str__(self) -> str:
        """Return who is to get what from whom."""
        name = getattr(self.match, "__name__", type(self.match).__name__)
        what = name if isinstance(self.match, type) else f"a message that meets {name}"
        which = "" if self.where is None else f" where {getattr(self.where, '__name__', self.where)}"
        source = "" if self.sender is None else f" from {self.sender}"
        return f"{self.receiver or 'anybody'} gets {what}{which}{source}"


class Expectations:
    """What has been waited for and was found, in one transcript.

    A delivery meets one expectation at most. Meeting one also uses up everything that the same sender
    sent the same receiver before: so expectations about two parties follow their order, which the
    system keeps, and ask nothing about the order between different senders, which it does not.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._used: dict[tuple[ActorName, ActorName], int] = {}

    def meet(self, expected: Expected, *, timeout: float) -> Message:
        """Return the first unused message that is `expected`, waiting for it if need be.

        Raises:
            ExpectationFailed: there was none within `timeout` seconds.
        """
        place = self._transcript.wait(self._wanted(expected), timeout=timeout)
        if place is None:
            raise ExpectationFailed(f"{expected}: not within {timeout:g} s", self._transcript)
        delivery = self._transcript.deliveries(place)[0]
        self._used[delivery.sender, delivery.receiver] = place
        return delivery.message

    def refuse(self, expected: Expected) -> None:
        """Check that no unused message is `expected`; does not wait.

        Raises:
            ExpectationFailed: there is one.
        """
        place = self._transcript.wait(self._wanted(expected))
        if place is not None:
            at = self._transcript.deliveries(place)[0].at
            raise ExpectationFailed(f"{expected}: at {at:.4f}, and should not have", self._transcript)

    def _wanted(self, expected: Expected) -> Callable[[int, Delivery], bool]:
        def wanted(place: int, delivery: Delivery) -> bool:
            unused = place > self._used.get((delivery.sender, delivery.receiver), -1)
            return unused and expected.met_by(delivery)

        return wanted
