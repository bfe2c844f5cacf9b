"""The storage core: one run's source and row groups, from `OpenRun` to `CloseRun`."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import msgspec

from actors.storage.failures import problem_of
from actors.storage.ports import (
    RunFiles,
    RunFilesFactory,
    SourceFactory,
    SourceReader,
    StorageError,
)
from actors.storage.progress import RunProgress
from messages._base import Message, Outgoing
from messages.job import Job, Problem
from messages.scheduler import JobResult
from messages.storage import (
    CloseRun,
    FilesInspected,
    InspectFiles,
    JournalCells,
    JournalFailed,
    LoadRowGroup,
    OpenRun,
    RowGroupLoaded,
    RowGroupStored,
    RunClosed,
    RunOpened,
    RunRefused,
    StorageFailed,
    StorageSnapshot,
    StoreRowGroup,
    WithdrawRun,
)

JOURNAL_SYNC_SECONDS = 1.0
"""How old a journaled cell may be, under `output.journal_fsync = "interval"`, before it is synced."""

_PROTOCOL_REMEDY = "this is an error in the program: please report it with the actor log"


class _Run:
    """The open run: where its rows come from, where they go, how far it is.

    `sync_by` is when the journal is to be synced, None while it is; `journal_of` is who sent its cells.
    """

    def __init__(self, opening: OpenRun, files: RunFiles) -> None:
        self.run_id = opening.run_id
        self.job: Job = opening.job
        self.files = files
        self.source: SourceReader | None = None
        self.progress = RunProgress(
            rows=opening.rows,
            row_group_size=opening.job.row_group_size,
            columns=opening.dataset_columns,
            earlier=files.earlier,
        )
        self.sync_by: float | None = None
        self.journal_of = ""
        self.bytes_written = 0
        self.last_store_seconds = 0.0

    def records(self, message: LoadRowGroup, sources: SourceFactory) -> dict[str, list[Any]]:
        """Return the source's records of a row group, one list per field; the source opens at the first.

        Raises:
            OSError: the source cannot be read.
            StorageError: a record is malformed, or there is no source.
        """
        source = self.job.source
        if source is None:
            raise StorageError(Problem("source", "the job has no source to load from", _PROTOCOL_REMEDY))
        if self.source is None:
            self.source = sources.open(source, self.job.base_dir)
        return self.source.load(message.first_row, message.rows)

    def close_source(self) -> None:
        """Let go of the source, where one was opened."""
        if self.source is not None:
            self.source.close()
            self.source = None


class StorageCore:
    """Owns what is stored of the open run; there is one at a time.

    What the ports cannot do becomes a typed answer that names the place and the remedy; it never leaves
    `handle` as an exception. A row group is counted only after its file is durable (R10), and at close
    the job's own count of its rows is held against what was stored (R13).
    """

    accepts: frozenset[type] = frozenset(
        {InspectFiles, OpenRun, WithdrawRun, LoadRowGroup, StoreRowGroup, JournalCells, CloseRun}
    )

    def __init__(self, runs: RunFilesFactory, sources: SourceFactory, *, generation: int = 1) -> None:
        self.generation: Final = generation
        self._runs = runs
        self._sources = sources
        self._run: _Run | None = None
        self._closed: RunClosed | None = None
        """How the last run was closed: a scheduler that is lost then has its successor ask again."""

    def handle(self, message: Message, *, now: float) -> list[Outgoing]:
        """Do what the message asks and answer it.

        Raises:
            TypeError: the message is not one of `accepts`.
        """
        answer: Message
        match message:
            case JournalCells():
                return self._journal(message, now)
            case StoreRowGroup():
                answer = self._store(message)
            case LoadRowGroup():
                answer = self._load(message)
            case InspectFiles():
                answer = self._inspect(message)
            case WithdrawRun():
                self._runs.forget(message.run_id)
                return []
            case OpenRun():
                answer = self._open(message)
            case CloseRun():
                answer = self._close(message)
            case _:
                raise TypeError(f"storage does not handle {type(message).__name__}")
        return [Outgoing(message.reply_to, answer)] if message.reply_to else []

    def idle(self, *, now: float) -> list[Outgoing]:
        """Sync the journal when it is time; storage answers at once, so nothing else is left to do."""
        run = self._run
        if run is None or run.sync_by is None or now < run.sync_by:
            return []
        run.sync_by = None
        try:
            run.files.sync_journal()
        except OSError as error:
            return _journal_failed(run.run_id, _journal_problem(error), run.journal_of)
        return []

    def next_deadline(self) -> float | None:
        """Return when the journal is to be synced."""
        return None if self._run is None else self._run.sync_by

    def snapshot(self, *, now: float) -> StorageSnapshot:  # noqa: ARG002 - every core's shape
        """Return what is stored of the open run; zeros where none is open."""
        run = self._run
        if run is None:
            return StorageSnapshot(
                run_id=None, output=None, row_groups_stored=0, rows_stored=0, rows_dropped=0, bytes_written=0
            )
        return StorageSnapshot(
            run_id=run.run_id,
            output=run.files.output,
            row_groups_stored=run.progress.row_groups_stored,
            rows_stored=run.progress.rows_stored,
            rows_dropped=run.progress.rows_dropped,
            bytes_written=run.bytes_written,
            last_store_seconds=run.last_store_seconds,
        )

    def check(self) -> None:
        """Assert the invariants of the open run's counts."""
        if self._run is not None:
            self._run.progress.check()

    def close(self, *, now: float) -> list[Outgoing]:  # noqa: ARG002 - every core's shape
        """Forget the open run without closing it: its folder stays as it is, an unfinished run."""
        self.close_source()
        self._run = None
        self._runs.release()
        return []

    def close_source(self) -> None:
        """Let go of the open run's source, if there is one: all that this core alone has in its hands."""
        if self._run is not None:
            self._run.close_source()

    def _inspect(self, message: InspectFiles) -> FilesInspected:
        fields: tuple[str, ...] | None = ()
        rows = 0
        problems: list[Problem] = []
        job = message.job
        if job.source is not None:
            limit = None if job.rows is None else max(0, job.rows)
            try:
                fields, rows, found = self._sources.inspect(job.source, job.base_dir, limit)
            except OSError as error:
                doing = f"cannot read {job.source.path}"
                fields, found = None, (problem_of(error, path="source.path", doing=doing),)
            problems += found
        finished = False
        if message.out is not None:
            made = job.rows if job.source is None else None if problems else rows
            try:
                in_use = self._runs.claim(message.run_id, message.out)
                if in_use:
                    problems += in_use
                elif message.resume:
                    problems += self._runs.problems_of_resuming(message.out, job, made)
                    finished = made is not None and self._runs.is_finished(message.out, made)
                else:
                    problems += self._runs.problems_of(message.out)
            except OSError as error:
                problems.append(problem_of(error, path="out", doing=f"cannot use {message.out}"))
        return FilesInspected(
            run_id=message.run_id,
            source_fields=fields,
            source_rows=rows,
            problems=tuple(problems),
            finished=finished,
        )

    def _open(self, message: OpenRun) -> RunOpened | RunRefused:
        problems: tuple[Problem, ...]
        if self._run is not None:
            busy = Problem(
                "out", f"run {self._run.run_id} is still being stored", "start it when that one ends"
            )
            return RunRefused(message.run_id, (busy,))
        try:
            self._run = _Run(message, self._runs.open(message))
            self._closed = None
        except StorageError as error:
            problems = error.problems
        except OSError as error:
            problems = (problem_of(error, path="out", doing=f"cannot start a run in {message.out}"),)
        else:
            return RunOpened(message.run_id, self._run.files.earlier)
        return RunRefused(message.run_id, problems)

    def _load(self, message: LoadRowGroup) -> RowGroupLoaded | StorageFailed:
        doing = f"cannot load row group {message.row_group}"
        run = self._run_of(message.run_id)
        if run is None:
            return _not_open(message.run_id, message.row_group, doing)
        try:
            columns = run.records(message, self._sources)
        except StorageError as error:
            problem = error.problems[0]
        except OSError as error:
            where = "the source" if run.job.source is None else run.job.source.path
            problem = problem_of(error, path="source.path", doing=f"{doing} of {where}")
        else:
            return RowGroupLoaded(message.run_id, message.row_group, columns)
        return StorageFailed(message.run_id, message.row_group, problem)

    def _store(self, message: StoreRowGroup) -> RowGroupStored | StorageFailed:
        doing = f"cannot store row group {message.row_group}"
        run = self._run_of(message.run_id)
        if run is None:
            return _not_open(message.run_id, message.row_group, doing)
        objection = run.progress.objection_to(message)
        if objection is not None:
            problem = Problem("out", f"{doing}: {objection}", _PROTOCOL_REMEDY)
            return StorageFailed(message.run_id, message.row_group, problem)
        try:
            stored = run.files.store(message.row_group, message.columns, message.rows, message.dropped)
        except StorageError as error:
            return StorageFailed(message.run_id, message.row_group, error.problems[0])
        except OSError as error:
            problem = problem_of(error, path="out", doing=doing)
            return StorageFailed(message.run_id, message.row_group, problem)
        run.progress.record(message)
        run.bytes_written += stored.bytes_written
        run.last_store_seconds = stored.seconds
        return RowGroupStored(message.run_id, message.row_group, message.rows, len(message.dropped))

    def _journal(self, message: JournalCells, now: float) -> list[Outgoing]:
        run = self._run_of(message.run_id)
        if run is None:
            problem = _not_open(message.run_id, None, "cannot journal finished model calls").problem
            return _journal_failed(message.run_id, problem, message.reply_to)
        run.journal_of = message.reply_to
        policy = run.job.output.journal_fsync
        try:
            run.files.journal(message.records)
            if policy == "always":
                run.files.sync_journal()
        except OSError as error:
            return _journal_failed(run.run_id, _journal_problem(error), message.reply_to)
        if policy == "interval" and run.sync_by is None:
            run.sync_by = now + JOURNAL_SYNC_SECONDS
        return []

    def _close(self, message: CloseRun) -> RunClosed | StorageFailed:
        run = self._run_of(message.run_id)
        if run is None and self._closed is not None and self._closed.run_id == message.run_id:
            return self._closed  # who asked was lost before the answer came, or with it
        if run is None:
            self._runs.forget(message.run_id)
            return _not_open(message.run_id, None, "cannot close the run")
        result = run.progress.counted(message.result) if message.recount else message.result
        difference = run.progress.difference_to(result)
        if difference is not None:
            result = _failed(result, difference)
        try:
            if run.sync_by is not None:
                run.files.sync_journal()
            result = run.files.complete(result, message.capacity_plan)
        except OSError as error:
            problem = problem_of(error, path="out", doing="cannot complete the run's files")
            result = _failed(msgspec.structs.replace(result, output=run.files.output), str(problem))
        run.close_source()
        self._runs.forget(run.run_id)
        self._run = None
        self._closed = RunClosed(message.run_id, result)
        return self._closed

    def _run_of(self, run_id: str) -> _Run | None:
        if self._run is None and self.generation > 1:
            self._reopen(run_id)
        return self._run if self._run is not None and self._run.run_id == run_id else None

    def _reopen(self, run_id: str) -> None:
        """Take up the run that an earlier incarnation had open: the files know how far it is."""
        with contextlib.suppress(OSError, StorageError):  # then the run is not open, and the sender hears so
            found = self._runs.reopen(run_id)
            if found is not None:
                self._run = _Run(*found)


def _not_open(run_id: str, row_group: int | None, doing: str) -> StorageFailed:
    problem = Problem("out", f"{doing}: run {run_id} is not open", _PROTOCOL_REMEDY)
    return StorageFailed(run_id, row_group, problem)


def _journal_problem(error: OSError) -> Problem:
    return problem_of(error, path="out", doing="cannot journal finished model calls")


def _journal_failed(run_id: str, problem: Problem, reply_to: str) -> list[Outgoing]:
    return [Outgoing(reply_to, JournalFailed(run_id, problem))] if reply_to else []


def _failed(result: JobResult, reason: str) -> JobResult:
    """Return the result as a failed one; an error that it already names stays first."""
    told = reason if result.first_error is None else f"{result.first_error}; then {reason}"
    return msgspec.structs.replace(result, status="failed", first_error=told)
