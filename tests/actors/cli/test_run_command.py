"""`leasehold run` as a user meets it: exit codes, what goes where, what is left in the folder."""

from __future__ import annotations

import contextlib
import json
import os
import pty

import msgspec
import pytest

from actors.cli.live import SHOWN_EVERY

WAITS = """
name = "waits"
rows = {rows}
row_group_size = 5
[providers.sim]
kind = "simulated"
latency_ms = {{ mean = 50 }}
[models.writer]
provider = "sim"
model = "m"
max_parallel_requests = 1
[columns.{function}]
kind = "chat"
model = "writer"
prompt = "x"
"""


def read_terminal(ours):
    """Return all that is written on a terminal until its other end is closed."""
    drawn = b""
    # Then it ends in an error, not in an empty read.
    with contextlib.suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:
        while piece := terminal.read(65536):
            drawn += piece
    return drawn


def rows_on_disk(folder):
    return [
        json.loads(line)
        for path in sorted(folder.glob("rows/*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def test_the_penguins_job_gives_all_its_rows_and_says_how_to_prove_it(penguins):
    done, out = penguins

    assert done.returncode == 0, done.stderr
    assert len(rows_on_disk(out)) == 344
    assert "rows: 344 of 344 rows written, 0 dropped" in done.stdout
    assert done.stdout.splitlines()[-1] == "  proof: leasehold verify out"
    assert {path.name for path in out.iterdir()} == {
        "rows",
        "dropped.jsonl",
        "journal",
        "manifest.json",
        "actors.jsonl",
        "capacity_plan.json",
    }


def test_r13_dropped_rows_are_told_with_their_reason_and_exit_3(leasehold):
    done = leasehold("run", leasehold.job("odd_ones_fail"), "--out", "out")

    assert done.returncode == 3
    assert "dropped: 15 rows" in done.stdout
    assert "is odd indeed" in done.stdout
    assert len((leasehold.folder / "out/dropped.jsonl").read_text().splitlines()) == 15


def test_json_is_the_only_line_of_standard_output_whatever_user_code_prints(leasehold):
    done = leasehold("run", leasehold.job("odd_ones_fail"), "--out", "out", "--json")

    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert done.returncode == 3
    assert (result["status"], result["rows_written"], result["rows_dropped"]) == ("partial", 15, 15)
    assert "dataset" not in result
    assert "a user's own words" in done.stderr


def test_rows_takes_the_place_of_the_jobs_own_and_the_log_can_go_elsewhere(leasehold):
    done = leasehold("run", leasehold.job(), "--out", "out", "--rows", 7, "--log", "logs/run.jsonl")

    assert done.returncode == 0
    assert len(rows_on_disk(leasehold.folder / "out")) == 7
    assert done.stdout.splitlines()[-1] == "  proof: leasehold verify logs/run.jsonl"
    assert not (leasehold.folder / "out/actors.jsonl").exists()
    assert leasehold("verify", "logs/run.jsonl").returncode == 0


def test_quiet_writes_nothing(leasehold):
    done = leasehold("run", leasehold.job(), "--out", "out", "--quiet")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_still_tells_an_error(leasehold):
    done = leasehold("run", "nowhere.toml", "--out", "out", "--quiet")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: nowhere.toml cannot be read: ")


def test_r10_a_folder_that_holds_a_run_is_refused_and_left_as_it_is(leasehold):
    job = leasehold.job()
    leasehold("run", job, "--out", "out")
    before = {path: path.read_bytes() for path in leasehold.folder.rglob("out/**/*.json*")}

    done = leasehold("run", job, "--out", "out")

    assert done.returncode == 2
    assert "already holds a run" in done.stderr
    assert {path: path.read_bytes() for path in leasehold.folder.rglob("out/**/*.json*")} == before


BAD = """
name = "bad"
rows = 3
[columns.a]
kind = "expression"
template = "{{{{ nothing }}}}"
[columns.b]
kind = "chat"
model = "nobody"
prompt = "x"
"""


@pytest.mark.parametrize("command", [("run", "--out", "out"), ("check",)])
def test_all_problems_of_a_job_are_told_at_once_one_a_line_and_nothing_is_written(leasehold, command):
    name, *options = command
    done = leasehold(name, leasehold.job(text=BAD), *options, "--json")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "columns.a.template" in done.stderr
    assert "columns.b.model" in done.stderr
    assert len(json.loads(done.stdout)["problems"]) == 2
    assert not (leasehold.folder / "out").exists()


EVERY_KIND = """
name = "bad"
rows = "ten"
sed = 3
[source]
path = "nowhere.csv"
[providers.sim]
kind = "simulatd"
[models.writer]
provider = "smi"
model = "m"
[columns.story]
kind = "chat"
model = "nobody"
promt = "x"
[columns.loud]
kind = "python"
function = "no_such_module_here:f"
[columns.mood]
kind = "category"
values = ["a"]
weights = [1, 2]
[columns.loop]
kind = "expression"
template = "{{{{ loop }}}}"
[limits]
threads = 2.5
local = 0
"""


@pytest.mark.parametrize("command", [("run", "--out", "out"), ("check",)])
def test_problems_of_structure_of_names_and_of_files_are_told_together(leasehold, command):
    name, *options = command
    done = leasehold(name, leasehold.job(text=EVERY_KIND), *options, "--json")

    assert done.returncode == 2
    assert [problem["path"] for problem in json.loads(done.stdout)["problems"]] == [
        "sed",
        "rows",
        "providers.sim.kind",
        "columns.story.promt",
        "columns.story.prompt",
        "limits.threads",
        "source.path",
        "models.writer.provider",
        "columns.story.model",
        "limits.local",
        "columns.loud.function",
        "columns.mood.weights",
        "columns.loop",
    ]
    assert len(done.stderr.splitlines()) == 13
    assert not (leasehold.folder / "out").exists()


def test_a_folder_that_holds_a_run_is_told_beside_a_file_that_cannot_be_read(leasehold):
    leasehold("run", leasehold.job(), "--out", "out")

    done = leasehold("run", leasehold.job(rows="'ten'"), "--out", "out")

    assert done.returncode == 2
    assert [line.split(": ")[:3] for line in done.stderr.splitlines()] == [
        ["error", "job.toml", "rows"],
        ["error", "job.toml", "out"],
    ]


def test_a_file_that_is_no_toml_is_one_line_not_a_traceback(leasehold):
    done = leasehold("run", leasehold.job(text="name = "), "--out", "out")

    assert done.returncode == 2
    assert "is not valid TOML" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_log_that_cannot_be_written_fails_before_any_work(leasehold):
    (leasehold.folder / "taken").write_text("")

    done = leasehold("run", leasehold.job(), "--out", "out", "--log", "taken")

    assert done.returncode == 2
    said = "error: job.toml: the log taken cannot be written: File exists (give another --log)\n"
    assert done.stderr == said
    assert not (leasehold.folder / "out").exists()


def test_a_log_in_the_output_folder_that_is_there_already_asks_for_another_folder(leasehold):
    (leasehold.folder / "out").mkdir()
    (leasehold.folder / "out/actors.jsonl").write_text("precious")

    done = leasehold("run", leasehold.job(), "--out", "out")

    assert done.returncode == 2
    assert done.stderr.endswith("cannot be written: File exists (give another --out)\n")
    assert (leasehold.folder / "out/actors.jsonl").read_text() == "precious"


def test_without_a_terminal_progress_is_plain_lines(leasehold):
    done = leasehold("run", leasehold.job(), "--out", "out")

    started, ended = done.stderr.splitlines()
    assert started.startswith("small: 30 rows, run ")
    assert ended.startswith("small: succeeded, 30 of 30 rows written, 0 dropped, in ")


def test_on_a_terminal_progress_is_drawn_and_taken_away_again(leasehold):
    rows = int((SHOWN_EVERY * 4) / 0.05)
    ours, theirs = pty.openpty()
    job = leasehold.job("story", rows=rows, text=WAITS)
    with leasehold.start("run", job, "--out", "out", stderr=theirs) as run:
        os.close(theirs)
        drawn = read_terminal(ours)
        told = run.stdout.read()

    assert run.returncode == 0
    assert b"limited by" in drawn
    assert b"story" in drawn
    assert drawn.rstrip().endswith(b"\x1b[2K")
    assert "all rows are there" in told
    assert "\x1b" not in told


def test_check_tells_what_a_run_would_do_without_doing_it(leasehold):
    done = leasehold("check", leasehold.job())

    assert done.returncode == 0
    assert "30 rows in 3 row groups" in done.stdout
    assert "python, functions:plain" in done.stdout
    assert {path.name for path in leasehold.folder.iterdir()} == {
        "job.toml",
        "functions.py",
        *(path.name for path in leasehold.folder.glob("__pycache__")),
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "job.toml"),
        ("run", "job.toml", "--out", "o", "--rows", "0"),
        ("run", "job.toml", "--out", ""),
        ("fly",),
        (),
    ],
)
def test_usage_errors_exit_2(leasehold, arguments):
    leasehold.job()

    done = leasehold(*arguments)

    assert done.returncode == 2
    assert "Usage: leasehold" in done.stderr + done.stdout
    assert not (leasehold.folder / "rows").exists()


def test_version(leasehold):
    assert leasehold("--version").stdout.startswith("leasehold ")


def test_schema_is_one_json_document(leasehold):
    assert msgspec.json.decode(leasehold("schema").stdout)["$ref"] == "#/$defs/Job"
