"""Jobs under the service-time order, through real actors: the same rows, and the log proves it (R12, T13)."""

from __future__ import annotations

import msgspec
import pytest

from actors import ActorSystem
from actors.evidence.verify import verify_log
from actors.harness import Harness
from messages import JobFinished, Limits, SubmitJob
from messages.request_admission import RequestLeaseGranted
from messages.supervision import ActorRestarted, CrashActor
from tests.test_actor_loss import JOB

FAIR = msgspec.structs.replace(JOB, limits=Limits(policy="service_time_fair", submission=6))


@pytest.fixture(scope="module")
def rows_of_the_default():
    with ActorSystem.start() as system:
        return list(system.run(JOB).rows())


def test_r12_the_order_changes_when_rows_are_made_and_not_what_is_in_them(tmp_path, rows_of_the_default):
    with ActorSystem.start(log=tmp_path / "actors.jsonl", serialize_messages=True) as system:
        result = system.run(FAIR)
        assert system.snapshot("task_admission").state.active_leases == 0
    assert (result.status, list(result.rows())) == ("succeeded", rows_of_the_default)
    assert verify_log(tmp_path / "actors.jsonl").ok


@pytest.mark.parametrize("actor", ["task_admission", "worker"])
def test_t13_leases_that_another_incarnation_takes_over_are_charged_all_the_same(
    tmp_path, rows_of_the_default, actor
):
    """T13, T2: the job goes on, and each task is paid for once."""
    log = tmp_path / "actors.jsonl"
    with Harness.start(log=log) as harness:
        harness.send("scheduler", SubmitJob(FAIR))
        for _ in range(8):
            harness.expect(None, RequestLeaseGranted, timeout=10)
        harness.send(actor, CrashActor())
        assert harness.expect("scheduler", ActorRestarted, timeout=10).actor == actor
        result = harness.expect(None, JobFinished, timeout=30).result
    assert list(result.rows()) == rows_of_the_default
    assert verify_log(log).ok
