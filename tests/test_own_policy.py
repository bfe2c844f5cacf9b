"""A third policy is one class: named in the job's limits, used by scheduler and task admission alike."""

from __future__ import annotations

import pytest

from actors import ActorSystem
from actors.evidence.verify import verify_log
from actors.scheduler.dispatch import Dispatcher
from messages import Job, JobError, Limits, PythonColumn
from messages.task_admission import PolicyStateDelta, Recheck, TaskAdmissionPolicyDecision
from tests.actors.scheduler.control_builders import a_group, an_item, configured_admission
from tests.own_policy import OneAtATimeByTime


def a_job(policy, **columns):
    return Job(name="own", rows=20, columns=columns, limits=Limits(policy=policy))


def test_a_class_named_in_the_limits_decides_who_may_start(tmp_path):
    async def one():
        return 1

    async def two():
        return 2

    job = a_job("tests.own_policy:OneAtATime", one=PythonColumn(function=one), two=PythonColumn(function=two))
    with ActorSystem.start(log=tmp_path / "actors.jsonl") as system:
        assert system.run(job).rows_written == 20
    report = verify_log(tmp_path / "actors.jsonl")
    assert report.ok
    assert report.to_builtins()["counts"]["most_held"]["local"] == 2, "one of each group at once"


def test_a_class_of_ones_own_may_have_groups_share_time_instead_of_turns():
    async def one():
        return 1

    with ActorSystem.start() as system:
        assert (
            system.run(
                a_job("tests.own_policy:OneAtATimeByTime", one=PythonColumn(function=one))
            ).rows_written
            == 20
        )
    policy = OneAtATimeByTime()
    _, view = configured_admission(policy=policy, submission=2)
    dispatcher = Dispatcher(policy, view)
    item = an_item(1, a_group("a"))
    dispatcher.queue.enqueue([item])
    assert dispatcher.queue.commit(dispatcher.queue.select_next(lambda _: True)) is item
    dispatcher.queue.correct([(item.group, 5.0)])
    dispatcher.queue.enqueue([an_item(2, a_group("a")), an_item(3, a_group("b"))])
    assert dispatcher.queue.select_next(lambda _: True).item.task_id == 3, "the first has had its time"


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("bounded_borow", "bounded_borrow"),
        ("tests.own_policy:Nothing", "tests.own_policy:Nothing"),
        ("tests.own_policy:NoPolicy", "on_acquire, on_release"),
        ("tests.own_policy:ChargesNothing", "'nothing'; expected 'task' or 'lease_seconds'"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_before_work_starts(policy, told):
    async def one():
        return 1

    with ActorSystem.start() as system, pytest.raises(JobError) as refused:
        system.run(a_job(policy, one=PythonColumn(function=one)))
    (problem,) = refused.value.problems
    assert problem.path == "limits.policy"
    assert told in str(problem)


class OpensLater:
    """Refuses until it is told otherwise, and says when to ask again."""

    allowed = False

    def evaluate(self, item, queue_view, admission_view):
        return TaskAdmissionPolicyDecision(
            allowed=self.allowed, reason="provider_pressure", available_after=5.0, recheck=Recheck()
        )

    def on_acquire(self, lease, decision):
        return PolicyStateDelta()

    on_release = on_acquire


def test_t13_a_refusal_that_names_a_time_is_judged_again_then_and_wakes_the_scheduler():
    policy = OpensLater()
    _, view = configured_admission(policy=policy, submission=2)
    dispatcher = Dispatcher(policy, view)
    # Two of one vector: neither is left alone by the other, so nothing but time has them judged again.
    dispatcher.queue.enqueue([an_item(1, a_group("a")), an_item(2, a_group("b"))])
    assert dispatcher.select(now=1.0) == []
    assert dispatcher.wake_at() == 5.0
    assert dispatcher.explain_blocked().available_after == 5.0
    policy.allowed = True
    assert dispatcher.select(now=4.9) == []
    assert [selection.item.task_id for selection in dispatcher.select(now=5.0)] == [1, 2]


def test_a_time_that_has_passed_wakes_nobody_again():
    policy = OpensLater()
    _, view = configured_admission(policy=policy, submission=2)
    dispatcher = Dispatcher(policy, view)
    dispatcher.queue.enqueue([an_item(1, a_group("a"))])
    assert dispatcher.select(now=6.0) == []
    assert dispatcher.wake_at() is None
