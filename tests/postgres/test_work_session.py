"""What transactional work SETs in its session does not affect the acks and reads after it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.db.client import Client
from airflow_pgmq.messages import Message, Outcome
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, execute, queued, send
from tests.fixtures.postgres import Database

pytestmark = [
    pytest.mark.direct("what is set would reach the pooler's other clients"),
    pytest.mark.own_session("the work sets up its session itself"),
]

SET = [
    "SET client_encoding TO LATIN1",
    "SET LOCAL client_encoding TO LATIN1",
    "SET client_encoding TO SQL_ASCII",
    "SET ROLE pg_monitor",
    "SET LOCAL ROLE pg_monitor",
    "SET default_transaction_read_only = on",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
    "SET statement_timeout = '1ms'",
    "SET lock_timeout = '1ms'",
    "SET idle_session_timeout = '100ms'",
    "SET idle_in_transaction_session_timeout = '100ms'",
    "SET search_path TO ''",
    "SET TimeZone = 'Asia/Tokyo'",
    "SET DateStyle = 'SQL, DMY'",
    "SELECT set_config('client_encoding', 'LATIN1', false)",
]


@pytest.fixture
def effects(database: Database) -> Any:
    execute(database, "CREATE TABLE public.effects (message jsonb)")
    return lambda: [row["message"] for row in execute(database, "SELECT message FROM public.effects")]


@pytest.mark.parametrize("setting", SET)
@pytest.mark.parametrize("together", [False, True])
def test_each_message_is_done_once(
    client: Client, database: Database, effects: Any, setting: str, together: bool
) -> None:
    bodies = ["a", "ü", "€", "😀", "語"]
    send(client, *bodies)

    def work(messages: list[Message], conn: Any) -> None:
        for message in messages:
            execute(
                database,
                "INSERT INTO public.effects VALUES (%s)",
                [psycopg.types.json.Jsonb(message.message)],
            )
        conn.execute(setting)

    policy = Policy(queue_name=QUEUE, transactional=True, batch_size=2, max_reads=2)
    summary = Consumer(client, policy, together=together).drain(work)
    assert (summary.acked, summary.failed) == (5, 0)
    assert effects() == bodies
    assert queued(database) == []


@pytest.mark.parametrize("setting", [SET[0], SET[2], SET[3]])
def test_reasons_and_releases_after_it(client: Client, database: Database, setting: str) -> None:
    send(client, "a", "b")

    def work(messages: list[Message], conn: Any) -> Any:
        conn.execute(setting)
        return Outcome.dead("für 5 €") if messages[0].message == "a" else Outcome.retry(3600)

    summary = Consumer(client, Policy(queue_name=QUEUE, transactional=True), together=False).drain(work)
    assert (summary.dead, summary.retried) == (1, 1)
    (letter,) = queued(database, "mail_dlq")
    assert letter["headers"]["dead_letter"]["reason"] == "für 5 €"


def test_what_holds_until_the_commit_holds_until_then(client: Client, database: Database) -> None:
    """Settings that are none of ours are the work's own, at its commit and for the calls after it."""
    send(client, "a", "b")
    seen: list[Any] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.append(conn.execute("SHOW application_name").fetchone()[0])
        conn.execute("SET application_name = 'mine'")

    Consumer(client, Policy(queue_name=QUEUE, transactional=True), together=False).drain(work)
    assert seen[1:] == ["mine"]


def test_only_the_work_itself_is_without_limits(client: Client) -> None:
    """Reads, releases and dead letters around the work have the limits of any transaction of ours."""
    send(client, "a")
    names = ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
    found = []

    def note(conn: Any) -> None:
        found.append([conn.execute(f"SHOW {name}").fetchone()[0] for name in names])

    consumer = Consumer(
        client, Policy(queue_name=QUEUE, batch_size=1, transactional=True), together=True, prepare=note
    )
    assert consumer.drain(lambda messages, conn: note(conn)).acked == 1
    assert found == [["30s", "10s", "30min"], ["0", "0", "0"]]
