"""A bounded pool of threads, some of which never come back."""

from __future__ import annotations

import queue
import threading

import pytest

from actors.worker.threads import ThreadPool


class Pool:
    """A pool and what it reported."""

    def __init__(self, size):
        self.done = queue.SimpleQueue()
        self.pool = ThreadPool(size, lambda key, value, error: self.done.put((key, value, error)))
        self.go_on = threading.Event()
        self.began = queue.SimpleQueue()

    def block(self, key):
        self.pool.submit(key, lambda: self._block(key))

    def _block(self, key):
        self.began.put(key)
        assert self.go_on.wait(10)
        return key

    def results(self, count):
        return [self.done.get(timeout=5) for _ in range(count)]


@pytest.fixture
def make():
    pools = []

    def begin(size):
        pools.append(Pool(size))
        return pools[-1]

    yield begin
    for made in pools:
        made.go_on.set()
        made.pool.close()


def threads():
    return sum(thread.name == "leasehold-task" for thread in threading.enumerate())


def test_values_and_exceptions_come_back_by_their_keys(make):
    pool = make(2)
    error = SystemExit(1)
    pool.pool.submit(1, lambda: "value")
    pool.pool.submit(2, lambda: (_ for _ in ()).throw(error))
    assert sorted(pool.results(2), key=lambda found: found[0]) == [(1, "value", None), (2, None, error)]


def test_never_more_than_its_size_at_once(make):
    pool = make(3)
    for key in range(10):
        pool.block(key)
    assert {pool.began.get(timeout=5) for _ in range(3)} == {0, 1, 2}
    assert (pool.pool.busy, threads()) == (3, 3)
    assert pool.began.empty()
    pool.go_on.set()
    assert sorted(key for key, _, _ in pool.results(10)) == list(range(10))
    assert (pool.pool.busy, threads()) == (0, 3)


def test_a_thread_that_is_free_is_used_again(make):
    pool = make(8)
    for key in range(20):
        pool.pool.submit(key, lambda: None)
        pool.results(1)
    assert threads() == 1


def test_an_abandoned_thread_is_replaced_and_its_result_is_discarded(make):
    pool = make(1)
    pool.block(1)
    assert pool.began.get(timeout=5) == 1
    pool.pool.submit(2, lambda: "next")
    pool.pool.abandon(1)
    assert pool.results(1) == [(2, "next", None)]
    assert (pool.pool.abandoned, pool.pool.busy) == (1, 0)
    pool.go_on.set()
    pool.pool.submit(3, lambda: "last")
    assert pool.results(1) == [(3, "last", None)]
    assert pool.done.empty()


def test_abandoned_threads_end_when_their_call_does(make):
    pool = make(2)
    pool.block(1)
    pool.block(2)
    pool.began.get(timeout=5)
    pool.began.get(timeout=5)
    blocked = [thread for thread in threading.enumerate() if thread.name == "leasehold-task"]
    pool.pool.abandon(1)
    pool.pool.abandon(2)
    pool.pool.abandon(2)
    assert pool.pool.abandoned == 2
    pool.go_on.set()
    for thread in blocked:
        thread.join(5)
    assert (pool.pool.abandoned, threads()) == (0, 0)


def test_a_call_that_is_abandoned_before_it_begins_never_begins(make):
    pool, called = make(1), []
    pool.block(1)
    pool.began.get(timeout=5)
    pool.pool.submit(2, lambda: called.append(2))
    pool.pool.submit(3, lambda: called.append(3))
    pool.pool.abandon(2)
    pool.go_on.set()
    assert [key for key, _, _ in pool.results(2)] == [1, 3]
    assert called == [3]
    assert (pool.pool.busy, pool.pool.abandoned) == (0, 0)


def test_its_capacity_stays_whole_however_many_are_abandoned(make):
    pool = make(2)
    for key in range(0, 20, 2):
        pool.block(key)
        pool.block(key + 1)
        assert {pool.began.get(timeout=5), pool.began.get(timeout=5)} == {key, key + 1}
        pool.pool.abandon(key)
        pool.pool.abandon(key + 1)
    assert (pool.pool.abandoned, pool.pool.busy) == (20, 0)


def test_an_abandoned_key_may_be_used_again(make):
    pool = make(1)
    pool.block(1)
    pool.began.get(timeout=5)
    pool.pool.submit(2, lambda: "old")
    pool.pool.abandon(2)
    pool.pool.submit(2, lambda: "new")
    pool.go_on.set()
    assert pool.results(2) == [(1, 1, None), (2, "new", None)]


def test_closing_lets_idle_threads_end_at_once_and_busy_ones_after_their_call(make):
    pool = make(2)
    pool.pool.submit(0, lambda: None)
    pool.results(1)
    pool.block(1)
    pool.began.get(timeout=5)
    running = [thread for thread in threading.enumerate() if thread.name == "leasehold-task"]
    pool.pool.close()
    pool.pool.close()
    pool.go_on.set()
    assert pool.results(1) == [(1, 1, None)]
    for thread in running:
        thread.join(5)
    assert threads() == 0
