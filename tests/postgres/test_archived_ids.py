"""Ids that start again: the archive has them already, but the new messages can be acked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.db.client import Client, arun, connect_async
from airflow_pgmq.db.statements import reading, sending
from airflow_pgmq.errors import ArchiveRefused
from airflow_pgmq.services.consuming import Consumer
from airflow_pgmq.services.maintenance import expire
from tests.fixtures.factories import QUEUE, execute, queued, read, send
from tests.fixtures.postgres import Database


@pytest.fixture
def again(client: Client, database: Database) -> None:
    """Do what a crash does to an unlogged queue: its ids start again, the archive stays."""
    send(client, "old a", "old b", "old c")
    client.run(lambda: reading.archive(QUEUE, read(client)))
    execute(database, "TRUNCATE pgmq.q_mail RESTART IDENTITY")
    for body in ('"a"', '"b"'):
        execute(database, "SELECT pgmq.send('mail', %s::jsonb, '{\"dedup_key\": \"k\"}'::jsonb)", [body])


def drain(client: Client, **fields: Any) -> int:
    together = fields.get("batch_size", 1) > 1
    consumer = Consumer(client, Policy(queue_name=QUEUE, **fields), together=together)
    return consumer.drain(lambda messages, conn: None).acked


def block(client: Client) -> int:
    consumer = Consumer(client, Policy(queue_name=QUEUE, batch_size=2), together=True)
    with client.connection() as conn, conn.transaction(), consumer.batch(conn) as messages:
        conn.execute("SELECT 1")
    return len(messages)


def in_a_callers_transaction(client: Client) -> int:
    held = read(client)
    with client.transaction() as conn:
        return len(client.run(lambda: reading.archive(QUEUE, held), conn))


def on_the_event_loop(client: Client) -> int:
    held = read(client)
    with client.connection() as conn:
        dsn = {"conninfo": conn.info.dsn, "password": conn.info.password}

    async def archive() -> int:
        async with await connect_async(dsn) as conn:
            return len(await arun(reading.archive(QUEUE, held), conn))

    return asyncio.run(archive())


def expired(client: Client) -> int:
    with client.connection() as conn:
        conn.execute('UPDATE pgmq.q_mail SET headers = \'{"expires_at": "2020-01-01T00:00:00Z"}\'')
    return client.run(partial(expire, QUEUE))


WAYS: dict[str, Callable[[Client], int]] = {
    "drain": drain,
    "batch": lambda client: drain(client, batch_size=2),
    "transactional": lambda client: drain(client, transactional=True),
    "transactional batch": lambda client: drain(client, transactional=True, batch_size=2),
    "block": block,
    "archive": lambda client: len(client.run(partial(reading.archive, QUEUE, read(client)))),
    "in a caller's transaction": in_a_callers_transaction,
    "on the event loop": on_the_event_loop,
    "cancel": lambda client: len(client.run(lambda: sending.cancel(QUEUE, ["k"]))),
    "expired": expired,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_new_is_archived_and_the_old_is_kept(
    client: Client, database: Database, again: None, way: Any
) -> None:
    assert way(client) == 2
    assert queued(database) == []
    rows = execute(database, "SELECT msg_id, message FROM pgmq.a_mail ORDER BY msg_id")
    assert [(row["msg_id"], row["message"]) for row in rows if row["msg_id"] > 0] == [
        (1, "a"),
        (2, "b"),
        (3, "old c"),
    ]
    assert sorted(row["message"] for row in rows if row["msg_id"] < 0) == ["old a", "old b"]
    # Later messages get ids that are free.
    assert execute(database, "SELECT pgmq.send('mail', '1') AS id")[0]["id"] > 3


def test_a_role_that_may_not_set_the_sequence_makes_way_each_time(
    client: Client, database: Database, again: None
) -> None:
    with database.connect() as conn:
        conn.execute("CREATE ROLE only_acks")
        try:
            conn.execute(
                "GRANT USAGE ON SCHEMA pgmq TO only_acks;"
                "GRANT SELECT, UPDATE, DELETE ON pgmq.q_mail TO only_acks;"
                "GRANT SELECT, INSERT, UPDATE ON pgmq.a_mail TO only_acks"
            )
            conn.execute("SET LOCAL ROLE only_acks")
            assert client.run(lambda: reading.archive(QUEUE, [1]), conn) == [1]
            assert client.run(lambda: reading.archive(QUEUE, [2]), conn) == [2]
        finally:
            conn.rollback()


def test_an_index_of_another_kind_is_named(client: Client, database: Database) -> None:
    send(client, "a", "b", messages=["same", "same"])
    execute(database, "CREATE UNIQUE INDEX theirs ON pgmq.a_mail (message)")
    with pytest.raises(ArchiveRefused, match=r"'theirs'.*'mail'"):
        client.run(lambda: reading.archive(QUEUE, [1, 2]))
    with pytest.raises(ArchiveRefused), client.transaction() as conn:
        client.run(lambda: reading.archive(QUEUE, [1, 2]), conn)
    with pytest.raises(ArchiveRefused, match=r"'theirs'.*'mail'"):
        client.run(lambda: sending.cancel(QUEUE, ["a", "b"]))
    assert len(queued(database)) == 2
