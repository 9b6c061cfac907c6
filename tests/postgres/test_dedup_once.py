"""`dedup_scope="once"`: one message per queue and key within the window, whatever became of the first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.services import sending
from tests.fixtures.factories import execute, keys_in, queued, send, statuses

AWAY = {
    "archived": "SELECT pgmq.archive('mail', 1)",
    "deleted": "SELECT pgmq.delete('mail', 1)",
    "popped": "SELECT pgmq.pop('mail')",
    "purged": "SELECT pgmq.purge_queue('mail')",
}


def test_new_key_is_sent(database, client):
    (result,) = send(client, "a", messages=[{"n": 1}])

    assert (result.status, result.msg_id, result.dedup_key, result.first_sent_at) == ("sent", 1, "a", None)
    (row,) = queued(database)
    assert (row["message"], row["headers"]) == ({"n": 1}, {"dedup_key": "a"})


def test_duplicate_names_the_first_message_and_its_time(database, client):
    send(client, "other", "a")
    (result,) = send(client, "a")

    (first,) = [row for row in queued(database) if row["headers"]["dedup_key"] == "a"]
    assert (result.status, result.msg_id) == ("duplicate", first["msg_id"])
    assert timedelta(0) <= result.first_sent_at - first["enqueued_at"] < timedelta(seconds=1)


@pytest.mark.parametrize("how", AWAY)
def test_key_stays_taken_after_the_message_was(database, client, how):
    send(client, "a")
    execute(database, AWAY[how])

    (result,) = send(client, "a")

    assert (result.status, result.msg_id) == ("duplicate", 1)
    assert queued(database) == []


def test_keys_of_different_queues_are_different(database, client):
    execute(database, "SELECT pgmq.create('post')")
    send(client, "a")

    (result,) = sending.send(client, "post", prepare([1], dedup_keys=["a"]))

    assert result.status == "sent"


def test_key_is_free_again_after_the_window(database, client):
    send(client, "a")
    execute(database, "UPDATE airflow_pgmq.dedup_ledger SET expires_at = clock_timestamp()")

    assert statuses(send(client, "a")) == ["sent"]
    assert statuses(send(client, "a")) == ["duplicate"]
    assert keys_in(database) == ["a", "a"]


def test_a_key_past_its_window_is_free_again_among_new_and_taken_ones(database, client):
    keys = [f"k{n}" for n in range(3 * sending.BULK)]
    send(client, "k0", "k1")
    execute(
        database, "UPDATE airflow_pgmq.dedup_ledger SET expires_at = clock_timestamp() WHERE dedup_key = 'k1'"
    )

    results = send(client, *keys)

    assert statuses(results) == ["duplicate"] + ["sent"] * (len(keys) - 1)
    assert keys_in(database) == ["k0", "k1", *keys[1:]]
    assert statuses(send(client, *keys)) == ["duplicate"] * len(keys)


def test_window_counts_from_when_the_message_becomes_visible(database, client):
    send(client, "a", delays=timedelta(days=30), window=timedelta(days=2))

    (row,) = execute(database, "SELECT first_at, expires_at FROM airflow_pgmq.dedup_ledger")

    assert row["expires_at"] - row["first_at"] == timedelta(days=32)


def test_window_of_a_time_that_has_passed_counts_from_now(database, client):
    (past,) = execute(database, "SELECT now() - interval '30 days' AS at")
    send(client, "a", delays=past["at"], window=timedelta(days=2))

    (row,) = execute(database, "SELECT first_at, expires_at FROM airflow_pgmq.dedup_ledger")

    assert row["expires_at"] - row["first_at"] == timedelta(days=2)


def test_equal_keys_in_a_batch_are_duplicates_of_the_first(database, client):
    results = send(client, "a", "b", "a", messages=[1, 2, 3])

    assert statuses(results) == ["sent", "sent", "duplicate"]
    assert results[2].msg_id == results[0].msg_id
    assert [row["message"] for row in queued(database)] == [1, 2]


@pytest.mark.usefixtures("small_chunks")
def test_equal_keys_in_different_chunks_are_duplicates_of_the_first(database, client):
    keys = [f"k{n}" for n in range(1500)]

    results = send(client, *keys, *keys)

    assert statuses(results) == ["sent"] * 1500 + ["duplicate"] * 1500
    assert [result.msg_id for result in results[:1500]] == [result.msg_id for result in results[1500:]]
    assert len(queued(database)) == 1500


def test_results_are_in_the_order_of_the_call(client):
    send(client, "b", "d")

    results = send(client, "d", "c", "b", "a")

    assert [result.dedup_key for result in results] == ["d", "c", "b", "a"]
    assert statuses(results) == ["duplicate", "sent", "duplicate", "sent"]


@pytest.mark.usefixtures("small_chunks")
def test_ids_are_in_the_order_of_the_call(database, client):
    keys = [f"k{n * 7919 % 2500}" for n in range(2500)]

    send(client, *keys)

    assert keys_in(database) == keys


def test_headers_of_all_and_of_each_travel_with_the_key(database, client):
    batch = prepare([1, 2], headers=[{"own": 1}, None], dedup_keys=["a", "b"])
    sending.send(client, "mail", batch)
    sending.send(client, "mail", prepare([3], headers={"all": True}, group="g", dedup_keys=["c"]))

    assert [row["headers"] for row in queued(database)] == [
        {"own": 1, "dedup_key": "a"},
        {"dedup_key": "b"},
        {"all": True, "x-pgmq-group": "g", "dedup_key": "c"},
    ]


def test_every_delay_is_of_its_own(database, client):
    (row,) = execute(database, "SELECT date_trunc('hour', now()) + interval '2 hours' AS at")
    send(client, "a", "b", "c", delays=[0, timedelta(minutes=5), row["at"]])

    now, later, instant = queued(database)

    assert later["vt"] - now["vt"] == timedelta(minutes=5)
    assert instant["vt"] == row["at"]


def test_keys_of_any_letters_are_sorted_as_the_database_sorts_them(database, client):
    keys = ["z", "Z", "ä", "a b", "漢字", "🦉", "a'b", 'a"b', "a\\b", "%s", "{table}", "\n", "é", "e\u0301"]

    assert statuses(send(client, *keys, *(f"k{n}" for n in range(1000)))) == ["sent"] * (len(keys) + 1000)
    assert statuses(send(client, *reversed(keys))) == ["duplicate"] * len(keys)
    assert set(keys) <= set(keys_in(database))


def test_key_of_the_greatest_length_is_taken(client):
    key = "🦉" * 255

    assert statuses(send(client, key)) == ["sent"]
    assert statuses(send(client, key, scope="queued")) == ["duplicate"]


def test_messages_without_keys_are_never_duplicates(database, client):
    batch = prepare([1, 1, 1])
    results = sending.send(client, "mail", batch)

    assert statuses(results) == ["sent"] * 3
    assert [row["headers"] for row in queued(database)] == [None] * 3


def test_unlogged_queue_has_keys_too(database, client):
    execute(database, "SELECT pgmq.create_unlogged('fast')")
    batch = prepare([1], dedup_keys=["a"])

    assert statuses(sending.send(client, "fast", batch)) == ["sent"]
    assert statuses(sending.send(client, "fast", batch)) == ["duplicate"]


def test_partitioned_queue_has_keys_too(database, client):
    execute(
        database,
        """
        CREATE TABLE pgmq.q_parts (LIKE pgmq.q_mail INCLUDING DEFAULTS) PARTITION BY RANGE (msg_id);
        CREATE TABLE pgmq.q_parts_1 PARTITION OF pgmq.q_parts FOR VALUES FROM (1) TO (100);
        CREATE SEQUENCE pgmq.q_parts_msg_id_seq;
        ALTER TABLE pgmq.q_parts ALTER msg_id SET DEFAULT nextval('pgmq.q_parts_msg_id_seq');
        INSERT INTO pgmq.meta (queue_name, is_partitioned, is_unlogged) VALUES ('parts', true, false);
        """,
    )
    batch = prepare([1], dedup_keys=["a"])

    assert statuses(sending.send(client, "parts", batch)) == ["sent"]
    assert statuses(sending.send(client, "parts", batch)) == ["duplicate"]


@pytest.mark.parametrize("name", ["My Queue", "ümlaut", "1st", "a-b", 'we"ird', "x" * 47])
@pytest.mark.parametrize("scope", ["once", "queued"])
def test_queue_of_any_name_that_pgmq_takes(database, client, name, scope):
    execute(database, "SELECT pgmq.create(%s)", [name])
    batch = prepare([1], dedup_keys=["a"])

    assert statuses(sending.send(client, name, batch, scope=scope)) == ["sent"]
    assert statuses(sending.send(client, name, batch, scope=scope)) == ["duplicate"]


def test_schema_is_made_by_the_first_send(database, client):
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")

    assert statuses(send(client, "a")) == ["sent"]
    assert statuses(send(client, "a")) == ["duplicate"]


def test_sends_alone_keep_the_ledger_short(database, client):
    old = [f"old {n}" for n in range(300)]
    send(client, *old, window=timedelta(microseconds=1))
    # The sequence passes a hundred twice: the expired rows go.
    send(client, *[f"new {n}" for n in range(200)])
    (row,) = execute(database, "SELECT count(*) FROM airflow_pgmq.dedup_ledger")
    assert row["count"] == 200
