"""Subscriptions to events: filtered, bounded where the reader is slow, over when either side goes away."""

from __future__ import annotations

import threading

import pytest

from actors import ActorSystem
from actors.evidence.reader import read_events
from actors.runtime.router import UnreachableError
from messages import ChatColumn, Job, Latency, ModelConfig, SequenceColumn, SimulatedProvider

LAST = "scheduler_job_completed"


def a_job(rows=20):
    return Job(
        name="watched",
        rows=rows,
        row_group_size=10,
        providers={"sim": SimulatedProvider(latency_ms=Latency(1, 1))},
        models={name: ModelConfig(provider="sim", model=name, max_parallel_requests=2) for name in "ab"},
        columns={
            "n": SequenceColumn(),
            "told": ChatColumn(model="a", prompt="{{ n }}"),
            "judged": ChatColumn(model="b", prompt="{{ told }}"),
        },
        health_check=False,
    )


def read_all(subscription, until=LAST):
    found = []
    while not found or found[-1].event.event_kind != until:
        found += subscription.get(timeout=30)
    return found


FILTERS = {
    "kinds": ({"kinds": ["task_completed"]}, lambda placed: placed.event.event_kind == "task_completed"),
    "streams": ({"streams": ["request"]}, lambda placed: placed.stream == "request"),
    "columns": (
        {"columns": ["judged"]},
        lambda placed: placed.event.correlation and placed.event.correlation.task_column == "judged",
    ),
    "resources": ({"resources": ["sim/a/chat"]}, lambda placed: placed.event.resource == "sim/a/chat"),
    "several": (
        {"kinds": ["request_lease_acquired"], "columns": ["told", "judged"], "resources": ["sim/b/chat"]},
        lambda placed: (
            (placed.event.event_kind, placed.event.resource) == ("request_lease_acquired", "sim/b/chat")
        ),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_subscriber_is_told_what_the_log_holds_of_what_it_asked_for(tmp_path, name):
    asked, wants = FILTERS[name]
    log = tmp_path / "log.jsonl"
    with ActorSystem.start(log=log) as system, system.subscribe(**asked) as subscription:
        system.run(a_job())
        subscription.end()
        told = list(subscription)
    expected = [placed for placed in read_events(log) if wants(placed)]
    assert expected
    assert [(each.stream, each.sequence, each.event) for each in told] == [
        (each.stream, each.sequence, each.event) for each in expected
    ]


def test_o6_a_reader_that_is_too_slow_misses_events_and_is_told_how_many(monkeypatch):
    monkeypatch.setattr("actors.runtime.subscription.MOST_HELD", 60)
    with ActorSystem.start() as system, system.subscribe() as subscription:
        system.run(a_job())
        sequences = system.snapshot("telemetry").state.sequences
        subscription.end()
        told = list(subscription)
    assert 0 < len(told) <= 60
    assert subscription.missed + len(told) == sum(sequences.values())


def test_a_subscriber_that_leaves_without_a_word_is_forgotten():
    with ActorSystem.start() as system:
        subscription = system.subscribe()
        with subscription:
            system.run(a_job(rows=5))
        gone = system.subscribe()
        gone.__enter__()
        gone._box.close()
        system.run(a_job(rows=5))
        system.snapshot("telemetry")
        once = system.router.dead_letters.total()
        system.run(a_job(rows=5))
        assert system.router.dead_letters.total() == once > 0


def test_reading_ends_when_the_system_stops():
    read = []
    system = ActorSystem.start()
    with system.subscribe(kinds=[LAST]) as subscription:
        reader = threading.Thread(target=lambda: read.extend(subscription))
        reader.start()
        system.run(a_job(rows=5))
        system.stop()
        reader.join(30)
    assert [placed.event.event_kind for placed in read] == [LAST]
    with pytest.raises(UnreachableError):
        subscription.get(timeout=1)


def test_without_a_telemetry_actor_there_is_nothing_to_subscribe_to():
    with (
        ActorSystem.start(actors=("storage",)) as system,
        pytest.raises(UnreachableError, match="no telemetry actor"),
        system.subscribe(),
    ):
        pass
