"""The one Pykka actor class: a thread and a mailbox for an actor's body.

Runs in the actor's own thread, except `__init__`. Pykka would stop an actor whose handler raises (on a
`SystemExit`, every actor of the process): the body lets nothing out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pykka

from actors.runtime.body import ActorBody
from actors.runtime.clock import Clock
from actors.runtime.core import Core
from actors.runtime.inbox import Inbox
from actors.runtime.router import Router
from messages._base import ActorName


class ActorShell(pykka.ThreadingActor):
    """Owns an actor's thread and mailbox; what it does with what comes is its body's."""

    use_daemon_thread = True

    def __init__(
        self,
        name: ActorName,
        core: Core,
        router: Router,
        clock: Clock,
        rebuild: Callable[[Core], Core] | None = None,
    ) -> None:
        super().__init__()
        self.body = self._make_body(name, core, router, clock, rebuild)

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @property
    def inbox(self) -> Inbox:
        """The mailbox, with its own type."""
        assert isinstance(self.actor_inbox, Inbox)
        return self.actor_inbox

    def _make_body(
        self,
        name: ActorName,
        core: Core,
        router: Router,
        clock: Clock,
        rebuild: Callable[[Core], Core] | None,
    ) -> ActorBody:
        return ActorBody(name, core, router, clock, self.inbox, rebuild)

    # -- Pykka's hooks ---------------------------------------------------------------------------

    def on_start(self) -> None:
        """Begin."""
        self.body.start()

    def on_stop(self) -> None:
        """End."""
        self.body.stop()

    def on_receive(self, message: Any) -> None:
        """Take a mailbox entry: one message, or several that were sent together."""
        self.body.take(message)
