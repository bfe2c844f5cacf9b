"""The trace events of the Chrome JSON format, which Perfetto and chrome://tracing read.

Times are whole microseconds since the log's first event. Fields at their defaults are left out.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Phase = Literal["X", "C", "i", "s", "f", "M"]
"""Complete slice, counter, instant, start and end of an arrow, and metadata such as a track's name."""


class TraceEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One event. `pid` and `tid` are the track's; they stand for no process of the system.

    `ts` is there on every event but metadata: Perfetto refuses one without, also at 0.
    """

    ph: Phase
    pid: int
    tid: int
    name: str
    ts: int | None = None
    dur: int | None = None
    args: dict[str, Any] | None = None
    id: int | None = None
    cat: str | None = None
    bp: Literal["e"] | None = None
    s: Literal["t", "p"] | None = None


def slice_(track: Track, name: str, start: int, end: int, args: dict[str, Any] | None = None) -> TraceEvent:
    """Return a slice of `track` from `start` to `end`."""
    return TraceEvent("X", track.pid, track.tid, name, start, max(0, end - start), args or None)


def instant(track: Track, name: str, at: int, args: dict[str, Any] | None = None) -> TraceEvent:
    """Return a moment on `track`."""
    return TraceEvent("i", track.pid, track.tid, name, at, args=args or None, s="t")


def counter(pid: int, name: str, at: int, value: float) -> TraceEvent:
    """Return what a counter of a process stands at from `at` on."""
    return TraceEvent("C", pid, 0, name, at, args={"value": value})


class Track(msgspec.Struct, frozen=True):
    """A line of the trace: a thread of a process, in the format's words."""

    pid: int
    tid: int


class Arrows:
    """Numbers the arrows between slices."""

    def __init__(self) -> None:
        self.count = 0

    def between(self, name: str, start: tuple[Track, int], end: tuple[Track, int]) -> list[TraceEvent]:
        """Return an arrow from the slice at one place, (track, time), to the slice at another."""
        self.count += 1
        (before, left), (after, arrived) = start, end
        return [
            TraceEvent("s", before.pid, before.tid, name, left, id=self.count, cat="leasehold"),
            TraceEvent(
                "f", after.pid, after.tid, name, max(left, arrived), id=self.count, cat="leasehold", bp="e"
            ),
        ]
