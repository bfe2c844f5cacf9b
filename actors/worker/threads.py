"""A bounded pool of threads for plain user functions, some of which may never come back.

A thread cannot be stopped. One whose task has been given up is abandoned: its place is free for a new
thread, what it returns is thrown away, and it ends when its function does. Threads are daemons, so that
a function that blocks for ever does not hold the process open.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

Call = Callable[[], Any]
Done = Callable[[int, Any, BaseException | None], None]


class Pool(Protocol):
    """Where plain user functions run, beside the loop. Says `done(key, value, error)` of each that ends."""

    abandoned: int
    """How many calls were given up and have not come back."""

    @property
    def busy(self) -> int:
        """How many calls run that are still wanted."""
        ...

    def submit(self, key: int, call: Call) -> None:
        """Run `call` as soon as there is room. RuntimeError: it can never run."""
        ...

    def abandon(self, key: int) -> bool:
        """Give up on a call; return whether it has begun."""
        ...

    def close(self) -> None:
        """Begin nothing any more."""
        ...


MakePool = Callable[[int, Done], Pool]
"""Makes a pool of so many places."""


class ThreadPool:
    """Runs calls on up to `size` threads; says `done(key, value, error)` on the thread that ran it."""

    def __init__(self, size: int, done: Done) -> None:
        self._size = size
        self._done = done
        self._work: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: dict[int, _Thread] = {}
        self._threads: set[_Thread] = set()
        self._queued: dict[int, Call] = {}
        self.abandoned = 0

    @property
    def busy(self) -> int:
        """How many threads run a call that is still wanted."""
        return len(self._running)

    def submit(self, key: int, call: Call) -> None:
        """Run `call` as soon as a thread is free. A key stands for one call at a time.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        with self._lock:
            self._queued[key] = call
            grow = len(self._threads) < min(self._size, len(self._running) + len(self._queued))
            try:
                if grow:
                    self._add_thread()
            except RuntimeError:
                if not self._threads:
                    del self._queued[key]
                    raise
        self._work.put(key)

    def abandon(self, key: int) -> bool:
        """Give up on a call: if it has not begun it never does; if it has, its thread is replaced.

        Returns whether it has begun.
        """
        with self._lock:
            self._queued.pop(key, None)
            thread = self._running.pop(key, None)
            if thread is None:
                return False
            thread.wanted = False
            self._threads.discard(thread)
            self.abandoned += 1
            if self._queued:
                with contextlib.suppress(RuntimeError):  # the next `submit` tries again
                    self._add_thread()
            return True

    def close(self) -> None:
        """Let idle threads end; busy ones end when their call does."""
        with self._lock:
            for _ in self._threads:
                self._work.put(None)
            self._threads.clear()

    def _add_thread(self) -> None:
        thread = _Thread(self)
        thread.start()
        self._threads.add(thread)

    def take(self, thread: _Thread) -> tuple[int, Call] | None:
        """Wait for work; called by the pool's threads."""
        while (key := self._work.get()) is not None:
            with self._lock:
                call = self._queued.pop(key, None)
                if call is not None:  # not given up meanwhile
                    self._running[key] = thread
                    return key, call
        return None

    def finish(self, thread: _Thread, key: int, value: Any, error: BaseException | None) -> bool:
        """Report a call's end; return whether the thread goes on."""
        with self._lock:
            if thread.wanted:
                del self._running[key]
            else:
                self.abandoned -= 1
                return False
        self._done(key, value, error)
        return True


class _Thread(threading.Thread):
    """One thread of the pool."""

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__(name="leasehold-task", daemon=True)
        self._pool = pool
        self.wanted = True

    def run(self) -> None:
        while (work := self._pool.take(self)) is not None:
            key, call = work
            value: Any = None
            error: BaseException | None = None
            try:
                value = call()
            except BaseException as raised:  # noqa: BLE001 - user code may raise anything at all
                error = raised
            if not self._pool.finish(self, key, value, error):
                return
