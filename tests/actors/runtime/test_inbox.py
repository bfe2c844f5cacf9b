"""The mailbox: order, deadlines, and no wake-up that is ever lost."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pykka._envelope import Envelope

from actors.runtime.inbox import Inbox
from actors.worker.inbox import LoopInbox
from messages.supervision import DeadlineReached

PRODUCERS, EACH = 8, 400


@pytest.fixture(params=[Inbox, LoopInbox], ids=["thread", "loop"])
def inbox(request):
    box = request.param()
    yield box
    if isinstance(box, LoopInbox):
        box.loop.close()


@pytest.fixture
def switching_often():
    """Let threads interrupt each other as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def put(inbox, value):
    inbox.put(Envelope(value))


def put_unhurried(inbox, value):
    inbox.put_unhurried(Envelope(value))


def get(inbox):
    return inbox.get().message


def in_threads(count, work):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_messages_come_out_in_the_order_in_which_they_were_put(inbox):
    for value in range(100):
        put(inbox, value)
    assert [get(inbox) for _ in range(100)] == list(range(100))
    assert inbox.empty()


def test_a_reader_that_sleeps_is_woken_by_a_message(inbox):
    reads, answers = threading.Event(), []

    def read(_number):
        reads.set()
        answers.append(get(inbox))

    (reader,) = in_threads(1, read)
    assert reads.wait(5)
    put(inbox, "hello")
    reader.join(5)
    assert answers == ["hello"]


@pytest.mark.parametrize("unhurried", [0, 1, PRODUCERS], ids=["hurried", "mixed", "unhurried"])
def test_no_wake_up_is_lost_among_many_producers(inbox, unhurried, switching_often):
    """Lock step: each producer waits for its message to be read, so that the reader sleeps all the time."""
    read_of = [threading.Semaphore(0) for _ in range(PRODUCERS)]
    each = EACH if unhurried < PRODUCERS else EACH // 8  # a nap takes its time

    def produce(number):
        for value in range(each):
            (put_unhurried if number < unhurried else put)(inbox, (number, value))
            assert read_of[number].acquire(timeout=10)

    seen = [[] for _ in range(PRODUCERS)]
    # A wake-up that is lost shows as a reader that still sleeps when this comes.
    inbox.deadline = time.monotonic() + 30
    producers = in_threads(PRODUCERS, produce)
    for _ in range(PRODUCERS * each):
        message = get(inbox)
        assert not isinstance(message, DeadlineReached), "the reader slept although messages were there"
        seen[message[0]].append(message[1])
        read_of[message[0]].release()
    for producer in producers:
        producer.join(10)
    assert seen == [list(range(each))] * PRODUCERS


def test_a_message_without_hurry_waits_for_no_longer_than_a_nap(inbox):
    put_unhurried(inbox, 1)
    assert get(inbox) == 1
    threading.Timer(0.0005, put_unhurried, (inbox, 2)).start()  # it naps now, most likely
    assert get(inbox) == 2
    threading.Timer(0.05, put_unhurried, (inbox, 3)).start()  # and now it sleeps
    assert get(inbox) == 3


def test_hurried_and_unhurried_messages_keep_their_order(inbox):
    for value in range(100):
        (put_unhurried if value % 3 else put)(inbox, value)
    assert [get(inbox) for _ in range(100)] == list(range(100))


def test_a_nap_ends_for_a_deadline(inbox):
    put_unhurried(inbox, 1)
    assert get(inbox) == 1
    inbox.deadline = time.monotonic() + 0.001
    assert get(inbox) == DeadlineReached()


def test_each_producers_order_is_kept_among_many(inbox, switching_often):
    producers = in_threads(PRODUCERS, lambda number: [put(inbox, (number, n)) for n in range(EACH)])
    seen = [[] for _ in range(PRODUCERS)]
    for _ in range(PRODUCERS * EACH):
        number, value = get(inbox)
        seen[number].append(value)
    for producer in producers:
        producer.join(10)
    assert seen == [list(range(EACH))] * PRODUCERS


def test_a_deadline_is_delivered_when_it_is_due_and_once(inbox):
    due = time.monotonic() + 0.03
    inbox.deadline = due
    assert get(inbox) == DeadlineReached()
    assert time.monotonic() >= due
    assert inbox.deadline is None
    put(inbox, 1)
    assert get(inbox) == 1


def test_a_deadline_that_has_come_goes_before_messages_that_wait(inbox):
    put(inbox, 1)
    inbox.deadline = time.monotonic() - 1
    assert get(inbox) == DeadlineReached()
    assert get(inbox) == 1


def test_a_deadline_is_delivered_while_messages_never_pause(inbox):
    inbox.deadline = time.monotonic() + 0.03
    seen = 0
    put(inbox, seen)
    while not isinstance(get(inbox), DeadlineReached):
        seen += 1
        put(inbox, seen)
        assert time.monotonic() < inbox.deadline + 5
    assert seen > 0


@pytest.mark.parametrize("seconds", [1e9, 1e12, float("inf")])
def test_a_deadline_may_be_further_away_than_any_timeout_can_be(inbox, seconds):
    """A provider may ask for any wait: the actor must not die of it."""
    inbox.deadline = time.monotonic() + seconds
    reads, answers = threading.Event(), []

    def read(_number):
        reads.set()
        try:
            answers.append(get(inbox))
        except OverflowError as error:
            answers.append(error)

    (reader,) = in_threads(1, read)
    assert reads.wait(5)
    put(inbox, "hello")
    reader.join(5)
    assert answers == ["hello"]


def test_depth_and_age_are_of_what_waits(inbox):
    assert (inbox.depth, inbox.oldest_age()) == (0, 0.0)
    before = time.monotonic()
    put(inbox, 1)
    put(inbox, 2)
    assert inbox.depth == 2
    assert 0.0 <= inbox.oldest_age() <= time.monotonic() - before
    get(inbox)
    assert inbox.depth == 1
    get(inbox)
    assert (inbox.depth, inbox.oldest_age()) == (0, 0.0)


def test_the_reader_is_known_by_its_thread(inbox):
    assert inbox.reader == 0
    put(inbox, 1)
    get(inbox)
    assert inbox.reader == threading.get_ident()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 9), st.just("get"), st.just("due"))))
def test_a_mailbox_is_a_queue_with_one_deadline(steps):
    inbox, model, due = Inbox(), [], False
    for step in steps:
        if step == "due":
            inbox.deadline, due = time.monotonic() - 1, True
        elif step != "get":
            put(inbox, step)
            model.append(step)
        elif due:
            assert get(inbox) == DeadlineReached()
            due = False
        elif model:
            assert get(inbox) == model.pop(0)
        assert inbox.depth == len(model)
        assert inbox.empty() == (not model)
