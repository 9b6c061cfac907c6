"""Impossible times, which any client may write: each affects its own message only."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.core.consumer_policy import Policy, Source
from airflow_pgmq.core.messages import Message
from airflow_pgmq.db.statements import consuming, queues, reading, watching
from airflow_pgmq.db.statements.watching import Ask
from airflow_pgmq.services import maintenance, overview, sampling
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, execute, queued, read, send
from tests.postgres.watching import soon, watcher_of

if TYPE_CHECKING:
    from airflow_pgmq.db.client import Client
    from tests.fixtures.postgres import Database

TIMES = ["infinity", "-infinity", "0044-03-15 BC", "294276-12-31", "0001-01-01"]

#: What is no time, or none that could be when a message was enqueued.
FORGED = [
    "nonsense",
    *TIMES,
    "2026-13-45T99:99:99Z",
    "2026-01-01T00:00:00",
    "now",
    "today",
    "",
    17,
    None,
    {"a": 1},
]


def put(database: Database, *, vt: str = "-infinity", enqueued_at: str = "-infinity") -> None:
    execute(
        database,
        "INSERT INTO pgmq.q_mail (vt, enqueued_at, message) VALUES (%s, %s, '\"odd\"')",
        [vt, enqueued_at],
    )


@pytest.fixture(params=TIMES)
def odd(request: pytest.FixtureRequest, client: Client, database: Database) -> str:
    """The queue holds a message with such times, and one without."""
    put(database, vt=request.param, enqueued_at=request.param)
    put(database, enqueued_at=request.param)
    send(client, "a")
    return str(request.param)


def test_what_looks_at_a_queue_sees_the_others(client: Client, database: Database, odd: str) -> None:
    visible = 2 if odd in ("infinity", "294276-12-31") else 3
    (row,) = overview.queues(client)["queues"]
    assert (row["length"], row["visible"]) == (3, visible)
    assert 0 <= row["oldest_age"] < 60
    assert {problem["code"] for problem in row["problems"]} == set()
    assert len(overview.messages(client, overview.Search(queue_name=QUEUE))["messages"]) == 3
    found = client.run(lambda: queues.metrics(QUEUE))
    assert (found.queue_length, found.queue_visible_length) == (3, visible)
    seen = client.run(lambda: watching.look({Ask.of(QUEUE): 10}))[Ask.of(QUEUE)]
    assert seen.count == visible
    assert 0 <= seen.waited < float("inf")
    assert 0 <= seen.next_in <= 86_400 or seen.next_in is None
    with client.connection() as conn:
        assert sampling.take(client, conn) == 1
    maintenance.maintain(client, archive_retention=timedelta(days=1))


def test_all_are_read_and_acked(client: Client, database: Database, odd: str) -> None:
    messages = read(client)
    assert len(messages) == (2 if odd in ("infinity", "294276-12-31") else 3)
    assert all(isinstance(each, Message) and each.as_dict() for each in messages)
    assert len(client.run(lambda: reading.archive(QUEUE, messages))) == len(messages)
    archived = overview.messages(client, overview.Search(queue_name=QUEUE, source="archive"))
    assert len(archived["messages"]) == len(messages)


def test_a_wait_ends(database: Database, odd: str) -> None:
    async def waits() -> int:
        async with watcher_of(database) as watcher:
            return (await soon(watcher.wait(QUEUE))).count

    assert asyncio.run(waits()) >= 1


def test_all_go_to_the_dead_letters_and_back(client: Client, database: Database, odd: str) -> None:
    execute(database, "UPDATE pgmq.q_mail SET vt = now()")
    done = Consumer(client, Policy(queue_name=QUEUE, batch_size=5), together=True).drain(
        lambda messages, conn: ["dead"] * len(messages)
    )
    assert done.dead == 3
    assert len(requeue(client)) == 3
    assert len(read(client)) == 3


def requeue(client: Client, source: Source = "dead_letters", **options: Any) -> dict[int, int]:
    return client.run(lambda: consuming.requeue(QUEUE, source=source, **options))


def test_a_forged_header_is_requeued_with_the_others(client: Client, database: Database) -> None:
    """As enqueued now, or at the epoch: its own time, if it had one, nobody knows."""
    import json

    execute(database, "SELECT pgmq.create('mail_dlq')")
    headers = [{"dead_letter": {"queue": QUEUE, "enqueued_at": value}} for value in FORGED]
    headers += [{"dead_letter": "x"}, {"dead_letter": [1]}, [], "text", None]
    for each in headers:
        execute(database, "SELECT pgmq.send('mail_dlq', '1', %s::jsonb, 0)", [json.dumps(each)])
    assert len(requeue(client)) == len(headers)
    rows = execute(
        database,
        "SELECT count(*) AS n FROM pgmq.q_mail WHERE enqueued_at BETWEEN 'epoch' AND clock_timestamp()",
    )
    assert rows == [{"n": len(headers)}]


def test_the_time_that_a_dead_letter_had_comes_back_to_the_microsecond(
    client: Client, database: Database
) -> None:
    send(client, "a")
    execute(database, "UPDATE pgmq.q_mail SET enqueued_at = '2026-03-29 02:30:00.123456+02'")
    (message,) = read(client)
    execute(database, "SELECT pgmq.create('mail_dlq')")
    client.run(lambda: consuming.dead_letter(QUEUE, "mail_dlq", [message], "bad"))
    assert len(requeue(client)) == 1
    (row,) = queued(database)
    assert row["enqueued_at"] == message.enqueued_at


def test_the_archive_is_requeued_whatever_its_times(client: Client, database: Database, odd: str) -> None:
    execute(database, "SELECT pgmq.archive('mail', ARRAY[1, 2, 3]::bigint[])")
    execute(database, "UPDATE pgmq.a_mail SET archived_at = %s", [odd])
    assert (
        len(overview.messages(client, overview.Search(queue_name=QUEUE, source="archive"))["messages"]) == 3
    )
    assert len(requeue(client, "archive", msg_ids=[1, 2, 3])) == 3
