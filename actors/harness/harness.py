"""The public harness: a fresh system, or a part of it, in which every message can be seen and made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import msgspec

from actors.harness.expectations import ExpectationFailed, Expectations, Expected
from actors.harness.probe import Probe
from actors.harness.settling import settle
from actors.harness.transcript import Subscription, Transcript
from actors.system.system import ActorSystem
from messages._base import ACTOR_NAMES, ActorName, Message, Query
from messages.hints import possible
from messages.telemetry import Event

M = TypeVar("M", bound=Message)


class Harness:
    """A system of actors, with a `Probe` in the place of each that was not started.

    Owns the system and stops it. `client` is the name under which the harness itself sends and
    receives. Methods may be called from any thread; expectations belong in one.
    """

    def __init__(self, system: ActorSystem, transcript: Transcript, client: ActorName) -> None:
        self.system = system
        self.transcript = transcript
        self.client = client
        self._expectations = Expectations(transcript)
        self._probes: dict[ActorName, Probe] = {}

    @classmethod
    def start(
        cls,
        actors: Iterable[ActorName] = ACTOR_NAMES,
        *,
        serialize_messages: bool = False,
        log: str | os.PathLike[str] | None = None,
        client: ActorName = "harness",
    ) -> Harness:
        """Start `actors`, with probes in the others' places. The other parameters are `ActorSystem.start`'s.

        Raises:
            ValueError: there is no actor of one of these names.
            OSError: the log cannot be written.
        """
        wanted = frozenset((actors,) if isinstance(actors, str) else actors)
        for name in sorted(wanted.difference(ACTOR_NAMES)):
            raise ValueError(f"there is no actor {name!r}; {possible(name, ACTOR_NAMES)}")
        made: list[Harness] = []

        def prepare(system: ActorSystem) -> None:
            harness = cls(system, Transcript(system.clock.now), client)
            system.router.add_tap(harness.transcript.record)
            for name in (*(known for known in ACTOR_NAMES if known not in wanted), client):
                harness._probes[name] = Probe(harness, name)
                system.router.register(name, _take)
            made.append(harness)

        ActorSystem.start(
            log=log, serialize_messages=serialize_messages, actors=wanted, faults=True, prepare=prepare
        )
        return made[0]

    def __enter__(self) -> Self:
        """Return the harness."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the actors, also when the body raised."""
        self.stop()

    def stop(self) -> None:
        """Stop the actors. The transcript stays readable. Harmless a second time."""
        self.system.stop()

    # -- sending -----------------------------------------------------------------------------------

    def send(self, to: ActorName, message: Message, *, sender: ActorName | None = None) -> None:
        """Send `message` to any actor or probe and return at once.

        sender: in whose name; None is the harness's client. A query without `reply_to` is answered to
        its sender.
        """
        sender = sender or self.client
        if isinstance(message, Query) and not message.reply_to:
            message = msgspec.structs.replace(message, reply_to=sender)
        self.system.router.send(sender, to, [message])

    def ask(self, actor: ActorName, query: Query, *, timeout: float = 5.0) -> Message:
        """Send `query` to a started actor and return its answer.

        Raises:
            TimeoutError: no answer came within `timeout` seconds.
            ValueError: a probe stands in the actor's place, and answers nothing of its own accord.
        """
        if actor in self._probes:
            raise ValueError(f"{actor!r} is a probe here and answers nothing; start the actor to ask it")
        return self.system.ask(actor, query, timeout=timeout)

    def probe(self, name: ActorName) -> Probe:
        """Return the probe in an actor's place, or the client's own.

        Raises:
            ValueError: the actor was started, or there is none of that name.
        """
        found = self._probes.get(name)
        if found is None:
            raise ValueError(f"there is no probe {name!r} here; {possible(name, self._probes)}")
        return found

    # -- seeing ------------------------------------------------------------------------------------

    @overload
    def expect(
        self,
        receiver: ActorName | None,
        match: type[M],
        *,
        where: Callable[[M], bool] | None = None,
        timeout: float = 5.0,
        sender: ActorName | None = None,
    ) -> M: ...

    @overload
    def expect(
        self,
        receiver: ActorName | None,
        match: Callable[[Any], bool],
        *,
        where: Callable[[Any], bool] | None = None,
        timeout: float = 5.0,
        sender: ActorName | None = None,
    ) -> Message: ...

    def expect(
        self,
        receiver: ActorName | None,
        match: Any,
        *,
        where: Callable[[Any], bool] | None = None,
        timeout: float = 5.0,
        sender: ActorName | None = None,
    ) -> Message:
        """Return the first message to `receiver` (None: to anybody) that matches, waiting for it.

        match: a message class, or a predicate over all messages. where: a further predicate.

        A message is returned once; it uses up what its sender sent its receiver before it. So two
        expectations about the same two parties are met in order.

        Raises:
            ExpectationFailed: none came within `timeout` seconds; it shows the transcript so far.
        """
        return self._expectations.meet(Expected(match, where, sender, receiver), timeout=timeout)

    def expect_none(
        self,
        receiver: ActorName | None,
        match: Any,
        *,
        where: Callable[[Any], bool] | None = None,
        timeout: float = 5.0,
        sender: ActorName | None = None,
    ) -> None:
        """Check that no further message matches once the actors have settled. Parameters as `expect`.

        Raises:
            ExpectationFailed: there is one, or the actors did not settle within `timeout` seconds.
        """
        self.settle(timeout=timeout)
        self._expectations.refuse(Expected(match, where, sender, receiver))

    def subscribe(
        self, *, sender: ActorName | None = None, receiver: ActorName | None = None
    ) -> Subscription:
        """Return what is sent from now on by `sender`, to `receiver`, or both (None: by or to anybody)."""
        return Subscription(self.transcript, sender=sender, receiver=receiver)

    def emitted(self, actor: ActorName) -> tuple[Event, ...]:
        """Return the events that `actor` has told telemetry so far. Settle first to have them all."""
        return self.transcript.emitted(actor)

    def settle(self, *, timeout: float = 5.0) -> None:
        """Return once no actor has anything to do but wait for a time to come, or for a probe.

        Raises:
            ExpectationFailed: that took longer than `timeout` seconds.
        """
        started = [name for name in ACTOR_NAMES if name not in self._probes]
        busy = settle(self.system, self.transcript, started, timeout=timeout)
        if busy is not None:
            raise ExpectationFailed(f"the actors did not settle: {busy}", self.transcript)


def _take(_messages: list[Message]) -> bool:
    """Take what a probe is sent: the transcript keeps it."""
    return True
