"""A message can always be moved to the dead letter queue, and comes back unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import consuming
from airflow_pgmq.messages import Message, Outcome
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, execute, queued, read, send
from tests.fixtures.postgres import Database


@pytest.fixture
def guarded(database: Database, client: Client) -> None:
    """The dead letter queue has the index of `queued`, as if a sender also used it."""
    execute(database, "SELECT pgmq.create('mail_dlq')")
    execute(
        database,
        "CREATE UNIQUE INDEX q_mail_dlq_dedup_idx ON pgmq.q_mail_dlq ((headers ->> 'dedup_key'))"
        " WHERE headers ? 'dedup_key'",
    )


def put(database: Database, *keys: str) -> None:
    """Send messages with repeated keys, as `queued` allows after the first has left."""
    for key in keys:
        execute(
            database,
            "SELECT pgmq.send('mail', '1', jsonb_build_object('dedup_key', %s::text, 'team', 'sales'))",
            [key],
        )


def reject(messages: list[Message], conn: Any) -> Outcome:
    return Outcome.dead("no")


def requeue(client: Client, **which: Any) -> dict[int, int]:
    return client.run(lambda: consuming.requeue(QUEUE, **which))


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("transactional", [False, True])
def test_the_same_key_dies_more_than_once(
    client: Client, database: Database, guarded: None, together: bool, transactional: bool
) -> None:
    put(database, "k", "k", "other")
    policy = Policy(queue_name=QUEUE, batch_size=3, transactional=transactional)
    assert Consumer(client, policy, together=together).drain(reject).dead == 3
    put(database, "k")
    assert Consumer(client, policy, together=together).drain(reject).dead == 1
    letters = [row["headers"] for row in queued(database, "mail_dlq")]
    assert [each["dead_letter"]["dedup_key"] for each in letters] == ["k", "k", "other", "k"]
    assert [each for each in letters if "dedup_key" in each] == []


def test_it_comes_back_with_its_key(client: Client, database: Database, guarded: None) -> None:
    execute(
        database,
        "CREATE UNIQUE INDEX q_mail_dedup_idx ON pgmq.q_mail ((headers ->> 'dedup_key'))"
        " WHERE headers ? 'dedup_key'",
    )
    for _ in range(2):
        put(database, "k")
        Consumer(client, Policy(queue_name=QUEUE), together=False).drain(reject)
    # The second one's key is in the queue again by then.
    assert list(requeue(client)) == [1]
    assert [row["headers"] for row in queued(database)] == [{"dedup_key": "k", "team": "sales"}]
    assert list(requeue(client)) == []
    read(client)
    execute(database, "SELECT pgmq.delete('mail', msg_id) FROM pgmq.q_mail")
    assert list(requeue(client)) == [2]


def test_a_key_survives_a_second_death(client: Client, database: Database, guarded: None) -> None:
    execute(database, "SELECT pgmq.create('last')")
    put(database, "k")
    Consumer(client, Policy(queue_name=QUEUE), together=False).drain(reject)
    letters = client.run(lambda: consuming.read(Policy(queue_name="mail_dlq")))
    client.run(lambda: consuming.dead_letter("mail_dlq", "last", letters, "again"))
    execute(
        database, "CREATE UNIQUE INDEX ON pgmq.q_last ((headers ->> 'dedup_key')) WHERE headers ? 'dedup_key'"
    )
    client.run(lambda: consuming.requeue("mail_dlq", dead_letter_queue="last"))
    assert queued(database, "mail_dlq")[0]["headers"]["dedup_key"] == "k"


def test_without_an_index_the_key_stays_in_its_header(client: Client, database: Database) -> None:
    send(client, "k")
    Consumer(client, Policy(queue_name=QUEUE), together=False).drain(reject)
    (letter,) = queued(database, "mail_dlq")
    assert letter["headers"]["dedup_key"] == "k"
    assert "dedup_key" not in letter["headers"]["dead_letter"]
