"""A mailbox that runs an asyncio loop while no message comes."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from pykka._envelope import Envelope

from actors.worker.inbox import LoopInbox
from messages.supervision import DeadlineReached


@pytest.fixture
def inbox():
    box = LoopInbox()
    yield box
    box.loop.close()


def get(inbox):
    return inbox.get().message


def test_coroutines_advance_while_messages_stream_in(inbox):
    done = []

    async def works():
        for _ in range(20):
            await asyncio.sleep(0)
        done.append(True)

    task = inbox.loop.create_task(works())
    read = 0
    while not done:
        inbox.put(Envelope(read))
        inbox.put(Envelope(read))
        inbox.request_turn()
        get(inbox)
        read += 1
        assert read < 1000
    assert task.done()


def test_a_coroutine_can_hand_control_to_the_actor(inbox):
    async def works():
        inbox.attend()
        inbox.attend()

    task = inbox.loop.create_task(works())
    assert get(inbox) == DeadlineReached()
    assert task.done()
    inbox.put(Envelope(1))
    assert get(inbox) == 1


def test_attention_that_is_asked_for_outside_the_loop_is_given_too(inbox):
    inbox.put(Envelope(1))
    inbox.attend()
    assert [get(inbox), get(inbox)] == [DeadlineReached(), 1]


def test_a_deadline_comes_while_coroutines_wait(inbox):
    forever = inbox.loop.create_task(asyncio.Event().wait())
    inbox.deadline = time.monotonic() + 0.02
    assert get(inbox) == DeadlineReached()
    assert not forever.done()
    forever.cancel()
    inbox.loop.run_until_complete(asyncio.wait([forever]))


def test_messages_from_other_threads_wake_the_loop_while_it_waits(inbox):
    forever = inbox.loop.create_task(asyncio.Event().wait())
    thread = threading.Thread(target=lambda: inbox.put(Envelope("from afar")))
    inbox.loop.call_soon(thread.start)
    assert get(inbox) == "from afar"
    thread.join()
    forever.cancel()
    inbox.loop.run_until_complete(asyncio.wait([forever]))


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_escapes_the_loop_does_not_end_the_reader(inbox, kind):
    def escape():
        raise kind

    inbox.loop.call_soon(escape)
    inbox.loop.call_soon(lambda: inbox.put(Envelope("after")))
    assert get(inbox) == "after"
    inbox.loop.call_soon(escape)
    inbox.request_turn()
    inbox.put(Envelope("next"))
    assert get(inbox) == "next"


def test_a_message_that_comes_after_the_loop_was_closed_is_harmless():
    inbox = LoopInbox()
    inbox._sleeping = True
    inbox.loop.close()
    inbox.put(Envelope(1))
    assert inbox.depth == 1
