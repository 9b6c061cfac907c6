"""One call's messages as columns: lengths, delays, headers, keys, chunks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_pgmq.core import batch
from airflow_pgmq.core.batch import Batch, prepare
from airflow_pgmq.core.delays import parse_ttl
from airflow_pgmq.errors import InvalidArgument, InvalidMessage, InvalidName
from tests.unit.support import utc

NOON = utc("2026-06-01 12:00")

# Columns.


def test_plain_messages_need_no_column_of_their_own():
    """None is the cheapest value to send to the database."""
    assert prepare([{"a": 1}, "b"]) == Batch(['{"a":1}', '"b"'])


def test_no_messages_are_an_empty_batch():
    empty = prepare([], headers=[], delays=[], dedup_keys=[])
    assert len(empty) == 0
    assert empty.take([]) == empty


def test_everything_is_checked_before_anything_is_sent():
    with pytest.raises(InvalidMessage, match="nan"):
        prepare([1, 2, float("nan")])


def test_each_message_has_the_size_limit_of_the_call():
    prepare(["x" * 8, "y" * 8], max_bytes=10)
    with pytest.raises(InvalidMessage, match="11 bytes"):
        prepare(["x" * 8, "y" * 9], max_bytes=10)


@pytest.mark.parametrize("column", ["headers", "delays", "dedup_keys"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_column_of_another_length_is_refused(column, count):
    values = {"headers": {}, "delays": 0, "dedup_keys": "k"}
    with pytest.raises(InvalidArgument, match=f"{column} has {count} items for 2 messages"):
        prepare([1, 2], **{column: [values[column]] * count})


def test_take_keeps_what_belongs_together():
    whole = prepare(
        ["a", "b", "c"],
        headers=[{"n": 0}, None, {"n": 2}],
        delays=[1, NOON, None],
        dedup_keys=["ka", "kb", "kc"],
    )
    assert whole.take([2, 1]) == Batch(
        messages=['"c"', '"b"'],
        headers=['{"n":2}', "{}"],
        keys=["kc", "kb"],
        seconds=[0.0, 0.0],
        instants=[None, NOON],
    )


# Headers.


def test_one_mapping_is_for_all_messages():
    assert prepare([1, 2], headers={"a": 1}) == Batch(["1", "2"], common_headers='{"a":1}')


def test_a_list_of_headers_is_one_for_each_message():
    assert prepare([1, 2], headers=[{"a": 1}, None]).headers == ['{"a":1}', "{}"]


def test_the_group_is_a_header_that_pgmq_reads():
    assert prepare([1], group="g").common_headers == '{"x-pgmq-group":"g"}'
    assert prepare([1], headers={"a": 1}, group="g").common_headers == '{"a":1,"x-pgmq-group":"g"}'
    each = prepare([1], headers=[{"a": 1}], group="g")
    assert (each.common_headers, each.headers) == ('{"x-pgmq-group":"g"}', ['{"a":1}'])


@pytest.mark.parametrize("headers", [{"dedup_key": "k"}, [{"a": 1}, {"dedup_key": "k"}]])
def test_a_key_among_the_headers_is_refused_because_nothing_would_enforce_it(headers):
    with pytest.raises(InvalidArgument, match="Pass dedup_key="):
        prepare([1, 2], headers=headers)


@pytest.mark.parametrize("headers", [["text"], [5], "x"])
def test_headers_that_are_no_mapping_are_refused(headers):
    with pytest.raises(InvalidMessage, match="must be a mapping"):
        prepare([1], headers=headers)


# Keys.


def test_keys_are_checked():
    with pytest.raises(InvalidName, match="256 characters"):
        prepare([1, 2], dedup_keys=["a", "x" * 256])
    with pytest.raises(InvalidName, match="non-empty"):
        prepare([1, 2], dedup_keys=["a", ""])


# Chunks.


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (1000, [1000]), (1001, [1000, 1]), (2500, [1000, 1000, 500])]
)
def test_chunks_have_a_bounded_size_and_lose_nothing(count, sizes):
    found = list(batch.chunks(range(count), 1000))
    assert [len(chunk) for chunk in found] == sizes
    assert [position for chunk in found for position in chunk] == list(range(count))


@pytest.mark.parametrize(
    ("length", "size"), [(1, 5000), (10_000, 5000), (1024 * 1024, 64), (100 * 1024 * 1024, 1)]
)
def test_a_statement_takes_fewer_of_large_messages(length, size):
    assert Batch(["1", "x" * length]).chunk_size == size


# Delays.


@pytest.mark.parametrize(
    ("delays", "seconds", "instants"),
    [
        (None, None, None),
        (0, None, None),
        ("", None, None),
        (5, [5.0, 5.0], None),
        ("5", [5.0, 5.0], None),
        (NOON, None, [NOON, NOON]),
        ([0, None], None, None),
        ([0, 5], [0.0, 5.0], None),
        ([NOON, None], None, [NOON, None]),
        ([NOON, timedelta(seconds=1)], [0.0, 1.0], [NOON, None]),
    ],
)
def test_delays_are_one_for_all_or_one_for_each_message(delays: Any, seconds, instants):
    found = prepare([1, 2], delays=delays)
    assert (found.seconds, found.instants) == (seconds, instants)


# How long messages are of use.


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (None, None),
        ("", None),
        (90, 90.0),
        (0.5, 0.5),
        ("90", 90.0),
        (" 1.5 ", 1.5),
        (timedelta(minutes=1), 60.0),
        (timedelta(microseconds=1), 1e-6),
        (10 * 366 * 86400, 10 * 366 * 86400.0),
    ],
)
def test_a_ttl_is_seconds_or_a_timedelta_or_what_a_template_made_of_them(ttl, seconds):
    assert parse_ttl(ttl) == seconds
    assert prepare([1, 2], ttl=ttl).ttl == seconds


@pytest.mark.parametrize(
    "ttl", [0, -1, timedelta(0), float("nan"), float("inf"), "-3", "nan", 10 * 367 * 86400]
)
def test_a_ttl_is_more_than_nothing_and_at_most_ten_years(ttl):
    with pytest.raises(InvalidArgument, match=r"ttl .* is not more than 0 s and at most ten years"):
        prepare([1], ttl=ttl)


@pytest.mark.parametrize("ttl", [True, [60], {"seconds": 1}, NOON, "soon", "1 hour", "2026-06-01T12:00:00Z"])
def test_what_is_no_ttl_says_what_one_is(ttl):
    with pytest.raises(InvalidArgument, match="ttl is seconds or a timedelta"):
        prepare([1], ttl=ttl)


@pytest.mark.parametrize(
    "headers", [{"expires_at": "x"}, [{"a": 1}, {"expires_at": "x"}], [None, {"expires_at": 0}]]
)
def test_a_message_expires_by_its_ttl_or_by_its_header(headers):
    assert prepare([1, 2], headers=headers).ttl is None
    with pytest.raises(InvalidArgument, match="either ttl= or the header 'expires_at'"):
        prepare([1, 2], headers=headers, ttl=60)


def test_a_part_of_a_batch_has_its_ttl():
    assert prepare([1, 2, 3], ttl=60).take([0, 2]) == Batch(["1", "3"], ttl=60.0)
