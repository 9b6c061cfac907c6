"""A new queue announces its inserts; if it cannot, it is made without, and a warning says why."""

from __future__ import annotations

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.db.statements import queues, watching
from airflow_pgmq.errors import CodeTooOld, FeatureMissing, NotInstalled, PermissionDenied
from airflow_pgmq.services import creating
from airflow_pgmq.services.consuming import Consumer
from airflow_pgmq.services.creating import Created
from airflow_pgmq.services.sending import send as send_prepared
from tests.fixtures.factories import client_of, execute, go_back_to_migration
from tests.fixtures.roles import drop_role

MADE = Created(made=True, announced=True)
VIEW = "ALTER TABLE pgmq.q_mail RENAME TO elsewhere; CREATE VIEW pgmq.q_mail AS TABLE pgmq.elsewhere"
NEWEST = "SELECT max(number) AS number FROM airflow_pgmq.migrations"


def announces(database, table):
    (row,) = execute(
        database,
        "SELECT count(*) AS triggers FROM pg_trigger"
        " WHERE tgrelid = %s::regclass AND tgname = 'airflow_pgmq_notify' AND tgenabled <> 'D'",
        [table],
    )
    return row["triggers"] == 1


@pytest.fixture
def role(database, client):
    """A role that may create queues, and knows nothing of the schema `airflow_pgmq`."""
    name = f"app_{database.name}"
    execute(database, f"CREATE ROLE {name} LOGIN")
    execute(
        database,
        f"GRANT USAGE, CREATE ON SCHEMA pgmq TO {name}; GRANT SELECT, INSERT, DELETE ON pgmq.meta TO {name}",
    )
    yield name
    drop_role(database, name)


@pytest.fixture
def others(database, role):
    """A client of that role."""
    return client_of(database.dsn, user=role)


@pytest.mark.parametrize("unlogged", [False, True])
def test_a_new_queue_announces(database, client, unlogged):
    assert creating.create(client, "fresh", unlogged=unlogged) == MADE
    assert announces(database, "pgmq.q_fresh")
    assert creating.create(client, "fresh", unlogged=unlogged) == Created()


def test_a_queue_that_is_there_announces_from_now_on(database, client):
    assert not announces(database, "pgmq.q_mail")
    assert creating.create(client, "mail") == Created(announced=True)
    assert announces(database, "pgmq.q_mail")


def test_a_trigger_that_was_disabled_fires_again(database, client):
    creating.create(client, "mail")
    execute(database, "ALTER TABLE pgmq.q_mail DISABLE TRIGGER airflow_pgmq_notify")

    assert creating.create(client, "mail") == Created(announced=True)
    assert announces(database, "pgmq.q_mail")


def test_who_asks_for_none_gets_none_and_what_is_there_stays(database, client):
    assert creating.create(client, "silent", notify=False) == Created(made=True)
    assert not announces(database, "pgmq.q_silent")

    creating.create(client, "mail")
    assert creating.create(client, "mail", notify=False) == Created()
    assert announces(database, "pgmq.q_mail")


def test_a_queue_that_others_made_under_an_odd_name(database, client):
    execute(database, "SELECT pgmq.create('Odd \"Queue')")

    assert creating.create(client, 'Odd "Queue') == Created(announced=True)
    assert announces(database, 'pgmq."q_odd ""queue"')


def test_a_partitioned_queue_announces_once_for_all_of_its_partitions(database, client):
    execute(
        database,
        """
        CREATE TABLE pgmq.q_parts (LIKE pgmq.q_mail INCLUDING DEFAULTS) PARTITION BY RANGE (msg_id);
        CREATE TABLE pgmq.q_parts_1 PARTITION OF pgmq.q_parts FOR VALUES FROM (0) TO (2);
        CREATE TABLE pgmq.q_parts_2 PARTITION OF pgmq.q_parts FOR VALUES FROM (2) TO (9);
        CREATE SEQUENCE pgmq.q_parts_msg_id_seq;
        ALTER TABLE pgmq.q_parts ALTER msg_id SET DEFAULT nextval('pgmq.q_parts_msg_id_seq');
        CREATE TABLE pgmq.a_parts (LIKE pgmq.a_mail INCLUDING ALL);
        INSERT INTO pgmq.meta (queue_name, is_partitioned, is_unlogged) VALUES ('parts', true, false)
        """,
    )
    assert creating.create(client, "parts") == Created(announced=True)

    with database.observe(autocommit=True) as connection:
        connection.execute('LISTEN "pgmq.q_parts.INSERT"')
        send_prepared(client, "parts", prepare([1, 2]))
        heard = list(connection.notifies(timeout=20, stop_after=1))
        heard += list(connection.notifies(timeout=0))

    assert [each.payload.split()[0] for each in heard] == ["2"]


def test_what_is_no_table_is_left_as_it_is(database, client):
    execute(database, VIEW)

    created = creating.create(client, "mail")

    assert created == Created(obstacle="pgmq.q_mail is not a table.")


def test_a_role_that_may_not_use_our_schema_gets_its_queue_and_is_told(database, others):
    created = creating.create(others, "own")

    assert (created.made, created.announced) == (True, False)
    assert not announces(database, "pgmq.q_own")
    statement = created.obstacle.partition("owner run: ")[2]
    assert statement.startswith("GRANT USAGE ON SCHEMA airflow_pgmq")
    execute(database, statement)
    assert creating.create(others, "own") == Created(announced=True)
    assert creating.create(others, "own2", notify=False) == Created(made=True)


def test_without_our_schema_a_role_that_may_not_make_it_is_told_who_should(database, others):
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")

    created = creating.create(others, "own")

    assert (created.made, created.announced) == (True, False)
    assert "The schema airflow_pgmq is missing" in created.obstacle
    assert "pgmq init" in created.obstacle


def test_with_the_rights_of_the_page_it_announces(database, role, others):
    execute(
        database,
        f"GRANT USAGE ON SCHEMA airflow_pgmq TO {role}; GRANT SELECT ON airflow_pgmq.migrations TO {role}",
    )
    assert creating.create(others, "own") == MADE


def test_the_queue_of_another_role_is_named_with_the_sql_for_its_owner(database, role, others):
    execute(
        database,
        f"GRANT USAGE ON SCHEMA airflow_pgmq TO {role}; GRANT SELECT ON airflow_pgmq.migrations TO {role}",
    )
    created = creating.create(others, "mail")

    assert (created.made, created.announced) == (False, False)
    statement = created.obstacle.partition("owner run: ")[2]
    assert statement.startswith("CREATE OR REPLACE TRIGGER")
    execute(database, statement)
    assert creating.create(others, "mail") == Created()


def test_pgmqs_own_trigger_announces_where_ours_cannot(database, others):
    execute(database, "SELECT pgmq.enable_notify_insert('mail')")
    assert creating.create(others, "mail") == Created()
    execute(database, "ALTER TABLE pgmq.q_mail DISABLE TRIGGER trigger_notify_queue_insert_listeners")
    assert creating.create(others, "mail").obstacle is not None


def test_an_old_schema_is_upgraded_by_a_role_that_may(database, client):
    go_back_to_migration(database, 1)

    assert creating.create(client, "fresh") == MADE
    assert execute(database, NEWEST)[0]["number"] > 1


def test_on_an_old_schema_who_may_not_upgrade_it_gets_the_trigger_of_that_time(database, role, others):
    go_back_to_migration(database, 1)
    execute(
        database,
        f"GRANT USAGE ON SCHEMA airflow_pgmq TO {role}; GRANT SELECT ON airflow_pgmq.migrations TO {role}",
    )
    assert creating.create(others, "own") == MADE
    assert execute(database, NEWEST) == [{"number": 1}]


def test_code_that_is_too_old_for_the_schema_makes_nothing_unless_it_needs_no_schema(database, client):
    execute(database, "INSERT INTO airflow_pgmq.migrations (number, oldest_code) VALUES (99, 99)")

    with pytest.raises(CodeTooOld):
        creating.create(client, "fresh")
    assert creating.create(client, "fresh", notify=False) == Created(made=True)


def test_what_keeps_the_queue_itself_from_being_made_is_an_error(database, client, role, others):
    with pytest.raises(FeatureMissing, match="pg_partman"):
        creating.create(client, "parts", partition_interval="1 day")
    execute(database, f"REVOKE CREATE ON SCHEMA pgmq FROM {role}")
    with pytest.raises(PermissionDenied, match="permission denied"):
        creating.create(others, "own")
    execute(database, "DROP EXTENSION IF EXISTS pgmq; DROP SCHEMA IF EXISTS pgmq CASCADE")
    with pytest.raises(NotInstalled, match="PGMQ is not in this database"):
        creating.create(others, "own")


def test_a_callers_transaction_goes_on_where_nothing_can_be_announced(database, others):
    with others.connection() as lent, lent.transaction():
        assert creating.create(others, "own", conn=lent).obstacle is not None
        lent.execute("SELECT pgmq.send('own', '1')")
    assert execute(database, "SELECT count(*) FROM pgmq.q_own") == [{"count": 1}]


def test_the_hook_logs_why_a_queue_is_silent(pgmq_connection, database, client, capsys):
    from airflow_pgmq.hooks import PgmqHook

    execute(database, VIEW)
    hook = PgmqHook(pgmq_connection)
    hook.create_queue("fresh")
    hook.create_queue("mail", notify=False)
    assert "announced" not in capsys.readouterr().out
    hook.create_queue("mail")
    said = capsys.readouterr().out
    assert "Queue 'mail': inserts are not announced, so waiters poll every 5 seconds" in said
    assert "notify=False" in said


def test_a_dead_letter_queue_announces_where_it_can(database, client, role, others):
    Consumer(client, Policy(queue_name="mail"), together=False).drain(lambda messages, conn: None)
    assert announces(database, "pgmq.q_mail_dlq")

    client.run(lambda: queues.drop("mail_dlq"))
    execute(database, f"GRANT SELECT, UPDATE, DELETE, INSERT ON pgmq.q_mail TO {role}")
    Consumer(others, Policy(queue_name="mail"), together=False).drain(lambda messages, conn: None)
    assert not announces(database, "pgmq.q_mail_dlq")


def test_a_waiter_knows_that_a_new_queue_announces(client):
    """The reason for the default: no look every five seconds."""
    creating.create(client, "fresh")

    (seen,) = client.run(lambda: watching.look({watching.Ask.of("fresh"): 1})).values()

    assert seen.announced
