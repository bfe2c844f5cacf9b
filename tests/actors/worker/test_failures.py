"""From exceptions to outcomes: which may pass, which never will, and what may be said of them."""

from __future__ import annotations

import msgspec
import pytest

from actors.generators import GeneratorError
from actors.worker.failures import RequestFailedError, describe, outcome_of, timed_out
from tests.actors.worker.bad_exceptions import RAISED


@pytest.mark.parametrize("name", RAISED)
def test_every_exception_can_be_described_in_one_bounded_text(name):
    text = describe(RAISED[name]())
    assert text
    assert len(text) <= 2_000
    msgspec.json.encode(text)


@pytest.mark.parametrize("name", RAISED)
def test_r5_every_exception_has_an_outcome(name):
    outcome = outcome_of(RAISED[name]())
    assert (outcome.kind, outcome.error.kind) == ("non_retryable_failure", "user_exception")


def test_an_exception_without_text_is_called_by_its_type():
    assert describe(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_r4_a_request_that_may_pass_is_retried_when_its_provider_says():
    name = "rate_limited"
    outcome = outcome_of(RequestFailedError(name, "slow down", retryable=True, retry_after_seconds=3.0))
    assert (outcome.kind, outcome.error.kind) == ("retryable_failure", name)
    assert outcome.error.retry_after_seconds == 3.0


def test_r5_a_request_that_will_not_pass_is_not():
    outcome = outcome_of(RequestFailedError("unexpected_exception", "401", retryable=False))
    assert outcome.kind == "non_retryable_failure"


def test_r5_a_generator_says_itself_what_is_wrong():
    outcome = outcome_of(GeneratorError("wrong_shape", "two values for three rows"))
    assert (outcome.error.kind, outcome.error.message) == ("wrong_shape", "two values for three rows")


def test_r4_a_group_of_nothing_but_failed_calls_is_its_first():
    first = RequestFailedError("rate_limited", "slow down", retryable=True, retry_after_seconds=3.0)
    second = RequestFailedError("unexpected_exception", "401", retryable=False)
    inner = ExceptionGroup("children", [first, GeneratorError("invalid_output", "no")])
    for group in (ExceptionGroup("one", [first]), ExceptionGroup("all", [inner, second])):
        assert outcome_of(group) == outcome_of(first)


@pytest.mark.parametrize("name", RAISED)
def test_r5_a_group_with_anything_else_in_it_is_the_users_own(name):
    failed = RequestFailedError("rate_limited", "slow down", retryable=True)
    outcome = outcome_of(BaseExceptionGroup("mixed", [failed, RAISED[name]()]))
    assert (outcome.kind, outcome.error.kind) == ("non_retryable_failure", "user_exception")


def test_a_users_own_group_is_not_asked_for_what_it_holds():
    class Group(ExceptionGroup):
        exceptions = property(lambda self: 1 / 0)

    group = Group("mine", [RequestFailedError("rate_limited", "slow down", retryable=True)])
    assert outcome_of(group).error.kind == "user_exception"


def test_a_chain_of_causes_is_cut_off():
    error = ValueError(0)
    for number in range(1, 50):
        cause, error = error, ValueError(number)
        error.__cause__ = cause
    causes = outcome_of(error).error.causes
    assert causes == tuple(f"ValueError: {number}" for number in range(48, 38, -1))


def test_r5_a_task_that_takes_too_long_names_the_setting():
    assert timed_out(0.5).error.message == "did not end within 0.5 s (timeout_seconds)"
