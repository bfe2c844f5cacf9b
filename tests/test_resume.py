"""R10-R14 through the whole system: runs that end early in every way, and are resumed."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import threading

import msgspec
import pytest

from actors import ActorSystem
from actors.evidence.report import render
from actors.evidence.unsettled import unsettled_attempts
from actors.evidence.verify import verify_log
from actors.storage import files as storage_files
from actors.storage.filesystem import LocalFileSystem
from actors.storage.folder import open_run_folder
from actors.storage.layout import next_log
from actors.worker.providers import registry
from messages import (
    ChatColumn,
    FailurePolicy,
    Job,
    JobError,
    Limits,
    ModelConfig,
    Output,
    PythonColumn,
    SequenceColumn,
    Source,
)
from messages.storage import JournalCells, RowGroupStored
from tests.forked_command import ROOT, run_command
from tests.resumable import (
    NotingClient,
    a_job,
    calls_in,
    dataset,
    drops_in,
    finished,
    journaled,
    rows_in,
    run_until_killed,
)


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """Let the provider note every call of this process in a file."""
    monkeypatch.setattr(NotingClient, "notes", tmp_path / "notes", raising=False)
    monkeypatch.setattr(registry, "SimulatedClient", NotingClient)
    return tmp_path / "notes"


@pytest.fixture
def run(tmp_path):
    """Run a job, or resume it, with a log of its own that is proved; return the result."""

    def ended(job, out, *, tap=None, serialize=False, **options):
        with ActorSystem.start(serialize_messages=serialize) as system:
            log = next_log(out)
            if tap is not None:
                system.router.add_tap(tap)
            handle = system.submit(job, out=out, log=log, **options)
            if tap is not None:
                tap.handle = handle
                tap.ready.set()
            result = handle.result(timeout=30)
        report = verify_log(log)
        assert report.ok, "\n".join(render(report))
        assert report.counts.rows_written == result.rows_written
        return result

    return ended


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """The folder of the job run in one go."""
    out = tmp_path_factory.mktemp("reference") / "out"
    with ActorSystem.start() as system:
        system.run(a_job(), out=out)
    return out


def assert_is_whole(out, reference, result):
    """Assert that the folder has what a run in one go would have made, and that the result says so."""
    assert dataset(out) == dataset(reference)
    assert drops_in(out) == drops_in(reference)
    assert (result.status, result.rows_pending) == ("partial", 0)
    assert (result.rows_requested, result.rows_written, result.rows_dropped) == (90, 77, 13)
    assert result.drop_reasons == {"user_exception": 13}
    manifest = open_run_folder(out).manifest
    assert manifest.status == "partial"
    assert manifest.totals.rows_written == 77
    assert not (out / "journal").exists()
    assert [path.name for path in out.rglob("*.tmp")] == []


class CancelAtRowGroup:
    """A tap that cancels the job when so many row groups have been stored."""

    def __init__(self, count):
        self.left = count
        self.handle = None
        self.ready = threading.Event()

    def __call__(self, sender, to, message):
        if isinstance(message, RowGroupStored):
            self.left -= 1
            if self.left == 0:
                assert self.ready.wait(10)
                self.handle.cancel("enough")


# -- killed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1])
def test_r14_over_five_kills_no_finished_model_call_is_made_again(seed, tmp_path, notes, run, reference):
    out, chance = tmp_path / "out", random.Random(seed)
    for kill in range(5):
        finished_before, calls_before = finished(out), len(calls_in(notes))
        assert run_until_killed(out, notes, steps=chance.randrange(6, 18)) == -signal.SIGKILL, kill
        assert not finished_before & set(calls_in(notes)[calls_before:])
        assert finished_before <= finished(out)
    finished_before, calls_before = finished(out), len(calls_in(notes))
    result = run(a_job(), out, resume=True)
    last = calls_in(notes)[calls_before:]
    needed = {("story", row) for row in range(90)} | {("moral", row) for row in range(90) if row % 7 != 3}
    assert sorted(last) == sorted(needed - finished_before)
    assert_is_whole(out, reference, result)
    runs = open_run_folder(out).manifest.runs
    assert [each.log for each in runs] == [
        "actors.jsonl",
        *(f"actors-{number}.jsonl" for number in range(2, 7)),
    ]
    assert [each.status for each in runs] == ["running"] * 5 + ["partial"]


def test_r14_an_attempt_whose_outcome_nobody_knows_is_listed_and_counted(tmp_path, notes, run, reference):
    # The calls about row 5 are never answered: by the time of the kill, the log has long told of them.
    out = tmp_path / "out"
    assert run_until_killed(out, notes, steps=9, silent_about="story 5") == -signal.SIGKILL
    with (out / "actors.jsonl").open() as log:
        events = [json.loads(line) for line in log if line.endswith("\n")]
    sent = {
        each["request_attempt_id"] for each in events if each.get("event_kind") == "model_request_started"
    }
    ended = {
        each["request_attempt_id"] for each in events if each.get("event_kind") == "model_request_completed"
    }
    result = run(a_job(), out, resume=True)
    listed = open_run_folder(out).manifest.runs[0].possibly_billed
    assert {each.request_attempt_id for each in listed} == sent - ended
    assert result.possibly_billed == len(sent - ended)
    assert_is_whole(out, reference, result)


def test_r14_a_log_that_is_gone_tells_of_no_attempt(tmp_path):
    assert unsettled_attempts(tmp_path / "actors.jsonl") == ()


# -- ended otherwise -------------------------------------------------------------------------------


def test_r11_a_cancelled_run_is_resumed_and_gives_what_one_run_gives(tmp_path, notes, run, reference):
    out = tmp_path / "out"
    cancelled = run(a_job(), out, tap=CancelAtRowGroup(3))
    assert cancelled.status == "cancelled"
    assert cancelled.rows_pending > 0
    before = finished(out)
    calls_before = len(calls_in(notes))
    result = run(a_job(), out, resume=True, serialize=True)
    assert not before & set(calls_in(notes)[calls_before:])
    assert result.possibly_billed == 0
    assert_is_whole(out, reference, result)


def test_r10_a_finished_run_resumed_does_nothing_again(tmp_path, notes, run, reference):
    out = tmp_path / "out"
    first = run(a_job(), out)
    calls = calls_in(notes)
    again = run(a_job(), out, resume=True)
    assert calls_in(notes) == calls
    assert again.models == {}
    same = {"run_id": "", "wall_seconds": 0.0, "models": {}, "first_error": None}
    assert msgspec.structs.replace(again, **same) == msgspec.structs.replace(first, **same)
    assert_is_whole(out, reference, again)


def test_r13_the_proof_of_a_resumed_run_counts_what_was_stored_before(tmp_path, run):
    out = tmp_path / "out"
    run(a_job(), out, tap=CancelAtRowGroup(3))
    stored = {row["number"] for row in rows_in(out)} | {drop.row for drop in open_run_folder(out).dropped()}
    kept = {row for _, row in journaled(out)} - stored
    run(a_job(), out, resume=True)
    log = out / "actors-2.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    (at,) = (number for number, line in enumerate(lines) if '"scheduler_job_started"' in line)
    started = json.loads(lines[at])
    assert started["diagnostics"]["row_groups_before"]
    assert any('"from_journal"' in line for line in lines) == bool(kept)
    started["diagnostics"]["row_groups_before"].pop()
    started["diagnostics"]["rows_written_before"] -= 1
    lines[at] = json.dumps(started) + "\n"
    (tmp_path / "changed.jsonl").write_text("".join(lines))
    assert {each.rule for each in verify_log(tmp_path / "changed.jsonl").violations} == {"rows_conserved"}


class FailsAt(LocalFileSystem):
    """A disk that is full for one operation."""

    operation = "rename"
    left = 0

    def _count(self, operation):
        if operation == FailsAt.operation:
            FailsAt.left -= 1
            if FailsAt.left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")

    def rename(self, old, new):
        if new.parent.name == "rows":
            self._count("rename")
        super().rename(old, new)

    def extend(self, path, at, data):
        self._count("extend")
        super().extend(path, at, data)


@pytest.mark.parametrize(("operation", "at"), [("rename", 1), ("rename", 4), ("extend", 1), ("extend", 30)])
def test_r10_r14_a_full_disk_ends_the_job_and_it_is_resumed(
    operation, at, tmp_path, notes, run, reference, monkeypatch
):
    monkeypatch.setattr(storage_files, "LocalFileSystem", FailsAt)
    monkeypatch.setattr(FailsAt, "operation", operation)
    monkeypatch.setattr(FailsAt, "left", at)
    out = tmp_path / "out"
    failed = run(a_job(), out)
    assert failed.status == "failed"
    assert "No space left on device" in failed.first_error
    before, calls_before = finished(out), len(calls_in(notes))
    result = run(a_job(), out, resume=True)
    assert not before & set(calls_in(notes)[calls_before:])
    assert_is_whole(out, reference, result)


# -- the same job, and only that -------------------------------------------------------------------


def changed(job, **columns):
    return msgspec.structs.replace(job, columns={**job.columns, **columns})


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (
            changed(a_job(), story=ChatColumn(model="m", prompt="tale {{ number }}")),
            'columns.story.prompt: "story {{ number }}" -> "tale {{ number }}"',
        ),
        (changed(a_job(), extra=SequenceColumn()), "columns.extra: nothing -> "),
        (a_job(row_group_size=20), "row_group_size: 10 -> 20"),
        (a_job(seed=3), "seed: 0 -> 3"),
        (a_job(rows=80), "rows: 90 -> 80 (a resumed job may have more rows, never fewer)"),
        (a_job(columns=dict(reversed(a_job().columns.items()))), "columns: number, story, examined"),
    ],
)
def test_r10_a_changed_job_is_refused_and_what_changed_is_said(job, told, reference):
    before = sorted(path.name for path in reference.iterdir())
    with ActorSystem.start() as system, pytest.raises(JobError) as refused:
        system.run(job, out=reference, log=next_log(reference), resume=True)
    assert str(refused.value.problems[0]).startswith(told)
    assert sorted(path.name for path in reference.iterdir()) == before


def test_r10_how_fast_and_how_patiently_may_change(tmp_path, run, reference):
    out = tmp_path / "out"
    run(a_job(), out, tap=CancelAtRowGroup(2))
    job = a_job(
        limits=Limits(row_group_concurrency=1, threads=2),
        failure=FailurePolicy(max_retries=9),
        output=Output(journal_fsync="always"),
        models={"m": ModelConfig(provider="p", model="m", max_parallel_requests=9, timeout_seconds=5.0)},
    )
    assert_is_whole(out, reference, run(job, out, resume=True))


def test_r10_without_resume_a_folder_with_a_run_is_refused(reference):
    with ActorSystem.start() as system, pytest.raises(JobError, match="continue it with --resume"):
        system.run(a_job(), out=reference)


# -- more rows -------------------------------------------------------------------------------------


def test_r14_rows_may_grow_and_a_short_last_row_group_is_made_anew_without_new_calls(tmp_path, notes, run):
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert run(a_job(rows=24, mean=0.0), out).rows_written == 21
    assert journaled(out)
    calls = calls_in(notes)
    grown = run(a_job(rows=47, mean=0.0), out, resume=True)
    assert (grown.rows_requested, grown.rows_pending) == (47, 0)
    assert not set(calls) & set(calls_in(notes)[len(calls) :])
    run(a_job(rows=47, mean=0.0), whole)
    assert [row["number"] for row in rows_in(out)] == [row["number"] for row in rows_in(whole)]
    assert [row["story"] for row in rows_in(out)] == [row["story"] for row in rows_in(whole)]
    assert [row["rank"] for row in rows_in(out)] == [row["rank"] for row in rows_in(whole)]
    assert drops_in(out) == drops_in(whole)


def test_r10_a_source_may_have_got_more_rows(tmp_path, notes, run):
    source, out = tmp_path / "items.csv", tmp_path / "out"
    lines = ["item", *(f"thing-{number}" for number in range(33))]
    columns = {"text": ChatColumn(model="m", prompt="text {{ item | replace('thing-', '') }}")}
    job = a_job(rows=None, mean=0.0, columns=columns, source=Source(path=str(source)))
    source.write_text("\n".join(lines[:15]) + "\n")
    assert run(job, out).rows_written == 14
    source.write_text("\n".join(lines) + "\n")
    assert run(job, out, resume=True).rows_written == 33
    assert [row["item"] for row in rows_in(out)] == lines[1:]
    assert sorted(calls_in(notes)) == [("text", number) for number in range(33)]
    source.write_text("\n".join(lines[:20]) + "\n")
    with pytest.raises(JobError, match="rows: 33 -> 19"):
        run(job, out, resume=True)


# -- nothing to resume -----------------------------------------------------------------------------


def test_a_folder_without_a_run_is_begun_so_that_a_loop_can_always_resume(tmp_path, run, reference):
    out = tmp_path / "out"
    assert_is_whole(out, reference, run(a_job(), out, resume=True))


def test_a_run_killed_before_its_manifest_is_begun_anew(tmp_path, run, reference):
    out = tmp_path / "out"
    (out / "rows").mkdir(parents=True)
    (out / "dropped.jsonl").touch()
    (out / "manifest.json.tmp").write_text('{"schema')
    assert_is_whole(out, reference, run(a_job(), out, resume=True))


def test_rows_in_memory_are_not_journaled(tmp_path):
    sent = []
    with ActorSystem.start() as system:
        system.router.add_tap(lambda _sender, _to, message: sent.append(type(message)))
        result = system.run(a_job(), resume=True)
    assert result.rows_written == 77
    assert JournalCells not in sent


def test_a_job_without_model_calls_does_not_journal(tmp_path):
    sent = []
    with ActorSystem.start() as system:
        system.router.add_tap(lambda _sender, _to, message: sent.append(type(message)))
        system.run(a_job(columns={"number": SequenceColumn()}), out=tmp_path / "out")
    assert JournalCells not in sent
    assert not (tmp_path / "out" / "journal").exists()


# -- the command -----------------------------------------------------------------------------------


def test_the_command_resumes_with_a_log_of_its_own_and_verify_reads_the_latest(tmp_path):
    job, out = tmp_path / "job.toml", tmp_path / "out"
    job.write_text('name = "small"\nrows = 20\n[columns.n]\nkind = "sequence"\n')

    def leasehold(*arguments):
        return run_command(arguments, cwd=ROOT, env=os.environ, timeout=50)

    assert leasehold("run", job, "--out", out, "--resume", "--quiet").returncode == 0
    again = leasehold("run", job, "--out", out, "--resume", "--rows", "30")
    assert again.returncode == 0, again.stderr
    assert "30 of 30 rows written" in again.stdout
    assert sorted(path.name for path in out.glob("actors*")) == ["actors-2.jsonl", "actors.jsonl"]
    proof = leasehold("verify", out)
    assert "actors-2.jsonl: verified" in proof.stdout


def test_r6_an_early_shut_run_is_gone_on_with(tmp_path):
    mended = tmp_path / "mended"

    async def fragile(n):
        if not mended.exists():
            raise ValueError("not mended yet")
        return n * 2

    job = Job(
        name="fragile",
        rows=40,
        row_group_size=20,
        columns={"n": SequenceColumn(), "twice": PythonColumn(function=fragile)},
        limits=Limits(local=4),
        failure=FailurePolicy(early_shutdown_rate=0.5, early_shutdown_window=8),
    )
    out = tmp_path / "out"
    with ActorSystem.start() as system:
        shut = system.run(job, out=out)
        assert shut.status == "early_shutdown"
        assert (shut.rows_written, shut.rows_dropped, shut.rows_pending) == (0, 0, 40)
        mended.touch()
        whole = system.run(job, out=out, resume=True)
    assert (whole.status, whole.rows_written, whole.rows_dropped) == ("succeeded", 40, 0)
    assert [row["twice"] for row in whole.rows()] == [2 * n for n in range(40)]
