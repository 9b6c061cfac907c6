"""A process is frozen inside a transaction: the others go on, and it does its work when it wakes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any

import psycopg
import pytest

from airflow_pgmq import errors
from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import queues, sending
from airflow_pgmq.services import job_control
from tests.fixtures.factories import NAMESPACE, client_of, execute, job, queued, send, slots_in, tick
from tests.fixtures.patience import patience, wait_until
from tests.fixtures.pooler import running_pooler
from tests.fixtures.postgres import Database
from tests.postgres.processes import CONTEXT, limited, report, run_tick, send_with, send_without_keys

pytestmark = pytest.mark.direct("it counts sessions, and has poolers of its own")


def short() -> Limits:
    """So that the tests are; on a busy machine, a process that woke pauses between two statements, too."""
    return Limits(idle=patience(0.5))


TICK = tick(job("a"), job("b"))


@pytest.fixture
def client(client: Client, database: Database) -> Client:
    """The queue is known, so that a first statement claims."""
    send(client, "known")
    execute(database, "DELETE FROM pgmq.q_mail")
    return client


def backends(database: Database, condition: str) -> list[Any]:
    """Other sessions of the database in some state."""
    return execute(
        database,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        f" AND {condition}",
    )


class Frozen:
    """A process that was frozen after a write and before its commit."""

    def __init__(self, process: Any, answer: Any) -> None:
        self._process = process
        self._answer = answer

    def wake(self) -> Any:
        """What its work returns."""
        os.kill(self._process.pid, signal.SIGCONT)
        assert self._answer.poll(60), "the process has no answer"
        return self._answer.recv()


@contextmanager
def frozen(database: Database, work: Callable[..., Any], *arguments: Any, **more: Any) -> Iterator[Frozen]:
    """Run it in a process; it stops in the middle of its first transaction that writes into the queue."""
    answer, theirs = CONTEXT.Pipe(duplex=False)
    call = (more.get("dsn", database.dsn), more.get("limits") or short(), work, *arguments)
    process = CONTEXT.Process(target=report, args=(limited, call, theirs))
    with database.connect() as gate:
        gate.execute("LOCK TABLE pgmq.q_mail IN ACCESS EXCLUSIVE MODE")
        process.start()
        wait_until(lambda: backends(database, "wait_event_type = 'Lock'"), "it is at the gate")
        os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: not backends(database, "state = 'active'"), "its statement is done")
    try:
        yield Frozen(process, answer)
    finally:
        process.kill()
        process.join()


def gone(database: Database) -> None:
    wait_until(lambda: not backends(database, "state LIKE 'idle in%'"), "its transaction is ended")


def test_a_tick(database, client):
    with frozen(database, run_tick, TICK) as process:
        assert run_tick(client, TICK) == 20
        assert process.wake() == 0
    assert len(slots_in(database, "a")) == len(slots_in(database, "b")) == 10


def test_a_tick_that_does_its_own_work_when_it_wakes(database, client):
    with frozen(database, run_tick, TICK) as process:
        gone(database)
        assert queued(database) == []
        assert process.wake() == 20
    assert len(slots_in(database, "a")) == len(slots_in(database, "b")) == 10


def test_a_pause_does_not_wait_for_it(database, client):
    with frozen(database, run_tick, TICK) as process:
        client.run(lambda: job_control.pause(NAMESPACE, "a"))
        process.wake()
    assert slots_in(database, "a") == []


@pytest.mark.parametrize("scope", ["once", "queued"])
def test_a_sender(database, client, scope):
    client.run(lambda: queues.guard("mail"))
    with frozen(database, send_with, {"scope": scope}) as process:
        assert [result.status for result in send(client, "a", scope=scope)] == ["sent"]
        assert process.wake() == ["duplicate", "sent"]
    assert [row["message"] for row in queued(database)] == ["a", "new"]


def test_a_sender_without_keys(database, client):
    with frozen(database, send_without_keys) as process:
        gone(database)
        assert process.wake() == ["sent", "sent"]
    assert [row["message"] for row in queued(database)] == ["new", "new"]


def test_a_replace(database, client):
    send(client, "a", "b")
    with frozen(database, send_with, {"on_duplicate": "replace"}) as process:
        gone(database)
        assert [row["message"] for row in queued(database)] == ["a", "b"]
        assert process.wake() == ["replaced", "replaced"]
    assert [row["message"] for row in queued(database)] == ["new", "new"]


def test_behind_a_pooler(database, client, tmp_path):
    with running_pooler(database.server, tmp_path, "transaction") as port:
        pooled = f"host=127.0.0.1 port={port} dbname={database.name} user=postgres"
        with frozen(database, send_with, {}, dsn=pooled) as process:
            # The pooler has one connection only.
            assert [result.status for result in send(client_of(pooled), "a")] == ["sent"]
            assert process.wake() == ["duplicate", "sent"]


@pytest.mark.slow
def test_by_default_others_go_on_within_fifteen_seconds(database, client):
    with frozen(database, run_tick, TICK, limits=Limits()) as process:
        begun = monotonic()
        assert run_tick(client, TICK) == 20
        assert monotonic() - begun < 15
        assert process.wake() == 0


def test_a_session_that_postgres_ended_before_the_commit(database, client):
    """As by the idle limit, if the process pauses before its COMMIT: nothing was done, so it is repeated."""
    ended = []

    def work():
        sent = yield sending.plain("mail", prepare(["new"]))
        if not ended:
            ended.extend(backends(database, "state = 'idle in transaction'"))
            execute(database, "SELECT pg_terminate_backend(%s, 60000)", [ended[0]["pid"]])
        return sent

    assert [result.status for result in client.run(work)] == ["sent"]
    assert len(ended) == 1
    assert [row["message"] for row in queued(database)] == ["new"]


def send_in_a_flow():
    return (yield sending.plain("mail", prepare(["new"])))


def test_an_end_that_came_together_with_an_answer(client, proxy):
    """The process was frozen while it waited for the answer, and Postgres has not closed the socket yet."""
    proxy.hold(b"new")
    assert [result.status for result in client_of(proxy.dsn, limits=short()).run(send_in_a_flow)] == ["sent"]
    assert [row["message"] for row in queued(proxy.database)] == ["new"]


def test_such_an_end_on_a_callers_connection(client, proxy):
    with closing(psycopg.connect(proxy.dsn, autocommit=True)) as conn:
        conn.execute("SET idle_in_transaction_session_timeout = '100ms'")
        proxy.hold(b"new")
        with pytest.raises(psycopg.OperationalError, match="idle-in-transaction timeout"):
            client_of(proxy.dsn).run(send_in_a_flow, conn)
    assert queued(proxy.database) == []


def test_a_callers_transaction_has_no_limit(database, client):
    # The first key of a queue takes more than one statement.
    send(client, "first")
    with frozen(database, send_with_transaction) as process:
        wait_until(lambda: backends(database, "state = 'idle in transaction'"), "it has written")
        with database.connect() as other:
            other.execute("SET lock_timeout = '1s'")
            other.commit()
            with pytest.raises(psycopg.errors.LockNotAvailable):
                send(client, "a", conn=other)
        assert process.wake() == ["sent"]


def send_with_transaction(client: Client) -> list[str]:
    with client._connect() as conn:
        return [result.status for result in send(client, "a", conn=conn)]


# What ends with a limit names it.


def test_waiting_for_a_lock(database):
    impatient = client_of(database.dsn, limits=Limits(lock=0.05))
    execute(database, "SELECT pgmq.create('mail')")
    with database.connect() as other:
        other.execute("LOCK TABLE pgmq.q_mail IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(errors.LockTimeout, match=r"\[pgmq\] lock_timeout.*lock timeout"):
            send(impatient, "a")
    assert queued(database) == []


@pytest.mark.parametrize("pooled", [False, True])
def test_taking_too_long(database, client, tmp_path, pooled):
    execute(
        database,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'",
    )
    execute(database, "CREATE TRIGGER slow BEFORE INSERT ON pgmq.q_mail FOR EACH ROW EXECUTE FUNCTION slow()")
    limits = Limits(transaction=0.5)
    with running_pooler(database.server, tmp_path, "transaction") as port:
        dsn = f"host=127.0.0.1 port={port} dbname={database.name} user=postgres" if pooled else database.dsn
        with pytest.raises(errors.LimitReached, match=r"\[pgmq\] transaction_timeout"):
            send(client_of(dsn, limits=limits), "a")
    assert queued(database) == []
