"""Reads hide messages, acks remove them, and an ack never changes what another reader has read since."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.delays import parse
from airflow_pgmq.db.statements import reading
from airflow_pgmq.errors import FeatureMissing
from airflow_pgmq.services import sending
from tests.fixtures.factories import execute, queued, read, read_committed, send


def acks(client, verb, messages, *more):
    return client.run(lambda: getattr(reading, verb)("mail", messages, *more))


def read_by_another(database, client):
    """The first reader's timeout has ended, and a second reader holds the message."""
    (first,) = read(client, 1)
    execute(database, "SELECT pgmq.set_vt('mail', %s, 0)", [first.msg_id])
    (second,) = read(client, 1)
    assert (second.msg_id, second.read_ct) == (first.msg_id, 2)
    return first, second


def pending(database):
    return [row["msg_id"] for row in queued(database)]


def archived(database):
    return [row["msg_id"] for row in execute(database, "SELECT msg_id FROM pgmq.a_mail ORDER BY msg_id")]


def test_messages_are_read_oldest_first_and_hidden(client):
    send(client, *"abcde", messages=[{"n": n} for n in range(5)])

    messages = read(client, 3)

    assert [message.message for message in messages] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert {message.read_ct for message in messages} == {1}
    assert [message.message["n"] for message in read(client)] == [3, 4]
    assert read(client) == []


def test_visibility_timeout_says_how_long(database, client):
    send(client, "a")
    (message,) = read(client, visibility_timeout=120)

    (row,) = execute(database, "SELECT vt - now() AS hidden FROM pgmq.q_mail")
    assert timedelta(seconds=110) < row["hidden"] <= timedelta(seconds=120)
    assert message.vt == queued(database)[0]["vt"]


def test_message_that_was_not_acked_comes_back(client):
    send(client, "a")
    read(client, visibility_timeout=0)

    assert [message.read_ct for message in read(client)] == [2]


def test_delayed_message_is_not_read(client):
    send(client, "a", "b", delays=[3600, 0])

    assert [message.headers["dedup_key"] for message in read(client)] == ["b"]


@pytest.mark.parametrize("by_headers", [False, True])
def test_condition_is_contained_in_the_message(client, by_headers):
    send(client, *"abc", messages=[{"kind": "x", "n": 1}, {"kind": "y", "n": 2}, {"kind": "x", "n": 3}])
    more = {"headers_condition": {}} if by_headers else {}

    messages = read(client, condition={"kind": "x"}, **more)

    assert [message.message["n"] for message in messages] == [1, 3]


def test_headers_condition_is_contained_in_the_headers(client):
    batch = prepare([1, 2, 3, 4], headers=[{"to": "eu", "n": 1}, {"to": "us"}, {"to": "eu"}, None])
    sending.send(client, "mail", batch)

    first = read(client, 1, headers_condition={"to": "eu"})
    second = read(client, headers_condition={"to": "eu"})

    assert [message.message for message in [*first, *second]] == [1, 3]
    assert [message.message for message in read(client)] == [2, 4]


def test_messages_of_every_json_type_are_read(client):
    values = [None, True, 1, 1.5, "text", [], {}, {"deep": [{"er": None}]}, "ü🦉\n\"'\\%{}"]
    sending.send(client, "mail", prepare(values))

    assert [message.message for message in read(client, headers_condition=None)] == values


def test_two_readers_get_different_messages(database, client):
    send(client, *"abcd")
    with read_committed(database) as first, read_committed(database) as second:
        mine = read(client, 2, conn=first)
        theirs = read(client, 2, conn=second, headers_condition={})

    assert [message.msg_id for message in [*mine, *theirs]] == [1, 2, 3, 4]


def test_visible_counts_up_to_its_limit_and_reads_nothing(client):
    send(client, *"abcde", messages=[{"n": n % 2} for n in range(5)])

    def visible(limit, condition=None, headers_condition=None):
        return client.run(
            lambda: reading.visible(
                "mail", limit=limit, condition=condition, headers_condition=headers_condition
            )
        )

    assert visible(100) == 5
    assert visible(2) == 2
    assert visible(100, {"n": 1}) == 2
    assert visible(100, None, {"dedup_key": "a"}) == 1
    assert {message.read_ct for message in read(client)} == {1}
    assert visible(100) == 0


def test_pop_reads_and_deletes(database, client):
    send(client, *"abc")

    assert [message.msg_id for message in client.run(lambda: reading.pop("mail", 1))] == [1]
    assert [message.msg_id for message in client.run(lambda: reading.pop("mail", 5))] == [2, 3]
    assert client.run(lambda: reading.pop("mail", 1)) == []
    assert pending(database) == []


def test_archive_moves_messages(database, client):
    send(client, *"abc")

    assert sorted(acks(client, "archive", read(client, 2))) == [1, 2]

    assert (pending(database), archived(database)) == ([3], [1, 2])


def test_delete_leaves_no_trace(database, client):
    send(client, *"abc")

    assert sorted(acks(client, "delete", read(client, 2))) == [1, 2]

    assert (pending(database), archived(database)) == ([3], [])


@pytest.mark.parametrize("verb", ["archive", "delete"])
def test_message_that_another_has_read_since_is_not_acked(database, client, verb):
    send(client, "a")
    first, second = read_by_another(database, client)

    assert acks(client, verb, first) == []
    assert pending(database) == [1]
    assert acks(client, verb, second) == [1]
    assert pending(database) == []


@pytest.mark.parametrize("verb", ["archive", "delete"])
def test_bare_ids_are_not_fenced(database, client, verb):
    send(client, "a", "b")
    read(client)

    assert sorted(acks(client, verb, [1, 2, 99])) == [1, 2]
    assert pending(database) == []


@pytest.mark.parametrize("verb", ["archive", "delete"])
def test_acking_nothing_or_twice_is_fine(client, verb):
    send(client, "a")
    (message,) = read(client)

    assert acks(client, verb, []) == []
    assert acks(client, verb, message) == [1]
    assert acks(client, verb, message) == []


def test_released_message_is_read_again_at_once(client):
    send(client, "a")
    (message,) = read(client)

    assert acks(client, "set_vt", message, parse(None)) == [1]

    assert [again.read_ct for again in read(client)] == [2]


@pytest.mark.parametrize("delay", [3600, timedelta(hours=1), "3600"])
def test_message_is_released_or_extended_by_a_delay(database, client, delay):
    send(client, "a")
    (message,) = read(client, visibility_timeout=0)

    assert acks(client, "set_vt", message, parse(delay)) == [1]

    (row,) = execute(database, "SELECT vt - now() AS hidden FROM pgmq.q_mail")
    assert timedelta(minutes=59) < row["hidden"] <= timedelta(hours=1)


def test_message_is_released_until_an_instant(database, client):
    send(client, "a")
    (row,) = execute(database, "SELECT now() + interval '1 day' AS at")

    acks(client, "set_vt", read(client), parse(row["at"]))

    assert queued(database)[0]["vt"] == row["at"]


def test_message_that_another_has_read_since_is_not_extended(database, client):
    send(client, "a")
    first, second = read_by_another(database, client)
    before = queued(database)

    assert acks(client, "set_vt", first, parse(3600)) == []
    assert queued(database) == before
    assert acks(client, "set_vt", second, parse(3600)) == [1]


def test_an_older_pgmq_pops_one_at_a_time(database, client):
    execute(database, "DROP FUNCTION pgmq.pop(text, integer)")
    with pytest.raises(FeatureMissing, match=r"needs PGMQ 1\.7\.0"):
        client.run(lambda: reading.pop("mail", 2))


# When messages were read.


def read_again(client):
    """What the verbs that know it say of a message: a read, a look by id, a look into the archive, a pop."""
    (held,) = read(client, 1, visibility_timeout=0)
    (looked_at,) = client.run(lambda: reading.by_id("mail", [held.msg_id]))
    client.run(lambda: reading.archive("mail", held))
    (archived,) = client.run(lambda: reading.by_id("mail", [held.msg_id]))
    (popped,) = client.run(lambda: reading.pop("mail", 1))
    return held, looked_at, archived, popped


def test_a_message_knows_when_it_was_read(database, client):
    send(client, "a", "b")

    held, looked_at, archived, popped = read_again(client)

    # PGMQ asks the clock twice.
    assert abs(held.vt - held.last_read_at) < timedelta(minutes=1)
    assert looked_at.last_read_at == archived.last_read_at == held.last_read_at
    # A pop is no read that PGMQ notes.
    assert popped.last_read_at is None


def test_other_reads_do_not_say_it(client):
    send(client, "a")
    (message,) = read(client, headers_condition={"dedup_key": "a"})
    assert message.last_read_at is None


#: As in PGMQ before 1.10, whose functions return no such column.
WITHOUT = """
    ALTER TABLE pgmq.q_mail DROP COLUMN last_read_at;
    ALTER TABLE pgmq.a_mail DROP COLUMN last_read_at;
    ALTER TYPE pgmq.message_record DROP ATTRIBUTE last_read_at;
    CREATE VIEW messages AS SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM pgmq.q_mail;
    CREATE OR REPLACE FUNCTION pgmq.read(
        queue_name text, vt integer, qty integer, conditional jsonb DEFAULT '{}'
    ) RETURNS SETOF pgmq.message_record LANGUAGE sql AS
        'SELECT * FROM public.messages ORDER BY msg_id LIMIT qty';
    CREATE OR REPLACE FUNCTION pgmq.pop(queue_name text, qty integer DEFAULT 1)
    RETURNS SETOF pgmq.message_record LANGUAGE sql AS
        'DELETE FROM public.messages WHERE msg_id = 2 RETURNING *';
    CREATE OR REPLACE FUNCTION pgmq.archive(queue_name text, msg_ids bigint[])
    RETURNS SETOF bigint LANGUAGE sql AS
        'WITH gone AS (DELETE FROM pgmq.q_mail WHERE msg_id = ANY (msg_ids) RETURNING *)
         INSERT INTO pgmq.a_mail (msg_id, vt, message) SELECT msg_id, vt, message FROM gone RETURNING msg_id';
"""


def test_an_older_pgmq_does_not_know_it(database, client):
    send(client, "a", "b")
    execute(database, WITHOUT)

    found = read_again(client)

    assert [each.message for each in found] == ["a", "a", "a", "b"]
    assert [each.last_read_at for each in found] == [None] * 4
