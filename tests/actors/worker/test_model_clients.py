"""Provider clients are not trusted: what they do, and do not, never costs a lease (A1, A7, A11)."""

from __future__ import annotations

import gc

import msgspec
import pytest

from actors.worker.providers.base import ChatReply, EmbeddingReply, ProviderError, Usage
from messages import ChatColumn, FailurePolicy, ModelConfig, SimulatedProvider
from messages.job import EmbeddingColumn
from messages.request_admission import AcquireRequestLease, CancelRequestWait, ReturnRequestLease
from messages.worker import JobPrepared
from tests.actors.worker.held_client import HeldClient


@pytest.fixture(scope="module", autouse=True)
def what_others_have_left_behind_is_told_before():
    gc.collect()


@pytest.fixture(autouse=True)
def nothing_goes_unseen(caplog):
    """Fail a test after which asyncio complains: of an exception that nobody saw, of a task that was lost."""
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def prepared(worker, *, providers=("sim",), request_retries=0, statuses=(429, 529), **model):
    """Prepare a job with one chat column, whose model is served by these providers."""
    config = SimulatedProvider(overload_statuses=statuses)
    answer = worker.prepare(
        {"story": ChatColumn(model="writer", prompt="Tell me.", system="Be brief.")},
        providers=dict.fromkeys(providers, config),
        models={"writer": ModelConfig(providers=providers, model="m", **model)},
        failure=FailurePolicy(request_retries=request_retries),
    )
    assert isinstance(answer, JobPrepared), answer


def begun(worker, client):
    """Start one task, grant its lease; return the task's lease id, the request lease and the call."""
    (task,) = worker.start("story")
    lease = worker.grant(worker.asked())
    return task, lease, client.next()


# -- what is asked for, and what comes back --------------------------------------------------------


def test_a13_an_attempt_estimates_its_tokens(worker, provide):
    provide(HeldClient())
    prepared(worker, parameters={"max_tokens": 64})
    worker.start("story")
    item = worker.asked()
    assert (item.input_tokens, item.output_tokens) == (5, 64), "17 characters, four to a token"
    assert (item.queue_wait_timeout, item.replicas) == (None, ())


def test_a13_without_a_bound_on_the_reply_there_is_no_estimate_of_it(worker, provide):
    provide(HeldClient())
    prepared(worker, parameters={"temperature": 0.5})
    worker.start("story")
    assert worker.asked().output_tokens is None


def test_a_call_carries_the_models_parameters(worker, provide):
    client = provide(HeldClient())
    prepared(worker, parameters={"temperature": 0.5})
    task, _, call = begun(worker, client)
    assert call.request.parameters == {"temperature": 0.5}
    assert (call.request.system, call.request.prompt) == ("Be brief.", "Tell me.")
    call.answer()
    worker.outcomes(task)


def test_a13_an_outcome_says_what_the_provider_counted_and_how_long_it_took(worker, provide):
    client = provide(HeldClient())
    prepared(worker)
    task, lease, call = begun(worker, client)
    call.answer(ChatReply("once", Usage(11, 7)))
    assert worker.outcomes(task)[0].value == "once"
    returned = worker.given_back()
    outcome = returned.outcome
    assert (returned.lease, outcome.kind, outcome.sent) == (lease, "success", True)
    assert (outcome.input_tokens, outcome.output_tokens) == (11, 7)
    assert outcome.duration_seconds >= 0.0
    (completed,) = [
        event for event in worker.request_events() if event.event_kind == "model_request_completed"
    ]
    assert completed.diagnostics == {"input_tokens": 11, "output_tokens": 7}


def test_the_tokens_of_a_models_calls_are_added_up(worker, provide):
    client = provide(HeldClient())
    prepared(worker)
    for usage in (Usage(3, 4), Usage(5, None), Usage()):
        task, _, call = begun(worker, client)
        call.answer(ChatReply("x", usage))
        worker.outcomes(task)
    used = worker.release().models["writer"]
    assert (used.attempts, used.outcomes) == (3, {"success": 3})
    assert (used.input_tokens, used.output_tokens) == (8, 4)


def test_an_embedding_has_no_output_to_estimate(worker, provide):
    client = provide(HeldClient())
    worker.prepare(
        {"vector": EmbeddingColumn(model="writer", input="eight ch")},
        providers={"sim": SimulatedProvider()},
        models={"writer": ModelConfig(provider="sim", model="m")},
    )
    (task,) = worker.start("vector")
    item = worker.asked()
    assert (item.resource.domain, item.input_tokens, item.output_tokens) == ("embedding", 2, 0)
    worker.grant(item)
    client.next().answer(EmbeddingReply([0.5], Usage(2, None)))
    assert worker.outcomes(task)[0].value == [0.5]


# -- clients that misbehave ------------------------------------------------------------------------


def test_a11_a_cancel_gives_the_lease_back_though_the_client_swallows_it(worker, provide):
    client = provide(HeldClient(stubborn=True))
    prepared(worker)
    task, lease, call = begun(worker, client)
    worker.cancel()
    assert worker.outcomes(task)[0].kind == "cancelled"
    returned = worker.given_back()
    assert (returned.lease, returned.outcome.kind, returned.outcome.sent) == (lease, "local_cancelled", True)
    assert call.was_cancelled.wait(timeout=5.0)
    call.answer()


def test_a11_a_lease_is_back_before_its_tasks_token(worker, provide):
    client = provide(HeldClient(stubborn=True))
    order = []
    for name in ("request_admission", "task_admission"):
        worker.boxes[name]._on_delivery = lambda messages: order.extend(
            type(one).__name__ for one in messages
        )
    prepared(worker)
    task, _, call = begun(worker, client)
    worker.cancel()
    worker.outcomes(task)
    assert order == ["AcquireRequestLease", "ReturnRequestLease", "ReturnTaskLeases"]
    call.answer()


@pytest.mark.parametrize("late", ["reply", "error"])
def test_a11_what_comes_late_harms_nothing(worker, provide, late):
    client = provide(HeldClient(stubborn=True))
    prepared(worker)
    task, _, call = begun(worker, client)
    worker.cancel()
    worker.outcomes(task)
    call.answer() if late == "reply" else call.fail(ProviderError("late", status=500))
    other, lease, next_call = begun(worker, client)
    next_call.answer()
    assert worker.outcomes(other)[0].value == "the reply"
    returned = [message for message in worker.request_mail() if isinstance(message, ReturnRequestLease)]
    assert [message.outcome.kind for message in returned] == ["local_cancelled", "success"]
    assert returned[-1].lease == lease
    assert worker.release().models["writer"].outcomes == {"local_cancelled": 1, "success": 1}


def test_a11_a_client_that_never_ends_is_left_behind(worker, provide):
    """It is cancelled once more when the worker stops, which waits for it only so long."""
    client = provide(HeldClient(stubborn=True))
    prepared(worker, timeout_seconds=0.02)
    task, lease, call = begun(worker, client)
    assert worker.outcomes(task)[0].error.kind == "provider_timeout"
    assert worker.given_back().lease == lease
    assert worker.snapshot().attempts_in_flight == 0
    assert call.was_cancelled.wait(timeout=5.0)
    gc.collect()
    call.answer()


def test_a11_a_client_that_is_cancelled_by_itself_is_not_its_task_cancelled(worker, provide):
    client = provide(HeldClient())
    prepared(worker)
    task, _, call = begun(worker, client)
    call._loop.call_soon_threadsafe(call.ended.cancel)
    (outcome,) = worker.outcomes(task)
    assert outcome.error.kind == "unexpected_exception"
    assert outcome.error.message == "model writer: the provider client raised CancelledError"


@pytest.mark.parametrize("reply", [None, "text", EmbeddingReply([1.0])])
def test_a11_a_reply_of_another_kind_is_a_defect_of_the_client(worker, provide, reply):
    client = provide(HeldClient())
    prepared(worker)
    task, _, call = begun(worker, client)
    call._loop.call_soon_threadsafe(call.ended.set_result, reply)
    (outcome,) = worker.outcomes(task)
    assert (outcome.kind, outcome.error.kind) == ("non_retryable_failure", "unexpected_exception")
    assert f"returned {type(reply).__name__}, not ChatReply" in outcome.error.message
    assert worker.given_back().outcome.kind == "unexpected_exception"


def test_o4_an_exception_of_a_client_is_told_by_its_type_alone(worker, provide):
    client = provide(HeldClient())
    prepared(worker)
    task, _, call = begun(worker, client)
    error = ProviderError("the server hung up")
    error.__cause__ = KeyError("the secret key")
    call.fail(error)
    told = worker.outcomes(task)[0].error
    assert told.message == "model writer: the server hung up"
    assert told.causes == ("ProviderError: the server hung up", "KeyError")
    task, _, call = begun(worker, client)
    call.fail(ValueError("the secret key"))
    told = worker.outcomes(task)[0].error
    assert (told.message, told.causes) == (
        "model writer: the provider client raised ValueError",
        ("ValueError",),
    )


# -- three clocks ----------------------------------------------------------------------------------


def test_a11_without_a_connection_nothing_was_sent_and_nothing_timed_out_at_the_provider(worker, provide):
    client = provide(HeldClient(reports_sending=True))
    prepared(worker, timeout_seconds=0.02)
    task, _, call = begun(worker, client)
    (outcome,) = worker.outcomes(task)
    assert (outcome.kind, outcome.error.kind) == ("retryable_failure", "provider_failure")
    assert outcome.error.message == "model writer: no connection within 0.02 s"
    returned = worker.given_back().outcome
    assert (returned.sent, returned.duration_seconds) == (False, None)
    (completed,) = [
        event for event in worker.request_events() if event.event_kind == "model_request_completed"
    ]
    assert completed.diagnostics["connection_seconds"] >= 0.02
    assert call.was_cancelled.wait(timeout=5.0)


def test_a11_the_providers_time_begins_when_the_request_is_sent(worker, provide):
    client = provide(HeldClient(reports_sending=True))
    prepared(worker, timeout_seconds=0.5)
    task, _, call = begun(worker, client)
    call.connect(after=0.1)
    (outcome,) = worker.outcomes(task)
    assert outcome.error.kind == "provider_timeout"
    assert outcome.error.message == "model writer: no reply within 0.5 s"
    returned = worker.given_back().outcome
    assert returned.sent
    assert returned.duration_seconds >= 0.5, "counted from the sending: the deadline began anew there"


def test_a11_a_client_that_reports_sending_tells_how_long_it_waited_for_a_connection(worker, provide):
    client = provide(HeldClient(reports_sending=True))
    prepared(worker)
    task, _, call = begun(worker, client)
    call.connect()
    call.answer(ChatReply("x", Usage(1, 2)))
    worker.outcomes(task)
    (completed,) = [
        event for event in worker.request_events() if event.event_kind == "model_request_completed"
    ]
    assert completed.diagnostics.keys() == {"connection_seconds", "input_tokens", "output_tokens"}


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (ProviderError("broken"), False),
        (ProviderError("status 500", status=500), True),
        (ProviderError("no route", sent=False), False),
        (KeyError("a defect"), False),
    ],
)
def test_a13_what_a_client_had_not_sent_is_not_counted_as_sent(worker, provide, error, sent):
    client = provide(HeldClient(reports_sending=True))
    prepared(worker)
    task, _, call = begun(worker, client)
    call._loop.call_soon_threadsafe(call.connected.set_exception, error)
    worker.outcomes(task)
    assert worker.given_back().outcome.sent is sent


def test_a13_a_client_that_does_not_report_sending_says_it_with_its_error(worker, provide):
    client = provide(HeldClient())
    prepared(worker)
    for error, sent in ((ProviderError("broken"), True), (ProviderError("no route", sent=False), False)):
        task, _, call = begun(worker, client)
        call.fail(error)
        worker.outcomes(task)
        assert worker.given_back().outcome.sent is sent


def test_a7_a_lease_that_was_not_used_has_sent_nothing(worker, provide):
    client = provide(HeldClient())
    prepared(worker)
    (task,) = worker.start("story")
    item = worker.asked()
    worker.cancel()
    worker.outcomes(task)
    worker.grant(item)
    outcome = worker.given_back().outcome
    assert (outcome.kind, outcome.sent) == ("local_cancelled", False)
    assert client.untouched


# -- retries ---------------------------------------------------------------------------------------


def test_a11_a_providers_failure_is_tried_again_under_leases_of_their_own(worker, provide):
    client = provide(HeldClient())
    prepared(worker, request_retries=2)
    (task,) = worker.start("story")
    leases, attempts = [], []
    for _ in range(3):
        item = worker.asked()
        attempts.append(item.event_context.request_attempt_id)
        leases.append(worker.grant(item))
        client.next().fail(ProviderError("status 503", status=503))
        returned = worker.given_back()
        assert (returned.lease, returned.outcome.kind) == (leases[-1], "provider_failure")
        assert returned.outcome.provider_status == 503
    (outcome,) = worker.outcomes(task)
    assert (outcome.kind, outcome.error.kind) == ("retryable_failure", "provider_failure")
    assert outcome.error.message == "model writer: status 503"
    assert len(set(attempts)) == 3
    assert worker.request_mail() == []
    assert worker.release().models["writer"].outcomes == {"provider_failure": 3}


def test_a11_a_failure_that_passes_is_no_failure_of_its_task(worker, provide):
    client = provide(HeldClient())
    prepared(worker, request_retries=1)
    task, _, call = begun(worker, client)
    call.fail(ProviderError("the connection broke"))
    worker.grant(worker.asked())
    client.next().answer()
    (outcome,) = worker.outcomes(task)
    assert (outcome.kind, outcome.value, outcome.calls) == ("success", "the reply", 1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ProviderError("slow down", status=429, retry_after_seconds=1.5), "rate_limited"),
        (ProviderError("busy", status=503, retry_after_seconds=1.5), "rate_limited"),
        (ProviderError("overloaded", status=529, retry_after_seconds=1.5), "rate_limited"),
        (ProviderError("come back", status=500, retry_after_seconds=1.5), "provider_failure"),
    ],
)
def test_a11_what_asks_for_a_pause_is_left_to_the_tasks_retry(worker, provide, error, kind):
    client = provide(HeldClient())
    prepared(worker, request_retries=2)
    task, _, call = begun(worker, client)
    call.fail(error)
    (outcome,) = worker.outcomes(task)
    assert (outcome.kind, outcome.error.kind) == ("retryable_failure", kind)
    assert outcome.error.retry_after_seconds == 1.5
    assert worker.given_back().outcome.retry_after_seconds == 1.5
    assert worker.request_mail() == []


def test_a11_timeouts_are_not_tried_again_by_the_executor(worker, provide):
    client = provide(HeldClient())
    prepared(worker, request_retries=2, timeout_seconds=0.01)
    task, _, _ = begun(worker, client)
    assert worker.outcomes(task)[0].error.kind == "provider_timeout"
    worker.given_back()
    assert worker.request_mail() == []


def test_a11_a_cancel_between_two_attempts_finds_no_lease(worker, provide):
    client = provide(HeldClient())
    prepared(worker, request_retries=2)
    task, _, call = begun(worker, client)
    call.fail(ProviderError("status 500", status=500))
    worker.given_back()
    worker.cancel()
    assert worker.outcomes(task)[0].kind == "cancelled"
    sent = [type(message) for message in worker.request_mail()]
    assert sent in ([], [AcquireRequestLease, CancelRequestWait]), "the pause may have been over"


def test_a11_a_provider_says_which_statuses_mean_too_much(worker, provide):
    client = provide(HeldClient())
    prepared(worker, statuses=(418,))
    for status, kind in ((418, "rate_limited"), (429, "unexpected_exception"), (529, "provider_failure")):
        task, _, call = begun(worker, client)
        call.fail(ProviderError("no", status=status))
        worker.outcomes(task)
        assert worker.given_back().outcome.kind == kind


# -- replicas --------------------------------------------------------------------------------------


def test_all_replicas_are_offered_and_the_lease_names_the_one(worker, provide):
    first, second = provide(HeldClient(), HeldClient())
    prepared(worker, providers=("one", "two"))
    (task,) = worker.start("story")
    item = worker.asked()
    assert [key.name for key in (item.resource, *item.replicas)] == ["one/m/chat", "two/m/chat"]
    lease = worker.grant(item, resource=item.replicas[0])
    second.next().answer(ChatReply("from two"))
    assert worker.outcomes(task)[0].value == "from two"
    assert worker.given_back().lease == lease
    assert first.untouched
    assert {event.resource for event in worker.request_events()} == {"two/m/chat"}


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_replica_that_refuses_is_left_out(worker, provide, status):
    first, second = provide(HeldClient(), HeldClient())
    prepared(worker, providers=("one", "two"))
    (task,) = worker.start("story")
    worker.grant(worker.asked())
    first.next().fail(ProviderError(f"status {status}", status=status))
    item = worker.asked()
    assert (item.resource.name, item.replicas) == ("two/m/chat", ())
    worker.grant(item)
    second.next().answer()
    assert worker.outcomes(task)[0].kind == "success"
    kinds = [message.outcome.kind for message in worker.request_mail()]
    assert kinds == ["unexpected_exception", "success"]


def test_a_refusal_by_the_last_replica_ends_the_task(worker, provide):
    clients = provide(HeldClient(), HeldClient())
    prepared(worker, providers=("one", "two"), request_retries=2)
    (task,) = worker.start("story")
    for client in clients:
        worker.grant(worker.asked())
        client.next().fail(ProviderError("status 401", status=401))
    (outcome,) = worker.outcomes(task)
    assert (outcome.kind, outcome.error.kind) == ("non_retryable_failure", "unexpected_exception")


def test_after_a_failure_all_replicas_are_offered_again(worker, provide):
    first, second = provide(HeldClient(), HeldClient())
    prepared(worker, providers=("one", "two"), request_retries=1)
    (task,) = worker.start("story")
    asked = worker.asked()
    worker.grant(asked)
    first.next().fail(ProviderError("status 500", status=500))
    again = worker.asked()
    assert (again.resource, again.replicas) == (asked.resource, asked.replicas)
    worker.grant(again, resource=again.replicas[0])
    second.next().answer()
    assert worker.outcomes(task)[0].kind == "success"


def test_each_replica_has_its_own_word_for_too_much(worker, provide):
    first, second = provide(HeldClient(), HeldClient())
    config = SimulatedProvider()
    worker.prepare(
        {"story": ChatColumn(model="writer", prompt="Tell me.")},
        providers={"one": config, "two": msgspec.structs.replace(config, overload_statuses=(418,))},
        models={"writer": ModelConfig(providers=("one", "two"), model="m")},
        failure=FailurePolicy(request_retries=0),
    )
    for client, kind in ((first, "unexpected_exception"), (second, "rate_limited")):
        (task,) = worker.start("story")
        item = worker.asked()
        worker.grant(item, resource=item.resource if client is first else item.replicas[0])
        client.next().fail(ProviderError("no", status=418))
        worker.outcomes(task)
        assert worker.given_back().outcome.kind == kind
