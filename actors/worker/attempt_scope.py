"""Whose attempts are under way: what a task, or a health check, has to give up when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Givable(Protocol):
    """Something under way that can be given up at once."""

    @property
    def end_of_call(self) -> asyncio.Future[None] | None:
        """What is done once the call under the lease is over; None where no call is under way."""
        ...

    def give_up(self) -> None:
        """End it now; whoever waits for it is cancelled. Does nothing to what is over."""
        ...


def _never() -> bool:
    return False


class AttemptScope:
    """The attempts of one owner. `end` gives all of them up, with their leases back before it returns.

    `is_overdue` tells whether the owner's own deadline has passed: an attempt that is given up then ends as
    `local_timeout`, otherwise as `local_cancelled` (A11). Lives on the worker's event loop.
    """

    __slots__ = ("_under_way", "ended", "is_overdue")

    def __init__(self) -> None:
        self._under_way: dict[Givable, None] = {}
        self.ended = False
        self.is_overdue: Callable[[], bool] = _never

    def enter(self, attempt: Givable) -> None:
        """Note an attempt that begins."""
        self._under_way[attempt] = None

    def leave(self, attempt: Givable) -> None:
        """Forget an attempt that is over."""
        self._under_way.pop(attempt, None)

    async def until_answered(self) -> None:
        """Return when every call that is under way now is over; who waits for a lease is not waited for."""
        ends = [end for attempt in self._under_way if (end := attempt.end_of_call) is not None]
        if ends:
            await asyncio.wait(ends)

    def end(self) -> None:
        """Give up what is under way. Nothing begins in this scope any more."""
        self.ended = True
        for attempt in tuple(self._under_way):
            attempt.give_up()
