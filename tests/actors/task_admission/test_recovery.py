"""A new incarnation of task admission: what it puts aside until it knows what was granted, and then does."""

from __future__ import annotations

from actors.task_admission.core import TaskAdmissionCore
from actors.task_admission.policies import policy_named
from messages.task_admission import (
    AcquireTaskLeases,
    AwaitTaskLeases,
    RecoverTaskLeases,
    ReturnTaskLeases,
    TaskAdmissionConfig,
    TaskLeasesDecided,
    TaskLeasesRecovered,
    TaskLeasesReturned,
    TaskLeasesSettled,
)
from tests.actors.scheduler.control_builders import (
    RUN,
    a_selection,
    an_item,
    configured_admission,
    returned,
    told,
)

CONFIG = TaskAdmissionConfig({"submission": 10}, "strict_fair")


def a_granted_lease():
    core, _ = configured_admission()
    ((_, decided),) = told(core.handle(AcquireTaskLeases([a_selection(an_item(1))]), now=1.0))
    return decided.leases[0]


def kinds(outgoing):
    return [type(message) for _, message in told(outgoing)]


def test_t2_what_an_incarnation_had_put_aside_when_it_was_lost_is_done_by_the_next_one():
    lease = a_granted_lease()
    second = TaskAdmissionCore(policy_named, generation=2)
    assert second.handle(ReturnTaskLeases([returned(lease)]), now=2.0) == []
    assert second.handle(AcquireTaskLeases([a_selection(an_item(2))]), now=2.0) == []
    third = TaskAdmissionCore(policy_named, generation=3, unread=second.unread)
    outgoing = third.handle(RecoverTaskLeases(RUN, 3, CONFIG, [lease]), now=3.0)
    assert kinds(outgoing) == [TaskLeasesRecovered, TaskLeasesReturned, TaskLeasesDecided]
    assert third.unread == ()
    assert third.snapshot(now=3.0).active_leases == 1
    third.check()


def test_not_everything_is_settled_while_a_request_waits_to_be_handled():
    lease = a_granted_lease()
    core = TaskAdmissionCore(policy_named, generation=2)
    core.handle(ReturnTaskLeases([returned(lease)]), now=2.0)
    core.handle(AcquireTaskLeases([a_selection(an_item(2))]), now=2.0)
    core.handle(AwaitTaskLeases(RUN, reply_to="scheduler"), now=2.0)
    outgoing = core.handle(RecoverTaskLeases(RUN, 2, CONFIG, [lease]), now=3.0)
    assert TaskLeasesSettled not in kinds(outgoing)
    (decided,) = (message for _, message in told(outgoing) if isinstance(message, TaskLeasesDecided))
    outgoing = core.handle(ReturnTaskLeases([returned(decided.leases[0])]), now=4.0)
    assert kinds(outgoing) == [TaskLeasesReturned, TaskLeasesSettled]
