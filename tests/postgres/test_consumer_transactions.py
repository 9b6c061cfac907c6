"""The transaction of the work also reads the next batch: as one with its acks, and before the next work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from airflow_pgmq.core.consumer_policy import Policy, Summary
from airflow_pgmq.db.client import Client
from airflow_pgmq.messages import Message
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, client_of, execute, queued, read, send
from tests.fixtures.postgres import Database
from tests.fixtures.proxy import Proxy

Work = Callable[[list[Message], Any], None]


def drain(client: Client, work: Work, **options: Any) -> Summary:
    policy = Policy(queue_name=QUEUE, transactional=True, backoff=3600, **options)
    return Consumer(client, policy, together=True, stop_on=(KeyboardInterrupt,)).drain(work)


def reads(database: Database) -> dict[Any, int]:
    return {row["message"]: row["read_ct"] for row in queued(database)}


def test_the_next_batch_is_read_by_the_transaction_of_the_acks(client: Client, database: Database) -> None:
    send(client, "a", "b", "c")
    seen: list[dict[Any, int]] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.append(reads(database))

    summary = drain(client, work)
    # Another session sees each read before the work on it begins, and none before its turn.
    assert seen == [{"a": 1, "b": 0, "c": 0}, {"b": 1, "c": 0}, {"c": 1}]
    assert (summary.read, summary.acked, summary.batches) == (3, 3, 3)


def test_it_costs_no_transaction_of_its_own(client: Client, database: Database) -> None:
    send(client, "a", "b")
    same: list[bool] = []

    def work(messages: list[Message], conn: Any) -> None:
        same.extend(
            row["same"]
            for row in execute(
                database,
                f"SELECT q.xmin = a.xmin AS same FROM pgmq.q_{QUEUE} AS q, pgmq.a_{QUEUE} AS a",
            )
        )

    drain(client, work)
    assert same == [True]


def test_nothing_is_read_beyond_the_last_batch(client: Client, database: Database) -> None:
    send(client, "a", "b", "c")
    drain(client, lambda messages, conn: None, max_batches=2)
    assert reads(database) == {"c": 0}


def test_work_that_another_reader_overtook_reads_nothing(client: Client, database: Database) -> None:
    send(client, "a", "b")
    seen: list[dict[Any, int]] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.append(reads(database))
        if messages[0].message == "a":
            execute(
                database, f"UPDATE pgmq.q_{QUEUE} SET read_ct = 5, vt = now() + '1 hour' WHERE msg_id = 1"
            )

    summary = drain(client, work)
    assert seen == [{"a": 1, "b": 0}, {"a": 5, "b": 1}]
    assert (summary.read, summary.acked, summary.lost) == (2, 1, 1)


def test_work_that_fails_at_its_commit_reads_nothing(client: Client, database: Database) -> None:
    send(client, "a", "b")
    execute(database, "CREATE TABLE public.once (of text UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    execute(database, "INSERT INTO public.once VALUES ('a')")
    seen: list[dict[Any, int]] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.append(reads(database))
        conn.execute("INSERT INTO public.once VALUES (%s)", [messages[0].message])

    summary = drain(client, work)
    assert seen == [{"a": 1, "b": 0}, {"a": 1, "b": 1}]
    assert (summary.read, summary.acked, summary.retried) == (2, 1, 1)


def test_what_was_read_and_not_begun_is_given_back(client: Client, database: Database) -> None:
    send(client, "a", "b", "c", "d")

    def work(messages: list[Message], conn: Any) -> None:
        if messages[0].message == "a":
            # The progress of a drain, or a signal, may raise between two batches.
            original = consumer._held.read

            def interrupted(max_messages: int) -> list[Message]:
                consumer._held.read = original  # type: ignore[method-assign]
                raise KeyboardInterrupt

            consumer._held.read = interrupted  # type: ignore[method-assign]

    consumer = Consumer(
        client, Policy(queue_name=QUEUE, transactional=True, batch_size=2, max_reads=2), together=True
    )
    with pytest.raises(KeyboardInterrupt):
        consumer.drain(work)
    assert (
        consumer.summary.as_dict() | {"seconds": 0}
        == Summary(read=4, acked=2, released=2, batches=1).as_dict()
    )
    assert [message.tries for message in read(client, max_messages=5)] == [1, 1]


@pytest.mark.parametrize(("when", "acked"), [("before", 0), ("after", 1)])
def test_a_commit_without_an_answer(
    proxy: Proxy, client: Client, database: Database, when: str, acked: int
) -> None:
    send(client, "a", "b")
    seen: list[Any] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.append((messages[0].message, messages[0].read_ct))
        if messages[0].message == "a":
            getattr(proxy, f"cut_{when}")(b"COMMIT")

    summary = drain(client_of(proxy.dsn), work)
    assert seen == [("a", 1), ("b", 1)]
    assert summary.acked == 1 + acked
    assert reads(database) == ({} if acked else {"a": 1})


def test_retried_and_dead_messages_leave_the_read_to_the_next_statement(
    client: Client, database: Database
) -> None:
    send(client, "a", "b")

    def work(messages: list[Message], conn: psycopg.Connection[Any]) -> None:
        if messages[0].message == "a":
            raise ValueError("bad")

    summary = drain(client, work, max_reads=1)
    assert (summary.read, summary.acked, summary.dead) == (2, 1, 1)


def test_what_is_settled_between_two_works_is_committed(client: Client, database: Database) -> None:
    """The transaction of the next work has begun by then."""
    send(client, "a", "late", "b")
    execute(
        database,
        f'UPDATE pgmq.q_{QUEUE} SET headers = headers || \'{{"expires_at": "2020-01-01T00:00:00Z"}}\''
        " WHERE message = '\"late\"'",
    )
    seen: list[Any] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.append((messages[0].message, len(execute(database, f"SELECT msg_id FROM pgmq.a_{QUEUE}"))))

    summary = drain(client, work)
    assert seen == [("a", 0), ("b", 2)]
    assert (summary.acked, summary.expired) == (2, 1)


def test_a_drain_that_ends_leaves_no_transaction_open(client: Client, database: Database) -> None:
    send(client, "a", "b")

    def work(messages: list[Message], conn: Any) -> None:
        if messages[0].message == "b":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(client, work)
    assert reads(database) == {"b": 1}
    (row,) = execute(
        database,
        "SELECT count(*) AS open FROM pg_stat_activity"
        " WHERE datname = current_database() AND state LIKE 'idle in%'",
    )
    assert row["open"] == 0


@pytest.mark.direct("ends a session of the server")
@pytest.mark.parametrize("expired", [False, True])
def test_a_connection_that_ends_between_two_works_is_replaced(
    client: Client, database: Database, expired: bool
) -> None:
    """Nothing had begun in the transaction that was open."""
    send(client, "a", "b", "c")
    if expired:
        header = '{"expires_at": "2020-01-01T00:00:00Z"}'
        execute(database, f"UPDATE pgmq.q_{QUEUE} SET headers = headers || %s WHERE msg_id = 2", [header])
    policy = Policy(queue_name=QUEUE, transactional=True, backoff=3600)
    consumer = Consumer(client, policy, together=True)
    original = consumer._held.read
    pids: list[int] = []

    def read_after_the_end(max_messages: int) -> list[Message]:
        if len(pids) == 1:
            execute(database, "SELECT pg_terminate_backend(%s, 5000)", [pids[0]])
        return original(max_messages)

    def work(messages: list[Message], conn: Any) -> None:
        pids.append(conn.info.backend_pid)

    consumer._held.read = read_after_the_end  # type: ignore[method-assign]
    summary = consumer.drain(work)
    assert (summary.acked, summary.failed, summary.lost) == (2 if expired else 3, 0, 0)
    assert len(set(pids)) == 2
