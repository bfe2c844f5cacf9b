"""Where the time of a task went: every microsecond is charged to exactly one reason (O7).

The life of an execution begins when its row group was admitted, or when the earlier try of its task gave
its lease back, and ends when its own lease is back. Whole microseconds: charges add up exactly.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import chain
from typing import Final, Literal, get_args

from actors.telemetry.timeline import AttemptTimeline, TaskTimeline

Reason = Literal[
    "dependency",
    "retry",
    "task_share",
    "task_capacity",
    "request_limit",
    "cooldown",
    "budget",
    "connection_pool",
    "provider",
    "local_compute",
    "checkpoint",
]

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

DEPENDENCY, RETRY, TASK_SHARE, TASK_CAPACITY, REQUEST_LIMIT, COOLDOWN, BUDGET = range(7)
CONNECTION_POOL, PROVIDER, LOCAL_COMPUTE, CHECKPOINT = range(7, 11)

_NEAREST_FIRST: Final = (PROVIDER, CONNECTION_POOL, COOLDOWN, BUDGET, REQUEST_LIMIT, RETRY)
"""Where several attempts of one task do different things at once, the first of these is what it is about."""

_MADE_AGAIN: Final = "provider_failure"
"""How an attempt ends that is followed by another within its task, after a pause."""

Charges = list[int]
"""Microseconds per reason, in the order of `REASONS`."""


def no_charges() -> Charges:
    """Return nothing charged to any reason."""
    return [0] * len(REASONS)


def named(charges: Charges) -> dict[Reason, int]:
    """Return charges by the names of their reasons."""
    return dict(zip(REASONS, charges, strict=True))


def micros(seconds: float) -> int:
    """Return seconds as whole microseconds."""
    return round(seconds * 1_000_000)


def charge(
    timeline: TaskTimeline, *, began: int | None, until: int, retried: bool = False, capped: int = 0
) -> Charges:
    """Return what the life of one execution is charged to. All numbers are microseconds.

    `began`: when its life began; None, where that is not known, is when it was ready. `until`: when it ended
    if it has not given its lease back: the end of what is known. `capped`: for how long, between ready and
    leased, the queue was told to stand at a group's cap. Times that are missing, or in a wrong order, cost a
    reason its share and never the sum.
    """
    charges = no_charges()
    released = timeline.task_lease_released_at
    end = until if released is None else micros(released)
    told = (timeline.dependency_ready_at, timeline.ready_enqueued_at, timeline.task_lease_acquired_at)
    first = next((at for at in told if at is not None), None)
    ready = end if first is None else micros(first)
    began = min(ready if began is None else began, end)
    ready = min(max(ready, began), end)
    leased = timeline.task_lease_acquired_at
    lease = end if leased is None else min(max(micros(leased), ready), end)
    charges[RETRY if retried else DEPENDENCY] = ready - began
    charges[TASK_SHARE] = min(max(capped, 0), lease - ready)
    charges[TASK_CAPACITY] = lease - ready - charges[TASK_SHARE]
    if timeline.attempts:
        _charge_held(charges, timeline.attempts, lease, end)
    else:
        charges[LOCAL_COMPUTE] = end - lease
    return charges


def _charge_held(charges: Charges, attempts: list[AttemptTimeline], lease: int, end: int) -> None:
    """Charge the time under the lease: at each moment, to what the nearest attempt is at."""
    turns: list[tuple[int, int, int]] = []
    stretches = chain.from_iterable(_stretches(attempt, end) for attempt in attempts)
    for reason, began, ended in chain(stretches, _pauses(attempts)):
        start, stop = max(began, lease), min(ended, end)
        if start < stop:
            turns += ((start, reason, 1), (stop, reason, -1))
    turns.sort()
    active = no_charges()
    since, current = lease, LOCAL_COMPUTE
    for at, reason, change in turns:
        charges[current] += at - since
        since = at
        active[reason] += change
        current = next((each for each in _NEAREST_FIRST if active[each]), LOCAL_COMPUTE)
    charges[current] += end - since


def _stretches(attempt: AttemptTimeline, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (reason, start, stop) of what an attempt was at, one after the other."""
    if attempt.request_wait_started_at is not None:
        start = micros(attempt.request_wait_started_at)
        yield from _wait_stretches(attempt, start, max(start, _wait_end(attempt, end)))
    if attempt.model_request_started_at is not None:
        start = micros(attempt.model_request_started_at)
        completed = attempt.model_request_completed_at
        stop = end if completed is None else max(start, micros(completed))
        connected = min(stop, start + max(0, micros(attempt.connection_seconds or 0.0)))
        yield CONNECTION_POOL, start, connected
        yield PROVIDER, connected, stop


def _pauses(attempts: list[AttemptTimeline]) -> Iterator[tuple[int, int, int]]:
    """Yield the stretches between attempts that failed and the next that were made after them."""
    over = [attempt.model_request_completed_at for attempt in attempts if attempt.outcome == _MADE_AGAIN]
    if not over:
        return
    asked = sorted(
        attempt.request_wait_started_at for attempt in attempts if attempt.request_wait_started_at is not None
    )
    for at in over:
        place = len(asked) if at is None else bisect_left(asked, at)
        if at is not None and place < len(asked):
            yield RETRY, micros(at), micros(asked[place])


def _wait_end(attempt: AttemptTimeline, end: int) -> int:
    told = (
        attempt.request_wait_completed_at,
        attempt.request_wait_ended_at,
        attempt.request_lease_acquired_at,
        attempt.model_request_started_at,
    )
    ended = next((at for at in told if at is not None), None)
    return end if ended is None else micros(ended)


def _wait_stretches(attempt: AttemptTimeline, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the parts of a wait. Their lengths are known and not their places: the limit comes last."""
    waited = attempt.waited_for
    closed = micros(waited.get("circuit", 0.0)) + micros(waited.get("cooldown", 0.0))
    cooled = min(stop, start + max(0, closed))
    paid = min(stop, cooled + max(0, micros(waited.get("budget", 0.0))))
    yield COOLDOWN, start, cooled
    yield BUDGET, cooled, paid
    yield REQUEST_LIMIT, paid, stop
