"""Harnesses that are stopped, and that leave no thread behind."""

from __future__ import annotations

import threading

import pytest

from actors.harness import Harness


@pytest.fixture(params=[False, True], ids=["in memory", "serialized"])
def start(request):
    """`Harness.start`, in both of the ways in which messages can cross."""
    before = set(threading.enumerate())
    started = []

    def begin(*actors, **options):
        chosen = {"actors": actors} if actors else {}
        harness = Harness.start(serialize_messages=request.param, **chosen, **options)
        started.append(harness)
        return harness

    yield begin
    for harness in started:
        harness.stop()
    assert set(threading.enumerate()) <= before
