"""A column's own time is up while its function calls a model: the lease is back first, and says so (A11)."""

from __future__ import annotations

import asyncio

import pytest

from messages import ModelConfig, PythonColumn, SimulatedProvider
from tests.actors.worker.held_client import HeldClient


async def waits(models):
    return await models.writer.chat("Tell me.")


async def leaves_a_child(models):
    asyncio.get_running_loop().create_task(models.writer.chat("Tell me."))
    await asyncio.Event().wait()


def blocks(models):
    return models.writer.chat("Tell me.")


@pytest.mark.parametrize("function", [waits, leaves_a_child, blocks])
def test_a11_a_columns_own_deadline_returns_its_calls_leases_before_its_own(worker, provide, function):
    client = provide(HeldClient(stubborn=True))
    order = []
    for name in ("request_admission", "task_admission"):
        worker.boxes[name]._on_delivery = lambda messages: order.extend(
            type(one).__name__ for one in messages
        )
    worker.prepare(
        {"story": PythonColumn(function=function, timeout_seconds=0.3)},
        providers={"sim": SimulatedProvider()},
        models={"writer": ModelConfig(provider="sim", model="m")},
    )
    (task,) = worker.start("story")
    worker.grant(worker.asked())
    call = client.next()
    assert worker.outcomes(task)[0].error.kind == "task_timeout"
    assert worker.given_back().outcome.kind == "local_timeout"
    assert order == ["AcquireRequestLease", "ReturnRequestLease", "ReturnTaskLeases"]
    call.answer()
