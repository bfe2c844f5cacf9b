"""The Python that the project promises its users runs as it was promised."""

from __future__ import annotations

import inspect
import json
from typing import get_args

import msgspec
import pytest

import messages
from actors import ActorSystem, JobHandle
from messages import (
    CategoryColumn,
    Job,
    JobError,
    JobResult,
    Limits,
    PythonColumn,
    SchedulingMetadata,
    SubmitJob,
)
from messages.scheduler import JobStatus
from messages.task_admission import TaskAdmissionSnapshot

SNIPPET = """
from actors import ActorSystem
from messages import Job, PythonColumn, SchedulingMetadata, Limits, load_job, SubmitJob, GetSnapshot

with ActorSystem.start(log="actors.jsonl") as system:        # log=None: no file
    result = system.run(job, out=None)                       # out=None: rows stay in memory, result.rows() iterates them
    handle = system.submit(job, out="out/")                  # .progress(), .cancel(), .result(timeout=...)
    snapshot = system.ask("task_admission", GetSnapshot(), timeout=5)
    system.tell("scheduler", SubmitJob(job))
"""  # noqa: E501 - as it was promised


def shout(mood):
    return mood.upper()


def a_job(**changes):
    columns = {"mood": CategoryColumn(values=("calm", "wild")), "loud": PythonColumn(function=shout)}
    return Job(**({"name": "moods", "rows": 4, "row_group_size": 2, "columns": columns} | changes))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_snippet_runs_as_it_was_written(here):
    names = {"job": a_job()}

    exec(compile(SNIPPET, "<snippet>", "exec"), names)

    result, snapshot = names["result"], names["snapshot"]
    assert result.status == "succeeded"
    assert [row["loud"] for row in result.rows()] == [row["mood"].upper() for row in result.rows()]
    assert len(list(result.rows())) == 4
    assert snapshot.actor == "task_admission"
    assert isinstance(snapshot.state, TaskAdmissionSnapshot)
    assert json.loads((here / "out/manifest.json").read_text())
    assert (here / "actors.jsonl").stat().st_size


def test_without_a_log_there_is_no_file(here):
    with ActorSystem.start(log=None) as system:
        system.run(a_job(), out=None)

    assert list(here.iterdir()) == []


def test_a_handle_tells_progress_waits_and_cancels(here):
    with ActorSystem.start() as system:
        handle = system.submit(a_job(), out="out/")
        progress = handle.progress()
        result = handle.result(timeout=20)
        handle.cancel()

    assert progress.rows_requested in (0, 4)
    assert (result.status, result.rows_written, result.output) == ("succeeded", 4, str(here / "out"))
    assert len(list(result.rows())) == 4


def test_a_second_job_at_a_time_is_refused_with_a_typed_reply(here):
    with ActorSystem.start() as system, system.reply_box() as box:
        handle = system.submit(a_job(rows=2000))
        system.tell("scheduler", SubmitJob(a_job(), reply_to=box.address))
        answer = box.get(5)
        handle.cancel()

    assert isinstance(answer, messages.JobRejected)


def test_a_job_that_cannot_run_is_refused_with_everything_that_is_wrong(here):
    job = a_job(limits=Limits(threads=0), columns={"loud": PythonColumn(function=shout)})

    with ActorSystem.start() as system, pytest.raises(JobError) as refused:
        system.run(job)

    assert {problem.path for problem in refused.value.problems} == {"limits.threads", "columns.loud.function"}


def defaults(struct):
    fields = msgspec.structs.fields(struct)
    return {field.name: field.default for field in fields if field.default is not msgspec.NODEFAULT}


def test_the_column_classes_are_the_promised_ones():
    promised = ("Category", "Sequence", "Expression", "Chat", "Embedding", "Python")

    assert {kind.__name__ for kind in get_args(messages.Column)} == {f"{name}Column" for name in promised}


def test_a_python_column_takes_what_was_promised():
    column = PythonColumn(
        function=shout,
        scope="cell",
        needs=(),
        outputs=(),
        metadata=SchedulingMetadata(kind="local", identity=("default",), weight=1),
        order_dependent=False,
    )

    assert column.metadata == SchedulingMetadata()
    assert {key: defaults(PythonColumn)[key] for key in ("scope", "needs", "outputs", "metadata")} == {
        "scope": "cell",
        "needs": (),
        "outputs": (),
        "metadata": None,
    }
    assert defaults(PythonColumn)["order_dependent"] is False
    assert PythonColumn(function="module:function").function == "module:function"


def test_a_job_and_its_limits_take_what_was_promised():
    promised = {"name", "rows", "row_group_size", "columns", "models", "providers", "limits"}

    assert promised <= set(Job.__struct_fields__)
    assert Job(name="j").limits == Limits(submission=1024, row_group_concurrency=3)


def test_a_result_has_what_was_promised():
    promised = {
        "status",
        "rows_written",
        "rows_dropped",
        "drop_reasons",
        "wall_seconds",
        "first_error",
        "models",
    }

    assert promised <= set(JobResult.__struct_fields__)
    assert set(get_args(JobStatus)) == {"succeeded", "partial", "failed", "cancelled", "early_shutdown"}


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        (ActorSystem.start, {"log", "serialize_messages"}),
        (ActorSystem.run, {"job", "out"}),
        (ActorSystem.submit, {"job", "out"}),
        (ActorSystem.ask, {"actor", "query", "timeout"}),
        (ActorSystem.tell, {"actor", "message"}),
        (JobHandle.progress, set()),
        (JobHandle.cancel, set()),
        (JobHandle.result, {"timeout"}),
    ],
)
def test_the_methods_take_what_was_promised(method, parameters):
    assert parameters <= set(inspect.signature(method).parameters)
