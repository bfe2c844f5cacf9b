"""The report in a real browser: light and dark, wide and on a phone, whatever names a job has."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from actors import ActorSystem
from actors.evidence.verify import verify_log
from actors.inspection.reading import LogStory
from actors.inspection.verdict import findings
from actors.report import render_page
from actors.report.figures import figures
from messages import (
    ChatColumn,
    FailurePolicy,
    Job,
    Latency,
    ModelConfig,
    PythonColumn,
    ScriptStep,
    SequenceColumn,
    SimulatedProvider,
)
from messages.job import RequestAdmissionTuning
from tests.browser import browsing, needs_chromium, visiting

HOSTILE = "</script><script>document.title='taken'</script>"

CONTRAST = """(selector) => {
    const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((each) => channel(each / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const text = document.querySelector(selector);
    let behind = text;
    while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") { behind = behind.parentElement; }
    const found = [getComputedStyle(text).color, getComputedStyle(behind).backgroundColor].map(light);
    return (Math.max(...found) + 0.05) / (Math.min(...found) + 0.05);
}"""


async def odd_ones_fail(n: int) -> int:
    await asyncio.sleep(0)
    if n % 5 == 3:
        raise ValueError
    return n


def a_job(name="reported", rows=40):
    return Job(
        name=name,
        rows=rows,
        row_group_size=10,
        providers={
            "sim": SimulatedProvider(
                latency_ms=Latency(6, 3),
                script=(ScriptStep(refuse_rate=0.4, retry_after=0.05), ScriptStep(at=0.2, refuse_rate=0.0)),
            )
        },
        models={
            "writer": ModelConfig(
                provider="sim",
                model="one",
                max_parallel_requests=4,
                limit=RequestAdmissionTuning(successes_until_increase=3),
            )
        },
        columns={
            "n": SequenceColumn(),
            "checked": PythonColumn(function=odd_ones_fail),
            "told": ChatColumn(model="writer", prompt="about {{ n }}"),
        },
        failure=FailurePolicy(backoff_seconds=0.05),
    )


def page_of(log, plotly="window.Plotly = {newPlot: function () {}};"):
    story = LogStory(log)
    story.read_on()
    run = story.story.explain()
    return run, render_page(run, findings(run), verify_log(log), plotly=plotly, version="0")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "actors.jsonl"
    with ActorSystem.start() as system:
        system.run(a_job(), log=path)
    return path


@pytest.fixture(scope="module")
def browser():
    with browsing() as started:
        yield started


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_readable_light_and_dark_and_on_a_phone(log, browser, tmp_path, dark, width):
    from plotly.offline import get_plotlyjs

    run, text = page_of(log, get_plotlyjs())
    page_file = tmp_path / "report.html"
    page_file.write_text(text)
    with visiting(browser, width=width, height=844, dark=dark) as visit:
        page = visit.page
        page.goto(page_file.as_uri())
        for figure in figures(run):
            plot = page.locator(f"#{figure.name} .main-svg").first
            plot.wait_for()
            box = plot.bounding_box()
            assert box["width"] > 200
            assert box["height"] > 100
            drawn = page.evaluate(f"document.getElementById('{figure.name}').data.length")
            assert drawn == len(figure.figure["data"]) > 0
        assert page.locator(".plot .scatterlayer .trace, .plot .barlayer .trace").count() >= 10
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        first_remedy = page.locator(".remedy").first.bounding_box()
        assert first_remedy["y"] + first_remedy["height"] < 844  # without scrolling, on a phone too
        for selector in ("h1", "p.soft", ".remedy", "td", ".badge", "summary"):
            assert page.evaluate(CONTRAST, selector) >= 4.5, selector
        picture = tmp_path / "report.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 20_000
        assert visit.complaints == []
        assert visit.abroad == []


def test_the_page_holds_what_the_run_was(log):
    run, text = page_of(log)
    assert verify_log(log).ok
    for expected in (
        "reported",
        f"{run.run.rows_written} of 40 rows written",
        "leases proved",
        "row_group_concurrency",
        "request_initial_limits",
        findings(run)[0].layer,
        "Given up, by first cause",
        "ValueError" if "ValueError" in str(run.drops) else run.drops[0].kind,
    ):
        assert expected in text
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    model = data["model-0"]
    in_flight, limit, *_ = model["data"]
    assert max(in_flight["y"]) == run.models["sim/one/chat"].most_in_flight
    assert max(limit["y"]) == 4
    marks = next(trace for trace in model["data"] if trace["name"] == "429")
    assert len(marks["x"]) == run.models["sim/one/chat"].rate_limited > 0
    assert len(model["layout"]["shapes"]) == len(run.models["sim/one/chat"].cooldowns) > 0
    assert data["completion"]["data"][0]["y"][-1] == run.run.rows_written
    for bar in range(1 + len(run.columns)):
        assert sum(trace["x"][bar] for trace in data["charges"]["data"]) == pytest.approx(100.0)


@needs_chromium
def test_names_that_look_like_html_stay_names(browser, tmp_path):
    log, page_file = tmp_path / "log.jsonl", tmp_path / "report.html"
    with ActorSystem.start() as system:
        system.run(a_job(name=HOSTILE, rows=10), log=log)
    page_file.write_text(page_of(log)[1])
    with visiting(browser) as visit:
        visit.page.goto(page_file.as_uri())
        assert visit.page.locator("h1").inner_text() == HOSTILE
        assert visit.page.title() != "taken"
        assert visit.complaints == []


def test_a_log_that_was_cut_off_says_so(log, tmp_path):
    cut = tmp_path / "cut.jsonl"
    whole = log.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    run, text = page_of(cut)
    assert run.run.status == "unfinished"
    assert "not ended, or cut off" in text
    assert "not proved" in text
    assert "Unfinished tasks" in text
