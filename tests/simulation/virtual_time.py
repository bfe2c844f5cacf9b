"""A clock that moves when it is told to, and an asyncio event loop that lives by it."""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from heapq import heappop, heappush


class VirtualClock:
    """Seconds since the system started; they pass when somebody says so."""

    def __init__(self, start=0.0):
        self.time = start

    def now(self):
        return self.time

    def pass_to(self, time):
        """Let time pass until `time`, in whole microseconds: what is due then is due for everybody."""
        whole = round(time, 6)
        self.time = max(self.time, whole if whole >= time else round(whole + 1e-6, 6))

    def to_monotonic(self, run_time):
        return run_time


class VirtualLoop(asyncio.AbstractEventLoop):
    """What asyncio's tasks, futures and timeouts need of a loop, and nothing that could wait.

    Callbacks run in the order in which they became ready, as asyncio promises; `turn` runs those that are
    ready when it begins. Whoever owns the loop moves the clock.
    """

    def __init__(self, clock):
        self._clock = clock
        self._ready = deque()
        self._timers = []
        self._numbers = 0
        self._tasks = 0
        self._closed = False
        self.failures = []
        """What callbacks raised, and what tasks raised that nobody asked about."""

    # -- what asyncio calls --------------------------------------------------------------------------

    def time(self):
        return self._clock.time

    def get_debug(self):
        return False

    def is_running(self):
        return events._get_running_loop() is self

    def is_closed(self):
        return self._closed

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        if not self._closed:  # of a process that is gone nothing runs any more
            self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._numbers += 1
        heappush(self._timers, (when, self._numbers, timer))
        return timer

    def _timer_handle_cancelled(self, handle):
        pass

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None):
        self._tasks += 1
        return asyncio.Task(coro, loop=self, name=name or f"task-{self._tasks:06d}", context=context)

    def call_exception_handler(self, context):
        self.failures.append((context.get("message"), context.get("exception")))

    async def shutdown_asyncgens(self):
        pass

    def stop(self):
        pass

    def close(self):
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    # -- what its owner calls ------------------------------------------------------------------------

    @property
    def has_work(self):
        """Whether a turn would run anything now."""
        if self._ready:
            return True
        due = self.next_timer()
        return due is not None and due <= self._clock.time

    def next_timer(self):
        """Return when the next timer is due; None where there is none."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        return timers[0][0] if timers else None

    def turn(self):
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

    def run_until(self, ending, seconds):
        """Run until `ending` has ended, for so many seconds at most; time passes where nothing is ready."""
        last = self.create_task(ending)
        until = self.time() + seconds
        while not last.done():
            if not self.has_work:
                due = self.next_timer()
                if due is None or due > until:
                    self._clock.pass_to(until)
                    break
                self._clock.pass_to(due)
            self.turn()
        last.cancel()
        self.turn()
        if last.done() and not last.cancelled():
            last.exception()
