"""Work of ours is done while the server runs a statement, and in no other order of things."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.driver import running
from airflow_pgmq.db.statements import Statement, Steps
from airflow_pgmq.services import tick_rounds
from tests.fixtures.factories import execute, job, slots_in, tick
from tests.fixtures.patience import wait_until
from tests.fixtures.postgres import Database

pytestmark = pytest.mark.direct("behind a pooler, a session's lock is kept by whoever has the session next")

LOCK = 471_147


def waiting(meanwhile: Steps, script: str = "SELECT pg_advisory_xact_lock(%(lock)s) IS NULL AS never") -> Any:
    """A statement that has no answer until another session gives up its lock."""
    return Statement("ask", {"lock": LOCK}, script=script, decode=list, meanwhile=meanwhile)


@pytest.fixture
def holder(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect() as holder:
        holder.autocommit = True
        holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        yield holder


def release(holder: psycopg.Connection[Any]) -> None:
    holder.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def test_steps_are_taken_before_the_answer(conn: Connection, holder: psycopg.Connection[Any]) -> None:
    """The statement ends only because a step lets it."""
    taken = []

    def steps() -> Iterator[None]:
        for number in range(100):
            assert conn.pgconn.transaction_status == TransactionStatus.ACTIVE
            taken.append(number)
            if number == 50:
                release(holder)
            yield

    assert running.execute(waiting(steps), conn) == [{"never": False}]
    assert taken[:51] == list(range(51))
    assert running.execute(waiting(lambda: iter(())), conn) == [{"never": False}]


def test_a_long_statement_is_sent_before_the_first_step(
    conn: Connection, holder: psycopg.Connection[Any]
) -> None:
    """More than a socket's buffer takes."""

    def is_waiting() -> bool:
        asked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
        found = holder.execute(asked, [LOCK]).fetchone()
        return bool(found and found[0])

    def steps() -> Iterator[None]:
        wait_until(is_waiting, "the server has the statement, and waits for the lock")
        release(holder)
        yield

    script = "SELECT pg_advisory_xact_lock(%(lock)s) IS NULL AS never, length(%(text)s::text) AS length"
    long = Statement(
        "ask",
        {"lock": LOCK, "text": "x" * 30_000_000},
        script=script,
        decode=list,
        meanwhile=steps,
    )
    assert running.execute(long, conn) == [{"never": False, "length": 30_000_000}]


def test_a_fault_of_a_step_ends_the_connection_and_not_the_client(
    client: Client, database: Database, holder: psycopg.Connection[Any]
) -> None:
    def steps() -> Iterator[None]:
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        client.run(lambda: waiting(steps))
    release(holder)
    assert client.run(lambda: waiting(lambda: iter(()))) == [{"never": False}]


def test_the_servers_error_comes_as_without_steps(conn: Connection) -> None:
    outcomes = []
    for meanwhile in (lambda: iter(()), lambda: iter(range(3))):
        with pytest.raises(Exception) as raised:
            running.execute(
                Statement("ask", {"lock": 0}, script="SELECT 1 / %(lock)s::integer", meanwhile=meanwhile),
                conn,
            )
        outcomes.append((type(raised.value), str(raised.value)))
    assert outcomes[0] == outcomes[1]


def test_an_answer_ends_the_steps(conn: Connection) -> None:
    """However many there are."""
    statement = Statement(
        "ask", {"one": 1}, script="SELECT %(one)s::integer AS one", decode=list, meanwhile=count
    )
    assert running.execute(statement, conn) == [{"one": 1}]


@pytest.mark.parametrize(("hours", "ahead"), [(1, 3), (10, 1)], ids=["one slot each", "ten slots each"])
def test_a_tick_computes_slots_while_the_server_sends_others(
    database: Database,
    client: Client,
    holder: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    hours: int,
    ahead: int,
) -> None:
    """The first send ends only because slots of the next jobs were computed, one part of them at most."""
    monkeypatch.setattr(tick_rounds, "AT_ONCE", 3)
    tick(job("known")).run(client)
    connections: list[psycopg.Connection[Any]] = []

    def connect() -> psycopg.Connection[Any]:
        connections.append(psycopg.connect(database.dsn))
        return connections[-1]

    statuses = []
    due = tick_rounds.slots.due

    def observed(*args: Any) -> Any:
        statuses.append(connections[-1].pgconn.transaction_status)
        if len(statuses) == 3 + ahead:
            release(holder)
        return due(*args)

    monkeypatch.setattr(tick_rounds.slots, "due", observed)
    execute(
        database,
        "CREATE FUNCTION pgmq.held() RETURNS trigger LANGUAGE plpgsql"
        f" AS $$ BEGIN PERFORM pg_advisory_xact_lock({LOCK}); RETURN NULL; END $$",
    )
    execute(
        database,
        "CREATE TRIGGER held AFTER INSERT ON pgmq.q_mail FOR EACH STATEMENT EXECUTE FUNCTION pgmq.held()",
    )
    jobs = [job(f"job{n}") for n in range(10)]

    summary = tick(job("known"), *jobs, look_ahead=hours).run(Client(connect))

    assert summary.sent == 10 * hours
    assert all(len(slots_in(database, each.name)) == hours for each in jobs)
    # The first three are needed before anything can be sent.
    assert statuses[: 3 + ahead] == [TransactionStatus.INTRANS] * 3 + [TransactionStatus.ACTIVE] * ahead


def test_a_round_that_slots_have_filled_reads_fewer_jobs(
    database: Database, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick_rounds, "AT_ONCE", 2)
    monkeypatch.setattr(tick_rounds, "JOBS", 100)
    monkeypatch.setattr(tick_rounds, "SLOTS", 10)
    limits = []
    due_jobs = tick_rounds.periodic.due_jobs

    def observed(*args: Any, **options: Any) -> Any:
        limits.append(options["limit"])
        return due_jobs(*args, **options)

    monkeypatch.setattr(tick_rounds.periodic, "due_jobs", observed)
    assert tick(*(job(f"job{n}") for n in range(6))).run(client).sent == 60
    assert limits[0] == 100
    assert set(limits[1:]) == {2}
