"""All that create the same queue at once succeed, even with old PGMQ versions, which lock nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.db.statements import queues
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import client_of, execute

if TYPE_CHECKING:
    from tests.fixtures.postgres import Database

MANY = 24

#: As in PGMQ 1.5.1: creators do not wait for each other, and the row of `pgmq.meta` is written last.
UNLOCKED = """
DO $$
DECLARE
    maker regprocedure;
BEGIN
    FOREACH maker IN ARRAY
        ARRAY['pgmq.create_non_partitioned(text)', 'pgmq.create_unlogged(text)']::regprocedure[]
    LOOP
        EXECUTE replace(
            replace(pg_get_functiondef(maker), 'PERFORM pgmq.acquire_queue_lock(queue_name);', ''),
            'ON CONFLICT
    DO NOTHING', ''
        );
    END LOOP;
END $$
"""
OTHERS_ONLY = "SELECT pgmq.create('mail')"


@pytest.fixture(params=["as it is", "without a lock"])
def pgmq(request: pytest.FixtureRequest, database: Database) -> Database:
    """A database with PGMQ, and one with an old one."""
    if request.param == "without a lock":
        execute(database, UNLOCKED)
        [row] = execute(
            database, "SELECT pg_get_functiondef('pgmq.create_non_partitioned(text)'::regprocedure) AS it"
        )
        assert "acquire_queue_lock" not in row["it"]
        assert "ON CONFLICT" not in row["it"]
    return database


def at_once(count: int, work) -> list[object]:
    """The results of this many threads that begin together."""
    barrier = Barrier(count, timeout=60)

    def begin(number: int) -> object:
        barrier.wait()
        try:
            return work(number)
        except Exception as exc:
            return exc

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def create(name: str = "mail", *, unlogged: bool = False, notify: bool = True):
    return queues.create(name, unlogged=unlogged, notify=notify)


@pytest.mark.parametrize("unlogged", [False, True])
def test_all_of_many_creators_succeed(pgmq: Database, unlogged: bool) -> None:
    for name in ("mail", "post"):
        # One of them has made it.
        found = at_once(
            MANY, lambda _, name=name: client_of(pgmq.dsn).run(lambda: create(name, unlogged=unlogged))
        )
        assert sorted(map(str, found)) == ["False"] * (MANY - 1) + ["True"]
    assert execute(pgmq, "SELECT queue_name, is_unlogged FROM pgmq.meta ORDER BY 1") == [
        {"queue_name": name, "is_unlogged": unlogged} for name in ("mail", "post")
    ]


def test_so_do_the_consumers_whose_dead_letter_queue_is_missing(pgmq: Database) -> None:
    execute(pgmq, "SELECT pgmq.create('mail')")
    execute(pgmq, "SELECT pgmq.send('mail', to_jsonb(n)) FROM generate_series(1, %s) AS n", [MANY])

    def consume(_: int) -> int:
        policy = Policy(queue_name="mail", max_batches=1)
        consumer = Consumer(client_of(pgmq.dsn), policy, together=True)
        return consumer.drain(lambda messages, conn: ["dead"] * len(messages)).dead

    assert at_once(MANY, consume) == [1] * MANY
    assert execute(pgmq, "SELECT count(*) AS dead FROM pgmq.q_mail_dlq") == [{"dead": MANY}]


def test_others_who_lock_nothing_are_met_too(pgmq: Database) -> None:
    """Clients in other languages call PGMQ's own function; theirs may fail, ours must not."""

    def make(number: int) -> object:
        if number % 2:
            return execute(pgmq, OTHERS_ONLY) and None
        return client_of(pgmq.dsn).run(create)

    for _ in range(5):
        assert set(at_once(MANY, make)[::2]) <= {True, False}
        execute(pgmq, "SELECT pgmq.drop_queue('mail')")


def test_a_creator_waits_for_one_who_has_not_committed(pgmq: Database) -> None:
    client = client_of(pgmq.dsn)
    with pgmq.connect() as first, ThreadPoolExecutor(1) as pool:
        client.run(create, first)
        second = pool.submit(lambda: client_of(pgmq.dsn).run(create))
        waits = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while not execute(pgmq, waits):
            assert not second.done()
        first.rollback()
        assert second.result() is True
    assert execute(pgmq, "SELECT queue_name FROM pgmq.meta") == [{"queue_name": "mail"}]


def test_what_is_missing_of_a_queue_is_made(database: Database) -> None:
    client = client_of(database.dsn)
    client.run(create)
    execute(database, "DROP TABLE pgmq.q_mail")
    assert client.run(lambda: queues.missing(["mail"])) == ["mail"]
    client.run(create)
    assert client.run(lambda: queues.missing(["mail"])) == []


def test_a_queue_whose_table_is_gone_can_be_dropped(database: Database) -> None:
    client = client_of(database.dsn)
    client.run(create)
    execute(database, "DROP TABLE pgmq.q_mail")
    assert client.run(lambda: queues.drop("mail")) is True
    assert execute(database, "SELECT queue_name FROM pgmq.meta") == []
    assert execute(database, "SELECT relname FROM pg_class WHERE relname = 'a_mail'") == []
    assert client.run(lambda: queues.drop("mail")) is False
