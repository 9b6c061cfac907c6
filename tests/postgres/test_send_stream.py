"""`send_batch` of an iterator: bounded memory, chunk by chunk."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from airflow_pgmq.core import message_stream
from airflow_pgmq.core.batch import CHUNK
from airflow_pgmq.errors import DuplicateMessage, InvalidArgument, InvalidMessage
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services import sending_stream
from tests.fixtures.factories import QUEUE, execute, keys_in, queued
from tests.fixtures.postgres import Database


@pytest.fixture
def hook(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[PgmqHook]:
    execute(database, "SELECT pgmq.create(%s)", [QUEUE])
    connection: dict[str, Any] = {"conn_type": "pgmq", "login": "postgres", "schema": database.name}
    connection |= {"host": str(database.server.directory)} if database.port is None else {}
    connection |= {"host": "127.0.0.1", "port": database.port} if database.port is not None else {}
    monkeypatch.setenv("AIRFLOW_CONN_STREAM", json.dumps(connection))
    with PgmqHook("stream") as hook:
        yield hook


def length(database: Database) -> int:
    found: int = execute(database, f"SELECT count(*) AS n FROM pgmq.q_{QUEUE}")[0]["n"]
    return found


def test_each_message_of_an_iterator_is_sent(hook: PgmqHook, database: Database) -> None:
    amount = 2 * CHUNK + 7
    counts = hook.send_batch(QUEUE, ({"n": n} for n in range(amount)))
    assert counts == {"sent": amount, "duplicates": 0, "replaced": 0}
    rows = execute(database, f"SELECT (message ->> 'n')::int AS n FROM pgmq.q_{QUEUE} ORDER BY msg_id")
    assert [row["n"] for row in rows] == list(range(amount))


def test_keys_come_from_a_function_or_from_another_iterator(hook: PgmqHook, database: Database) -> None:
    messages = [{"id": n % 4} for n in range(6)]
    counts = hook.send_batch(QUEUE, iter(messages), dedup_keys=lambda message: f"order-{message['id']}")
    assert counts == {"sent": 4, "duplicates": 2, "replaced": 0}
    assert keys_in(database) == [f"order-{n}" for n in range(4)]
    again = hook.send_batch(
        QUEUE, iter("ab"), dedup_keys=iter(["order-0", "b"]), headers=iter([{"x": 1}, None])
    )
    assert again == {"sent": 1, "duplicates": 1, "replaced": 0}
    results = hook.send_batch(QUEUE, ["c", "b"], dedup_keys=str)
    assert [result.status for result in results] == ["sent", "duplicate"]


def test_one_for_each_must_be_as_many(hook: PgmqHook, database: Database) -> None:
    for delays in ([0], [0, 0, 0]):
        with pytest.raises(InvalidArgument, match="equally long"):
            hook.send_batch(QUEUE, iter([1, 2]), delays=iter(delays))
    assert length(database) == 0
    hook.send_batch(QUEUE, iter([1, 2]), delays=iter([0, 3600]), headers=iter([{"n": 1}, {"n": 2}]))
    rows = queued(database)
    assert [row["headers"] for row in rows] == [{"n": 1}, {"n": 2}]
    assert (rows[1]["vt"] - rows[0]["vt"]).total_seconds() == 3600


def test_what_is_bad_stops_its_chunk_and_names_the_reason(hook: PgmqHook, database: Database) -> None:
    messages = ({"n": n} if n != CHUNK + 3 else {"n": float("nan")} for n in range(2 * CHUNK))
    with pytest.raises(InvalidMessage):
        hook.send_batch(QUEUE, messages)
    assert length(database) == CHUNK


def test_all_or_nothing_needs_a_transaction(hook: PgmqHook, database: Database) -> None:
    taken = iter([1])
    with pytest.raises(InvalidArgument, match="give a list"):
        hook.send_batch(QUEUE, taken, dedup_keys=str, on_duplicate="fail")
    assert list(taken) == [1]
    with hook.get_conn() as conn:
        hook.send_batch(QUEUE, iter([1, 2]), dedup_keys=str, on_duplicate="fail", conn=conn)
        with pytest.raises(DuplicateMessage):
            hook.send_batch(QUEUE, iter([3, 2]), dedup_keys=str, on_duplicate="fail", conn=conn)
        conn.rollback()
    assert length(database) == 0


def test_the_log_tells_of_progress(
    hook: PgmqHook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(sending_stream, "INTERVAL", 0)
    hook.send_batch(QUEUE, iter(range(CHUNK + 1)))
    lines = [record.message for record in caplog.records if "messages in" in record.message]
    assert [line.split(" in ")[0] for line in lines] == [
        f"Queue mail: {CHUNK:,} messages",
        f"Queue mail: {CHUNK + 1:,} messages",
    ]


def test_large_messages_make_small_chunks() -> None:
    large = "x" * 1_000_000
    sizes = [len(batch) for batch in message_stream.batches(large for _ in range(120))]
    assert sum(sizes) == 120
    assert max(sizes) <= message_stream.STEP


def test_an_iterator_is_read_only_as_far_as_needed() -> None:
    taken = count()
    batches = message_stream.batches(next(taken) for _ in count())
    assert len(next(batches)) == CHUNK
    assert next(taken) == CHUNK
