"""Each read notes when it was, as PGMQ's own does, where PGMQ has a column for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.groups import GroupCursor
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import consuming, groups, reading, streaming
from airflow_pgmq.services import sending
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, execute, rows_of
from tests.fixtures.postgres import Database

POLICY = Policy(queue_name=QUEUE, batch_size=9)

READS: dict[str, Callable[[], Any]] = {
    "read": lambda: reading.read(QUEUE, max_messages=9, visibility_timeout=60),
    "read with a condition on headers": lambda: reading.read(
        QUEUE, max_messages=9, visibility_timeout=60, headers_condition={"x-pgmq-group": "a"}
    ),
    "read for work": lambda: consuming.read(POLICY),
    "read in order": lambda: groups.read(QUEUE, GroupCursor(), max_messages=9, visibility_timeout=60),
    "read for events": lambda: streaming.read(QUEUE, max_messages=9, visibility_timeout=60, calm=2),
}

#: What PGMQ before 1.10 lacks.
WITHOUT = """
    ALTER TABLE pgmq.q_mail DROP COLUMN last_read_at;
    ALTER TABLE pgmq.a_mail DROP COLUMN last_read_at;
"""


@pytest.fixture(params=READS)
def read(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return READS[request.param]


@pytest.fixture(autouse=True)
def _queue(client: Client, database: Database) -> None:
    execute(database, "SELECT pgmq.create(%s)", [QUEUE])
    sending.send(client, QUEUE, prepare([1, 2], group="a"))


def noted(database: Database, table: str = "q") -> list[bool]:
    name = {"q": "pgmq.q_mail", "a": "pgmq.a_mail"}[table]
    rows = execute(
        database,
        f"SELECT last_read_at BETWEEN now() - interval '1 min' AND clock_timestamp() AS noted FROM {name}",
    )
    return [row["noted"] for row in rows]


def test_a_read_notes_when_it_was(client: Client, database: Database, read: Callable[[], Any]) -> None:
    found = client.run(read)
    assert noted(database).count(True) == len(found) > 0


def test_all_messages_of_a_read_have_one_time(
    client: Client, database: Database, read: Callable[[], Any]
) -> None:
    """Asked for once, and so the same object in Python; PGMQ's own function asks for each message."""
    sending.send(client, QUEUE, prepare([3, 4], group="b"))
    found = client.run(read)
    assert len(found) > 1
    if read is not READS["read"]:
        assert {id(each.vt) for each in found} == {id(found[0].vt)}
        (times,) = execute(database, "SELECT count(DISTINCT last_read_at) AS times FROM pgmq.q_mail")
        assert times["times"] == 1


def test_what_a_consumer_did_says_when_it_began(client: Client, database: Database) -> None:
    Consumer(client, POLICY, together=False).drain(lambda messages, conn: None)
    assert noted(database, "a") == [True, True]


def test_a_table_without_the_column_is_read(
    client: Client, database: Database, read: Callable[[], Any]
) -> None:
    execute(database, WITHOUT)
    if read is not READS["read"]:
        assert client.run(read)
        assert client.run(read) == []
    execute(database, "SELECT pgmq.create('other')")


def test_so_is_one_in_a_callers_transaction(client: Client, database: Database) -> None:
    execute(database, WITHOUT)
    with database.connect() as conn:
        conn.execute("SELECT 1")
        assert len(client.run(READS["read for work"], conn)) == 2
        assert len(rows_of(conn.execute("SELECT msg_id FROM pgmq.q_mail WHERE read_ct = 1"))) == 2


def test_a_pgmq_without_the_column(client: Client, database: Database, read: Callable[[], Any]) -> None:
    execute(database, f"{WITHOUT} ALTER TYPE pgmq.message_record DROP ATTRIBUTE last_read_at;")
    if read is not READS["read"]:
        assert client.run(read)
