"""Instants as texts: the same on each Python."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.core import iso8601

NOON = datetime(2026, 11, 27, 12, 0, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-11-27T12:00:05Z", 0),
        ("2026-11-27T12:00:05+00:00", 0),
        (" 2026-11-27 13:00:05+01:00 ", 0),
        ("2026-11-27T12:00:05.5Z", 500_000),
        ("2026-11-27T12:00:05.25+00:00", 250_000),
        ("2026-11-27T12:00:05.123Z", 123_000),
        ("2026-11-27T12:00:05,123Z", 123_000),
        ("2026-11-27T12:00:05.1234Z", 123_400),
        ("2026-11-27T12:00:05.123456789Z", 123_456),
    ],
)
def test_what_producers_write(text, microseconds):
    at = NOON + timedelta(microseconds=microseconds)
    assert iso8601.parse(text) == at
    assert iso8601.of_header(text) == at


@pytest.mark.parametrize("text", ["", "soon", "2026-11-27T25:00:00Z", "12:00:05Z", "2026-13-01T00:00:00Z"])
def test_what_is_no_instant(text):
    with pytest.raises(ValueError):
        iso8601.parse(text)
    assert iso8601.of_header(text) is None
