"""`leasehold report`: a run as one page of HTML."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import msgspec

from actors.cli.output import EXIT_OK, fail, flush, keep, say
from actors.evidence.verify import verify_log
from actors.inspection.reading import LogStory
from actors.inspection.verdict import findings
from actors.report import render_page
from actors.telemetry.log_codec import LogFormatError


class ReportWritten(msgspec.Struct, frozen=True):
    """What `--json` writes."""

    path: str
    bytes: int
    status: str
    verified: bool


def report_run(path: Path, to: Path, *, as_json: bool) -> int:
    """Write the page of the log of a run folder, or of a log file; return the exit code.

    Raises:
        typer.Exit: there is no log at `path`, the page cannot be written, or the drawing library is missing.
    """
    plotly = _plotly()
    try:
        story = LogStory(path)
        keep(story.path, to)
        story.read_on()
        run = story.story.explain()
        if run is None:
            fail(f"{path} tells of no run: name a run folder or its log")
        proof = verify_log(path)
    except LogFormatError as error:
        fail(str(error))
    page = render_page(run, findings(run), proof, plotly=plotly, version=metadata.version("leasehold"))
    encoded = page.encode()
    try:
        to.write_bytes(encoded)
    except OSError as error:
        fail(f"the report {to} cannot be written: {error.strerror}; name a file in a folder that is there")
    if as_json:
        written = ReportWritten(str(to), len(encoded), run.run.status, proof.ok)
        say(msgspec.json.encode(written).decode())
    else:
        say(f"{to}: {len(encoded) / 1e6:.1f} MB, open it in a browser")
    flush()
    return EXIT_OK


def _plotly() -> str:
    """Return the drawing library's source, which the page carries with it."""
    try:
        from plotly.offline import get_plotlyjs  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        fail("a report is drawn by plotly, which is not installed: pip install 'leasehold[report]'")
    source: str = get_plotlyjs()
    return source
