"""Both streams joined into one timeline per task execution, live or out of a log."""

from __future__ import annotations

import msgspec

from actors.evidence.reader import read_events
from actors.telemetry.timeline import ATTEMPT_TIMES, TASK_TIMES, CorrelatedRuntimeView
from messages.telemetry import SequencedEvent
from tests.actors.evidence.log_script import Script, a_run, is_request, write_log


def view_of(events):
    view = CorrelatedRuntimeView()
    for sequence, event in enumerate(events, 1):
        view.add(SequencedEvent("request" if is_request(event) else "scheduler", sequence, event))
    return view


def times(timeline, named):
    return [getattr(timeline, field) for field in named.values()]


def test_every_time_of_a_task_and_of_its_attempts_is_found_in_order():
    script = Script()
    script.run(script.correlation("story"), attempts=2)

    [timeline] = view_of(script.events).pop_complete()

    task = times(timeline, TASK_TIMES)
    assert task == sorted(task)
    assert None not in task
    assert timeline.outcome == "success"
    assert timeline.task_lease_id == 1
    assert [attempt.request_attempt_id for attempt in timeline.attempts] == [1, 2]
    for attempt in timeline.attempts:
        moments = times(attempt, ATTEMPT_TIMES)
        assert moments == sorted(moments)
        assert attempt.outcome == "success"
        assert attempt.resource == "sim/writer-1/chat"
        assert timeline.worker_spawned_at < moments[0]
        assert moments[-1] < timeline.task_completed_at


def test_complete_timelines_are_given_once_and_then_forgotten():
    script = Script()
    script.run(script.correlation("words"))
    view = view_of(script.events)

    assert len(view.pop_complete()) == 1
    assert view.pop_complete() == []
    assert view.open_timelines() == []


def test_the_attempts_of_a_task_that_makes_many_calls_are_found_without_looking_through_them_all():
    class Compared(int):
        """A number that counts how often anything was compared with it."""

        times = 0

        def __eq__(self, other):
            Compared.times += 1
            return int(self) == other

        __hash__ = int.__hash__

    script = Script()
    calls = 500
    script.run(script.correlation("story"), attempts=calls)
    for event in script.events:
        if event.request_attempt_id:
            msgspec.structs.force_setattr(event, "request_attempt_id", Compared(event.request_attempt_id))

    [timeline] = view_of(script.events).pop_complete()

    assert [int(attempt.request_attempt_id) for attempt in timeline.attempts] == list(range(1, calls + 1))
    assert all(None not in times(attempt, ATTEMPT_TIMES) for attempt in timeline.attempts)
    assert Compared.times < 20 * calls


def test_an_execution_that_has_not_ended_is_open():
    script = Script()
    steps = script.steps(script.correlation("words"))
    next(steps)
    next(steps)

    [timeline] = view_of(script.events).open_timelines()

    assert timeline.ready_enqueued_at is not None
    assert timeline.selected_at is None


def test_t6_a_stale_lease_leaves_the_task_where_it_was():
    script = Script()
    script.run(script.correlation("words"), outcome="stale_discard")
    view = view_of(script.events)

    assert view.pop_complete() == []
    [timeline] = view.open_timelines()
    assert timeline.ready_enqueued_at is not None
    assert timeline.selected_at is timeline.task_lease_acquired_at is None


def test_o3_each_stream_gives_what_it_can_without_the_other():
    script = Script()
    script.run(script.correlation("story"), attempts=1)

    [scheduler] = view_of([event for event in script.events if not is_request(event)]).pop_complete()
    [request] = view_of([event for event in script.events if is_request(event)]).open_timelines()

    assert scheduler.attempts == []
    assert scheduler.task_lease_released_at is not None
    assert request.selected_at is None
    assert len(request.attempts) == 1


def test_a_wait_that_ends_without_a_lease_says_how():
    script = Script()
    about = script.correlation("story")
    script.emit("request_wait_started", about, request_attempt_id=1)
    script.emit("request_wait_timeout", about, request_attempt_id=1, reason_or_outcome="queue_timeout")

    [timeline] = view_of(script.events).open_timelines()

    assert timeline.attempts[0].outcome == "queue_timeout"
    assert timeline.attempts[0].request_lease_acquired_at is None


def test_a_log_gives_the_same_timelines_as_the_live_stream(tmp_path):
    events = a_run().events
    from_log = CorrelatedRuntimeView()
    for placed in read_events(write_log(tmp_path / "log.jsonl", events)):
        from_log.add(placed)

    assert from_log.pop_complete() == view_of(events).pop_complete()
