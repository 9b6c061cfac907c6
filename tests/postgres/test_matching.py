"""Looks and reads match the same messages, whatever bodies and headers other clients store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_pgmq.core import json_contains
from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.db.client import drive
from airflow_pgmq.db.statements import consuming, reading, watching
from tests.fixtures.factories import QUEUE, execute
from tests.fixtures.postgres import Database

LEAVES = st.sampled_from([None, True, 0, 1, 1.5, "", "a", "ü"])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)
#: SQL's null beside JSON's.
STORED = st.none() | JSON.map(json.dumps)
CONDITIONS = st.none() | st.dictionaries(st.sampled_from("ab"), JSON, max_size=2)


@pytest.fixture
def conn(database: Database) -> Iterator[psycopg.Connection[Any]]:
    execute(database, "SELECT pgmq.create('mail')")
    with database.connect() as conn:
        yield conn


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(STORED, STORED), max_size=6), CONDITIONS, CONDITIONS)
def test_looking_and_reading_agree(
    conn: psycopg.Connection[Any], stored: list[Any], condition: Any, headers_condition: Any
) -> None:
    def read(statement: Any) -> list[int]:
        with conn.transaction(force_rollback=True):
            return [message.msg_id for message in drive(statement, conn)]

    conditions: dict[str, Any] = {"condition": condition, "headers_condition": headers_condition}
    with conn.transaction(force_rollback=True):
        conn.cursor().executemany(
            "INSERT INTO pgmq.q_mail (msg_id, vt, message, headers)"
            " OVERRIDING SYSTEM VALUE VALUES (%s, now(), %s, %s)",
            [(n, *each) for n, each in enumerate(stored)],
        )
        found = read(reading.read(QUEUE, max_messages=9, visibility_timeout=9, **conditions))
        policy = Policy(queue_name=QUEUE, batch_size=9, visibility_timeout=9, **conditions)
        assert read(consuming.read(policy)) == found
        assert drive(reading.visible(QUEUE, limit=9, **conditions), conn) == len(found)
        ask = watching.Ask.of(QUEUE, **conditions)
        assert drive(watching.look({ask: 9}), conn)[ask].count == len(found)
    assert found == [
        n for n, each in enumerate(stored) if all(map(meets, each, (condition, headers_condition)))
    ]


def meets(stored: str | None, condition: Any) -> bool:
    """The match in Python that chooses messages for payload events."""
    if not condition:
        return True
    return stored is not None and json_contains.contains(json.loads(stored), condition)
