"""PGMQ's own reads by groups, and their index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements import fifo
from airflow_pgmq.errors import FeatureMissing, InvalidArgument, QueueNotFound
from airflow_pgmq.services import sending
from tests.fixtures.factories import execute, queued

if TYPE_CHECKING:
    from airflow_pgmq.db.client import Client
    from tests.fixtures.postgres import Database


@pytest.fixture
def grouped(client: Client) -> Client:
    """Messages of two groups, in turns: a1 b1 a2 b2 a3."""
    for text in ("a1", "b1", "a2", "b2", "a3"):
        sending.send(client, "mail", prepare([text], group=text[0]))
    return client


def read(client: Client, verb: Any, count: int, **options: Any) -> list[Any]:
    asked = {"max_messages": count, "visibility_timeout": 60, **options}
    return [each.message for each in client.run(lambda: verb("mail", **asked))]


def test_as_many_of_one_group_as_possible(grouped: Client) -> None:
    assert read(grouped, fifo.read_grouped, 2) == ["a1", "a2"]
    # The third one of that group waits for the others.
    assert read(grouped, fifo.read_grouped, 9) == ["b1", "b2"]
    assert read(grouped, fifo.read_grouped, 9) == []


def test_groups_take_turns(grouped: Client) -> None:
    assert read(grouped, fifo.read_grouped_rr, 4) == ["a1", "b1", "a2", "b2"]


def test_turns_are_in_the_order_of_pgmq(client: Client) -> None:
    for text in ("a1", "a2", "b1", "b2"):
        sending.send(client, "mail", prepare([text], group=text[0]))
    assert read(client, fifo.read_grouped_rr, 4) == ["a1", "b1", "a2", "b2"]


def test_the_heads_of_the_groups(grouped: Client) -> None:
    assert read(grouped, fifo.read_grouped_head, 9) == ["a1", "b1"]
    assert read(grouped, fifo.read_grouped_head, 9) == []


@pytest.mark.parametrize("verb", [fifo.read_grouped, fifo.read_grouped_rr, fifo.read_grouped_head])
def test_a_read_counts_and_hides(grouped: Client, database: Database, verb: Any) -> None:
    assert read(grouped, verb, 1, visibility_timeout=0) == ["a1"]
    assert [row["read_ct"] for row in queued(database)] == [1, 0, 0, 0, 0]
    assert read(grouped, verb, 1) == ["a1"]
    assert read(grouped, verb, 0) == []
    with pytest.raises(InvalidArgument, match="must not be negative"):
        read(grouped, verb, -1)


def indexes(database: Database) -> list[str]:
    rows = execute(
        database,
        "SELECT tablename FROM pg_indexes WHERE indexdef LIKE '%USING gin (headers)%' ORDER BY tablename",
    )
    return [row["tablename"] for row in rows]


def test_the_index_is_made_once(client: Client, database: Database) -> None:
    for _ in range(2):
        client.run(lambda: fifo.create_index("mail"))
    assert indexes(database) == ["q_mail"]


def test_the_indexes_of_all_queues(client: Client, database: Database) -> None:
    execute(database, "SELECT pgmq.create('other')")
    client.run(fifo.create_indexes)
    assert indexes(database) == ["q_mail", "q_other"]


@pytest.mark.parametrize(
    "work",
    [
        lambda: fifo.create_index("nowhere"),
        lambda: fifo.read_grouped("nowhere", max_messages=1, visibility_timeout=1),
        lambda: fifo.read_grouped_rr("nowhere", max_messages=1, visibility_timeout=1),
        lambda: fifo.read_grouped_head("nowhere", max_messages=1, visibility_timeout=1),
    ],
)
def test_a_queue_that_is_missing(client: Client, work: Any) -> None:
    with pytest.raises(QueueNotFound, match="'nowhere'"):
        client.run(work)


@pytest.mark.parametrize(
    ("function", "work", "version"),
    [
        ("create_fifo_index(text)", lambda: fifo.create_index("mail"), "1.9.0"),
        ("create_fifo_indexes_all()", fifo.create_indexes, "1.9.0"),
        (
            "read_grouped(text, integer, integer)",
            lambda: fifo.read_grouped("mail", max_messages=1, visibility_timeout=1),
            "1.9.0",
        ),
        (
            "read_grouped_rr(text, integer, integer)",
            lambda: fifo.read_grouped_rr("mail", max_messages=1, visibility_timeout=1),
            "1.9.0",
        ),
        (
            "read_grouped_head(text, integer, integer)",
            lambda: fifo.read_grouped_head("mail", max_messages=1, visibility_timeout=1),
            "1.11.1",
        ),
    ],
)
def test_an_older_pgmq(client: Client, database: Database, function: str, work: Any, version: str) -> None:
    execute(database, f"DROP FUNCTION pgmq.{function}")
    with pytest.raises(FeatureMissing, match=f"needs PGMQ {version}"):
        client.run(work)
