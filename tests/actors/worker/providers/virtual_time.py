"""An event loop whose time passes only by being waited for, and then at once."""

from __future__ import annotations

import asyncio
import selectors


class _Jumping(selectors.DefaultSelector):
    """Moves the clock instead of waiting."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def select(self, timeout=None):
        assert timeout is not None, "everything waits for something that never comes"
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 seconds. Only for what waits for nothing but time."""

    def __init__(self):
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self):
        return self._clock.now


def run_virtually(coroutine):
    """Return what `coroutine` does, in no time; `asyncio.get_running_loop().time()` tells its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
