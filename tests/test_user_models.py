"""Models in user functions, and JSON replies, through the whole system; every run's log is proved."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from actors import ActorSystem
from actors.evidence.report import render
from actors.evidence.verify import verify_log
from actors.harness import Harness
from actors.worker.failures import ModelCallRefusedError
from actors.worker.providers.base import ChatReply, ProviderError
from messages import (
    ChatColumn,
    ExpressionColumn,
    FailurePolicy,
    Job,
    JobError,
    Latency,
    ModelConfig,
    PythonColumn,
    SequenceColumn,
    SimulatedProvider,
    SubmitJob,
)
from messages.job import RequestAdmissionTuning
from messages.request_admission import RequestLeaseGranted
from messages.scheduler import JobFinished
from messages.supervision import ActorRestarted, CrashActor


@pytest.fixture(autouse=True)
def no_thread_stays():
    """Fail a test that leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(timeout=5.0)
    assert [thread.name for thread in left if thread.is_alive()] == []


@pytest.fixture
def run(tmp_path):
    """Run a job in a system of its own; prove its log; return the result and what the log counted."""

    def begin(job, **how):
        log = tmp_path / "actors.jsonl"
        with ActorSystem.start(log=log) as system:
            result = system.run(job, **how)
        report = verify_log(log)
        assert report.ok, "\n".join(render(report))
        assert report.counts.model_requests <= report.counts.request_leases
        assert report.counts.model_requests == sum(usage.attempts for usage in result.models.values())
        return result, report.counts

    return begin


UNEVEN = Latency(mean=1.0, jitter=1.0)


SOON_AGAIN = RequestAdmissionTuning(cooldown_seconds=0.01)


def a_job(rows=12, *, parallel=4, latency=UNEVEN, failure=None, **columns):
    """A job of a number, two models and these columns."""
    return Job(
        name="asking",
        rows=rows,
        row_group_size=4,
        seed=7,
        health_check=False,
        providers={"sim": SimulatedProvider(latency_ms=latency)},
        models={
            "writer": ModelConfig(
                provider="sim", model="small", max_parallel_requests=parallel, limit=SOON_AGAIN
            ),
            "judge": ModelConfig(
                provider="sim", model="large", max_parallel_requests=parallel, limit=SOON_AGAIN
            ),
        },
        columns={"number": SequenceColumn()} | columns,
        failure=failure or FailurePolicy(backoff_seconds=0.001),
    )


def cells(function, **settings):
    return PythonColumn(function=function, **settings)


async def asks_for_odd_numbers(number, models):
    return await models.writer.chat(f"About {number}") if number % 2 else "even"


async def judged(number, models):
    first, second = await asyncio.gather(
        models.writer.chat(f"Shorten: {number}"), models.judge.chat(f"Grade: {number}")
    )
    return [first, second]


async def two_conversations(number, models):
    async def one(opening):
        reply = await models.writer.chat(f"{opening} {number}")
        return await models.judge.chat(f"Judge: {reply}", temperature=0.1)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(opening)) for opening in ("Praise", "Doubt")]
    return [task.result() for task in tasks]


def plain(number, models):
    return models.judge.chat(models.writer.chat(f"Shorten: {number}", temperature=0.1))


def plain_with_threads(number, models):
    found = {}
    threads = [
        threading.Thread(
            target=lambda name=name: found.update({name: models.writer.chat(f"{name} {number}")})
        )
        for name in "abc"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


async def embedded(number, models):
    return await asyncio.gather(*(models.writer.embed(str(each)) for each in number))


def introductions(rows, row_index, models):
    return [models.writer.chat(f"Introduce {row_index + index}") for index in range(rows)]


EVERY_WAY = {
    "odd": cells(asks_for_odd_numbers),
    "judged": cells(judged),
    "talks": cells(two_conversations),
    "plain": cells(plain),
    "threads": cells(plain_with_threads),
    "vectors": cells(embedded, scope="batch"),
    "begin": cells(introductions, scope="from_scratch"),
    "length": ExpressionColumn(template="{{ plain | length }}", dtype="int"),
}


def test_a1_every_call_of_every_kind_of_function_is_admitted_and_returned(run):
    result, counts = run(a_job(**EVERY_WAY))
    assert (result.status, result.rows_written) == ("succeeded", 12)
    rows = list(result.rows())
    assert [row["odd"] == "even" for row in rows] == [True, False] * 6
    assert all(len(set(row["threads"].values())) == 3 for row in rows)
    assert len({msgspec.json.encode(row["vectors"]) for row in rows}) == 12
    assert counts.model_requests == 6 + 12 * (2 + 4 + 2 + 3 + 1 + 1)
    assert result.models["judge"].attempts == 12 * (1 + 2 + 1)


def test_r12_the_same_rows_come_out_however_the_calls_interleave(run):
    quick, _ = run(a_job(**EVERY_WAY, parallel=32, latency=Latency(mean=0.0)))
    slow, _ = run(a_job(**EVERY_WAY, parallel=1, latency=UNEVEN))
    assert list(quick.rows()) == list(slow.rows())


def test_a_call_left_under_way_or_made_after_the_end_harms_nothing(run):
    refused = []

    async def leaves_children(number, models):
        async def late():
            await models.writer.chat(f"begun {number}")

        async def later():
            try:
                await models.judge.chat("a long one")
            finally:
                await models.writer.chat("after the end")

        for task in (asyncio.create_task(late()), asyncio.create_task(later())):
            task.add_done_callback(lambda task: refused.append(type(task.exception()).__name__))
        await models.writer.chat("waited for")
        return number

    result, _ = run(a_job(left=cells(leaves_children), latency=Latency(mean=5.0, jitter=5.0)))
    assert result.rows_written == 12
    assert len(refused) == 24
    assert set(refused) <= {"ModelCallRefusedError", "NoneType"}
    assert "ModelCallRefusedError" in refused


def test_r5_a_plain_function_that_is_given_up_in_a_call_drops_its_row_alone(run):
    def slow(number, models):
        return models.writer.chat("Hi") if number == 3 else number

    job = a_job(slow=cells(slow, timeout_seconds=0.5), latency=Latency(mean=60_000.0))
    result, _ = run(job)
    assert (result.rows_written, result.rows_dropped) == (11, 1)
    assert result.models["writer"].attempts == 1
    assert result.models["writer"].outcomes.keys() <= {"local_cancelled", "local_timeout"}


def test_a_job_without_models_whose_function_takes_them_is_refused(run):
    job = msgspec.structs.replace(a_job(judged=cells(judged)), models={}, providers={})
    with pytest.raises(JobError) as refused:
        run(job)
    assert [problem.path for problem in refused.value.problems] == ["columns.judged.function"]


class Scripted:
    """Answers every prompt by `script(prompt, attempt)`: text, or an exception."""

    def __init__(self, script):
        self.script = script
        self.attempts = Counter()
        self.requests = []

    async def chat(self, request):
        prompt = request.messages[0].content
        self.attempts[prompt] += 1
        self.requests.append(request)
        await asyncio.sleep(0)
        found = self.script(prompt, self.attempts[prompt])
        if isinstance(found, Exception):
            raise found
        return ChatReply(found)

    async def close(self):
        pass


@pytest.fixture
def provide(monkeypatch):
    def install(script):
        provider = Scripted(script)
        monkeypatch.setattr("actors.worker.model_calls.client_of", lambda _job, _name, **_how: provider)
        return provider

    return install


def test_r4_a_rate_limit_within_user_code_defers_the_task(run, provide):
    provider = provide(lambda prompt, attempt: ProviderError("no", status=429) if attempt < 3 else prompt)

    async def in_a_group(number, models):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(models.writer.chat(f"group {number}"))
        return task.result()

    def in_the_pool(number, models):
        return models.writer.chat(f"pool {number}")

    result, _ = run(a_job(rows=2, group=cells(in_a_group), pool=cells(in_the_pool)))
    assert [row["group"] for row in result.rows()] == ["group 0", "group 1"]
    assert [row["pool"] for row in result.rows()] == ["pool 0", "pool 1"]
    assert set(provider.attempts.values()) == {3}
    assert len({request.seed for request in provider.requests}) == 4, "a retry asks the same again"


def test_r14_a_task_of_several_calls_makes_each_of_them_until_it_is_answered_and_not_again(run, provide):
    def first_refused(prompt, attempt):
        return ProviderError("no", status=429) if attempt == 1 and not prompt.endswith("0") else prompt

    provider = provide(first_refused)

    def one_after_the_other(number, models):
        return [models.writer.chat(f"row {number}: plain {call}") for call in range(4)]

    async def at_once(number, models):
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(models.judge.chat(f"row {number}: {call}")) for call in range(4)]
        return [call.result() for call in calls]

    result, _ = run(a_job(rows=2, plain=cells(one_after_the_other), together=cells(at_once), parallel=8))
    assert [row["plain"] for row in result.rows()] == [
        [f"row {row}: plain {call}" for call in range(4)] for row in range(2)
    ]
    assert set(provider.attempts.values()) == {1, 2}, "once refused, once answered"
    assert sum(provider.attempts.values()) == 2 * 2 * (1 + 3 * 2)


NEVER = {"type": "string", "pattern": "^no reply of the simulated provider$"}
GRADE = {"type": "object", "properties": {"grade": {"type": "integer"}}, "required": ["grade"]}


def test_a_chat_column_with_a_schema_gives_decoded_values_after_corrections(run, provide):
    def script(prompt, attempt):
        return f'```json\n{{"grade": {prompt}}}\n```' if attempt == 2 else "Well..."

    provide(script)
    job = a_job(
        rows=4,
        verdict=ChatColumn(model="judge", prompt="{{ number }}", output_schema=GRADE),
        doubled=ExpressionColumn(template="{{ verdict.grade * 2 }}", dtype="int"),
    )
    result, counts = run(job)
    assert [row["verdict"] for row in result.rows()] == [{"grade": number} for number in range(4)]
    assert [row["doubled"] for row in result.rows()] == [0, 2, 4, 6]
    assert counts.model_requests == 8


def test_r5_a_reply_that_never_fits_drops_its_row_with_what_was_wrong(run):
    column = ChatColumn(model="judge", prompt="{{ number }}", output_schema=NEVER, max_corrections=1)
    failure = FailurePolicy(early_shutdown_rate=None)
    result, counts = run(a_job(rows=3, verdict=column, failure=failure))
    assert (result.rows_written, result.rows_dropped) == (0, 3)
    assert counts.model_requests == 6
    assert {row.reason for row in result.dropped} == {"invalid_output"}
    assert all("in 2 tries; last, " in row.error for row in result.dropped)


def test_a_worker_that_is_lost_lets_the_threads_go_that_wait_for_models(tmp_path):
    let_go = threading.Event()

    def waits(number, models):
        try:
            return models.judge.chat(f"Shorten: {number}")
        except ModelCallRefusedError:
            let_go.set()
            raise

    log = tmp_path / "actors.jsonl"
    with Harness.start(log=log) as harness:
        job = a_job(waits=cells(waits), judged=cells(judged), parallel=1, latency=Latency(mean=5.0))
        harness.send("scheduler", SubmitJob(job))
        harness.expect(None, RequestLeaseGranted, timeout=10)
        harness.send("worker", CrashActor())
        assert harness.expect("scheduler", ActorRestarted, timeout=10).actor == "worker"
        result = harness.expect(None, JobFinished, timeout=30).result
        assert let_go.wait(5)
        assert harness.system.snapshot("worker").state.tokens_held == 0
    assert (result.status, result.rows_written) == ("succeeded", 12)
    report = verify_log(log)
    assert report.ok, "\n".join(render(report))


def test_what_judges_replies_is_imported_for_a_job_with_a_schema_alone():
    program = """
import sys
from actors import ActorSystem
from messages import ChatColumn, Job, ModelConfig, SimulatedProvider

def loaded():
    return sorted({"jsonschema", "referencing"} & sys.modules.keys())

print(loaded())
with ActorSystem.start() as system:
    for schema in (None, {}):
        column = ChatColumn(model="m", prompt="x", output_schema=schema, max_corrections=0)
        model, provider = ModelConfig(provider="p", model="m"), SimulatedProvider()
        job = Job(name="j", rows=1, models={"m": model}, providers={"p": provider}, columns={"c": column})
        system.run(job)
        print(loaded())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert done.stdout.splitlines() == ["[]", "[]", "['jsonschema', 'referencing']"]
