"""`on_duplicate`: replace the message that waits, or fail as a whole; in both scopes."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from airflow_pgmq.errors import DuplicateMessage, InvalidArgument
from tests.fixtures.factories import execute, keys_in, queued, read, send, statuses

pytestmark = [pytest.mark.usefixtures("small_chunks"), pytest.mark.parametrize("scope", ["once", "queued"])]

MANY = [f"k{n * 7919 % 2500}" for n in range(2500)]


def test_replace_gives_the_waiting_message_a_new_payload_and_time(database, client, scope):
    send(client, "a", messages=["old"], scope=scope)

    (result,) = send(
        client, "a", messages=["new"], delays=timedelta(hours=1), scope=scope, on_duplicate="replace"
    )

    assert (result.status, result.msg_id) == ("replaced", 1)
    (row,) = queued(database)
    assert (row["message"], row["headers"]) == ("new", {"dedup_key": "a"})
    assert row["vt"] - row["enqueued_at"] >= timedelta(hours=1)


def test_replace_sends_what_is_new(database, client, scope):
    results = send(client, "a", scope=scope, on_duplicate="replace")

    assert statuses(results) == ["sent"]
    assert keys_in(database) == ["a"]


def test_replace_leaves_a_message_that_was_read(database, client, scope):
    send(client, "a", messages=["old"], scope=scope)
    read(client)

    (result,) = send(client, "a", messages=["new"], scope=scope, on_duplicate="replace")

    assert (result.status, result.msg_id) == ("duplicate", 1)
    assert [row["message"] for row in queued(database)] == ["old"]


def test_replace_takes_the_last_of_equal_keys_in_a_batch(database, client, scope):
    results = send(client, "a", "b", "a", messages=[1, 2, 3], scope=scope, on_duplicate="replace")

    assert statuses(results) == ["sent", "sent", "replaced"]
    assert {row["headers"]["dedup_key"]: row["message"] for row in queued(database)} == {"a": 3, "b": 2}


def test_replace_reaches_over_chunks(database, client, scope):
    send(client, *MANY, scope=scope)

    results = send(client, *MANY, messages=range(2500), scope=scope, on_duplicate="replace")

    assert statuses(results) == ["replaced"] * 2500
    assert {row["headers"]["dedup_key"]: row["message"] for row in queued(database)} == {
        key: n for n, key in enumerate(MANY)
    }


def test_replace_in_a_transaction_reaches_over_chunks(database, client, scope):
    send(client, *MANY[:2000], scope=scope)

    with database.connect() as connection:
        results = send(
            client, *MANY, messages=range(2500), scope=scope, on_duplicate="replace", conn=connection
        )

    assert statuses(results) == ["replaced"] * 2000 + ["sent"] * 500
    assert {row["headers"]["dedup_key"]: row["message"] for row in queued(database)} == {
        key: n for n, key in enumerate(MANY)
    }


def test_replace_waits_for_a_reader_that_may_give_up(database, client, scope):
    """The reader's transaction rolls back, so the message was not read."""
    send(client, "a", messages=["old"], scope=scope)
    reader = database.connect()
    read(client, conn=reader)
    with database.connect() as connection:
        connection.execute("SET lock_timeout = '100ms'")
        connection.commit()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            send(client, "a", messages=["new"], scope=scope, on_duplicate="replace", conn=connection)
        reader.close()

        results = send(client, "a", messages=["new"], scope=scope, on_duplicate="replace", conn=connection)

    assert statuses(results) == ["replaced"]


def test_fail_sends_nothing(database, client, scope):
    send(client, "b", scope=scope)

    with pytest.raises(DuplicateMessage) as failure:
        send(client, "a", "b", "c", scope=scope, on_duplicate="fail")

    assert failure.value.keys == ("b",)
    assert keys_in(database) == ["b"]


def test_fail_leaves_the_other_keys_free(client, scope):
    send(client, "b", scope=scope)
    with pytest.raises(DuplicateMessage):
        send(client, "a", "b", scope=scope, on_duplicate="fail")

    assert statuses(send(client, "a", scope=scope, on_duplicate="fail")) == ["sent"]


def test_fail_refuses_equal_keys_in_a_batch(database, client, scope):
    with pytest.raises(DuplicateMessage) as failure:
        send(client, "a", "b", "a", scope=scope, on_duplicate="fail")

    assert failure.value.keys == ("a",)
    assert queued(database) == []


def test_fail_names_every_duplicate_of_many_chunks_and_sends_nothing(database, client, scope):
    taken = sorted([MANY[0], MANY[1200], MANY[2499]])
    send(client, *taken, scope=scope)

    with pytest.raises(DuplicateMessage) as failure:
        send(client, *MANY, scope=scope, on_duplicate="fail")

    assert sorted(failure.value.keys) == taken
    assert len(queued(database)) == 3


def test_fail_leaves_the_callers_transaction_usable(database, client, scope):
    send(client, "b", scope=scope)

    with database.connect() as connection:
        send(client, "before", scope=scope, conn=connection)
        with pytest.raises(DuplicateMessage):
            send(client, "a", "b", scope=scope, on_duplicate="fail", conn=connection)
        send(client, "after", scope=scope, conn=connection)

    assert keys_in(database) == ["b", "before", "after"]


def test_nonsense_is_refused(database, client, scope):
    with pytest.raises(InvalidArgument, match="on_duplicate"):
        send(client, "a", scope=scope, on_duplicate="ignore")
    with pytest.raises(InvalidArgument, match="dedup_scope"):
        send(client, "a", scope="twice")
    with pytest.raises(InvalidArgument, match="positive"):
        send(client, "a", scope=scope, window=timedelta(0))

    assert execute(database, "SELECT last_value, is_called FROM pgmq.q_mail_msg_id_seq") == [
        {"last_value": 1, "is_called": False}
    ]
