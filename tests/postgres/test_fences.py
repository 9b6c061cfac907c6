"""An ack changes only the message that was read, and not another one that has its id by now."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.delays import ParsedDelay
from airflow_pgmq.core.messages import Message, Reference
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import Statement, consuming, reading
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, execute, queued, read, send
from tests.fixtures.postgres import Database

VERBS: dict[str, Callable[[Any], Statement[list[int]]]] = {
    "archive": lambda held: reading.archive(QUEUE, held),
    "delete": lambda held: reading.delete(QUEUE, held),
    "set_vt": lambda held: reading.set_vt(QUEUE, held, ParsedDelay(3600)),
    "release_each": lambda held: consuming.release_each(QUEUE, held, [ParsedDelay(3600)] * len(held)),
    "dead_letter": lambda held: consuming.dead_letter(QUEUE, "mail_dlq", held, "why"),
}

each_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)


@pytest.fixture
def held(client: Client, database: Database) -> list[Message]:
    execute(database, "SELECT pgmq.create('mail_dlq')")
    send(client, "a", "b")
    return read(client)


def through_xcom(messages: list[Message]) -> list[Reference]:
    carried: list[Reference] = json.loads(json.dumps([message.as_dict() for message in messages]))
    return carried


@each_verb
@pytest.mark.parametrize("carry", [list, through_xcom])
def test_a_reader_of_the_queue_that_was_before_touches_nothing(
    client: Client, database: Database, held: list[Message], verb: Any, carry: Any
) -> None:
    execute(database, "SELECT pgmq.drop_queue('mail'); SELECT pgmq.create('mail')")
    execute(database, "SELECT pgmq.send('mail', '1'), pgmq.send('mail', '2')")
    now = read(client)
    assert [(each.msg_id, each.read_ct) for each in now] == [(each.msg_id, each.read_ct) for each in held]
    before = queued(database)
    assert client.run(lambda: verb(carry(held))) == []
    assert queued(database) == before
    assert client.run(lambda: verb(carry(now))) == [1, 2]


@each_verb
def test_a_bare_id_is_not_fenced(client: Client, held: list[Message], verb: Any) -> None:
    assert client.run(lambda: verb([1, {"msg_id": "2"}])) == [1, 2]


@each_verb
@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 BC", "12026-01-01"])
def test_a_time_that_python_does_not_know_is_a_fence_all_the_same(
    client: Client, database: Database, held: list[Message], verb: Any, moment: str
) -> None:
    execute(database, "UPDATE pgmq.q_mail SET enqueued_at = %s", [moment])
    edge = datetime.max if moment in ("infinity", "12026-01-01") else datetime.min
    known = [
        Message(each.msg_id, each.read_ct, edge.replace(tzinfo=timezone.utc), each.vt, each.message)
        for each in held
    ]
    assert client.run(lambda: verb(held)) == []
    assert client.run(lambda: verb(through_xcom(known))) == [1, 2]


def test_a_microsecond_makes_the_difference(client: Client, held: list[Message]) -> None:
    first = held[0]
    late = {**first.as_dict(), "enqueued_at": (first.enqueued_at + timedelta(microseconds=1)).isoformat()}
    assert client.run(lambda: reading.archive(QUEUE, [late])) == []
    elsewhere = {
        **late,
        "enqueued_at": first.enqueued_at.astimezone(timezone(timedelta(hours=9))).isoformat(),
    }
    assert client.run(lambda: reading.archive(QUEUE, [elsewhere])) == [1]


def test_the_heartbeat_leaves_the_new_queue_alone(client: Client, database: Database) -> None:
    send(client, "a")
    consumer = Consumer(client, Policy(queue_name=QUEUE, visibility_timeout=1), together=False)

    def work(messages: list[Message], conn: Any) -> None:
        execute(database, "SELECT pgmq.drop_queue('mail'); SELECT pgmq.create('mail')")
        execute(database, "SELECT pgmq.send('mail', '1')")
        (other,) = read(client)
        assert other.msg_id == messages[0].msg_id
        while not consumer._held.heartbeat.lost:
            execute(database, "SELECT pg_sleep(0.05)")
        assert [row["vt"] for row in queued(database)] == [other.vt]

    assert consumer.drain(work).lost == 1
