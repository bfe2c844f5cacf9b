"""The run's story: what a run's events come to, told by hand with times that can be added up."""

from __future__ import annotations

import msgspec
import pytest

from actors.inspection.verdict import findings
from messages.telemetry import LogEntry
from tests.actors.evidence.log_script import CHAT, a_run
from tests.actors.inspection.story_builders import TimedScript, explained, told

MODEL = CHAT.name


def seconds(charges):
    return {reason: amount / 1e6 for reason, amount in charges.items() if amount}


def test_o7_the_charges_of_a_run_are_those_of_its_columns_and_its_checkpoints():
    script = TimedScript()
    script.admitted(at=0.0)
    story, words = script.correlation("story"), script.correlation("words")
    script.ready(story, at=1.0)
    script.leased(story, at=2.0)
    script.asks(story, 1, at=2.0)
    script.sent(story, 1, at=3.0)
    script.replied(story, 1, at=5.0, connection_seconds=0.5, input_tokens=7, output_tokens=11)
    script.ended(story, at=5.0)
    script.ready(words, at=5.0)
    script.leased(words, at=5.0)
    script.ended(words, at=6.0)
    script.stored(at=6.5)
    script.over(at=7.0)

    run = explained(script)

    assert seconds(run.charges) == {
        "dependency": 6.0,
        "task_capacity": 1.0,
        "request_limit": 1.0,
        "connection_pool": 0.5,
        "provider": 1.5,
        "local_compute": 1.0,
        "checkpoint": 0.5,
    }
    assert run.task_microseconds == sum(run.charges.values()) == 11_500_000
    column = run.columns["story"]
    assert (column.done, column.attempts, column.input_tokens, column.output_tokens) == (1, 1, 7, 11)
    assert column.models == (MODEL,)
    assert run.run.status == "succeeded"
    assert run.run.wall_seconds == 7.0


def test_o7_a_retrys_life_begins_where_the_earlier_try_ended():
    script = TimedScript()
    script.admitted(at=0.0)
    first, second = script.correlation("story"), script.correlation("story")
    script.ready(first, at=0.0)
    script.leased(first, at=0.0)
    script.ended(first, at=2.0, outcome="retryable_failure")
    script.emit("retry_deferred", first, at=2.0, reason_or_outcome="provider_timeout")
    script.ready(second, at=4.5)
    script.leased(second, at=4.5)
    script.ended(second, at=5.0)

    run = explained(script)

    assert seconds(run.charges) == {"retry": 2.5, "local_compute": 2.5}
    assert run.queue.retry_only_seconds == 2.5
    [retry] = run.retries
    assert (retry.column, retry.kind, retry.count) == ("story", "provider_timeout", 1)
    assert (run.columns["story"].retried, run.columns["story"].done) == (1, 1)


def test_o7_time_at_a_groups_cap_is_charged_to_the_tasks_share():
    script = TimedScript()
    script.admitted(at=0.0)
    task = script.correlation("story")
    script.ready(task, at=0.0)
    script.queue("admission_blocked", at=1.0, short_of=["llm_wait"])
    script.queue("group_capped", at=2.0, reasons=["group_cap"])
    script.leased(task, at=5.0)
    script.ended(task, at=6.0)

    run = explained(script)

    assert seconds(run.charges) == {"task_capacity": 2.0, "task_share": 3.0, "local_compute": 1.0}
    assert run.queue.group_capped_seconds == 3.0
    assert run.resources["llm_wait"].short_seconds == 1.0
    assert run.queue.blocked_seconds == {"no_capacity": 1.0, "group_cap": 3.0}


def test_o7_a_log_that_was_cut_off_is_charged_up_to_its_last_time_and_says_what_waits_for_what():
    script = TimedScript(cap=1)
    script.admitted(at=0.0)
    sent, waiting, queued = (script.correlation("story", row_index=row) for row in range(3))
    for task in (sent, waiting, queued):
        script.ready(task, at=0.0)
    script.leased(sent, at=1.0)
    script.leased(waiting, at=1.0)
    script.asks(sent, 1, at=1.0)
    script.sent(sent, 1, at=1.0)
    script.asks(waiting, 2, at=2.0)
    script.queue("admission_blocked", at=4.0, short_of=["llm_wait"])

    run = explained(script)

    assert run.run.status == "unfinished"
    assert run.task_microseconds == 3 * 4_000_000
    assert seconds(run.charges) == {
        "task_capacity": 6.0,
        "provider": 3.0,
        "local_compute": 1.0,
        "request_limit": 2.0,
    }
    assert run.unfinished_total == 3
    assert [each.waiting_for for each in run.unfinished] == [
        f"the provider of {MODEL}, to reply",
        f"{MODEL}: all 1 calls of its limit are in flight",
        "task admission, which is short of llm_wait",
    ]


def test_r3_a_dropped_rows_queued_task_is_charged_until_the_drop_and_forgotten():
    script = TimedScript()
    script.admitted(at=0.0)
    failing, unwanted = script.correlation("story"), script.correlation("words")
    script.ready(failing, at=0.0)
    script.ready(unwanted, at=0.0)
    script.leased(failing, at=0.0)
    script.ended(failing, at=1.0, outcome="non_retryable_failure")
    script.emit("non_retryable_dropped", failing, at=1.5, reason_or_outcome="user_code")
    script.stored(at=3.0, rows=1, dropped=1)
    script.over(at=9.0)

    run = explained(script)

    assert seconds(run.charges) == {"local_compute": 1.0, "task_capacity": 1.5, "checkpoint": 1.5}
    [drop] = run.drops
    assert (drop.column, drop.kind, run.columns["story"].dropped_rows) == ("story", "user_code", 1)
    assert run.queue.ready_idle_seconds == 1.5  # the dropped row's task had been queued all that time


def test_a_model_says_how_long_it_was_full_and_how_often_it_paused():
    script = TimedScript(cap=1)
    script.admitted(at=0.0)
    first, second = (script.correlation("story", row_index=row) for row in range(2))
    for task in (first, second):
        script.ready(task, at=0.0)
        script.leased(task, at=0.0)
    script.asks(first, 1, at=0.0)
    script.sent(first, 1, at=0.0)
    script.asks(second, 2, at=0.0)
    script.refused(first, 1, at=2.0, until=4.0)
    script.sent(second, 2, at=4.0, cooldown=2.0)
    script.refused(second, 2, at=5.0, until=6.0)
    script.emit(
        "request_limit_decreased",
        at=5.0,
        resource=MODEL,
        reason_or_outcome="rate_limited",
        diagnostics={"before": 2, "after": 1, "limit": 1, "effective_max": 1},
    )
    script.over(at=5.5)

    model = explained(script).models[MODEL]

    assert model.full_seconds == 2.0
    assert model.waiting_seconds == 4.0
    assert model.waited_seconds == {"limit": 2.0, "circuit": 0.0, "cooldown": 2.0, "budget": 0.0}
    assert (model.rate_limited, model.rate_limited_at) == (2, (2.0, 5.0))
    assert (model.cooldown_seconds, model.cooldown_until) == (2.5, 6.0)  # what is still to come is not over
    assert model.outcomes == {"rate_limited": 2}
    assert [(each.at, each.before, each.after) for each in model.limit_changed] == [(5.0, 2, 1)]
    assert (model.most_in_flight, model.most_waiting, model.in_flight, model.waiting) == (1, 1, 0, 0)


def test_overlapping_pauses_count_once():
    script = TimedScript()
    script.admitted(at=0.0)
    for attempt, (at, until) in enumerate([(1.0, 3.0), (2.0, 5.0), (2.5, 5.0), (7.0, 8.0)], 1):
        task = script.correlation("story", row_index=attempt)
        script.asks(task, attempt, at=at)
        script.sent(task, attempt, at=at)
        script.refused(task, attempt, at=at, until=until)
    script.over(at=10.0)

    model = explained(script).models[MODEL]

    assert model.cooldown_seconds == 5.0
    assert model.cooldowns == ((1.0, 5.0), (7.0, 8.0))


def test_a_column_ran_alone_only_while_others_had_work_left():
    script = TimedScript()
    script.admitted(at=0.0)
    alone, other, tail = script.correlation("story"), script.correlation("words"), script.correlation("story")
    script.ready(alone, at=0.0)
    script.leased(alone, at=0.0)
    script.ended(alone, at=3.0)
    script.ready(other, at=3.0)
    script.leased(other, at=3.0)
    script.ended(other, at=4.0)
    script.ready(tail, at=4.0)
    script.leased(tail, at=4.0)
    script.ended(tail, at=9.0)
    script.over(at=9.0)

    columns = explained(script).columns

    assert (columns["story"].alone_seconds, columns["words"].alone_seconds) == (3.0, 1.0)


def test_o7_capacity_that_idles_while_work_is_ready_is_counted():
    script = TimedScript()
    script.admitted(at=0.0)
    quick, slow = script.correlation("story"), script.correlation("words")
    script.ready(quick, at=0.0)
    script.leased(quick, at=0.04)
    script.ready(slow, at=1.0)
    script.leased(slow, at=3.0)

    assert explained(script).queue.ready_idle_seconds == 2.0


def test_a_blocked_loop_lasts_until_the_worker_tells_of_anything_again():
    script = TimedScript()
    script.admitted(at=0.0)
    task = script.correlation("words")
    script.ready(task, at=0.0)
    script.leased(task, at=1.0)
    script.ended(task, at=6.0)
    fields = {"column": "words", "seconds": 1.0, "at": "job.py:3 weigh", "stack": ["job.py:3 weigh"]}
    blocked = LogEntry(2.2, "worker", "warning", "event_loop_blocked", fields)

    run = explained(script, entries=[blocked])

    found = run.loop_blocked["words"]
    assert (found.count, found.seconds, found.at) == (1, 5.0, "job.py:3 weigh")
    [warning] = run.warnings
    assert (warning.event, warning.count, warning.text) == (
        "event_loop_blocked",
        1,
        "column words, seconds 1.0, at job.py:3 weigh",
    )


def test_a_dry_queue_under_the_bound_of_row_groups_is_the_bounds():
    script = TimedScript(rows=8)
    script.admitted(0, at=0.0)
    script.admitted(1, at=0.0)
    task = script.correlation("story")
    script.ready(task, at=0.0)
    script.leased(task, at=0.0)
    script.ended(task, at=4.0)
    script.over(at=5.0, status="cancelled")

    groups = explained(script).row_groups

    assert (groups.bound_seconds, groups.most_in_flight, groups.concurrency) == (4.0, 2, 2)


def test_of_several_runs_in_one_log_the_last_is_told():
    first, second = a_run(), TimedScript()
    second.admitted(at=0.0)
    second.over(at=3.0, status="cancelled")

    run = told([*first.events, *second.events]).explain()

    assert (run.run.status, run.run.wall_seconds) == ("cancelled", 3.0)
    assert run.models[MODEL].attempts == 0


def test_the_story_can_be_asked_at_any_time_and_told_further():
    events = a_run().events
    for cut in range(1, len(events)):
        story = told(events[:cut])
        run = story.explain()
        assert run.task_microseconds == sum(run.charges.values())
        assert run == story.explain()
        assert msgspec.json.decode(msgspec.json.encode(run))["run"]["run_id"] == "run-1"


def test_nothing_is_explained_before_a_run_begins():
    assert told([]).explain() is None


@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_every_lease_of_a_whole_run_is_back(attempts):
    proof = explained(a_run(attempts=attempts)).proof

    assert proof.task_leases == proof.task_leases_returned == 8
    assert proof.request_leases == proof.request_leases_returned == 4 * attempts


def test_a_grant_at_once_is_no_wait():
    script = TimedScript()
    script.admitted(at=0.0)
    task = script.correlation("story")
    script.asks(task, 1, at=1.0)
    script.sent(task, 1, at=1.0)
    script.replied(task, 1, at=3.0)
    script.over(at=3.0)

    model = explained(script).models[MODEL]

    assert (model.most_waiting, model.waiting_curve, model.waiting_seconds) == (0, (), 0.0)
    assert model.free_seconds == 2.0


def test_a_model_is_not_what_is_waited_for_while_calls_wait_for_another():
    script = TimedScript()
    script.admitted(at=0.0)
    task, other = script.correlation("story", row_index=0), script.correlation("story", row_index=1)
    script.asks(task, 1, at=0.0)
    script.sent(task, 1, at=0.0)
    asked = {"request_attempt_id": 2, "resource": "sim/writer-2/chat"}
    script.emit("request_wait_started", other, at=1.0, **asked)
    script.emit("request_wait_completed", other, at=3.0, **asked)
    script.emit("request_lease_acquired", other, at=3.0, request_lease_id=2, **asked)
    script.replied(task, 1, at=5.0)
    script.over(at=6.0)

    models = explained(script).models

    assert (models[MODEL].free_seconds, models["sim/writer-2/chat"].free_seconds) == (3.0, 3.0)


def test_r8_rows_that_a_processor_did_not_keep_are_told_with_its_name_and_are_no_failure():
    script = TimedScript()
    script.admitted(at=0.0)
    counts = {"row_group": 0, "rows": 1, "dropped": 1, "sorted_out": {"words": 1}}
    script.emit("row_group_checkpointed", at=1.0, diagnostics=counts)
    script.over(at=2.0, status="partial")

    run = explained(script)

    assert [(each.column, each.kind, each.count) for each in run.drops] == [("words", "processor", 1)]
    assert (run.columns["words"].dropped_rows, run.columns["words"].failed) == (1, 0)
    assert "failures" not in {finding.layer for finding in findings(run)}
