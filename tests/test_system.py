"""The whole system through its Python interface, with the proof of every run's log."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import logging
import signal
import threading

import pytest
import structlog

from actors import ActorSystem
from actors.evidence.report import render
from actors.evidence.verify import verify_log
from actors.runtime.router import UnreachableError
from messages import (
    CategoryColumn,
    ChatColumn,
    EmbeddingColumn,
    ExpressionColumn,
    FailurePolicy,
    GetSnapshot,
    Job,
    JobAccepted,
    JobError,
    JobRejected,
    Latency,
    Limits,
    ModelConfig,
    PythonColumn,
    SequenceColumn,
    SimulatedProvider,
    SubmitJob,
)
from messages._base import ACTOR_NAMES, SCHEDULER
from messages.scheduler import CancelJob, JobCancelling, SchedulerSnapshot
from messages.storage import RowGroupStored
from messages.supervision import ActorSnapshot
from messages.worker import ExecuteTasks, PrepareJob
from tests.actors.worker.bad_exceptions import RAISED


@pytest.fixture(autouse=True)
def nothing_stays():
    """Fail a test that leaves a thread, an open file or a loop behind."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(timeout=5.0)
    assert [thread.name for thread in left if thread.is_alive()] == []
    gc.collect()


@pytest.fixture
def start(tmp_path):
    """Start systems with a log each; stop them, and prove what their logs say."""
    started = []

    def begin(**options):
        log = tmp_path / f"actors-{len(started)}.jsonl"
        started.append((ActorSystem.start(log=log, **options), log))
        return started[-1][0]

    yield begin
    for system, log in started:
        system.stop()
        report = verify_log(log)
        assert report.ok, "\n".join(render(report))


@pytest.fixture
def system(start):
    return start()


def a_job(rows=20, **columns):
    """A job of a number and what can be made of it at once."""
    return Job(
        name="a job",
        rows=rows,
        row_group_size=5,
        columns=columns or {"number": SequenceColumn(), "text": ExpressionColumn(template="n{{ number }}")},
    )


class Gate:
    """An async column function that holds rows from number `first` on until it is opened."""

    def __init__(self, first=0):
        self.first = first
        self.reached = threading.Event()

    async def __call__(self, number):
        if number >= self.first:
            self.reached.set()
            await asyncio.Event().wait()
        return number


def a_held_job(first=0, rows=20, **job):
    gate = Gate(first)
    columns = {"number": SequenceColumn(), "held": PythonColumn(function=gate)}
    return Job(name="held", rows=rows, row_group_size=5, columns=columns, **job), gate


def interrupt_main_thread_at(kind):
    """Return a tap that sends SIGINT to the main thread at the first delivery of a message of `kind`."""
    due = [kind]

    def tap(_sender, _to, message):
        if due and isinstance(message, kind):
            due.clear()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    return tap


# -- the interface ---------------------------------------------------------------------------------


def test_the_interface_works_as_it_is_documented(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = a_job()
    with ActorSystem.start(log="actors.jsonl") as system:
        result = system.run(job, out=None)
        assert [row["text"] for row in result.rows()] == [f"n{number}" for number in range(20)]
        handle = system.submit(job, out="out/")
        assert isinstance(handle.progress(), SchedulerSnapshot)
        assert handle.result(timeout=10).rows_written == 20
        handle.cancel()
        snapshot = system.ask("task_admission", GetSnapshot(), timeout=5)
        assert isinstance(snapshot, ActorSnapshot)
        system.tell("scheduler", SubmitJob(job))
    assert sorted(path.name for path in (tmp_path / "out" / "rows").iterdir())
    report = verify_log("actors.jsonl")
    assert report.ok, "\n".join(render(report))
    assert report.counts.jobs == 3


def test_rows_are_the_same_in_memory_and_on_disk(system, tmp_path):
    in_memory = system.run(a_job())
    on_disk = system.run(a_job(), out=tmp_path / "out")
    assert in_memory.output is None
    assert on_disk.dataset is None
    assert on_disk.output == str(tmp_path / "out")
    assert list(in_memory.rows()) == list(on_disk.rows())
    assert list(on_disk.rows()) == list(on_disk.rows())


def test_without_a_log_no_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ActorSystem.start(log=None) as system:
        assert system.run(a_job()).status == "succeeded"
    assert list(tmp_path.iterdir()) == []


def test_an_old_log_is_replaced(tmp_path):
    log = tmp_path / "actors.jsonl"
    log.write_text("what was here before\n")
    with ActorSystem.start(log=log) as system:
        system.run(a_job())
    assert verify_log(log).ok
    assert "what was here before" not in log.read_text()


def test_o8_nothing_global_is_configured(system):
    root = logging.getLogger()
    before = (list(root.handlers), root.level, structlog.is_configured())
    system.run(a_job())
    system.stop()
    assert (list(root.handlers), root.level, structlog.is_configured()) == before


@pytest.mark.parametrize("name", ACTOR_NAMES)
def test_every_actor_shows_its_state(system, name):
    system.run(a_job())
    snapshot = system.snapshot(name)
    assert (snapshot.actor, snapshot.generation, snapshot.dead_letters) == (name, 1, 0)
    assert snapshot.mailbox.handled > 0
    assert type(snapshot.state).__name__.lower() == f"{name.replace('_', '')}snapshot"


def test_asking_for_an_actor_that_is_not_there_says_who_is(system):
    with pytest.raises(UnreachableError, match="no actor 'schedular' runs here; there is telemetry, storage"):
        system.ask("schedular", GetSnapshot())


# -- jobs ------------------------------------------------------------------------------------------


def test_several_jobs_run_one_after_another(system):
    runs = [system.run(a_job(rows)) for rows in (0, 1, 5, 6, 20)]
    assert [run.rows_written for run in runs] == [0, 1, 5, 6, 20]
    assert {run.status for run in runs} == {"succeeded"}
    assert len({run.run_id for run in runs}) == 5


def test_a_second_job_is_refused_and_the_first_goes_on(system):
    job, gate = a_held_job(first=5)
    handle = system.submit(job)
    assert gate.reached.wait(5)
    with pytest.raises(JobError, match="another job is running in this actor system"):
        system.submit(a_job())
    answer = system.ask(SCHEDULER, SubmitJob(a_job()))
    assert isinstance(answer, JobRejected)
    assert not handle.done
    assert handle.progress().phase == "running"
    handle.cancel()
    result = handle.result(timeout=10)
    assert (result.status, result.rows_written) == ("cancelled", 5)
    assert system.run(a_job()).status == "succeeded"


def test_of_jobs_that_are_submitted_at_the_same_time_one_runs(system):
    job, _gate = a_held_job()
    handles, refused = [], []

    def submit():
        try:
            handles.append(system.submit(job))
        except JobError as error:
            refused.append(error)

    threads = [threading.Thread(target=submit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(handles), len(refused)) == (1, 5)
    handles[0].cancel()
    assert handles[0].result(10).status == "cancelled"


def test_a_result_can_be_waited_for_a_while_and_by_several(system):
    job, gate = a_held_job()
    handle = system.submit(job)
    assert gate.reached.wait(5)
    results = []
    waits = threading.Thread(target=lambda: results.append(handle.result()))
    waits.start()
    with pytest.raises(TimeoutError):
        handle.result(timeout=0.02)
    with pytest.raises(TimeoutError):
        handle.result(timeout=0)
    assert not handle.done
    handle.cancel()
    assert handle.result(timeout=10).status == "cancelled"
    waits.join(10)
    assert results == [handle.result()]
    assert handle.done


def test_a_job_is_done_without_anybody_asking_for_its_result(system):
    handle = system.submit(a_job())
    ended = threading.Event()
    for _ in range(1000):
        if handle.done:
            break
        ended.wait(0.005)
    assert handle.done
    assert handle.result(0).status == "succeeded"


def test_r11_cancelling_a_job_that_has_ended_does_not_touch_the_next(system):
    first = system.submit(a_job())
    while system.snapshot(SCHEDULER).state.phase != "idle":
        pass
    job, gate = a_held_job(first=5)
    second = system.submit(job)
    assert gate.reached.wait(5)
    first.cancel()
    first.cancel()
    assert second.progress().phase == "running"
    assert first.result(5).status == "succeeded"
    second.cancel()
    assert second.result(10).status == "cancelled"


def test_r11_a_second_cancel_is_harmless_and_finished_row_groups_stay(system, tmp_path):
    job, _gate = a_held_job(first=10)
    stored = threading.Event()
    seen = []

    def tap(_sender, _to, message):
        if isinstance(message, RowGroupStored):
            seen.append(message)
            if len(seen) == 2:
                stored.set()

    system.router.add_tap(tap)
    handle = system.submit(job, out=tmp_path / "out")
    assert stored.wait(5)
    handle.cancel("enough")
    handle.cancel("more than enough")
    result = handle.result(10)
    assert (result.status, result.first_error) == ("cancelled", "enough")
    assert (result.rows_written, result.rows_dropped, result.rows_pending) == (10, 0, 10)
    assert [row["number"] for row in result.rows()] == list(range(10))


def test_r11_a_job_may_be_cancelled_before_it_has_begun(system):
    with system.reply_box() as box:
        system.tell(SCHEDULER, SubmitJob(a_job(), reply_to=box.address))
        system.tell(SCHEDULER, CancelJob(reply_to=box.address))
        answers = [box.get(5), box.get(5), box.get(5)]
    assert {type(answer).__name__ for answer in answers} == {"JobCancelling", "JobAccepted", "JobFinished"}
    assert system.ask(SCHEDULER, CancelJob()) == JobCancelling(None)


def test_a_job_that_cannot_be_run_is_refused_with_everything_that_is_wrong(system, tmp_path):
    bad = a_job(
        one=ExpressionColumn(template="{{ nowhere }}"),
        two=ChatColumn(model="missing", prompt="x"),
        three=PythonColumn(function="no_such_module_anywhere:function"),
    )
    with pytest.raises(JobError) as refused:
        system.run(bad, out=tmp_path / "out")
    paths = {problem.path for problem in refused.value.problems}
    assert {"columns.one.template", "columns.two.model", "columns.three.function"} <= paths
    assert not (tmp_path / "out").exists()
    assert system.run(a_job()).status == "succeeded"


# -- the same result however messages cross --------------------------------------------------------


def _even(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


async def _doubled(number):
    await asyncio.sleep(0)
    return number * 2


def _mutates(table):
    table["list"].append("mine")
    return table


MODELS = {
    "providers": {"sim": SimulatedProvider(latency_ms=Latency(mean=1.0, jitter=1.0))},
    "models": {"writer": ModelConfig(provider="sim", model="sim-writer", max_parallel_requests=3)},
}

JOBS = {
    "plain": {
        "columns": {"number": SequenceColumn(start=7, step=3), "mood": CategoryColumn(values=("a", "b"))}
    },
    "expressions": {
        "columns": {
            "number": SequenceColumn(),
            "json": ExpressionColumn(template="[{{ number }}, null]", dtype="json"),
            "sum": ExpressionColumn(template="{{ number + json[0] }}", dtype="int"),
        }
    },
    "functions": {
        "columns": {
            "number": SequenceColumn(),
            "even": PythonColumn(function=_even),
            "doubled": PythonColumn(function=_doubled),
        }
    },
    "row groups": {
        "columns": {
            "made": PythonColumn(function=lambda rows: list(range(rows)), scope="from_scratch"),
            "turned": PythonColumn(function=lambda made: made[::-1], scope="batch"),
            "two": PythonColumn(
                function=lambda made: {"low": made, "high": made + 1}, outputs=("low", "high")
            ),
        }
    },
    "mutable values": {
        "columns": {
            "table": ExpressionColumn(template='{"list": []}', dtype="json"),
            "first": PythonColumn(function=_mutates, needs=("table",)),
            "second": PythonColumn(function=_mutates, needs=("table",)),
        }
    },
    "models": {
        "columns": {
            "number": SequenceColumn(),
            "story": ChatColumn(model="writer", prompt="Tell of {{ number }}."),
            "vector": EmbeddingColumn(model="writer", input="{{ story }}"),
        },
        **MODELS,
    },
}


@pytest.mark.parametrize("name", JOBS)
def test_r12_a_job_gives_the_same_rows_however_messages_cross(start, name):
    job = Job(name=name, rows=23, row_group_size=5, seed=3, **JOBS[name])
    in_memory = start().run(job)
    serialized = start(serialize_messages=True).run(job)
    assert list(in_memory.rows()) == list(serialized.rows())
    assert in_memory.rows_written + in_memory.rows_dropped == 23
    assert in_memory.dropped == serialized.dropped
    assert in_memory.status == serialized.status
    assert in_memory.models == serialized.models


def test_values_are_not_shared_between_cells(system):
    result = system.run(Job(name="mutable", rows=6, **JOBS["mutable values"]))
    for row in result.rows():
        assert row == {"table": {"list": []}, "first": {"list": ["mine"]}, "second": {"list": ["mine"]}}


def as_coroutine(function):
    """Return `function`, with its parameters, as an async function that waits first."""

    @functools.wraps(function)
    async def coroutine(*positional, **keywords):
        await asyncio.sleep(0)
        return function(*positional, **keywords)

    return coroutine


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["cell", "batch", "from_scratch"])
@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "async"])
def test_r5_r13_whatever_user_code_raises_drops_its_rows_and_ends_the_job(system, scope, is_async):
    makers = list(RAISED.values())
    tries = itertools.count()

    def fails(number):
        error = makers[next(tries) % len(makers)]()
        raise error

    def makes_nothing():
        error = makers[next(tries) % len(makers)]()
        raise error

    function = makes_nothing if scope == "from_scratch" else fails
    if is_async:
        function = as_coroutine(function)
    rows = 2 * len(makers)
    result = system.run(
        Job(
            name="fails",
            rows=rows,
            row_group_size=1 if scope != "cell" else 5,
            columns={
                "number": SequenceColumn(),
                "bad": PythonColumn(function=function, scope=scope),
            },
            failure=FailurePolicy(early_shutdown_rate=None),
        )
    )
    assert (result.status, result.rows_written, result.rows_dropped) == ("partial", 0, rows)
    assert result.drop_reasons == {"user_exception": rows}
    assert len(result.dropped) == rows
    assert system.run(a_job()).status == "succeeded"


def test_r5_what_takes_too_long_is_dropped_and_the_rest_goes_on(system):
    go_on = threading.Event()

    def blocks(number):
        if number % 4 == 0:
            assert go_on.wait(20)
        return number

    async def hangs(number):
        if number % 4 == 1:
            await asyncio.Event().wait()
        return number

    job = Job(
        name="slow",
        rows=20,
        columns={
            "number": SequenceColumn(),
            "blocks": PythonColumn(function=blocks, timeout_seconds=0.1),
            "hangs": PythonColumn(function=hangs, timeout_seconds=0.1),
        },
        limits=Limits(threads=2),
    )
    try:
        result = system.run(job)
    finally:
        go_on.set()
    assert [row["number"] for row in result.rows()] == [number for number in range(20) if number % 4 > 1]
    assert result.drop_reasons == {"task_timeout": 10}


def test_r4_a11_a_provider_that_never_replies_in_time_is_retried_then_its_rows_dropped(system):
    job = Job(
        name="slow provider",
        rows=3,
        columns={"story": ChatColumn(model="writer", prompt="x")},
        providers={"sim": SimulatedProvider(latency_ms=Latency(mean=60_000))},
        models={"writer": ModelConfig(provider="sim", model="m", timeout_seconds=0.01)},
        failure=FailurePolicy(max_retries=2, backoff_seconds=0.0, max_backoff_seconds=0.0),
    )
    result = system.run(job)
    assert result.drop_reasons == {"provider_timeout": 3}
    assert result.models["writer"].outcomes == {"provider_timeout": 9}
    assert {row.attempts for row in result.dropped} == {3}


def test_r4_waiting_too_long_for_a_lease_drops_no_row(system):
    job = Job(
        name="a narrow way",
        rows=8,
        columns={"story": ChatColumn(model="writer", prompt="x")},
        providers={"sim": SimulatedProvider(latency_ms=Latency(mean=10))},
        models={
            "writer": ModelConfig(
                provider="sim", model="m", max_parallel_requests=1, queue_timeout_seconds=0.005
            )
        },
        failure=FailurePolicy(max_retries=0, backoff_seconds=0.0, max_backoff_seconds=0.01),
    )
    result = system.run(job)
    assert (result.status, result.rows_written) == ("succeeded", 8)


def test_r11_a7_cancelling_while_calls_wait_and_run_returns_every_lease(system):
    job = Job(
        name="busy",
        rows=40,
        columns={"story": ChatColumn(model="writer", prompt="x")},
        providers={"sim": SimulatedProvider(latency_ms=Latency(mean=60_000))},
        models={"writer": ModelConfig(provider="sim", model="m", max_parallel_requests=2)},
    )
    handle = system.submit(job)
    while True:
        state = system.snapshot("worker").state
        if state.attempts_in_flight == 2 and state.waiting_for_request_lease:
            break
    handle.cancel()
    result = handle.result(10)
    assert (result.status, result.rows_pending) == ("cancelled", 40)
    assert result.models["writer"].outcomes == {"local_cancelled": 2}
    (endpoint,) = system.snapshot("request_admission").state.provider_models or (None,)
    assert endpoint is None
    assert system.snapshot("worker").state.waiting_for_request_lease == 0


def test_a_message_that_cannot_be_sent_ends_the_job_with_a_clear_error(tmp_path):
    """A tap that raises stands for whatever can fail on the way between two actors."""

    def tap(_sender, _to, message):
        if type(message) is PrepareJob:
            raise RuntimeError("secret row data")

    with ActorSystem.start(prepare=lambda system: system.router.add_tap(tap)) as system:
        with pytest.raises(JobError, match="actor scheduler failed on send: RuntimeError at") as refused:
            system.run(a_job())
        assert "secret" not in str(refused.value)
        assert system.snapshot(SCHEDULER).state.phase == "idle"


# -- starting and stopping -------------------------------------------------------------------------


def test_a_system_may_be_started_and_stopped_without_work():
    ActorSystem.start().stop()
    with ActorSystem.start():
        pass


def test_several_systems_may_run_side_by_side(start):
    first, second = start(), start()
    job, gate = a_held_job()
    handle = first.submit(job)
    assert gate.reached.wait(5)
    assert second.run(a_job()).status == "succeeded"
    second.stop()
    assert handle.progress().phase == "running"


@pytest.mark.parametrize("log", [".", "file/actors.jsonl", ""])
def test_a_log_that_cannot_be_written_starts_nothing(tmp_path, monkeypatch, log):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    before = set(threading.enumerate())
    with pytest.raises(OSError):
        ActorSystem.start(log=log)
    assert set(threading.enumerate()) == before


def test_a_start_that_is_prepared_wrongly_starts_nothing():
    before = set(threading.enumerate())

    def prepare(_system):
        raise ValueError("not like this")

    with pytest.raises(ValueError, match="not like this"):
        ActorSystem.start(prepare=prepare)
    assert set(threading.enumerate()) == before


def test_a_system_may_be_stopped_more_than_once_and_by_several(system):
    job, gate = a_held_job()
    handle = system.submit(job)
    assert gate.reached.wait(5)
    threads = [threading.Thread(target=system.stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    system.stop()
    for thread in threads:
        thread.join(10)
    system.stop()
    assert handle.result(1).status == "cancelled"


def test_a_body_that_raises_stops_the_system_and_its_job(tmp_path):
    job, gate = a_held_job(first=5)
    handles = []

    def body():
        with ActorSystem.start(log=tmp_path / "log.jsonl") as system:
            handles.append(system.submit(job))
            assert gate.reached.wait(5)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()
    assert handles[0].result(0).status == "cancelled"
    assert verify_log(tmp_path / "log.jsonl").ok


def test_whoever_waits_for_a_result_hears_of_the_stop(system):
    job, gate = a_held_job()
    handle = system.submit(job)
    assert gate.reached.wait(5)
    results = []
    waits = threading.Thread(target=lambda: results.append(handle.result()))
    waits.start()
    system.stop()
    waits.join(5)
    assert [result.status for result in results] == ["cancelled"]


def test_a_stopped_system_says_so_instead_of_waiting(system):
    handle = system.submit(a_job())
    handle.result(10)
    system.stop()
    with pytest.raises(UnreachableError):
        system.submit(a_job())
    with pytest.raises(UnreachableError):
        system.run(a_job())
    with pytest.raises(UnreachableError, match="the system has stopped"):
        system.ask(SCHEDULER, GetSnapshot())
    with pytest.raises(UnreachableError):
        handle.progress()
    assert not system.tell(SCHEDULER, CancelJob())
    handle.cancel()
    assert handle.done
    assert handle.result().status == "succeeded"


@pytest.mark.parametrize("attempt", range(5))
def test_submitting_while_the_system_stops_never_hangs(start, attempt):
    system, ended = start(), []

    def submit():
        try:
            ended.append(system.run(a_job()).status)
        except (JobError, UnreachableError) as error:
            ended.append(error)

    threads = [threading.Thread(target=submit) for _ in range(3)]
    for thread in threads:
        thread.start()
    system.stop()
    for thread in threads:
        thread.join(5)
    assert len(ended) == 3


def test_user_code_may_stop_the_system(system):
    def stops(number):
        system.stop()
        return number

    handle = system.submit(a_job(number=SequenceColumn(), stops=PythonColumn(function=stops)))
    assert handle.result(10).status == "cancelled"


def test_a_part_of_the_system_starts_and_stops(tmp_path):
    with ActorSystem.start(log=tmp_path / "log.jsonl", actors=("telemetry", "worker")) as system:
        assert system.snapshot("worker").actor == "worker"
        with pytest.raises(UnreachableError, match="no scheduler runs here"):
            system.submit(a_job())
        assert system.snapshot("worker").dead_letters == 1


def test_an_actor_that_is_stuck_is_named_with_its_stack(tmp_path, caplog):
    began, go_on = threading.Event(), threading.Event()

    async def blocks_the_loop():
        began.set()
        assert go_on.wait(10)

    def named():
        return any("actor_stuck actor_name=worker" in record.message for record in caplog.records)

    log = tmp_path / "log.jsonl"
    with ActorSystem.start(log=log, stuck_after_seconds=0.05) as system:
        handle = system.submit(a_job(bad=PythonColumn(function=blocks_the_loop)))
        assert began.wait(5)
        with pytest.raises(TimeoutError):
            system.snapshot("worker", timeout=0.01)
        waits = threading.Event()
        for _ in range(500):
            if named():
                break
            waits.wait(0.01)
        go_on.set()
        assert handle.result(10).status == "succeeded"
    assert named()
    assert "blocks_the_loop" in log.read_text()


# -- interrupts ------------------------------------------------------------------------------------


def test_r11_an_interrupt_while_waiting_cancels_and_leaves_whole_row_groups(start, tmp_path):
    tap = interrupt_main_thread_at(RowGroupStored)
    system = start(prepare=lambda system: system.router.add_tap(tap))
    job, _gate = a_held_job(first=5)
    with pytest.raises(KeyboardInterrupt):
        system.run(job, out=tmp_path / "out")
    files = list((tmp_path / "out" / "rows").iterdir())
    assert [len(path.read_text().splitlines()) for path in files] == [5]
    assert system.run(a_job()).status == "succeeded"


@pytest.mark.parametrize("kind", [PrepareJob, JobAccepted, ExecuteTasks])
def test_r11_an_interrupt_at_any_moment_leaves_the_system_free(start, kind):
    tap = interrupt_main_thread_at(kind)
    system = start(prepare=lambda system: system.router.add_tap(tap))
    job, _gate = a_held_job()
    with pytest.raises(KeyboardInterrupt):
        system.run(job)
    assert system.run(a_job()).status == "succeeded"


def test_an_interrupt_of_a_submission_that_is_refused_leaves_the_other_job_alone(start):
    job, gate = a_held_job()
    tap = interrupt_main_thread_at(JobRejected)
    system = start(prepare=lambda system: system.router.add_tap(tap))
    handle = system.submit(job)
    assert gate.reached.wait(5)
    with pytest.raises((KeyboardInterrupt, JobError)):
        system.submit(a_job())
    assert handle.progress().phase == "running"
