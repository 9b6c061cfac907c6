"""A message that was not stored is an error: triggers drop inserts, row level security hides rows."""

from __future__ import annotations

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.dedup import DEDUP_WINDOW
from airflow_pgmq.db.statements import queues, transfers
from airflow_pgmq.errors import NotSent, PermissionDenied
from airflow_pgmq.services import sending
from tests.fixtures.factories import QUEUE, client_of, execute, job, queued, send, state, tick
from tests.fixtures.roles import drop_role


def swallow(database, condition="true"):
    """Make a trigger that drops inserts into the queue."""
    execute(
        database,
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN IF {condition} THEN RETURN NULL; END IF; RETURN NEW; END'",
    )
    execute(
        database,
        "CREATE TRIGGER swallow BEFORE INSERT ON pgmq.q_mail FOR EACH ROW EXECUTE FUNCTION swallow()",
    )


def recover(database):
    execute(database, "DROP TRIGGER swallow ON pgmq.q_mail")


@pytest.mark.parametrize("scope", ["once", "queued"])
@pytest.mark.parametrize("count", [1, 150], ids=["one", "many"])
@pytest.mark.parametrize("joins", [False, True])
def test_a_trigger_that_swallows_what_is_sent_with_keys(database, client, scope, count, joins):
    """No key is taken by a message that is not there."""
    # From now on the queue is known, and one message is one statement.
    send(client, "before", scope=scope)
    swallow(database)
    keys = [f"k{n}" for n in range(count)]

    with database.connect() as conn:
        with pytest.raises(NotSent, match="trigger"):
            send(client, *keys, scope=scope, conn=conn if joins else None)
        conn.commit()

    recover(database)
    assert {result.status for result in send(client, *keys, scope=scope)} == {"sent"}


@pytest.mark.parametrize("scope", ["once", "queued"])
@pytest.mark.parametrize("count", [3, 150])
def test_a_trigger_that_swallows_one_of_many(database, client, scope, count):
    swallow(database, "NEW.message = ''\"k1\"''")
    keys = [f"k{n}" for n in range(count)]
    with pytest.raises(NotSent, match="1 message"):
        send(client, *keys, scope=scope)
    assert queued(database) == []


def test_a_trigger_that_swallows_what_is_sent_without_keys(database, client):
    swallow(database, "NEW.message = ''1''")
    with pytest.raises(NotSent, match="1 message"):
        sending.send(client, QUEUE, prepare([1, 2, 3]))
    assert queued(database) == []


def test_a_trigger_that_swallows_slots(database, client):
    """The tick names the job, and its slots are sent when the trigger is gone."""
    one = tick(job())
    swallow(database)
    assert "were neither sent nor duplicates" in one.run(client).failed["job"][0]

    recover(database)
    assert one.run(client).sent == 10
    assert state(database)["last_slot"] is not None


def send_query(client, scope):
    with client.connection() as conn:
        sending.ensure_dedup(client, QUEUE, scope, conn)
    return client.run(
        lambda: transfers.send(
            QUEUE,
            "SELECT 'k' || n AS dedup_key, to_jsonb(n) AS message FROM generate_series(1, 3) AS n",
            None,
            scope=scope,
            window=DEDUP_WINDOW,
            fail_on_duplicate=False,
            headers=None,
        )
    )


@pytest.mark.parametrize("scope", ["once", "queued"])
def test_a_trigger_that_swallows_rows_of_a_query(database, client, scope):
    swallow(database, "NEW.message = ''2''")
    with pytest.raises(NotSent, match="1 message"):
        send_query(client, scope)
    assert queued(database) == []

    recover(database)
    assert send_query(client, scope) == {"sent": 3, "duplicates": 0}
    assert send_query(client, scope) == {"sent": 0, "duplicates": 3}


@pytest.fixture
def hidden(database, client):
    """A client of a role that does not see some messages of the queue, nor some rows of the ledger."""
    client.run(lambda: queues.guard(QUEUE))
    send(client, "a", messages=["theirs"], scope="queued")
    send(client, "b", messages=["theirs"])
    role = f"hidden_{database.name}"
    for statement in (
        "CREATE ROLE app LOGIN",
        "GRANT USAGE ON SCHEMA pgmq, airflow_pgmq TO app",
        "GRANT ALL ON ALL TABLES IN SCHEMA pgmq, airflow_pgmq TO app",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA pgmq, airflow_pgmq TO app",
        "ALTER TABLE pgmq.q_mail ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON pgmq.q_mail USING (message <> '\"theirs\"')",
    ):
        execute(database, statement.replace(" app", f" {role}"))
    yield client_of(database.dsn, user=role)
    drop_role(database, role)


def test_a_waiting_message_that_row_level_security_hides(database, hidden):
    with pytest.raises(NotSent, match="row level security"):
        send(hidden, "a", scope="queued")
    assert [result.status for result in send(hidden, "c", scope="queued")] == ["sent"]


def test_a_ledger_that_row_level_security_hides(database, hidden):
    execute(database, "ALTER TABLE airflow_pgmq.dedup_ledger ENABLE ROW LEVEL SECURITY")
    execute(
        database,
        "CREATE POLICY own ON airflow_pgmq.dedup_ledger FOR SELECT USING (dedup_key <> 'b');"
        "CREATE POLICY write ON airflow_pgmq.dedup_ledger FOR INSERT WITH CHECK (true);"
        "CREATE POLICY renew ON airflow_pgmq.dedup_ledger FOR UPDATE USING (true)",
    )
    with pytest.raises(PermissionDenied, match="row-level security"):
        send(hidden, "b")
    assert [result.status for result in send(hidden, "c")] == ["sent"]
