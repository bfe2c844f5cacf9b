"""Knowing that nothing is under way, without waiting for time to pass."""

from __future__ import annotations

import time
from collections.abc import Sequence

from actors.harness.transcript import Transcript
from actors.system.system import ActorSystem
from messages._base import ActorName
from messages.supervision import ActorSnapshot, GetSnapshot
from messages.worker import WorkerSnapshot

_QUIET_ROUNDS = 3
"""Rounds in which every actor answered and nothing was sent. After the first, every message sent before
it is in its mailbox; after the second, handled; after the third, what handling it led to was sent, too.
"""


def settle(
    system: ActorSystem, transcript: Transcript, actors: Sequence[ActorName], *, timeout: float
) -> str | None:
    """Return once none of `actors` has anything to do; None, or what kept them busy for `timeout` seconds.

    Each is asked for a snapshot again and again, until nothing else was sent meanwhile. What the worker
    runs counts as something to do, unless it waits for a request lease. Work that becomes due later
    does not count.
    """
    deadline = time.monotonic() + timeout
    quiet = 0
    with system.reply_box() as box:
        transcript.hide(box.address)
        while quiet < _QUIET_ROUNDS:
            before = len(transcript)
            for actor in actors:
                system.router.send(box.address, actor, [GetSnapshot(reply_to=box.address)])
            silent, running = set(actors), 0
            while silent:
                try:
                    answer = box.get(max(0.0, deadline - time.monotonic()))
                except TimeoutError:
                    return f"no answer from {', '.join(sorted(silent))} within {timeout:g} s"
                assert isinstance(answer, ActorSnapshot)
                silent.discard(answer.actor)
                running += _running(answer)
            if time.monotonic() > deadline:
                return f"messages were still being sent after {timeout:g} s"
            if running:
                quiet = 0
                remaining = deadline - time.monotonic()
                if transcript.wait(lambda _place, _delivery: True, start=before, timeout=remaining) is None:
                    return f"the worker still ran {running} task(s) after {timeout:g} s"
            else:
                quiet = quiet + 1 if len(transcript) == before else 0
    return None


def _running(snapshot: ActorSnapshot) -> int:
    state = snapshot.state
    return state.tokens_held - state.waiting_for_request_lease if isinstance(state, WorkerSnapshot) else 0
