"""`conn=` joins the caller's transaction, whatever state the connection is in."""

from __future__ import annotations

import psycopg
import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements import Statement
from airflow_pgmq.errors import QueueNotFound
from airflow_pgmq.services import sending
from tests.fixtures.factories import execute, keys_in, queued, read, read_committed, send, statuses

IDLE = psycopg.pq.TransactionStatus.IDLE
each_scope = pytest.mark.parametrize("scope", ["once", "queued"])


@each_scope
def test_nothing_is_stored_before_the_caller_commits(database, client, scope):
    connection = database.connect()
    send(client, "a", scope=scope, conn=connection)
    assert queued(database) == []

    connection.commit()
    connection.close()

    assert keys_in(database) == ["a"]


@each_scope
def test_rollback_frees_the_key(database, client, scope):
    with database.connect() as connection:
        send(client, "a", scope=scope, conn=connection)
        connection.rollback()

    assert statuses(send(client, "a", scope=scope)) == ["sent"]


@each_scope
def test_duplicate_of_the_same_transaction_is_seen(database, client, scope):
    with database.connect() as connection:
        send(client, "a", scope=scope, conn=connection)

        assert statuses(send(client, "a", scope=scope, conn=connection)) == ["duplicate"]


def test_connection_with_autocommit_commits_each_call(database, client):
    with database.connect(autocommit=True) as connection:
        send(client, "a", conn=connection)

        assert keys_in(database) == ["a"]
        assert connection.info.transaction_status == IDLE


def test_block_of_a_connection_with_autocommit_is_joined(database, client):
    with database.connect(autocommit=True) as connection, connection.transaction():
        send(client, "a", conn=connection)
        assert queued(database) == []

    assert keys_in(database) == ["a"]


def test_open_transaction_is_joined(database, client):
    with database.connect() as connection:
        connection.execute("CREATE TABLE public.work AS SELECT 1")
        send(client, "a", conn=connection)
        connection.rollback()

    assert queued(database) == []
    assert execute(database, "SELECT to_regclass('work')::text AS work") == [{"work": None}]


def test_error_leaves_the_callers_transaction_usable(database, client):
    with database.connect() as connection:
        send(client, "a", conn=connection)
        with pytest.raises(QueueNotFound):
            sending.send(client, "nowhere", prepare([1]), conn=connection)
        send(client, "b", conn=connection)

    assert keys_in(database) == ["a", "b"]


@pytest.mark.usefixtures("small_chunks")
def test_messages_without_keys_are_all_or_nothing(database, client):
    with database.connect() as connection:
        sending.send(client, "mail", prepare(range(2500)), conn=connection)
        assert queued(database) == []
        connection.rollback()

    assert queued(database) == []


def test_reading_joins_too(database, client):
    send(client, "a")
    with database.connect() as connection:
        assert [message.read_ct for message in read(client, conn=connection)] == [1]
        connection.rollback()

    assert [message.read_ct for message in read(client)] == [1]


def test_row_factory_of_the_connection_does_not_matter(database, client):
    with database.connect(row_factory=psycopg.rows.scalar_row) as connection:
        assert statuses(send(client, "a", "b", conn=connection)) == ["sent", "sent"]
        assert [message.msg_id for message in read(client, conn=connection)] == [1, 2]


@each_scope
def test_sender_waits_for_an_open_transaction_with_the_key(database, client, scope):
    """Committed: a duplicate. Rolled back: the waiting one sends."""
    send(client, "other", scope=scope)
    for outcome, expected in (("commit", "duplicate"), ("rollback", "sent")):
        with read_committed(database) as first, read_committed(database) as second:
            send(client, outcome, scope=scope, conn=first)
            second.execute("SET lock_timeout = '100ms'")
            second.commit()
            with pytest.raises(psycopg.errors.LockNotAvailable):
                send(client, outcome, scope=scope, conn=second)
            getattr(first, outcome)()

            assert statuses(send(client, outcome, scope=scope, conn=second)) == [expected]


@each_scope
def test_key_that_was_taken_after_the_snapshot_is_an_error_not_a_duplicate_message(database, client, scope):
    """REPEATABLE READ cannot see the winner, so Postgres asks for the transaction to be run again."""
    send(client, "other", scope=scope)
    with database.connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM pgmq.q_mail")
        send(client, "a", scope=scope)
        with pytest.raises(psycopg.errors.SerializationFailure):
            send(client, "a", scope=scope, conn=connection)
        connection.rollback()

        assert statuses(send(client, "a", scope=scope, conn=connection)) == ["duplicate"]
    assert keys_in(database) == ["other", "a"]


@pytest.fixture
def lost_race(database):
    """A statement that loses its race the first two times it is run."""
    execute(database, "CREATE SEQUENCE runs")
    script = (
        "DO $$BEGIN IF nextval('public.runs') < 3 THEN"
        " RAISE EXCEPTION 'lost' USING ERRCODE = 'deadlock_detected'; END IF; END$$"
    )
    return Statement("lost_race", script=script)


def test_lost_race_is_run_again(database, client, lost_race):
    client.run(lambda: lost_race)

    assert execute(database, "SELECT last_value FROM runs") == [{"last_value": 3}]


def test_lost_race_in_the_callers_transaction_is_the_callers(database, client, lost_race):
    with database.connect() as connection, pytest.raises(psycopg.errors.DeadlockDetected):
        client.run(lambda: lost_race, connection)

    assert execute(database, "SELECT last_value FROM runs") == [{"last_value": 1}]
