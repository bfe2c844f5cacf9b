"""The places at a simulated endpoint: taken at once or not at all, or waited for in the order of arrival."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

_LEAST_PAUSE_SECONDS = 0.001


class Slots:
    """Places for calls, as many as `capacity` says at the moment; None is without a bound.

    `seconds_to_change` says how long the capacity stays as it is, None for ever.
    """

    def __init__(
        self, capacity: Callable[[], int | None], seconds_to_change: Callable[[], float | None]
    ) -> None:
        self._capacity = capacity
        self._seconds_to_change = seconds_to_change
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self.taken = 0

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        return len(self._waiting)

    def try_take(self) -> bool:
        """Take a place if there is one; return whether."""
        capacity = self._capacity()
        if capacity is not None and self.taken >= capacity:
            return False
        self.taken += 1
        return True

    async def take(self) -> None:
        """Take a place, behind everybody who waits for one. A wait that is cancelled takes none."""
        if not self._waiting and self.try_take():
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        self._watch()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.pop(turn, None)
            else:
                self.give_back()  # its turn came in the same turn of the loop
            raise

    def give_back(self) -> None:
        """Free a place, for the one who waits longest."""
        self.taken -= 1
        self._serve()

    def close(self) -> None:
        """Stop looking out for a change of the capacity."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _serve(self) -> None:
        while self._waiting and self.try_take():
            turn, _ = self._waiting.popitem(last=False)
            if turn.cancelled():
                self.taken -= 1
            else:
                turn.set_result(None)
        self._watch()

    def _watch(self) -> None:
        """While somebody waits, look again when the capacity changes."""
        if self._timer is not None or not self._waiting:
            return
        seconds = self._seconds_to_change()
        if seconds is not None:
            pause = max(seconds, _LEAST_PAUSE_SECONDS)
            self._timer = asyncio.get_running_loop().call_later(pause, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self._serve()
