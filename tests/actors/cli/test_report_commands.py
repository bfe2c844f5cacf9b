"""`leasehold report` and `leasehold trace` as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.actors.cli.conftest import ROOT


@pytest.fixture
def run_folder(leasehold):
    job = leasehold.job(rows=20)
    assert leasehold("run", job, "--out", "out", "--quiet").returncode == 0
    return leasehold.folder / "out"


@pytest.mark.parametrize(
    ("command", "name", "counted"), [("report", "report.html", "bytes"), ("trace", "trace.json", "slices")]
)
def test_what_is_written_is_where_it_was_asked_for(leasehold, run_folder, command, name, counted):
    written = leasehold(command, run_folder, "-o", name)
    assert written.returncode == 0, written.stderr
    assert name in written.stdout
    assert (leasehold.folder / name).stat().st_size > 1000
    again = leasehold(command, run_folder / "actors.jsonl", "-o", name, "--json")
    told = json.loads(again.stdout)
    assert told["path"] == name
    assert told[counted] > 0


@pytest.mark.parametrize("command", ["report", "trace"])
def test_what_cannot_be_read_or_written_is_told_with_its_place(leasehold, run_folder, command):
    for arguments, place in (
        (("nowhere", "-o", "file"), "nowhere does not exist"),
        (("functions.py", "-o", "file"), "functions.py tells of no run"),
        ((run_folder, "-o", "missing/file"), "missing/file cannot be written"),
    ):
        told = leasehold(command, *arguments)
        assert told.returncode == 2, told
        assert place in told.stderr
        assert "Traceback" not in told.stderr
        assert not (leasehold.folder / "file").exists()


@pytest.mark.parametrize("command", ["report", "trace"])
def test_nothing_is_written_over_the_log_that_it_is_read_from(leasehold, run_folder, command):
    log = run_folder / "actors.jsonl"
    before = log.read_bytes()

    told = leasehold(command, run_folder, "-o", log)

    assert told.returncode == 2
    assert "is the log itself" in told.stderr
    assert log.read_bytes() == before


def test_without_its_library_a_report_says_how_to_install_it(run_folder):
    blocked = (
        "import sys; sys.modules['plotly'] = None; sys.modules['plotly.offline'] = None; "
        f"sys.argv = ['leasehold', 'report', {str(run_folder)!r}, '-o', 'x.html']; "
        "from actors.cli import main; main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", blocked], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert told.returncode == 2
    assert "pip install 'leasehold[report]'" in told.stderr


def test_plan_tells_what_bounds_a_job_before_it_runs(leasehold):
    told = leasehold("plan", ROOT / "bench/jobs/slow/cap_of_one.toml")
    assert told.returncode == 0, told.stderr
    assert "raise models.judge.max_parallel_requests (now 1" in told.stdout
    assert "source" in told.stdout
    data = json.loads(leasehold("plan", ROOT / "bench/jobs/storm.toml", "--rows", "7", "--json").stdout)
    assert data["rows"] == 7
    assert data["models"]["storm/sim-writer"]["calls"] == {"least": 7, "most": 7}
    assert data["least_seconds"] > 0
    assert data["capacity"]["configured"]["row_group_concurrency"]["source"] in ("job", "default")


LATE = """
name = "late"
rows = 3
[providers.sim]
kind = "simulated"
latency_ms = {{ mean = 1500 }}
[models.poet]
provider = "sim"
model = "poet"
timeout_seconds = 1
[columns.n]
kind = "sequence"
[columns.verse]
kind = "chat"
model = "poet"
prompt = "{{{{ n }}}}"
"""


def test_plan_and_check_warn_of_calls_that_cannot_end_in_time(leasehold):
    job = leasehold.job(text=LATE)
    for command in ("plan", "check"):
        told = leasehold(command, job)
        assert told.returncode == 0, told.stderr
        assert "warning: models.poet.timeout_seconds is 1, and calls" in told.stdout
        assert "raise it above 1.5, or lower providers.sim.latency_ms" in told.stdout
        (warning,) = json.loads(leasehold(command, job, "--json").stdout)["warnings"]
        assert warning in told.stdout


@pytest.mark.parametrize(
    ("latency", "problem"),
    [("wrter=1", "did you mean 'writer'"), ("writer", "says no time"), ("writer=soon", "says no time")],
)
def test_a_latency_that_is_none_is_told(leasehold, latency, problem):
    told = leasehold("plan", ROOT / "bench/jobs/storm.toml", "--latency", latency)
    assert told.returncode == 2
    assert problem in told.stderr


def test_plan_tells_what_is_wrong_with_a_job_as_check_does(leasehold):
    job = leasehold.job(text='name = "bad"\nrows = 3\n[columns.a]\nkind = "sequense"\n')
    planned, checked = leasehold("plan", job), leasehold("check", job)
    assert planned.returncode == checked.returncode == 2
    assert planned.stderr == checked.stderr
    assert "sequense" in planned.stderr


def test_inspect_tells_every_capacity_with_its_source(leasehold, run_folder):
    told = leasehold("inspect", run_folder, "--capacity")
    assert "row_group_concurrency" in told.stdout
    assert "The most that was seen" in told.stdout
    data = json.loads(leasehold("inspect", run_folder, "--capacity", "--json").stdout)
    assert data["configured"]["row_group_concurrency"]["source"] == "job"
    assert data["observed_maxima"]["row_groups_in_flight"] == 1
