"""What users may give as a delay, and what it is parsed into."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.core.delays import AT_ONCE, ParsedDelay, columns, parse, whole_seconds
from airflow_pgmq.errors import InvalidArgument
from tests.unit.support import utc

NOON = utc("2026-06-01 12:00")


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (None, 0.0),
        (0, 0.0),
        (5, 5.0),
        (0.5, 0.5),
        (timedelta(minutes=2), 120.0),
        (NOON, NOON),
        (datetime(1999, 1, 1, tzinfo=timezone.utc), datetime(1999, 1, 1, tzinfo=timezone.utc)),
        ("", 0.0),
        ("5", 5.0),
        (" 2.5 ", 2.5),
        ("2026-06-01T12:00:00Z", NOON),
        ("2026-06-01T12:00:00+00:00", NOON),
        ("2026-06-01 14:00:00+02:00", NOON),
        (" 2026-06-01T12:00:00.000000+00:00\n", NOON),
    ],
)
def test_a_delay_is_seconds_or_an_instant_also_as_text_of_a_template(delay, expected):
    assert parse(delay) == (
        ParsedDelay(instant=expected) if isinstance(expected, datetime) else ParsedDelay(expected)
    )


@pytest.mark.parametrize(
    ("delay", "part"),
    [
        (-1, "not between"),
        (-0.001, "not between"),
        (timedelta(seconds=-1), "not between"),
        (float("nan"), "not between"),
        (float("inf"), "not between"),
        (timedelta.max, "not between"),
        (4_000_000_000, "not between"),
        (10**400, "not between"),
        ("-5", "not between"),
        ("nan", "not between"),
        ("soon", "neither seconds nor"),
        ("None", "neither seconds nor"),
        ("2026-13-01T00:00:00Z", "neither seconds nor"),
        (datetime(2026, 6, 1), "no time zone"),
        ("2026-06-01T12:00:00", "no time zone"),
        (True, "not bool"),
        ([5], "not list"),
        (b"5", "not bytes"),
    ],
)
def test_any_other_delay_is_refused(delay, part):
    with pytest.raises(InvalidArgument, match=part):
        parse(delay)


def test_what_is_parsed_stays_as_it_is():
    assert parse(parse("5")) == ParsedDelay(5.0)


def test_parameters_are_seconds_or_an_instant():
    assert ParsedDelay(5.0).params == {"seconds": 5.0, "instant": None}
    assert columns([AT_ONCE, ParsedDelay(instant=NOON)]) == {"seconds": [0.0, 0.0], "instants": [None, NOON]}


@pytest.mark.parametrize("timeout", [30, 30.0, timedelta(seconds=30)])
def test_a_visibility_timeout_is_whole_seconds(timeout):
    assert whole_seconds(timeout) == 30


@pytest.mark.parametrize(
    "wrong",
    [0.5, -1, timedelta(milliseconds=10), float("nan"), float("inf"), "30", None, 2**31, timedelta.max],
)
def test_any_other_visibility_timeout_is_refused(wrong):
    with pytest.raises(InvalidArgument, match="whole seconds"):
        whole_seconds(wrong)
