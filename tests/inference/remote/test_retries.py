"""How long to wait before a server is asked again."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom.inference.remote import backoff as retries
from stillroom.inference.remote.backoff import retry_after_of, told_wait_s, wait_s


def soon(form):
    """Write the time in ten seconds."""
    when = datetime.now(UTC) + timedelta(seconds=10)
    return when.isoformat() if form == "iso" else when.strftime(form)


@pytest.mark.parametrize(
    "form",
    [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%a, %d %b %Y %H:%M:%S -0000",  # RFC 5322: UTC, of a machine whose zone is not known
        "%a, %d %b %Y %H:%M:%S +0000",
        "%a, %d %b %Y %H:%M:%S",
        "%A, %d-%b-%y %H:%M:%S GMT",  # RFC 850
        "%a %b %d %H:%M:%S %Y",  # asctime
        "%d %b %Y %H:%M:%S",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%dT%H:%M:%S",
        "iso",
    ],
)
def test_dates_without_a_zone_are_in_utc(form):
    assert 8 < told_wait_s(soon(form)) <= 10


def test_a_zone_is_looked_at():
    east = datetime.now(UTC).astimezone(datetime.now().astimezone().tzinfo) + timedelta(seconds=10)
    assert 8 < told_wait_s(format_datetime(east)) <= 10


@pytest.mark.parametrize(
    "text",
    [
        None, "", " ", "soon", "nan", "inf", "-inf", "-1", "-0", "1e400", "9" * 400, "0x10", "1_0",
        "٣", "2s", "2, 2", "Wed, 32 Foo 2026 25:61:00 GMT", "Fri, 31 Dec 99999 23:59:59 GMT",
        "Wed, 21 Oct 2026 07:28:00 +9999", "Wed", ",", "Wed, 21 Oct", "0000-00-00", "\x00",
        "Wed, 21 Oct 2020 07:28:00 GMT", "Wed Oct 21 07:28:00 2020",
        "Wed, 21 Oct 2026 07:28:00 " + "9" * 5000,
    ],
)  # fmt: skip
def test_what_cannot_be_read_or_is_over_counts_as_absent(text):
    assert told_wait_s(text) == 0.0
    wait = wait_s(1, 2.0, text)
    assert wait is not None
    assert 1.0 <= wait <= 2.0


@given(st.text(max_size=40) | st.sampled_from(["Wed, 21 Oct 2026 07:28:00 "]).flatmap(
    lambda lead: st.text(max_size=8).map(lambda rest: lead + rest)))  # fmt: skip
def test_no_header_is_an_exception(text):
    assert told_wait_s(text) >= 0.0


def test_waiting_has_an_upper_bound():
    for text in ("31", "86400", "Fri, 31 Dec 9999 23:59:59 GMT"):
        assert wait_s(1, 0.5, text) is None, "more than the patience: no wait at all"
    assert wait_s(1, 0.5, "30") == 30.0
    for attempt in (10, 2000):
        assert 15.0 <= (wait_s(attempt, 0.5) or 0.0) <= 30.0


def test_milliseconds_go_first_where_they_can_be_read():
    for headers, told in (
        ({"retry-after-ms": "1500", "retry-after": "9"}, "1.5"),
        ({"retry-after-ms": "soon", "retry-after": "9"}, "9"),
        ({"retry-after-ms": "-1"}, None),
        ({"retry-after-ms": ""}, None),
        ({}, None),
    ):
        assert retry_after_of(headers) == told


def test_the_examples_are_right():
    assert doctest.testmod(retries).failed == 0
