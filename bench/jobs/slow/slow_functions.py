"""The user's own functions of the badly configured jobs beside this file."""

from __future__ import annotations

import time


def landings(rows: int) -> list[str]:
    """Return a place for every row, after looking for all of them for too long."""
    time.sleep(0.6)
    return [f"beach {number}" for number in range(rows)]


async def weigh(number: int) -> float:
    """Return a weight, with the worker's event loop in its hands all the while."""
    time.sleep(2.0)  # noqa: ASYNC251 - this is what the job is about
    return 4.0 + number % 3
