"""The statements and the relays of docs/guides/outbox.md do what the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from airflow_pgmq.hooks import PgmqHook
from tests.fixtures.airflow import connection_to
from tests.fixtures.factories import execute
from tests.fixtures.postgres import Database

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "outbox.md").read_text()
ORDERS, SEND, SEND_ONCE, OUTBOX, WRITE = re.findall(r"```sql\n(.*?)```", PAGE, re.S)
RELAY, BESIDE = (block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "DAG(" in block)


@pytest.fixture
def hook(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[PgmqHook]:
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection_to(database)))
    with PgmqHook() as hook:
        hook.create_queue("billing")
        yield hook


def run(database: Database, statements: str) -> None:
    with database.observe(autocommit=True) as connection:
        connection.execute(statements)


def orders(hook: PgmqHook) -> list[int]:
    return [each.message["order"] for each in hook.peek("billing", limit=100)]


def task_of(block: str, name: str) -> Any:
    """The function of a task in the Dag of a block."""
    names: dict[str, Any] = {}
    exec(compile(block, "block", "exec"), names)
    return names[name]


def test_row_and_message_are_there_or_neither(hook: PgmqHook, database: Database) -> None:
    run(database, ORDERS + SEND)
    (message,) = hook.peek("billing")
    assert (message.message, message.headers) == ({"order": 7, "total": "19.90"}, {"dedup_key": "order/7"})
    run(database, SEND.replace("VALUES (7", "VALUES (70").replace("COMMIT", "ROLLBACK"))
    assert orders(hook) == [7]
    assert execute(database, "SELECT id FROM orders") == [{"id": 7}]


def test_a_request_that_comes_twice_sends_once(hook: PgmqHook, database: Database) -> None:
    run(database, ORDERS)
    for _ in range(2):
        run(database, SEND_ONCE)
    assert orders(hook) == [8]


def test_a_guard_refuses_a_key_that_is_in_the_queue(hook: PgmqHook, database: Database) -> None:
    hook.guard_queue("billing")
    run(database, ORDERS + SEND)
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(database, SEND.replace("VALUES (7", "VALUES (70"))
    assert execute(database, "SELECT id FROM orders") == [{"id": 7}]


@pytest.mark.own_session("the statements of the page name tables that search_path finds")
def test_a_relay_from_another_database(
    hook: PgmqHook, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(connection_to(empty_database)))
    run(empty_database, ORDERS + OUTBOX + WRITE)
    relay = task_of(RELAY, "relay").function
    assert (relay(), relay()) == (1, 0)
    assert orders(hook) == [11]
    assert execute(empty_database, "SELECT * FROM outbox") == []

    # A relay that was killed after it had sent.
    execute(empty_database, "ALTER TABLE outbox ALTER id RESTART")
    run(empty_database, WRITE.replace("VALUES (11", "VALUES (12"))
    assert relay() == 1
    assert orders(hook) == [11]


@pytest.mark.own_session("the statements of the page name tables that search_path finds")
def test_a_relay_beside_the_queue(hook: PgmqHook, database: Database) -> None:
    run(
        database,
        ORDERS + OUTBOX.replace("NOT NULL\n", "NOT NULL, created_at timestamptz DEFAULT now()\n") + WRITE,
    )
    relay = task_of(BESIDE, "relay")
    assert relay.execute({}) == {"sent": 1, "duplicates": 0}
    assert relay.execute({}) == {"sent": 0, "duplicates": 1}
    assert orders(hook) == [11]
    clean = task_of(BESIDE, "clean").function
    for day, left in (("2020-01-01", 1), ("2100-01-01", 0)):
        clean(day)
        assert len(execute(database, "SELECT FROM outbox")) == left
