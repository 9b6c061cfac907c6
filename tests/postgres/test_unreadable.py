"""JSON that Postgres holds and Python does not read: the messages beside it are read all the same."""

from __future__ import annotations

import asyncio

import pytest

from airflow_pgmq import client
from airflow_pgmq.client import Client
from airflow_pgmq.core.payload import Unreadable, loads
from airflow_pgmq.statements import reading
from tests.fixtures.factories import execute

POISON = {"digits": "1e9999", "depth": "[" * 3000 + "]" * 3000}

READ = reading.read("q", max_messages=10, visibility_timeout=30)


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_one_such_message_does_not_keep_the_others_from_being_read(database, poison):
    execute(database, "SELECT pgmq.create('q')")
    for text in ('{"n": 1}', poison, '{"n": 2}'):
        execute(database, "SELECT pgmq.send('q', %s::jsonb)", [text])

    first, second, third = Client(lambda: client.connect({"conninfo": database.dsn})).run(lambda: READ)

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
