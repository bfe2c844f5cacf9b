"""How an attempt ended, by what its provider's client raised (A11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.worker.classification import classify, tokens_of
from actors.worker.providers.base import ChatReply, EmbeddingReply, ProviderError, Usage
from messages.job import OVERLOAD_STATUSES
from tests.actors.worker.bad_exceptions import RAISED

STATUSES = st.none() | st.integers(100, 599)
WAITS = st.none() | st.floats(0.0, 1e6)


@pytest.mark.parametrize(
    ("status", "retry_after", "kind"),
    [
        (429, None, "rate_limited"),
        (429, 2.0, "rate_limited"),
        (529, None, "rate_limited"),
        (503, 2.0, "rate_limited"),
        (503, 0.0, "rate_limited"),
        (503, None, "provider_failure"),
        (500, None, "provider_failure"),
        (502, 2.0, "provider_failure"),
        (None, None, "provider_failure"),
        (400, None, "unexpected_exception"),
        (401, None, "unexpected_exception"),
        (404, 2.0, "unexpected_exception"),
    ],
)
def test_a11_a_status_says_whose_doing_it_was(status, retry_after, kind):
    error = ProviderError("what it says", status=status, retry_after_seconds=retry_after)
    found = classify(error, OVERLOAD_STATUSES)
    assert (found.kind, found.text, found.status) == (kind, "what it says", status)
    assert found.retry_after_seconds == (None if kind == "unexpected_exception" else retry_after)


@given(status=STATUSES, wait=WAITS, overload=st.frozensets(st.integers(400, 599)), sent=st.booleans())
def test_a11_every_provider_error_has_one_kind(status, wait, overload, sent):
    error = ProviderError("x", status=status, retry_after_seconds=wait, sent=sent)
    found = classify(error, overload)
    too_much = status in overload or (status == 503 and wait is not None)
    theirs = status is None or status >= 500
    assert found.kind == (
        "rate_limited" if too_much else "provider_failure" if theirs else "unexpected_exception"
    )
    assert found.sent is sent


@pytest.mark.parametrize("name", RAISED)
def test_a11_whatever_else_a_client_raises_is_told_by_its_type(name):
    error = RAISED[name]()
    found = classify(error, OVERLOAD_STATUSES)
    assert found.kind == "unexpected_exception"
    assert found.text == f"the provider client raised {type(error).__name__}"


@pytest.mark.parametrize("wait", [-1.0, float("nan"), float("inf"), 10**400, "soon"])
def test_a_wait_that_is_none_is_taken_for_none(wait):
    error = ProviderError("x", status=429, retry_after_seconds=wait)
    assert classify(error, OVERLOAD_STATUSES).retry_after_seconds is None


def test_a_client_may_fail_to_say_what_is_wrong():
    class MuteError(ProviderError):
        def __str__(self):
            raise RuntimeError

    assert classify(MuteError("x", status=500), ()).text == "MuteError"
    assert classify(ProviderError("", status=500), ()).text == "ProviderError"
    assert len(classify(ProviderError("long " * 1000), ()).text) <= 500


def test_tokens_are_as_the_provider_counted_them():
    assert tokens_of(ChatReply("x", Usage(3, 4))) == (3, 4)
    assert tokens_of(EmbeddingReply([1.0], Usage(3))) == (3, None)
    assert tokens_of(ChatReply("x")) == (None, None)


@pytest.mark.parametrize("count", [-1, "3", 2.5, True])
def test_a_count_that_is_none_is_not_known(count):
    assert tokens_of(ChatReply("x", Usage(count, 4))) == (None, 4)
    assert tokens_of(ChatReply("x", None)) == (None, None)
