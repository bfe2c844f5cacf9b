"""What limited a run, causes before their consequences, with the setting that changes it."""

from __future__ import annotations

import pytest

from actors.inspection.verdict import findings
from messages.telemetry import LogEntry
from tests.actors.evidence.log_script import CHAT
from tests.actors.inspection.story_builders import TimedScript, explained


def verdict(script, **more):
    return findings(explained(script, **more))


def a_full_model(*, cap=1, until=9.0):
    """One call at a time for nine of ten seconds, with another that waits and tasks that queue behind."""
    script = TimedScript(cap=cap)
    script.admitted(at=0.0)
    first, second, queued = (script.correlation("story", row_index=row) for row in range(3))
    for task in (first, second, queued):
        script.ready(task, at=0.0)
    for task in (first, second):
        script.leased(task, at=0.0)
    script.asks(first, 1, at=0.0)
    script.sent(first, 1, at=0.0)
    script.asks(second, 2, at=0.0)
    script.queue("admission_blocked", at=0.0, short_of=["llm_wait"])
    script.replied(first, 1, at=until)
    script.sent(second, 2, at=until)
    return script


def test_a_full_model_is_the_cause_and_the_resource_behind_it_the_consequence():
    script = a_full_model()
    script.over(at=10.0)

    first, *others = verdict(script)

    assert (first.layer, first.subject, first.follows_from) == ("request_limit", "models.writer", "")
    assert first.share == pytest.approx(0.9)
    assert first.remedy == "raise models.writer.max_parallel_requests (now 1)"
    [behind] = [finding for finding in others if finding.layer == "task_capacity"]
    assert (behind.about, behind.share, behind.follows_from) == ("llm_wait", 1.0, "models.writer")


def test_a_full_resource_with_no_model_behind_it_is_a_cause():
    script = TimedScript()
    script.admitted(at=0.0)
    running, queued = script.correlation("words", row_index=0), script.correlation("words", row_index=1)
    script.ready(running, at=0.0)
    script.ready(queued, at=0.0)
    script.leased(running, at=0.0)
    script.queue("admission_blocked", at=0.0, short_of=["local"])
    script.ended(running, at=8.0)
    script.leased(queued, at=8.0)
    script.over(at=10.0)

    first = verdict(script)[0]

    assert (first.layer, first.subject, first.share) == ("task_capacity", "limits.local", 0.8)
    assert first.remedy == "raise limits.local (now 4)"


def test_a4_a_provider_that_asks_for_pauses_comes_before_the_limit_that_was_cut_for_it():
    script = TimedScript(cap=8)
    script.admitted(at=0.0)
    task, other = script.correlation("story", row_index=0), script.correlation("story", row_index=1)
    for each in (task, other):
        script.ready(each, at=0.0)
        script.leased(each, at=0.0)
    script.asks(task, 1, at=0.0)
    script.sent(task, 1, at=0.0)
    script.asks(other, 2, at=0.0)
    script.refused(task, 1, at=1.0, until=7.0)
    cut = {"before": 8, "after": 6, "limit": 6, "effective_max": 8}
    script.emit(
        "request_limit_decreased",
        at=1.0,
        resource=CHAT.name,
        reason_or_outcome="rate_limited",
        diagnostics=cut,
    )
    script.sent(other, 2, at=7.0, cooldown=6.0)
    script.replied(other, 2, at=9.0)
    script.over(at=10.0)

    first = verdict(script)[0]

    assert (first.layer, first.subject, first.share) == ("cooldown", "models.writer", 0.6)
    assert "1 of 2 calls were refused" in first.says
    assert "its limit is 6 now" in first.says
    lower = "lower models.writer.max_parallel_requests (now 8) to what the provider takes, about 6"
    assert first.remedy.startswith(lower)


def test_a9_an_open_circuit_is_named():
    script = TimedScript()
    script.admitted(at=0.0)
    task = script.correlation("story")
    script.ready(task, at=0.0)
    script.leased(task, at=0.0)
    script.emit("request_circuit_opened", at=2.0, resource=CHAT.name, diagnostics={"since": 1.0})
    script.emit("request_circuit_closed", at=7.0, resource=CHAT.name, diagnostics={})
    script.over(at=10.0)

    first = verdict(script)[0]

    assert (first.layer, first.subject, first.share) == ("circuit", "models.writer", 0.5)
    assert "on_provider_exhausted" in first.remedy


def test_a13_a_budget_is_named():
    script = TimedScript()
    script.admitted(at=0.0)
    task = script.correlation("story")
    script.ready(task, at=0.0)
    script.leased(task, at=0.0)
    script.asks(task, 1, at=1.0)
    script.emit("request_queue_formed", task, at=1.0, resource=CHAT.name, request_attempt_id=1)
    script.sent(task, 1, at=9.0, budget=8.0)
    script.over(at=10.0)

    first = verdict(script)[0]

    assert (first.layer, first.subject, first.share) == ("budget", "models.writer", 0.8)
    assert "models.writer.requests_per_minute" in first.remedy


def test_a_blocked_loop_is_the_cause_of_whatever_else_stood_still():
    script = a_full_model()
    words = script.correlation("words")
    script.emit("worker_spawned", words, at=9.5, task_lease_id=9)
    script.over(at=10.0)
    fields = {"column": "words", "seconds": 1.0, "at": "/home/me/functions.py:7 weigh", "stack": []}

    first, *others = verdict(
        script, entries=[LogEntry(4.0, "worker", "warning", "event_loop_blocked", fields)]
    )

    assert (first.layer, first.subject) == ("event_loop", "columns.words")
    assert "at functions.py:7 weigh" in first.says
    assert "plain (not `async`)" in first.remedy
    assert {finding.follows_from for finding in others} == {"columns.words"}


def test_a_column_that_everything_waits_for_comes_before_the_row_groups_that_it_holds():
    script = TimedScript(rows=8)
    script.admitted(0, at=0.0)
    script.admitted(1, at=0.0)
    slow, other = script.correlation("words"), script.correlation("story")
    script.ready(slow, at=0.0)
    script.leased(slow, at=0.0)
    script.queue("queue_empty", at=0.0)
    script.ended(slow, at=8.0)
    script.ready(other, at=8.0)
    script.leased(other, at=8.0)
    script.ended(other, at=9.0)
    script.over(at=10.0, status="cancelled")

    first, *others = verdict(script)

    assert (first.layer, first.subject, first.share) == ("slow_column", "columns.words", 0.8)
    assert "make columns.words faster" in first.remedy
    assert ("row_groups", "columns.words") in {(each.layer, each.follows_from) for each in others}


def test_retries_and_shares_are_told_with_their_settings():
    script = TimedScript()
    script.admitted(at=0.0)
    failed, again = script.correlation("story"), script.correlation("story")
    script.ready(failed, at=0.0)
    script.queue("group_capped", at=0.0, reasons=["group_cap"])
    script.leased(failed, at=3.0)
    script.ended(failed, at=4.0, outcome="retryable_failure")
    script.emit("retry_deferred", failed, at=4.0, reason_or_outcome="provider_failure")
    script.ready(again, at=8.0)
    script.leased(again, at=8.0)
    script.over(at=10.0)

    found = {finding.layer: finding for finding in verdict(script)}

    assert found["retries"].share == 0.4
    assert "(provider_failure)" in found["retries"].says
    assert "failure.backoff_seconds" in found["retries"].remedy
    assert found["task_share"].share == 0.3
    assert "limits.group_limit_factor" in found["task_share"].remedy


@pytest.mark.parametrize(
    ("policy", "remedy"),
    [
        (
            "bounded_borrow",
            "raise limits.submission (now 3): columns that are queued together have their part",
        ),
        (
            "provider_aware",
            "raise limits.submission (now 3): columns that are queued together have their part",
        ),
        ("service_time_fair", "raise limits.group_limit_factor"),
        ("strict_fair", 'raise limits.group_limit_factor, or let columns borrow: limits.policy = "bounded'),
        ("own:Policy", "see to your limits.policy (now 'own:Policy'), or raise limits.submission (now 3)"),
        ("", 'raise limits.group_limit_factor, or let columns borrow: limits.policy = "bounded'),
    ],
)
def test_what_helps_a_column_at_its_share_depends_on_the_policy(policy, remedy):
    script = TimedScript(policy=policy, submission=3)
    script.admitted(at=0.0)
    capped = script.correlation("story")
    script.ready(capped, at=0.0)
    script.queue("group_capped", at=0.0, reasons=["group_cap"])
    script.leased(capped, at=5.0)
    script.over(at=10.0)

    (found,) = (finding for finding in verdict(script) if finding.layer == "task_share")

    assert found.remedy.startswith(remedy)
    assert ("bounded_borrow" in found.remedy) == (policy in ("strict_fair", ""))


def test_causes_come_before_consequences_and_each_in_the_order_of_its_weight():
    script = a_full_model(until=6.0)
    script.queue("queue_empty", at=9.0)
    script.over(at=10.0)

    found = verdict(script)

    causes = [finding for finding in found if not finding.follows_from]
    others = [finding for finding in found if finding.follows_from]
    assert found == [*causes, *others]
    assert [each.share for each in causes] == sorted((each.share for each in causes), reverse=True)
    assert causes[0].layer == "request_limit"


def test_a_run_that_has_only_just_begun_was_held_back_by_nothing():
    assert verdict(TimedScript()) == []


def a_failing_model_column(*, outcome="provider_failure", kind="retryable_failure", told="retry_deferred"):
    """A task whose every call fails, and another that queues behind it for all of the time."""
    script = TimedScript(cap=1)
    script.admitted(at=0.0)
    failing, queued = script.correlation("story", row_index=0), script.correlation("story", row_index=1)
    for task in (failing, queued):
        script.ready(task, at=0.0)
    script.leased(failing, at=0.0)
    script.queue("admission_blocked", at=0.0, short_of=["llm_wait"])
    script.asks(failing, 1, at=0.0)
    script.sent(failing, 1, at=0.0)
    script.replied(failing, 1, at=9.0, outcome=outcome)
    script.ended(failing, at=9.0, outcome=kind)
    script.emit(told, failing, at=9.0, reason_or_outcome=outcome)
    script.leased(queued, at=9.0)
    script.over(at=10.0, status="cancelled")
    return script


def test_work_that_fails_is_the_cause_of_what_fills_up_behind_it():
    first, *others = verdict(a_failing_model_column())

    assert (first.layer, first.subject, first.share) == ("failures", "columns.story", 1.0)
    assert "1 of 2 tries failed (provider_failure)" in first.says
    assert first.remedy.startswith("see to the provider of models.writer: `leasehold check JOB --probe`")
    [behind] = [finding for finding in others if finding.layer == "task_capacity"]
    assert (behind.about, behind.follows_from) == ("llm_wait", "columns.story")


@pytest.mark.parametrize(
    ("outcome", "remedy"),
    [
        ("provider_timeout", "models.writer.timeout_seconds"),
        ("task_timeout", "columns.story.timeout_seconds"),
        ("user_exception", "dropped.jsonl"),
    ],
)
def test_what_helps_against_failures_depends_on_their_kind(outcome, remedy):
    given_up = {"kind": "non_retryable_failure", "told": "non_retryable_dropped"}

    first = verdict(a_failing_model_column(outcome=outcome, **given_up))[0]

    assert first.layer == "failures"
    assert first.says.endswith("; given up, with their rows: 1")
    assert remedy in first.remedy


@pytest.mark.parametrize("refused", ["rate_limited", "queue_timeout", "circuit_open"])
def test_a4_a_call_that_a_provider_has_no_room_for_is_no_failing_work(refused):
    run = explained(a_failing_model_column(outcome=refused))

    assert run.columns["story"].failing_seconds == 0.0
    assert "failures" not in {finding.layer for finding in findings(run)}


def test_a_model_column_runs_alone_for_want_of_row_groups_that_would_bring_more_calls():
    script = TimedScript(rows=8)
    script.admitted(0, at=0.0)
    script.admitted(1, at=0.0)
    calling, other = script.correlation("story"), script.correlation("words")
    script.ready(calling, at=0.0)
    script.leased(calling, at=0.0)
    script.queue("queue_empty", at=0.0)
    script.asks(calling, 1, at=0.0)
    script.sent(calling, 1, at=0.0)
    script.replied(calling, 1, at=8.0)
    script.ended(calling, at=8.0)
    script.ready(other, at=8.0)
    script.leased(other, at=8.0)
    script.ended(other, at=9.0)
    script.over(at=10.0, status="cancelled")

    first, *others = verdict(script)

    assert (first.layer, first.share) == ("row_groups", 0.9)
    assert first.remedy == "raise limits.row_group_concurrency (now 2), or row_group_size (now 2)"
    assert ("slow_column", "limits.row_group_concurrency") in {
        (each.layer, each.follows_from) for each in others
    }


def test_nothing_is_in_the_way_of_tasks_that_a_stopping_job_does_not_want():
    script = TimedScript()
    script.admitted(at=0.0)
    running, queued = script.correlation("words", row_index=0), script.correlation("words", row_index=1)
    script.ready(running, at=0.0)
    script.ready(queued, at=0.0)
    script.leased(running, at=0.0)
    script.queue("admission_blocked", at=0.0, short_of=["local"])
    script.ended(running, at=8.0)
    script.over(at=10.0, status="early_shutdown")

    run = explained(script, entries=[LogEntry(2.0, "scheduler", "warning", "job_stopping", {})])

    assert run.resources["local"].short_seconds == 2.0


def test_small_row_groups_are_named_where_their_files_take_the_time():
    script = TimedScript()
    script.admitted(at=0.0)
    script.stored(at=9.0)
    script.over(at=10.0)

    [storage] = [finding for finding in verdict(script) if finding.layer == "storage"]

    assert storage.remedy.startswith("raise row_group_size (now 2) for fewer files, ")


def test_a_resource_that_thousands_of_tasks_pass_in_a_second_holds_nothing_back():
    script = TimedScript(rows=8)
    script.admitted(at=0.0)
    script.queue("admission_blocked", at=0.0, short_of=["local"])
    for place in range(60):
        task = script.correlation("words", row_index=place)
        script.ready(task, at=place * 1e-4)
        script.leased(task, at=place * 1e-4)
        script.ended(task, at=(place + 1) * 1e-4)
        script.queue("admission_blocked", at=(place + 1) * 1e-4, short_of=["local"])
    last = script.correlation("story")
    script.ready(last, at=6e-3)
    script.leased(last, at=6e-3)
    script.over(at=6.1e-3)

    found = {finding.layer: finding for finding in verdict(script)}

    assert "task_capacity" not in found
    assert found["slow_column"].remedy.startswith("none of the settings: 9,")


def test_calls_that_nobody_waits_with_are_no_cause_while_tasks_queue_for_a_resource():
    script = TimedScript(cap=4)
    script.admitted(at=0.0)
    calling, queued = script.correlation("story", row_index=0), script.correlation("story", row_index=1)
    for task in (calling, queued):
        script.ready(task, at=0.0)
    script.leased(calling, at=0.0)
    script.queue("admission_blocked", at=0.0, short_of=["llm_wait"])
    script.asks(calling, 1, at=0.0)
    script.sent(calling, 1, at=0.0)
    script.replied(calling, 1, at=8.0)
    script.ended(calling, at=8.0)
    script.leased(queued, at=8.0)
    script.over(at=10.0)

    first, *others = verdict(script)

    assert (first.layer, first.subject, first.share) == ("task_capacity", "limits.llm_wait", 0.8)
    assert ("provider", "limits.llm_wait") in {(each.layer, each.follows_from) for each in others}


def test_a_resource_that_was_short_while_no_call_waited_is_not_the_models_doing():
    script = a_full_model(until=5.0)
    script.queue("queue_empty", at=0.0)
    script.queue("admission_blocked", at=5.0, short_of=["llm_wait"])
    script.over(at=10.0)

    causes = {(each.layer, each.share) for each in verdict(script) if not each.follows_from}

    assert {("request_limit", 0.5), ("task_capacity", 0.5)} <= causes


def computing(*, busy=1.02, processors=8, seconds=(1.0,) * 8, first_at=1.0):
    """Return a line of the log for every so many seconds in which the process could not compute more."""
    fields = {"busy": busy, "processors": processors}
    return [
        LogEntry(first_at + number, "system", "debug", "processor_busy", {**fields, "seconds": lasted})
        for number, lasted in enumerate(seconds)
    ]


def full_threads():
    """Return a script of a task that computes for eight of ten seconds, with another queued behind it."""
    script = TimedScript()
    script.admitted(at=0.0)
    running, queued = script.correlation("words", row_index=0), script.correlation("words", row_index=1)
    script.ready(running, at=0.0)
    script.ready(queued, at=0.0)
    script.leased(running, at=0.0)
    script.queue("admission_blocked", at=0.0, short_of=["local"])
    script.ended(running, at=8.0)
    script.leased(queued, at=8.0)
    script.over(at=10.0)
    return script


def test_a_process_that_computes_all_the_time_is_the_cause_of_what_is_full():
    first, *others = verdict(full_threads(), entries=computing())

    assert (first.layer, first.subject, first.share) == ("processor", "the processor", 0.8)
    assert first.says == "this process kept 1.0 of 8 processors busy, with 0 tasks a second"
    assert first.remedy.startswith("none of the settings: threads of one process take turns")
    assert "let columns.words compute less, or have other processes do it" in first.remedy
    assert ("task_capacity", "the processor") in {(each.layer, each.follows_from) for each in others}


def test_where_every_processor_computes_a_larger_machine_helps():
    first = verdict(full_threads(), entries=computing(busy=7.6))[0]

    assert "this process kept 7.6 of 8 processors busy" in first.says
    assert "use a machine with more, or let columns.words compute less" in first.remedy


def test_seconds_before_the_run_and_after_it_are_not_the_runs():
    assert verdict(full_threads(), entries=computing(first_at=0.5, seconds=(9.0,)))[0].share != 0.9
    run = explained(full_threads(), entries=computing(first_at=0.5, seconds=(9.0,)))
    assert run.processor.busy_seconds == 0.5
    run = explained(full_threads(), entries=computing(first_at=10.5, seconds=(1.0,)))
    assert run.processor.busy_seconds == 0.0


def test_a_process_that_waits_is_no_finding():
    assert "processor" not in {finding.layer for finding in verdict(full_threads())}
