"""Messages and results as the database returns them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_pgmq.core.messages import (
    Message,
    Queue,
    QueueMetrics,
    TopicBinding,
    TopicRoute,
    fences,
)
from airflow_pgmq.core.send_results import SendResult
from tests.unit.support import utc

NOON = utc("2026-06-01 12:00")

ROW: dict[str, Any] = {
    "msg_id": 7,
    "read_ct": 2,
    "enqueued_at": NOON,
    "vt": NOON + timedelta(seconds=30),
    "message": {"a": [1]},
    "headers": {"job": "report"},
}


def message(**headers: Any) -> Message:
    return Message(7, 2, NOON, NOON, {"a": 1}, headers)


# Rows.


def test_columns_are_taken_by_name_whatever_their_order_and_number():
    """PGMQ 1.10 put `last_read_at` in the middle."""
    found = Message.from_row({"last_read_at": None, **dict(reversed(ROW.items()))})
    assert found == Message(7, 2, NOON, NOON + timedelta(seconds=30), {"a": [1]}, {"job": "report"})


@pytest.mark.parametrize("headers", [None, [], [1], "text", 5, True])
def test_headers_that_another_client_made_no_object_are_none(headers):
    found = Message.from_row({**ROW, "headers": headers})
    assert found.headers == {}
    assert found.expires_at is None


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (Queue, {"queue_name": "q", "is_partitioned": False, "is_unlogged": True, "created_at": NOON}),
        (
            TopicBinding,
            {"pattern": "a.*", "queue_name": "q", "bound_at": NOON, "compiled_regex": "^a"},
        ),
        (TopicRoute, {"pattern": "a.*", "queue_name": "q", "compiled_regex": "^a"}),
        (
            QueueMetrics,
            {
                "queue_name": "q",
                "queue_length": 3,
                "queue_visible_length": 2,
                "newest_msg_age_sec": None,
                "oldest_msg_age_sec": 5,
                "total_messages": 9,
                "scrape_time": NOON,
            },
        ),
    ],
)
def test_other_records_leave_out_columns_of_a_newer_pgmq(kind, row):
    found = kind.from_row({"default_partition_length": 0, **row})
    assert {name: getattr(found, name) for name in row} == row


def test_a_message_is_json_for_xcom():
    found = json.loads(json.dumps(Message.from_row(ROW).as_dict()))
    assert found == {
        "msg_id": 7,
        "read_ct": 2,
        "enqueued_at": "2026-06-01T12:00:00+00:00",
        "vt": "2026-06-01T12:00:30+00:00",
        "message": {"a": [1]},
        "headers": {"job": "report"},
    }


@pytest.mark.parametrize(
    ("first_sent_at", "text"), [(None, None), (NOON, "2026-06-01T12:00:00+00:00")], ids=["sent", "duplicate"]
)
def test_a_result_is_json_for_xcom(first_sent_at, text):
    status = "duplicate" if first_sent_at else "sent"
    found = json.loads(json.dumps(SendResult(status, 7, "key", first_sent_at).as_dict()))
    assert found == {"status": status, "msg_id": 7, "dedup_key": "key", "first_sent_at": text}


# Expiry.


@pytest.mark.parametrize(
    "text", ["2026-06-01T12:00:00+00:00", "2026-06-01T12:00:00Z", "2026-06-01T14:00:00+02:00"]
)
def test_expires_at_is_an_instant(text):
    assert message(expires_at=text).expires_at == NOON


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "soon",
        "Z",
        "2026-06-01",
        "2026-06-01T12:00:00",
        "2026-13-01T12:00:00Z",
        "2026-06-01T12:00:00+99:00",
        1780315200,
        20260601,
        1.5,
        True,
        [],
        {"at": 1},
    ],
)
def test_a_header_that_is_no_instant_never_expires(value):
    found = message(expires_at=value)
    assert found.expires_at is None
    assert not found.is_expired(NOON)


def test_without_the_header_a_message_never_expires():
    assert message().expires_at is None
    assert not message().is_expired(NOON)


@pytest.mark.parametrize(
    ("now", "expired"),
    [(NOON - timedelta(microseconds=1), False), (NOON, True), (NOON + timedelta(days=1), True)],
)
def test_a_message_expires_at_its_instant(now, expired):
    assert message(expires_at="2026-06-01T12:00:00Z").is_expired(now) is expired


@pytest.mark.parametrize(
    ("text", "expired"), [("9999-12-31T23:59:59-23:59", False), ("0001-01-01T00:00:00+23:59", True)]
)
def test_the_ends_of_time_are_instants_too(text, expired):
    assert message(expires_at=text).is_expired(NOON) is expired


def test_what_was_expired_when_it_was_read_is_judged_by_the_databases_clock():
    # Read at 12:00 minus the visibility timeout.
    read_at = NOON - timedelta(seconds=60)
    assert message(expires_at=read_at.isoformat()).was_expired(60)
    assert not message(expires_at=(read_at + timedelta(seconds=1)).isoformat()).was_expired(60)
    assert not message().was_expired(60)


# Fences.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ([], [])),
        (7, ([7], [None])),
        ([7, 8], ([7, 8], [None, None])),
        (message(), ([7], [2])),
        ([message(), 8], ([7, 8], [2, None])),
        ((number for number in (1, 2)), ([1, 2], [None, None])),
        (["7"], ([7], [None])),
        ("78", ([78], [None])),
    ],
)
def test_a_message_is_fenced_and_an_id_is_not(given, expected):
    """An id may come as text from a template; it is one id then, not one per digit."""
    msg_ids, read_cts, enqueued_ats = fences(given)
    assert (msg_ids, read_cts) == expected
    assert enqueued_ats == [None if each is None else message().enqueued_at for each in read_cts]


@pytest.mark.parametrize("given", ["", "all", ["x"]])
def test_what_is_no_id_is_refused(given):
    with pytest.raises(ValueError, match="invalid literal"):
        fences(given)
