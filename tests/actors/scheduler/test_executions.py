"""Which execution a token belongs to, whoever issued it last (R3, T2)."""

from __future__ import annotations

import msgspec
import pytest

from actors.scheduler.executions import TaskExecutions
from actors.scheduler.row_groups import RowGroups
from messages.task_admission import TaskLease
from messages.tasks import Task
from tests.actors.scheduler.control_builders import a_generator, a_job_plan


@pytest.mark.parametrize("reissued", [False, True])
def test_r3_a_batch_fills_the_rows_that_it_was_given_whatever_number_its_lease_comes_back_under(reissued):
    """A lost task admission's leases are taken over by the next one, each under a new number."""
    plan = a_job_plan(
        a_generator("n"), a_generator("b", task_type="batch", upstream=("n",)), rows=4, row_group_size=4
    )
    group = RowGroups(plan).admit_next()
    executions = TaskExecutions(plan, first_id=1)
    task = Task("b", 0, None, "batch")
    item = executions.schedulable(7, task)
    lease = TaskLease(1, 1, 7, item.group, item.resource_request, 0.0, item.correlation)
    assert executions.start(item, lease, group, [0, 2, 3]).rows == 3
    returned = msgspec.structs.replace(lease, lease_id=10**12 + 1, generation=2) if reissued else lease
    assert executions.ended(returned)[::2] == (task, [0, 2, 3])
    assert executions.ended(returned)[2] is None, "and only once"
