"""Threads that must end, and actors whose core is a script."""

from __future__ import annotations

import threading

import pytest

from tests.actors.worker.lone_worker import LoneWorker


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
def worker():
    """A worker alone, stopped at the end."""
    made = LoneWorker()
    yield made
    made.system.stop()


@pytest.fixture
def provide(monkeypatch):
    """Put clients of the test's own in the place of those that a job makes: by provider, in its order."""

    def install(*clients):
        left = iter(clients)
        monkeypatch.setattr("actors.worker.model_calls.client_of", lambda _job, _name, **_how: next(left))
        return clients[0] if len(clients) == 1 else clients

    return install
