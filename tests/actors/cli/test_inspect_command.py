"""`leasehold inspect` as a user meets it, above all with jobs that are badly configured on purpose."""

from __future__ import annotations

import contextlib
import json
import signal
from functools import partial

import pytest

from tests.actors.cli.conftest import ROOT, Command

SLOW_JOBS = ROOT / "bench/jobs/slow"


def first_cause(screen):
    """The first thing that a screen says limited the run, and what it says to do about it."""
    lines = screen.splitlines()
    at = lines.index("What limited it")
    return lines[at + 1], lines[at + 2]


@pytest.fixture(scope="module", autouse=True)
def started(tmp_path_factory):
    """Start the badly configured jobs side by side: they mostly wait, and other tests run meanwhile."""
    leasehold = Command(tmp_path_factory.mktemp("slow"))
    with contextlib.ExitStack() as running:
        jobs = {}
        for path in sorted(SLOW_JOBS.glob("*.toml")):
            jobs[path.stem] = running.enter_context(
                leasehold.start("run", path, "--out", path.stem, "--quiet")
            )
            running.callback(jobs[path.stem].kill)
        yield leasehold, jobs


@pytest.fixture(scope="module")
def inspected(penguins, tmp_path_factory):
    """Inspect the penguins' run with these options."""
    leasehold = Command(tmp_path_factory.mktemp("inspected"))
    return lambda *options: leasehold("inspect", penguins[1], *options)


def test_the_screen_has_every_part(inspected):
    done = inspected()

    assert done.returncode == 0
    assert "succeeded; 344 of 344 rows written" in done.stdout
    for part in ("What limited it", "tasks' time went", "Columns,", "Models,", "Longest tasks", "Proof:"):
        assert part in done.stdout
    assert "judge (sim/sim-judge/chat)" in done.stdout
    assert "688 request leases, 688 returned" in done.stdout


def test_json_is_the_run_explained_with_its_findings(inspected):
    done = inspected("--json")

    run = json.loads(done.stdout)
    assert run["task_microseconds"] == sum(run["charges"].values())
    assert run["findings"][0]["layer"] == "request_limit"
    assert run["models"]["sim/sim-judge/chat"]["outcomes"] == {"success": 344}


def test_a_task_is_shown_with_every_step_and_what_it_waited_for(inspected):
    task = json.loads(inspected("--json").stdout)["longest"][0]

    done = inspected("--task", task["task_execution_id"])

    assert done.returncode == 0
    head, *steps = done.stdout.splitlines()
    assert head.startswith(f"task {task['task_execution_id']}: {task['column']}, row {task['row_index']}")
    text = "\n".join(steps)
    for step in (
        "its dependencies are there",
        "leased after",
        "sent to the provider",
        "lease returned: success",
    ):
        assert step in text
    assert "spent on:" in steps[-1]


def test_of_a_task_with_thousands_of_calls_the_first_and_the_last_steps_are_shown(leasehold):
    calls = (
        "import asyncio\n"
        "async def ask(n, models):\n"
        "    await asyncio.gather(*(models.w.chat(str(i)) for i in range(300)))\n"
        "    return 1\n"
    )
    (leasehold.folder / "many.py").write_text(calls)
    (leasehold.folder / "many.toml").write_text(
        'name = "many"\nrows = 1\n[providers.sim]\nkind = "simulated"\nlatency_ms = { mean = 1 }\n'
        '[models.w]\nprovider = "sim"\nmodel = "m"\nmax_parallel_requests = 100\n'
        '[columns.n]\nkind = "sequence"\n[columns.a]\nkind = "python"\nfunction = "many:ask"\n'
    )
    assert leasehold("run", "many.toml", "--out", "many", "--quiet").returncode == 0

    lines = leasehold("inspect", "many", "--row", "0").stdout.splitlines()

    [left_out] = [line for line in lines if "more steps: --json has them all" in line]
    assert len(lines) < 250
    assert lines.index(left_out) > 100
    assert len(lines) - lines.index(left_out) > 100
    assert lines[-1].startswith("  spent on:")


def test_a_row_is_shown_with_every_task_that_made_it(inspected):
    found = json.loads(inspected("--row", 7, "--json").stdout)

    columns = {each["timeline"]["correlation"]["task_column"] for each in found["timelines"]}
    assert columns == {"mood", "story", "verdict", "words", "loud"}
    assert found["total"] == 5
    text = inspected("--row", 7).stdout
    assert "verdict, row 7, row group 0: success" in text


def test_a_model_is_found_by_its_alias_or_its_endpoint(inspected):
    by_alias, by_endpoint = inspected("--model", "judge"), inspected("--model", "sim/sim-judge")

    assert by_alias.returncode == 0
    assert by_alias.stdout.startswith("sim/sim-judge/chat: models.judge (cap 4)")
    assert "calls: 344 (344 success)" in by_alias.stdout
    assert by_endpoint.stdout.startswith("sim/sim-judge/chat")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--task", 999_999), "there is no task execution 999999"),
        (("--row", 999_999), "no task of row 999999"),
        (("--model", "juge"), "did you mean 'judge'"),
        (("--task", 1, "--row", 1), "ask one at a time"),
        (("--task", 1, "--follow"), "--follow repeats the whole screen"),
    ],
)
def test_what_is_not_there_exits_2_and_says_so(inspected, options, said):
    done = inspected(*options)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize("content", [None, "", "some,table\n1,2\n"])
def test_what_is_no_log_exits_2(leasehold, content):
    if content is not None:
        (leasehold.folder / "thing").write_text(content)

    done = leasehold("inspect", "thing")

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_log_that_was_cut_off_shows_what_had_not_ended(leasehold, penguins):
    whole = (penguins[1] / "actors.jsonl").read_bytes()
    (leasehold.folder / "log.jsonl").write_bytes(whole[: len(whole) // 2])

    done = leasehold("inspect", "log.jsonl")

    assert done.returncode == 0
    assert "has not ended, or was cut off" in done.stdout
    assert "Unfinished tasks, the oldest of" in done.stdout
    assert "waits for " in done.stdout


def test_follow_goes_on_until_the_run_has_ended(leasehold, penguins):
    whole = (penguins[1] / "actors.jsonl").read_bytes()
    half = whole.rindex(b"\n", 0, len(whole) // 2) + 1
    log = leasehold.folder / "log.jsonl"
    log.write_bytes(whole[:half])
    with leasehold.start("inspect", "log.jsonl", "--follow", "--json") as following:
        first = json.loads(following.stdout.readline())
        with log.open("ab") as rest:
            rest.write(whole[half:])
        *_, last = following.stdout.read().splitlines()

    assert first["run"]["status"] == "unfinished"
    assert json.loads(last)["run"]["status"] == "succeeded"
    assert following.returncode == 0


def test_follow_is_left_by_an_interrupt(leasehold, penguins):
    whole = (penguins[1] / "actors.jsonl").read_bytes()
    (leasehold.folder / "log.jsonl").write_bytes(whole[: len(whole) // 2])
    # Whoever runs the tests in the background has had interrupts ignored, and children inherit that.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with leasehold.start("inspect", "log.jsonl", "--follow", "--json", preexec_fn=heard) as following:
        try:
            following.stdout.readline()
            following.send_signal(signal.SIGINT)
            complaints = following.communicate(timeout=20)[1]
        finally:
            following.kill()

    assert (following.returncode, complaints) == (0, "")


def test_inspect_ends_quietly_when_its_reader_goes_away(leasehold, penguins):
    with leasehold.start("inspect", penguins[1]) as inspect:
        assert inspect.stdout.readline()
        inspect.stdout.close()
        complaints = inspect.stderr.read()

    assert (inspect.returncode, complaints) == (0, "")


@pytest.mark.parametrize(
    ("job", "cause", "remedies"),
    [
        (
            "hasty_timeout",
            "1. failures",
            ["does not reply in time", "raise models.writer.timeout_seconds"],
        ),
        ("narrow_door", "1. task_capacity", ["raise limits.llm_wait (now 3)"]),
        (
            "cap_of_one",
            "1. request_limit",
            ["models.judge.max_parallel_requests (now 1)", "raise"],
        ),
        (
            "slow_root",
            "1. slow_column",
            ["make columns.landing faster", "limits.row_group_concurrency (now 1)"],
        ),
        (
            "cooling_provider",
            "1. cooldown",
            ["lower models.writer.max_parallel_requests (now 16)", "models.writer.requests_per_minute"],
        ),
        ("blocked_loop", "1. event_loop", ["columns.weighed plain (not `async`)", "asyncio.sleep"]),
    ],
)
def test_the_first_screen_of_a_badly_configured_job_names_the_cause_and_the_remedy(
    started, job, cause, remedies
):
    leasehold, jobs = started
    complaints = jobs[job].communicate(timeout=30)[1]
    assert jobs[job].returncode == (3 if job == "hasty_timeout" else 0), complaints

    done = leasehold("inspect", job)

    assert done.returncode == 0, done.stderr
    found, remedy = first_cause(done.stdout)
    assert found.strip().startswith(cause)
    assert all(part in remedy for part in remedies), remedy
    assert len(done.stdout.splitlines()) < 50
