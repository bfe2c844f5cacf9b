"""When so much fails that going on is a waste: the share of failures in a sliding window (R6). Pure."""

from __future__ import annotations

from collections import deque


class EarlyShutdown:
    """Watches what fails for good among the last `window` finished tasks.

    Tasks that end well are only counted, by whoever asks: they cost nothing here. With a `rate` of None it
    never speaks up, nor before there are `window` finished tasks.
    """

    def __init__(self, *, rate: float | None, window: int) -> None:
        self._rate = rate
        self._window = window
        self._failures: deque[int] = deque()

    def failed(self, finished: int) -> str:
        """Note a failure that trying again would not mend; return why the job ought to end, if it ought to.

        `finished` is how many tasks have finished, this one included.
        """
        if self._rate is None:
            return ""
        self._failures.append(finished)
        while self._failures[0] <= finished - self._window:
            self._failures.popleft()
        count = len(self._failures)
        if finished < self._window or count <= self._rate * self._window:
            return ""
        return (
            f"{count} of the last {self._window} tasks failed for good, "
            f"more than failure.early_shutdown_rate = {self._rate:g} allows"
        )
