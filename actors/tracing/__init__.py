"""A run's log as a trace: slices, counters and arrows on tracks, for Perfetto."""

from actors.tracing.tracer import Tracer
from actors.tracing.writing import TraceCounts, write_trace

__all__ = ["TraceCounts", "Tracer", "write_trace"]
