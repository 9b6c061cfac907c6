"""Finished work is not lost: connections that end during it, and answers that are lost."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
import pytest

from airflow_pgmq.core.consumer_policy import Policy, Summary
from airflow_pgmq.core.delays import AT_ONCE
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import consuming, reading
from airflow_pgmq.errors import MessageLost, PgmqError, TransactionEnded
from airflow_pgmq.messages import Message, Outcome
from airflow_pgmq.services.consuming import Consumer, KeptConnection
from tests.fixtures.factories import QUEUE, client_of, execute, queued, read, send
from tests.fixtures.patience import wait_until
from tests.fixtures.postgres import Database
from tests.fixtures.proxy import Proxy

ACKS = pytest.mark.parametrize("ack", ["archive", "delete"])


@pytest.fixture
def proxy(proxy: Proxy, database: Database) -> Proxy:
    execute(database, "SELECT pgmq.create('mail_dlq')")
    return proxy


@pytest.fixture
def effects(database: Database) -> Any:
    execute(database, "CREATE TABLE public.effects (message jsonb)")
    return lambda: [
        row["message"] for row in execute(database, "SELECT message FROM public.effects ORDER BY 1")
    ]


def store(messages: list[Message], conn: Any) -> None:
    for message in messages:
        conn.execute("INSERT INTO public.effects VALUES (%s)", [psycopg.types.json.Jsonb(message.message)])


def drain(client: Client, work: Any, *, together: bool = False, **fields: Any) -> Summary:
    return Consumer(client, Policy(**{"queue_name": QUEUE, **fields}), together=together).drain(work)


def counts(summary: Summary) -> dict[str, int]:
    return {name: count for name, count in summary.as_dict().items() if count and name != "seconds"}


def others_end(database: Database) -> None:
    """End every other connection, and wait until the server has noticed."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    execute(database, f"SELECT pg_terminate_backend(pid, 10000) {others} AND backend_type = 'client backend'")


def wait_for(condition: Any) -> bool:
    """Poll for an event that has no other sign."""
    wait_until(condition, "the condition", 20)
    return True


# The connection is closed during the work.


def test_a_connection_that_ended_during_the_work_is_replaced(client: Client, database: Database) -> None:
    send(client, "a", "b", "c")
    seen: list[Any] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.append(messages[0].message)
        others_end(database)

    assert counts(drain(client, work, batch_size=2)) == {"read": 3, "acked": 3, "batches": 2}
    assert seen == ["a", "b", "c"]


def test_an_idle_session_timeout_costs_no_work(client: Client, database: Database) -> None:
    send(client, "a", "b")
    execute(database, f"ALTER DATABASE {database.name} SET idle_session_timeout = '200ms'")
    seen: list[Any] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.append(messages[0].message)
        # Every idle session of the server that is not exempt has ended by then.
        execute(database, "SELECT pg_sleep(0.5)")

    assert counts(drain(client, work)) == {"read": 2, "acked": 2, "batches": 2}
    assert seen == ["a", "b"]


def test_a_block_of_consume_acks_on_another_connection(client: Client, database: Database) -> None:
    send(client, "a")
    with Consumer(client, Policy(queue_name=QUEUE), together=True).batch() as messages:
        assert [message.message for message in messages] == ["a"]
        others_end(database)
    assert queued(database) == []


def test_what_failed_is_released_on_another_connection(client: Client, database: Database) -> None:
    send(client, "a")

    def work(messages: list[Message], conn: Any) -> None:
        others_end(database)
        raise ValueError("no")

    assert counts(drain(client, work)) == {"read": 1, "retried": 1, "failed": 1, "batches": 1}


def test_transactional_work_whose_connection_ended_is_a_failure_of_its_own(
    client: Client, database: Database, effects: Any
) -> None:
    send(client, "a", "b")

    def work(messages: list[Message], conn: Any) -> None:
        if messages[0].message == "a":
            others_end(database)
        store(messages, conn)

    summary = drain(client, work, transactional=True)
    assert counts(summary) == {"read": 2, "acked": 1, "retried": 1, "failed": 1, "batches": 2}
    assert effects() == ["b"]


def test_the_heartbeat_beats_on_after_each_end_of_its_connection(
    client: Client, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    send(client, "slow")

    def work(messages: list[Message], conn: Any) -> None:
        for _ in range(3):
            last = queued(database)[0]["vt"]
            others_end(database)
            assert wait_for(lambda last=last: queued(database)[0]["vt"] > last)

    assert drain(client, work, visibility_timeout=2).acked == 1
    assert "heartbeat" not in caplog.text


# The answer is lost.


@ACKS
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_ack_whose_answer_is_lost_is_no_loss(
    proxy: Proxy, client: Client, database: Database, ack: Any, when: str
) -> None:
    send(client, "a", "b")
    seen: list[Any] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.append(messages[0].message)
        getattr(proxy, f"cut_{when}")(f"pgmq.{ack}(".encode())

    assert counts(drain(client_of(proxy.dsn), work, ack=ack)) == {"read": 2, "acked": 2, "batches": 2}
    assert seen == ["a", "b"]
    assert queued(database) == []


@ACKS
@pytest.mark.parametrize("when", ["before", "after"])
def test_outcomes_whose_commit_was_not_answered(
    proxy: Proxy, client: Client, database: Database, ack: Any, when: str
) -> None:
    send(client, *"abcd")

    def work(messages: list[Message], conn: Any) -> list[Any]:
        getattr(proxy, f"cut_{when}")(b"COMMIT")
        return [None, Outcome.retry(3600), Outcome.dead("bad"), None]

    summary = drain(client_of(proxy.dsn), work, together=True, batch_size=4, ack=ack)
    assert counts(summary) == {"read": 4, "acked": 2, "retried": 1, "dead": 1, "batches": 1}
    assert [row["message"] for row in queued(database)] == ["b"]
    assert [row["message"] for row in queued(database, "mail_dlq")] == ["c"]


@ACKS
def test_a_block_whose_ack_was_not_answered_raises_nothing(
    proxy: Proxy, client: Client, database: Database, ack: Any
) -> None:
    send(client, "a")
    consumer = Consumer(client_of(proxy.dsn), Policy(queue_name=QUEUE, ack=ack), together=True)
    with consumer.batch():
        proxy.cut_after(f"pgmq.{ack}(".encode())
    assert consumer.summary.acked == 1
    assert queued(database) == []


@ACKS
def test_what_somebody_else_has_read_is_lost_all_the_same(
    proxy: Proxy, client: Client, database: Database, ack: Any
) -> None:
    send(client, "a")
    block = Consumer(client_of(proxy.dsn), Policy(queue_name=QUEUE, ack=ack), together=True).batch()
    held = block.__enter__()
    client.run(lambda: consuming.release_each(QUEUE, held, [AT_ONCE]))
    read(client)
    proxy.cut_after(f"pgmq.{ack}(".encode())
    with pytest.raises(MessageLost):
        block.__exit__(None, None, None)
    assert [row["read_ct"] for row in queued(database)] == [2]


@ACKS
@pytest.mark.parametrize(("when", "done"), [("before", 0), ("after", 1)])
def test_transactional_work_whose_commit_was_not_answered(
    proxy: Proxy, client: Client, database: Database, effects: Any, ack: Any, when: str, done: int
) -> None:
    send(client, "a")

    def work(messages: list[Message], conn: Any) -> None:
        store(messages, conn)
        getattr(proxy, f"cut_{when}")(b"COMMIT")

    summary = drain(client_of(proxy.dsn), work, transactional=True, ack=ack, backoff=3600, max_backoff=3600)
    # Both or neither, never the effect without the ack.
    assert counts(summary) == {
        "read": 1,
        "batches": 1,
        **({"acked": 1} if done else {"retried": 1, "failed": 1}),
    }
    assert effects() == ["a"] * done
    assert len(queued(database)) == 1 - done


# What the work does to its transaction.


@pytest.mark.parametrize(
    "ending", ["ROLLBACK", "COMMIT", "ROLLBACK; BEGIN", "COMMIT; BEGIN", "COMMIT AND CHAIN"]
)
def test_work_that_ends_its_transaction_is_told_and_not_acked(
    client: Client, database: Database, effects: Any, ending: str
) -> None:
    send(client, "a", "b")

    def work(messages: list[Message], conn: Any) -> None:
        store(messages, conn)
        conn.execute(ending)

    with pytest.raises(TransactionEnded, match="COMMIT or ROLLBACK"):
        drain(client, work, transactional=True, batch_size=2)
    # The first one has failed, the other has not been tried.
    assert [row["headers"].get("untried") for row in queued(database)] == [None, 1]


@pytest.mark.parametrize("ending", ["ROLLBACK", "COMMIT", "ROLLBACK; BEGIN"])
def test_a_block_in_a_transaction_that_was_ended_is_told(
    client: Client, database: Database, effects: Any, ending: str
) -> None:
    send(client, "a")
    with database.connect() as conn:
        block = Consumer(client, Policy(queue_name=QUEUE), together=True).batch(conn)
        store(block.__enter__(), conn)
        conn.execute(ending)
        with pytest.raises(TransactionEnded):
            block.__exit__(None, None, None)
        conn.rollback()
    assert len(queued(database)) == 1


def test_savepoints_of_the_work_are_its_own(client: Client, database: Database, effects: Any) -> None:
    send(client, "a")

    def work(messages: list[Message], conn: Any) -> None:
        conn.execute("SAVEPOINT mine")
        store(messages, conn)
        conn.execute("ROLLBACK TO mine")
        with suppress(psycopg.Error), conn.transaction():
            conn.execute("SELECT 1 / 0")
        store(messages, conn)

    assert drain(client, work, transactional=True).acked == 1
    assert effects() == ["a"]


# Lost races, and batches that fail at the end.


def lose_races(database: Database, sqlstate: str) -> None:
    """Let the first three acks fail, as after a lost race."""
    execute(
        database,
        "CREATE SEQUENCE public.losses;"
        " CREATE FUNCTION public.lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('public.losses') < 4 THEN RAISE 'lost' USING ERRCODE = TG_ARGV[0]; END IF;"
        " RETURN NEW; END $$; CREATE TRIGGER lose BEFORE INSERT ON pgmq.a_mail"
        f" FOR EACH ROW EXECUTE FUNCTION public.lose('{sqlstate}')",
    )


def test_a_batch_that_fails_at_commit_keeps_its_heartbeat(client: Client, database: Database) -> None:
    execute(
        database,
        "CREATE TABLE public.effects (message jsonb UNIQUE DEFERRABLE INITIALLY DEFERRED)",
    )
    send(client, "a", "b", "c", messages=[1, 1, 2])
    beats: list[bool] = []

    def work(messages: list[Message], conn: Any) -> None:
        store(messages, conn)
        if len(messages) == 1:
            last = {row["msg_id"]: row["vt"] for row in queued(database)}[messages[0].msg_id]
            held = "SELECT vt FROM pgmq.q_mail WHERE msg_id = %s"
            beats.append(wait_for(lambda: execute(database, held, [messages[0].msg_id])[0]["vt"] > last))

    summary = drain(
        client, work, together=True, batch_size=3, transactional=True, visibility_timeout=2, max_batches=1
    )
    assert counts(summary) == {"read": 3, "acked": 2, "retried": 1, "failed": 1, "batches": 1}
    assert beats == [True] * 3


def test_a_settlement_that_loses_a_race_is_made_again(client: Client, database: Database) -> None:
    send(client, "a", "b")
    lose_races(database, "40P01")
    assert counts(drain(client, lambda messages, conn: None)) == {"read": 2, "acked": 2, "batches": 2}


def test_transactional_work_that_loses_a_race_is_done_again(
    client: Client, database: Database, effects: Any
) -> None:
    send(client, "a")
    lose_races(database, "40001")
    assert counts(drain(client, store, transactional=True)) == {"read": 1, "acked": 1, "batches": 1}
    assert effects() == ["a"]


def test_an_ack_that_cannot_be_made_is_no_failure_of_the_work(client: Client, database: Database) -> None:
    send(client, "a", "b")
    execute(
        database,
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE 'no room'; END $$; CREATE TRIGGER refuse BEFORE INSERT ON pgmq.a_mail"
        " FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    )
    with pytest.raises(psycopg.Error, match="no room"):
        drain(client, lambda messages, conn: None, batch_size=2)
    assert [row["headers"]["untried"] for row in queued(database)] == [1, 1]
    assert issubclass(TransactionEnded, PgmqError)


def test_what_only_waited_for_a_lock_was_not_done_by_us(database: Database, client: Client) -> None:
    """Somebody else deletes the message meanwhile: then it was lost, and is no ack of ours."""
    hasty = Client(lambda: psycopg.connect(database.dsn), Limits(lock=0.2))
    send(client, "a")
    (message,) = read(client)
    told: list[bool] = []

    def delete(again: bool) -> Any:
        told.append(again)
        return reading.acked(QUEUE, [message], "delete", again=again)

    with database.connect() as other, KeptConnection(hasty) as kept:
        other.execute("DELETE FROM pgmq.q_mail")
        assert kept.run(delete, meanwhile=other.commit) == []

    assert told == [False, False]
