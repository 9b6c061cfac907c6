"""Prepared statements keep their plans while tables grow, and while a user's work makes its own."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.delays import ParsedDelay
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import Statement, reading, scalar
from airflow_pgmq.messages import Message
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, client_of, execute, send
from tests.fixtures.postgres import Database

pytestmark = pytest.mark.direct("behind a pooler nothing is prepared")

TABLES = ("pgmq.q_mail", "pgmq.a_mail", "airflow_pgmq.dedup_ledger", "airflow_pgmq.queue_marks")


def scans(database: Database) -> dict[str, int]:
    """How often each table was scanned as a whole."""
    rows = execute(
        database,
        "SELECT name, pg_stat_get_numscans(name::regclass) AS scans FROM unnest(%s::text[]) AS name",
        [list(TABLES)],
    )
    return {row["name"]: row["scans"] for row in rows}


def tell(client: Client) -> None:
    """The kept sessions tell the server now what they have counted."""
    flush: Statement[None] = Statement("flush", script="SELECT pg_stat_force_next_flush()")
    with client.connection() as one, client.connection() as other:
        for conn in (one, other):
            client.run(lambda: flush, conn)


def use(client: Client, key: str) -> None:
    """Each statement that is prepared, a few times."""
    send(client, key)
    send(client, key)
    send(client, f"{key}/queued", scope="queued")
    for ack in (reading.archive, reading.delete):
        (message,) = client.run(lambda: reading.read(QUEUE, max_messages=1, visibility_timeout=60))
        client.run(lambda message=message: reading.set_vt(QUEUE, message, ParsedDelay(30)))  # type: ignore[misc]
        client.run(lambda ack=ack, message=message: ack(QUEUE, message))  # type: ignore[misc]
    send(client, *(f"{key}/{n}" for n in range(4)))
    for transactional in (False, True):
        policy = Policy(queue_name=QUEUE, batch_size=1, max_batches=2, transactional=transactional)
        summary = Consumer(client, policy, together=True).drain(lambda messages, conn: None)
        assert summary.acked == 2


def test_a_plan_of_small_tables_serves_large_ones(client: Client, database: Database) -> None:
    use(client, "before")
    for table in TABLES:
        execute(database, f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        execute(database, f"ANALYZE {table}")
    client.close()
    use(client, "small")
    # No ANALYZE: the server does not know yet that the tables have grown, so kept plans stay.
    execute(
        database,
        "INSERT INTO pgmq.q_mail (vt, message) SELECT now() + '1 day', '1' FROM generate_series(1, 20000)",
    )
    tell(client)
    before = scans(database)
    use(client, "large")
    tell(client)
    assert scans(database) == before


def test_a_users_work_has_the_planner_as_it_is(client: Client, database: Database) -> None:
    send(client, "a", "b")
    seen: list[Any] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.append(
            conn.execute(
                "SELECT current_setting('enable_seqscan'), current_setting('plan_cache_mode')"
            ).fetchone()
        )
        conn.execute("SET enable_seqscan = on")

    policy = Policy(queue_name=QUEUE, transactional=True)
    assert Consumer(client, policy, together=False).drain(work).acked == 2
    assert seen == [("on", "auto")] * 2


def test_sessions_for_a_users_sql_do_so_too(database: Database) -> None:
    asked = Statement(
        "setting", script="SELECT current_setting('enable_seqscan') AS value", decode=scalar("value")
    )
    client = client_of(database.dsn)
    with client.connection(is_new=True) as new:
        assert client.run(lambda: asked, new) == "on"
    assert client.run(lambda: asked) == "off"
    client.close()
