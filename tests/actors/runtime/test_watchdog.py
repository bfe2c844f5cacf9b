"""Who no longer reads its mailbox is named, with the place where its thread stands."""

from __future__ import annotations

import queue
import threading
import time

import pytest
from pykka._envelope import Envelope

from actors.runtime.inbox import Inbox
from actors.runtime.watchdog import Watchdog, stack_of

PATIENCE = 0.04


@pytest.fixture
def reports():
    return queue.SimpleQueue()


@pytest.fixture
def watch(reports):
    """Watch mailboxes."""
    dogs = []

    def begin(**inboxes):
        dog = Watchdog(
            inboxes,
            patience=PATIENCE,
            report=lambda name, seconds, stack: reports.put((name, seconds, stack)),
        )
        dog.start()
        dogs.append(dog)

    yield begin
    for dog in dogs:
        dog.stop()


class Reader:
    """A thread that reads its mailbox and gets stuck in every message until it is let go."""

    def __init__(self):
        self.inbox = Inbox()
        self.go_on = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        while self.inbox.get().message is not None:
            self._stuck_here()

    def _stuck_here(self):
        assert self.go_on.acquire(timeout=10)

    def put(self, message):
        self.inbox.put(Envelope(message))

    def end(self):
        self.put(None)
        self._thread.join(10)


@pytest.fixture
def reader():
    made = Reader()
    yield made
    for _ in range(50):
        made.go_on.release()
    made.end()


def test_a_stuck_actor_is_named_with_its_stack(watch, reports, reader):
    watch(worker=reader.inbox, idle=Inbox())
    reader.put(1)
    reader.put(2)
    name, seconds, stack = reports.get(timeout=5)
    assert name == "worker"
    assert PATIENCE <= seconds < 5
    assert any(line.endswith("_stuck_here") and "test_watchdog.py:" in line for line in stack)


def test_an_actor_is_named_once_per_episode(watch, reports, reader):
    watch(worker=reader.inbox)
    reader.put(1)
    reader.put(2)
    reports.get(timeout=5)
    with pytest.raises(queue.Empty):
        reports.get(timeout=PATIENCE * 4)
    reader.go_on.release()
    reader.go_on.release()
    reader.put(3)
    reader.put(4)
    assert reports.get(timeout=5)[0] == "worker"


def test_a_deep_mailbox_that_moves_is_not_stuck(watch, reports):
    """Every message has waited for longer than the patience, and yet the actor works."""
    inbox, moves, longest = Inbox(), threading.Event(), 0.0
    for number in range(60):
        inbox.put(Envelope(number))
    watch(busy=inbox)
    while not inbox.empty():
        began = time.monotonic()
        inbox.get()
        moves.wait(PATIENCE / 8)
        longest = max(longest, time.monotonic() - began)
    # On a machine that has no time for this thread the mailbox does stand still, and is rightly reported.
    assert reports.empty() or longest > PATIENCE / 2


def test_an_actor_that_waits_for_work_is_not_stuck(watch, reports):
    watch(worker=Inbox())
    with pytest.raises(queue.Empty):
        reports.get(timeout=PATIENCE * 3)


def test_the_stack_of_a_thread_that_has_ended_is_empty():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert stack_of(thread.ident) == []
