"""An incarnation of the worker does what was meant for itself, and nothing that was meant for another."""

from __future__ import annotations

import pytest

from actors.worker.attempt_numbers import first_attempt_of, generation_of
from actors.worker.core import WorkerCore
from messages import Job, SequenceColumn
from messages.task_admission import TaskLease
from messages.tasks import Task
from messages.worker import ExecuteTasks, JobPrepared, PrepareJob, TaskStart
from tests.actors.scheduler.control_builders import RUN, an_item
from tests.scripted_runner import ScriptedRunner

JOB = Job(name="j", rows=1, columns={"n": SequenceColumn()})


def a_start(lease_id):
    item = an_item(1)
    lease = TaskLease(lease_id, 1, 1, item.group, item.resource_request, 0.0, item.correlation)
    return TaskStart(lease, Task("n", 0, None, "from_scratch"), {}, 0, 1)


@pytest.fixture
def third():
    core = WorkerCore(generation=3)
    core.attach(ScriptedRunner("n", "success"))
    return core


def prepared(core, generation):
    message = PrepareJob(RUN, JOB, (), 1, generation, reply_to="scheduler")
    return [outgoing.message for outgoing in core.handle(message, now=0.0)]


@pytest.mark.parametrize("generation", [0, 3])
def test_a_job_is_prepared_for_whoever_asks_this_incarnation(third, generation):
    (answer,) = prepared(third, generation)
    assert isinstance(answer, JobPrepared)
    assert answer.generation == 3


def test_a_job_is_not_prepared_in_place_of_one_that_was_lost(third):
    assert prepared(third, 2) == []


def test_t1_no_task_is_started_that_was_meant_for_one_that_was_lost(third):
    prepared(third, 3)
    assert third.handle(ExecuteTasks([a_start(1)], 2), now=0.0) == []
    assert third.held == 0
    third.handle(ExecuteTasks([a_start(2)], 3), now=0.0)
    assert third.held == 1


@pytest.mark.parametrize("generation", [1, 2, 7])
def test_no_two_incarnations_number_an_attempt_alike(generation):
    first = first_attempt_of(generation)
    assert generation_of(first) == generation_of(first_attempt_of(generation + 1) - 1) == generation
