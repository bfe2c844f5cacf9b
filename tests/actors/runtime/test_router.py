"""Names to mailboxes: order, dead letters, taps, and messages that cross as bytes."""

from __future__ import annotations

import threading

import pytest

from actors.runtime.router import Router
from messages.scheduler import CancelJob, JobCancelling
from messages.task_admission import ReturnTaskLeases
from messages.telemetry import LogEntry, RecordLog


def reason(number):
    return CancelJob(str(number))


class Receiver:
    """A destination that keeps what it got; `there` says whether it takes anything."""

    def __init__(self, router, name="actor"):
        self.got = []
        self.there = True
        router.register(name, self.take)

    def take(self, messages):
        if self.there:
            self.got += messages
        return self.there


@pytest.fixture(params=[False, True], ids=["in memory", "serialized"])
def router(request):
    return Router(serialize=request.param)


def test_messages_of_one_sender_keep_their_order(router):
    receiver = Receiver(router)
    router.send("a", "actor", [reason(1), reason(2)])
    router.send("a", "actor", [reason(3)])
    assert receiver.got == [reason(1), reason(2), reason(3)]


def test_messages_between_two_parties_keep_their_order_among_many_senders(router):
    receiver = Receiver(router)
    threads = [
        threading.Thread(
            target=lambda name=name: [
                router.send(name, "actor", [CancelJob(name, reply_to=str(number))]) for number in range(200)
            ]
        )
        for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    for name in "abcd":
        numbers = [int(message.reply_to) for message in receiver.got if message.reason == name]
        assert numbers == list(range(200))


def test_what_nobody_takes_is_counted_and_reported(router):
    reported = []
    router.on_dead_letters = lambda sender, to, messages: reported.append((sender, to, list(messages)))
    router.send("a", "nobody", [reason(1), reason(2)])
    assert router.dead_letters == {"nobody": 2}
    assert reported == [("a", "nobody", [reason(1), reason(2)])]


def test_what_a_stopped_receiver_refuses_is_a_dead_letter(router):
    receiver = Receiver(router)
    receiver.there = False
    router.send("a", "actor", [reason(1)])
    assert router.dead_letters == {"actor": 1}


def test_a_name_can_be_forgotten_and_taken_over(router):
    Receiver(router)
    router.unregister("actor")
    router.unregister("actor")
    router.send("a", "actor", [reason(1)])
    successor = Receiver(router)
    router.send("a", "actor", [reason(2)])
    assert successor.got == [reason(2)]
    assert router.dead_letters.total() == 1


def test_dead_letters_are_counted_right_by_many_senders(router):
    threads = [
        threading.Thread(target=lambda: [router.send("a", "nobody", [reason(1)]) for _ in range(200)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert router.dead_letters["nobody"] == 1600


def test_taps_see_every_delivery_also_those_that_fail(router):
    Receiver(router)
    seen = []
    router.add_tap(lambda sender, to, message: seen.append((sender, to, message)))
    router.add_tap(lambda sender, to, message: seen.append("second"))
    router.send("a", "actor", [reason(1)])
    router.send("a", "nobody", [reason(2)])
    assert seen == [("a", "actor", reason(1)), "second", ("a", "nobody", reason(2)), "second"]


def test_serialized_messages_share_nothing_that_can_change():
    router = Router(serialize=True)
    receiver = Receiver(router)
    fields = {"list": [1]}
    router.send("a", "actor", [RecordLog([LogEntry(0.0, "a", "info", "x", fields)])])
    fields["list"].append(2)
    (got,) = receiver.got
    assert got.entries[0].fields == {"list": [1]}


def test_a_message_that_cannot_be_serialized_fails_at_its_sender():
    router = Router(serialize=True)
    receiver = Receiver(router)
    with pytest.raises(TypeError):
        router.send("a", "actor", [reason(1), ReturnTaskLeases([object()])])
    assert receiver.got == []


def test_a_reply_box_has_an_address_of_its_own_until_it_is_closed(router):
    with router.open_reply_box() as first, router.open_reply_box() as second:
        assert first.address != second.address
        router.send("a", first.address, [JobCancelling("1"), JobCancelling("2")])
        assert first.get(1) == JobCancelling("1")
        assert first.get() == JobCancelling("2")
        with pytest.raises(TimeoutError, match=f"no message for {second.address} within 0.01 s"):
            second.get(0.01)
    router.send("a", first.address, [JobCancelling("3")])
    assert router.dead_letters == {first.address: 1}


def test_a_reply_box_wakes_whoever_waits(router):
    box, got = router.open_reply_box(), []
    waits = threading.Thread(target=lambda: got.append(box.get(10)))
    waits.start()
    router.send("a", box.address, [JobCancelling("1")])
    waits.join(10)
    assert got == [JobCancelling("1")]
