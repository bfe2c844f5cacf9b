"""How long a response asks to be left alone (A11)."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.worker.providers.retry_after import retry_after_seconds

NOW = 1_700_000_000


def asked(*, now=NOW, **headers):
    return retry_after_seconds({name.replace("_", "-"): text for name, text in headers.items()}, wall_now=now)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("+2", 2.0),
        ("-3", 0.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("9" * 400, None),
        ("Mon, 31 Feb 2033 00:00:00 GMT", None),
    ],
)
def test_a11_seconds_are_read_and_nonsense_is_nothing(said, expected):
    assert asked(retry_after=said) == expected


def test_a11_no_header_asks_for_nothing():
    assert asked() is None


def test_a11_milliseconds_are_more_exact():
    assert asked(retry_after_ms="250", retry_after="1") == 0.25
    assert asked(retry_after_ms="later", retry_after="1") == 1.0


@given(st.integers(-(10**6), 10**6))
def test_a11_a_date_is_reckoned_from_our_clock_where_the_server_does_not_tell_its_own(ahead):
    assert asked(retry_after=formatdate(NOW + ahead, usegmt=True)) == max(0, ahead)


@given(st.integers(0, 10**6), st.integers(-(10**6), 10**6))
def test_a11_the_servers_clock_counts_before_ours(ahead, wrong):
    date, until = formatdate(NOW + wrong, usegmt=True), formatdate(NOW + wrong + ahead, usegmt=True)
    assert asked(retry_after=until, date=date) == ahead


def test_a11_a_server_that_cannot_tell_its_time_is_taken_by_ours():
    assert asked(retry_after=formatdate(NOW + 60, usegmt=True), date="tea time") == 60


@given(st.text(max_size=40), st.text(max_size=40))
def test_a11_no_header_breaks_it(said, date):
    found = asked(retry_after=said, date=date)
    assert found is None or found >= 0
