"""What to do about what actors warn of: one sentence for every event of the log's warnings and errors.

The console, `leasehold logs`, `inspect` and the report tell these, and so do the loggers of the standard
library that a program hears of trouble by.
"""

from __future__ import annotations

from typing import Final

REMEDIES: Final[dict[str, str]] = {
    "provider_exhausted": (
        "it is asked again now and then until it answers; if it will not, see its quota and its key, lower "
        "max_parallel_requests, or name a second one in models.<alias>.providers"
    ),
    "provider_degraded": (
        "its calls are made again; if it goes on, see with `leasehold inspect` what fails: against timeouts "
        "raise timeout_seconds, against rate limits, which never drop a row, lower max_parallel_requests"
    ),
    "event_loop_blocked": (
        "nothing else ran meanwhile: make the function plain instead of `async`, so that it gets a thread, "
        "or await what it waits for"
    ),
    "thread_abandoned": (
        "the function outlived its timeout and holds a thread until it returns: give it a timeout of its "
        "own, or raise timeout_seconds"
    ),
    "job_stopping": "what has finished is kept; `leasehold run ... --resume` goes on from there",
    "job_rejected": "mend what is named, and see with `leasehold check` that nothing is left",
    "actor_crashed": "it begins anew and takes back what it had given out; nothing has to be done",
    "actor_restarted": "nothing has to be done: the run goes on, or ends with what it has",
    "actor_stuck": "look at the line that its stack ends in: something there waits and gives nothing back",
    "message_rejected": "see the messages' fields with `leasehold schema`",
    "handler_failed": "this is a bug of Leasehold: report it with the log; `--resume` goes on with the run",
    "dead_letters": "its receiver has stopped: nothing has to be done while a system is stopped",
    "log_failed": "the run goes on without its log: make room on the disk, or give another path with --log",
    "telemetry_overloaded": (
        "the log is thin from here on, but for leases; a faster disk, or fewer rows in flight, lets it be "
        "whole"
    ),
}
"""Event -> what to do about it."""


LONG_FIELDS: Final = frozenset({"stack"})
"""Fields of log lines that are too long to be told on one line of text."""


def remedy_of(event: str) -> str:
    """Return what to do about an event of an actor's logger; empty where nothing is known."""
    return REMEDIES.get(event, "")
