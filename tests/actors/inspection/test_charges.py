"""O7: every second of a task is charged to exactly one reason, and the charges add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.inspection.charges import charge, micros, named
from actors.telemetry.timeline import AttemptTimeline, TaskTimeline
from messages.tasks import RuntimeCorrelation

ABOUT = RuntimeCorrelation("run-1", 0, 0, "story", "cell", "model", "abc", 1)


def a_timeline(*attempts, ready=1.0, leased=2.0, released=10.0):
    return TaskTimeline(
        correlation=ABOUT,
        dependency_ready_at=ready,
        ready_enqueued_at=ready,
        task_lease_acquired_at=leased,
        task_lease_released_at=released,
        attempts=list(attempts),
    )


def an_attempt(*, asked, granted, sent=None, done=None, connecting=None, **waited_for):
    return AttemptTimeline(
        request_attempt_id=1,
        request_wait_started_at=asked,
        request_wait_completed_at=granted,
        request_lease_acquired_at=granted,
        model_request_started_at=granted if sent is None else sent,
        model_request_completed_at=done,
        connection_seconds=connecting,
        waited_for=waited_for,
    )


def seconds(timeline, *, began=0.0, until=10.0, **how):
    charged = named(charge(timeline, began=micros(began), until=micros(until), **how))
    return {reason: amount / 1e6 for reason, amount in charged.items() if amount}


def test_o7_before_its_lease_a_task_waits_for_its_dependencies_then_for_capacity():
    charged = seconds(a_timeline(ready=3.0, leased=5.0))

    assert charged == {"dependency": 3.0, "task_capacity": 2.0, "local_compute": 5.0}


def test_o7_a_retry_is_charged_from_the_earlier_tries_end():
    charged = seconds(a_timeline(ready=3.0, leased=3.0), began=1.0, retried=True)

    assert charged == {"retry": 2.0, "local_compute": 7.0}


def test_o7_time_at_a_groups_cap_is_the_tasks_share_and_the_rest_capacity():
    charged = seconds(a_timeline(ready=0.0, leased=5.0), capped=micros(1.5))

    assert charged == {"task_share": 1.5, "task_capacity": 3.5, "local_compute": 5.0}


def test_o7_a_wait_for_a_request_lease_is_split_by_what_it_was_for():
    attempt = an_attempt(asked=2.0, granted=8.0, done=9.5, cooldown=1.0, circuit=0.5, budget=2.0)

    charged = seconds(a_timeline(attempt, ready=0.0, leased=1.0))

    assert charged == {
        "task_capacity": 1.0,
        "cooldown": 1.5,
        "budget": 2.0,
        "request_limit": 2.5,
        "provider": 1.5,
        "local_compute": 1.5,
    }


def test_a11_getting_a_connection_is_not_the_providers_time():
    attempt = an_attempt(asked=2.0, granted=2.0, done=6.0, connecting=1.0)

    charged = seconds(a_timeline(attempt, ready=0.0, leased=2.0))

    assert (charged["connection_pool"], charged["provider"]) == (1.0, 3.0)


def test_o7_of_attempts_at_once_the_one_nearest_to_the_provider_counts():
    sent = an_attempt(asked=2.0, granted=2.0, done=5.0)
    waiting = an_attempt(asked=2.0, granted=7.0, done=8.0)

    charged = seconds(a_timeline(sent, waiting, ready=0.0, leased=2.0))

    assert charged == {"task_capacity": 2.0, "provider": 4.0, "request_limit": 2.0, "local_compute": 2.0}


def test_o7_an_unfinished_execution_is_charged_up_to_the_end_of_what_is_known():
    attempt = an_attempt(asked=3.0, granted=None)
    timeline = a_timeline(attempt, ready=0.0, leased=2.0, released=None)
    timeline.attempts[0].model_request_started_at = None

    charged = seconds(timeline, until=6.0)

    assert charged == {"task_capacity": 2.0, "local_compute": 1.0, "request_limit": 3.0}


def test_a7_a_wait_that_brought_no_lease_ends_when_it_was_given_up():
    attempt = AttemptTimeline(
        request_attempt_id=1, request_wait_started_at=3.0, request_wait_ended_at=4.0, outcome="queue_timeout"
    )

    charged = seconds(a_timeline(attempt, ready=0.0, leased=2.0))

    assert charged == {"task_capacity": 2.0, "request_limit": 1.0, "local_compute": 7.0}


def test_o7_the_pause_before_a_failed_call_is_made_again_is_a_retrys_and_not_the_tasks_own_work():
    failed = an_attempt(asked=2.0, granted=2.0, done=3.0)
    failed.outcome = "provider_failure"
    again = an_attempt(asked=7.0, granted=7.0, done=8.0)

    charged = seconds(a_timeline(failed, again, ready=0.0, leased=2.0))

    assert charged == {"task_capacity": 2.0, "provider": 2.0, "retry": 4.0, "local_compute": 2.0}


def test_o7_between_calls_that_were_answered_and_after_the_last_a_task_does_its_own_work():
    answered, failed = (
        an_attempt(asked=2.0, granted=2.0, done=3.0),
        an_attempt(asked=6.0, granted=6.0, done=8.0),
    )
    answered.outcome, failed.outcome = "success", "provider_failure"

    charged = seconds(a_timeline(answered, failed, ready=0.0, leased=2.0))

    assert charged == {"task_capacity": 2.0, "provider": 3.0, "local_compute": 5.0}


moments = st.none() | st.floats(0.0, 20.0)
attempts = st.builds(
    AttemptTimeline,
    outcome=st.sampled_from(["success", "provider_failure"]),
    request_attempt_id=st.integers(1, 9),
    request_wait_started_at=moments,
    request_wait_completed_at=moments,
    request_wait_ended_at=moments,
    request_lease_acquired_at=moments,
    model_request_started_at=moments,
    model_request_completed_at=moments,
    connection_seconds=st.none() | st.floats(0.0, 5.0),
    waited_for=st.dictionaries(st.sampled_from(["cooldown", "circuit", "budget"]), st.floats(0.0, 20.0)),
)
timelines = st.builds(
    TaskTimeline,
    correlation=st.just(ABOUT),
    dependency_ready_at=moments,
    ready_enqueued_at=moments,
    task_lease_acquired_at=moments,
    task_lease_released_at=moments,
    attempts=st.lists(attempts, max_size=5),
)


@given(
    timelines,
    st.none() | st.integers(0, 20_000_000),
    st.integers(0, 20_000_000),
    st.booleans(),
    st.integers(-5, 20_000_000),
)
def test_o7_the_charges_of_any_life_are_its_length_to_the_microsecond(
    timeline, began, until, retried, capped
):
    """Overlapping attempts, missing times and times in a wrong order included."""
    charges = charge(timeline, began=began, until=until, retried=retried, capped=capped)

    released = timeline.task_lease_released_at
    end = until if released is None else micros(released)
    told = (timeline.dependency_ready_at, timeline.ready_enqueued_at, timeline.task_lease_acquired_at)
    known = [micros(at) for at in told if at is not None]
    start = began if began is not None else (known[0] if known else end)
    assert sum(charges) == max(0, end - start)
    assert min(charges) >= 0
