"""JSON that Postgres stores and Python cannot read: the messages beside it are still read."""

from __future__ import annotations

import asyncio

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.payload import Unreadable, loads
from airflow_pgmq.db import client
from airflow_pgmq.db.statements import reading, transfers
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import client_of, execute, queued

POISON = {"digits": "1e9999", "depth": "[" * 12_000 + "]" * 12_000}

READ = reading.read("q", max_messages=10, visibility_timeout=30)


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_one_such_message_does_not_keep_the_others_from_being_read(database, poison):
    execute(database, "SELECT pgmq.create('q')")
    for text in ('{"n": 1}', poison, '{"n": 2}'):
        execute(database, "SELECT pgmq.send('q', %s::jsonb)", [text])

    first, second, third = client_of(database.dsn).run(lambda: READ)

    assert (first.message, third.message) == ({"n": 1}, {"n": 2})
    assert isinstance(second.message, Unreadable)
    assert second.message.reason


def test_neither_does_it_on_the_event_loop(database):
    execute(database, "SELECT pgmq.create('q')")
    execute(database, "SELECT pgmq.send('q', '1e9999')")

    async def read() -> list[object]:
        async with await client.connect_async({"conninfo": database.dsn}) as conn:
            return [message.message for message in await client.aexecute(READ, conn)]

    [message] = asyncio.run(read())
    assert isinstance(message, Unreadable)


def test_other_json_is_read():
    assert loads(b'{"a": [1, 2.5, null, true, "\xc3\xa4"]}') == {"a": [1, 2.5, None, True, "ä"]}


@pytest.fixture
def consuming(database):
    """A drain of the queue `q`, where the first message cannot be loaded; what its work saw is in a list."""
    execute(database, "SELECT pgmq.create('q')")
    for text in ('{"digits": 1e9999}', "1", "2"):
        execute(database, "SELECT pgmq.send('q', %s::jsonb)", [text])
    seen = []

    def drain(**fields):
        policy = Policy(queue_name="q", batch_size=3, **fields)
        consumer = Consumer(client_of(database.dsn), policy, together=True)
        return consumer.drain(lambda messages, conn: seen.extend(each.message for each in messages))

    drain.seen = seen
    return drain


@pytest.mark.parametrize("transactional", [False, True])
def test_a_consumer_makes_it_a_dead_letter_with_the_reason(database, consuming, transactional):
    done = consuming(transactional=transactional)
    assert consuming.seen == [1, 2]
    assert (done.read, done.acked, done.dead, done.failed) == (3, 2, 1, 1)
    assert queued(database, "q") == []
    # As it was: the move is the database's.
    sql = "SELECT message ->> 'digits' = (1e9999)::text AS kept, headers FROM pgmq.q_q_dlq"
    [dead] = execute(database, sql)
    assert dead["kept"]
    assert "digits" in dead["headers"]["dead_letter"]["reason"]


def test_without_a_limit_of_reads_it_comes_back_later_each_time(database, consuming):
    waits = []
    for _ in range(2):
        done = consuming(max_reads=None)
        assert (done.retried, done.failed) == (1, 1)
        [left] = execute(database, "SELECT msg_id, read_ct, vt - now() AS wait FROM pgmq.q_q")
        waits.append(left["wait"].total_seconds())
        execute(database, "UPDATE pgmq.q_q SET vt = now()")
    assert consuming.seen == [1, 2]
    assert waits[1] > waits[0] > 5
    assert execute(database, "SELECT queue_name FROM pgmq.meta") == [{"queue_name": "q"}]


def test_without_back_off_a_drain_does_not_read_it_for_ever(database, consuming):
    assert consuming(max_reads=None, backoff=0).read == 3


def test_headers_that_python_does_not_load_count_as_well(database, consuming):
    execute(database, "SELECT pgmq.send('q', '3'::jsonb, '{\"digits\": 1e9999}'::jsonb)")
    assert consuming(max_batches=2).dead == 2
    assert consuming.seen == [1, 2]


def test_a_block_gets_the_next_message_that_can_be_loaded(database, consuming):
    consumer = Consumer(client_of(database.dsn), Policy(queue_name="q"), together=True)
    with consumer.batch() as messages:
        assert [each.message for each in messages] == [1]
    assert execute(database, "SELECT count(*) AS dead FROM pgmq.q_q_dlq") == [{"dead": 1}]


def test_work_that_looks_at_no_content_does_not_care(database, consuming):
    execute(database, "CREATE TABLE effects (digits numeric)")
    policy = Policy(queue_name="q", batch_size=3, transactional=True)
    statement = "INSERT INTO public.effects SELECT (message ->> 'digits')::numeric FROM messages"

    def prepare(conn):
        if not client.is_lent(conn):
            client.drive(transfers.make_batch(), conn)

    consumer = Consumer(client_of(database.dsn), policy, together=True, ignores_payload=True, prepare=prepare)
    done = consumer.drain(
        lambda messages, conn: client.drive(
            transfers.with_messages("q", statement, None, messages, is_lent=client.is_lent(conn)), conn
        )
    )
    assert done.acked == 3
    assert execute(database, "SELECT max(digits) = 1e9999 AS stored FROM effects") == [{"stored": True}]
