"""What must hold after every world, whatever went wrong in it."""

from __future__ import annotations

import contextlib
import re
from typing import NamedTuple

from actors.evidence.reader import BadLine, LogLine
from actors.evidence.report import render
from actors.evidence.verify import Verifier
from actors.inspection.story import RunStory
from actors.telemetry.log_codec import EventRecord, LogDecoder, LogFormatError, decode_line
from messages._base import REQUEST_ADMISSION, TASK_ADMISSION, WORKER
from messages.scheduler import JobRejected
from messages.telemetry import LogEntry
from tests.simulation.faults import FailingDisk
from tests.simulation.worlds import DROPPED_BY, functions_of

PACED_ELSEWHERE = frozenset(
    {
        "rate_limited",
        "queue_timeout",
        "circuit_open",
        "cooldown",
        "no_capacity",
        "budget",
        "queued_waiters_ahead",
    }
)
"""What a provider's limit or our own queue does: never a reason to drop a row (R4)."""

_LONG_JITTER = 0.1
"""Steps that take so many seconds make a call's way back long enough for its timeout."""

GOOD_ENDS = frozenset({"succeeded", "partial"})

CUT_OFF = frozenset(
    {"log_end", "run", "lease_not_returned", "request_lease_not_returned", "waiter_left", "hidden_waiter"}
)
"""What a log may lack that ends with its process: the ends of what was under way."""


class Problem(NamedTuple):
    """What is wrong with a world. `kind` tells one reason from another, whatever the numbers are."""

    kind: str
    text: str

    def __str__(self):
        return self.text


def kind_of(text):
    """Return what stays of a text in a smaller world that fails for the same reason: no numbers."""
    return re.sub(r"\d+(\.\d+)?", "#", text)


def problems_of(world, played):
    """Return what is wrong with what came of a world, a `Problem` each; nothing where all is well."""
    found = [*_logs(world, played), *_ends(world, played)]
    if played.result is not None:
        found += _rows(world, played)
        found += _drops(world, played)
    found += _left_over(played)
    found += _next(played)
    found += _made_again(played)
    found += [
        Problem(f"loop {type(error).__name__}", f"loop: {message}: {error!r}")
        for message, error in played.loop_failures
        if _is_ours(error)
    ]
    return found


# -- the log -----------------------------------------------------------------------------------------


def report_of(log):
    """Return the verification of a log's bytes."""
    verifier = Verifier()
    for number, line in enumerate(log.splitlines(keepends=True), 1):
        try:
            record = decode_line(line)
        except LogFormatError as error:
            record = BadLine(str(error), torn=not line.endswith(b"\n"))
        verifier.take(LogLine(number, record))
    return verifier.finish("log")


def _logs(world, played):
    for process, log in enumerate(played.logs):
        report = report_of(log)
        cut = played.log_failed or process < played.ended
        missing = CUT_OFF if cut else frozenset()
        if cut and any(fault.takes_worker for fault in world.faults):
            missing |= {"one_attempt_per_request_lease"}  # that its worker was lost is not told any more
        told = " | ".join(render(report)[4:8])
        for rule in dict.fromkeys(each.rule for each in report.violations):
            if rule not in missing:
                yield Problem(f"verify {rule}", f"verify, process {process}: {rule}: {told}")


def _made_again(played):
    """What is in the journal is paid for: no later process makes it again (R14)."""
    for process, (kept, log) in enumerate(zip(played.journaled, played.logs, strict=True)):
        for event in _events(log) if kept else ():
            about = event.correlation
            if event.event_kind == "worker_spawned":
                cell = (about.task_column, about.row_group, about.row_index)
                if cell in kept:
                    told = f"process {process}: {cell} was in the journal, and is made again"
                    yield Problem("made again", told)


def _events(log):
    decoder = LogDecoder()
    for line in log.splitlines(keepends=True):
        with contextlib.suppress(LogFormatError):
            record = decode_line(line)
            if isinstance(record, EventRecord):
                yield decoder.decode(record).event


def idleness(world, played):
    """Return where admissible work was kept waiting (T13). Steps take no time where there is no jitter."""
    if world.scheduling.jitter or played.log_failed:
        return
    for process, log in enumerate(played.logs):
        story, decoder = RunStory(), LogDecoder()
        for line in log.splitlines(keepends=True):
            with contextlib.suppress(LogFormatError):
                record = decode_line(line)
                if isinstance(record, EventRecord):
                    story.add(decoder.decode(record))
                elif isinstance(record, LogEntry):
                    story.log(record)  # that a job is being stopped is told here
        run = story.explain()
        if run is not None and run.queue.ready_idle_seconds:
            seconds = run.queue.ready_idle_seconds
            yield Problem("idle", f"process {process}: for {seconds} s work was ready, and nothing began")


# -- the end -----------------------------------------------------------------------------------------


def _ends(world, played):
    excused = frozenset().union(*(fault.may_end for fault in world.faults))
    result = played.result
    if result is None:
        if not played.problems:
            if "unknown" not in excused:
                yield Problem("no end", "the job has neither a result nor a refusal")
        elif "rejected" not in excused and not _unhealthy(world):
            told = f"the job was refused: {played.problems[0]}"
            yield Problem(kind_of(told), told)
        return
    functions = functions_of(world.job)
    excused |= GOOD_ENDS
    bad = functions & {*DROPPED_BY} or any(
        getattr(column, "timeout_seconds", None) for column in world.job.columns.values()
    )
    if bad and world.job.failure.early_shutdown_rate is not None:
        excused |= {"early_shutdown"}
    lost_worker = any(fault.takes_worker for fault in world.faults)
    if "breaks" in functions or "unstorable" in functions or (lost_worker and world.job.processors):
        excused |= {"failed"}
    if world.job.on_provider_exhausted == "stop" and world.job.models:
        excused |= {"failed", "early_shutdown"}
    if result.status not in excused:
        told = f"the job ended as {result.status}: {result.first_error}"
        yield Problem(kind_of(told), told)
    if result.status in GOOD_ENDS and result.rows_pending:
        told = f"the job ended as {result.status} with {result.rows_pending} rows pending"
        yield Problem("pending", told)


def _unhealthy(world):
    return world.job.health_check and any(provider.script for provider in world.job.providers.values())


# -- rows --------------------------------------------------------------------------------------------


def _rows(world, played):
    """Every row exactly once: written, dropped or pending (R13)."""
    result = played.result
    counts = (result.rows_requested, result.rows_written + result.rows_dropped + result.rows_pending)
    if counts[0] != counts[1] or counts[0] != world.job.rows:
        yield Problem("not conserved", f"rows are not conserved: {world.job.rows} asked for, {counts}")
    written, dropped = played.written, played.dropped
    numbers = [row["n"] for row in written]
    # What a broken disk does not let go of may still be there, although it does not count.
    failures = [fault for fault in world.faults if isinstance(fault, FailingDisk)]
    broken = len(failures) > 1 or any(fault.lasting for fault in failures)
    if len(written) + len(dropped) != result.rows_written + result.rows_dropped and not broken:
        yield Problem(
            "told otherwise",
            f"told {result.rows_written} written and {result.rows_dropped} dropped; "
            f"there are {len(written)} and {len(dropped)}",
        )
    accounted = sorted([*numbers, *(row.row for row in dropped)])
    if len(set(accounted)) != len(accounted):
        twice = sorted({number for number in accounted if accounted.count(number) > 1})
        yield Problem("twice", f"rows {twice} are accounted for twice")
    if any(not 0 <= number < world.job.rows for number in accounted):
        yield Problem("not asked for", f"rows that nobody asked for: {accounted}")


def _drops(world, played):
    """Every dropped row has a reason that somebody is to answer for (R4, R5)."""
    allowed = frozenset().union(*(fault.may_drop for fault in world.faults))
    for function in functions_of(world.job):
        allowed |= DROPPED_BY.get(function, set())
    if any(getattr(column, "timeout_seconds", None) for column in world.job.columns.values()):
        allowed |= {"task_timeout"}
    if "sorts_out" in functions_of(world.job):
        allowed |= {"processor"}
    scripts = [step for provider in world.job.providers.values() for step in provider.script]
    if any(step.error_rate or step.reset_rate or step.outage for step in scripts):
        allowed |= {"provider_failure"}
    if any(step.hang_rate or (step.latency_factor or 1) > 1 for step in scripts):
        allowed |= {"provider_timeout"}
    queues = any(provider.when_full == "queue" for provider in world.job.providers.values())
    if queues or world.scheduling.jitter >= _LONG_JITTER:
        allowed |= {"provider_timeout"}
    for row in played.dropped:
        if row.reason in PACED_ELSEWHERE:
            told = f"row {row.row} was dropped by a limit: {row.reason}"
            yield Problem(f"dropped by a limit: {row.reason}", told)
        elif row.reason not in allowed:
            told = f"row {row.row} was dropped for {row.reason!r} ({row.error}), which nothing justifies"
            yield Problem(f"dropped for {row.reason}", told)


# -- what is left ------------------------------------------------------------------------------------


def _left_over(played):
    """No lease, no waiter, nothing held (snapshots, taken when everything had come to rest)."""
    tasks = played.snapshots.get(TASK_ADMISSION)
    if tasks is not None and tasks.active_leases:
        yield Problem("task leases left", f"{tasks.active_leases} task leases are left")
    if tasks is not None and not tasks.active_leases and tasks.view.policy_debt_by_group_resource:
        told = f"debt is left where nothing is held: {tasks.view.policy_debt_by_group_resource}"
        yield Problem("debt left", told)
    requests = played.snapshots.get(REQUEST_ADMISSION)
    for endpoint in requests.provider_models if requests is not None else ():
        if endpoint.aggregate_in_flight:
            told = f"{endpoint.aggregate_in_flight} request leases of {endpoint} are left"
            yield Problem("request leases left", told)
    worker = played.snapshots.get(WORKER)
    if worker is not None and (
        worker.tokens_held or worker.waiting_for_request_lease or worker.attempts_in_flight
    ):
        yield Problem("worker holds", f"the worker still holds something: {worker}")
    if played.locked:
        yield Problem("locked", f"nothing is run any more, and {played.locked} is still held")


def _next(played):
    """The system that a job was run in takes the next one, whatever happened to the first."""
    answer = played.next_job
    if isinstance(answer, JobRejected):
        yield Problem("next refused", f"the next job was refused: {answer.problems[0]}")
    elif answer is not None and (answer.result.status, answer.result.rows_written) != ("succeeded", 2):
        told = f"the next job ended as {answer.result.status}: {answer.result.first_error}"
        yield Problem("next ended", told)


def _is_ours(error):
    return not isinstance(error, SystemExit | KeyboardInterrupt)


# -- equality ----------------------------------------------------------------------------------------


def differences(world, played, calm):
    """Return where the rows differ from those of the same job without any fault (R12)."""
    if played.result is None or calm.result is None:
        return
    by_rows = {row["n"]: row for row in calm.written}
    calm_drops = {row.row: row.reason for row in calm.dropped}
    size = world.job.row_group_size
    drops = {row.row for row in played.dropped}
    differing_groups = {number // size for number in drops ^ set(calm_drops)}
    together = _works_on_row_groups(world.job)
    for row in played.written:
        number = row["n"]
        if together and number // size in differing_groups:
            continue  # what is made of all its rows may differ where other rows are missing
        if number in by_rows and by_rows[number] != row:
            told = f"row {number} is {row}, but {by_rows[number]} without faults"
            yield Problem("other values", told)
        elif number in calm_drops:
            told = f"row {number} was written, but dropped without faults: {calm_drops[number]}"
            yield Problem("dropped when calm", told)


def _works_on_row_groups(job):
    scopes = {getattr(column, "scope", "cell") for column in job.columns.values()}
    return "batch" in scopes or bool(job.processors)
