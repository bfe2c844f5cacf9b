"""An asyncio event loop that lives by a virtual clock."""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, TypeVar

from bench.virtual.clock import VirtualClock

Result = TypeVar("Result")

# The types of the standard library make abstract what nothing here calls: sockets, pipes, signals.
if TYPE_CHECKING:
    _Loop = Any
else:
    _Loop = asyncio.AbstractEventLoop


class NothingComesError(RuntimeError):
    """What is waited for cannot come: nothing is ready, and no timer is set."""


class VirtualLoop(_Loop):  # type: ignore[misc]
    """What asyncio's tasks, futures and timeouts need of a loop, and nothing that could wait.

    Callbacks run in the order in which they became ready, as asyncio promises; `turn` runs those that are
    ready when it begins. Whoever owns the loop moves the clock, or lets `run_on` do it.
    """

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self._clock = clock or VirtualClock()
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = 0
        self._tasks = 0
        self._closed = False
        self.failures: list[tuple[str | None, BaseException | None]] = []
        """What callbacks raised, and what tasks raised that nobody asked about."""

    # -- what asyncio calls --------------------------------------------------------------------------

    def time(self) -> float:
        """Return the clock's time."""
        return self._clock.time

    def get_debug(self) -> bool:
        """Return False."""
        return False

    def is_running(self) -> bool:
        """Return whether a turn is under way."""
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        """Return whether it was closed."""
        return self._closed

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback in the next turn."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self._closed:  # of a process that is gone nothing runs any more
            self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback in so many seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._numbers += 1
        heappush(self._timers, (when, self._numbers, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Return a task that begins in the next turn. Names are in the order of creation."""
        self._tasks += 1
        return asyncio.Task(coro, loop=self, name=name or f"task-{self._tasks:06d}", context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what went wrong."""
        self.failures.append((context.get("message"), context.get("exception")))

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: asynchronous generators are not watched."""

    def stop(self) -> None:
        """Do nothing: it runs for no longer than a turn."""

    def close(self) -> None:
        """Run nothing any more."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    # -- what its owner calls ------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """Whether a turn would run anything now."""
        if self._ready:
            return True
        due = self.next_timer()
        return due is not None and due <= self._clock.time

    def next_timer(self) -> float | None:
        """Return when the next timer is due; None where there is none."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        return timers[0][0] if timers else None

    def turn(self) -> None:
        """Run what is ready, and what has become due."""
        ready, timers, now = self._ready, self._timers, self._clock.time
        while timers and timers[0][0] <= now:
            timer = heappop(timers)[2]
            if not timer.cancelled():
                ready.append(timer)
        outer = events._get_running_loop()
        events._set_running_loop(self)
        try:
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            events._set_running_loop(outer)

    def run_on(self, done: Callable[[], bool], until: float | None = None) -> None:
        """Run, and let time pass where nothing is ready, until it is `done`, or nothing can happen any more.

        until: when to stop in any case.
        """
        while not done():
            if not self.has_work:
                due = self.next_timer()
                if until is not None and (due is None or due > until):
                    self._clock.pass_to(until)
                    return
                if due is None:
                    return
                self._clock.pass_to(due)
            self.turn()

    def run_until(self, ending: Coroutine[Any, Any, Any], seconds: float) -> None:
        """Run until `ending` has ended, for so many seconds at most."""
        last = self.create_task(ending)
        self.run_on(last.done, self.time() + seconds)
        last.cancel()
        self.turn()
        if last.done() and not last.cancelled():
            last.exception()

    def run_until_complete(self, future: Any) -> Any:
        """Return what a coroutine returns, or raise what it raises.

        Raises:
            NothingComesError: it waits for what never comes.
        """
        last = self.create_task(future)
        self.run_on(last.done)
        if not last.done():
            last.cancel()
            self.turn()
            raise NothingComesError(f"nothing happens any more at {self.time():.3f} s")
        return last.result()


async def pass_time(seconds: float) -> None:
    """Sleep until the nearest whole microsecond: what sums of tenths are off by adds up to nothing."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = loop.call_at(round(loop.time() + seconds, 6), over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()


def run_virtually(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Return what `coroutine` does, in no time; `asyncio.get_running_loop().time()` tells its own.

    As `asyncio.run` does, it cancels what still runs then.

    Raises:
        NothingComesError: it waits for what never comes.
    """
    loop = VirtualLoop()
    try:
        result: Result = loop.run_until_complete(coroutine)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        while loop.has_work:
            loop.turn()
        loop.close()
    return result
