"""The page of upgrading is right: PGMQ that was installed by SQL can be upgraded, and nothing is lost."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from pgmq.install import get_embedded_install_sql

from airflow_pgmq.db.statements import queues, reading
from airflow_pgmq.services import doctor
from tests.fixtures.factories import execute, send, statuses

PAGE = (Path(__file__).parents[2] / "docs" / "production" / "upgrading.md").read_text()
UPGRADE = re.findall(r"^```sql\n(DO .+?)```", PAGE, re.M | re.S)[0]

#: As in PGMQ before 1.5: without headers, and without what came later.
OLD = """
    ALTER TABLE pgmq.q_mail DROP COLUMN headers, DROP COLUMN last_read_at;
    ALTER TABLE pgmq.a_mail DROP COLUMN headers, DROP COLUMN last_read_at;
    DROP FUNCTION pgmq.send(text, jsonb, jsonb, timestamptz);
    DROP FUNCTION pgmq.send_topic(text, jsonb, jsonb, integer);
    DROP FUNCTION pgmq.metrics(text);
    DROP TYPE pgmq.metrics_result CASCADE;
    CREATE TYPE pgmq.metrics_result AS (queue_name text, queue_length bigint);
"""


@pytest.fixture
def old(database, client):
    client.run(lambda: queues.enable_notify("mail"))
    execute(database, "SELECT pgmq.send('mail', '1'), pgmq.send('mail', '2'), pgmq.archive('mail', 1)")
    execute(database, "SELECT pgmq.enable_notify_insert('mail'), pgmq.bind_topic('a.*', 'mail')")
    execute(database, OLD)
    return client


def upgrade(database):
    with database.connect() as conn:
        conn.execute(UPGRADE)
        conn.execute(get_embedded_install_sql())


def test_the_newer_sql_alone_does_not_do_it(old, database):
    with pytest.raises(psycopg.errors.DuplicateObject):
        execute(database, get_embedded_install_sql())


def test_queues_and_messages_stay_and_the_newer_functions_are_there(old, database):
    assert "old_pgmq" in [problem.code for problem in doctor.examine(old)]
    upgrade(database)

    assert "old_pgmq" not in [problem.code for problem in doctor.examine(old)]
    assert statuses(send(old, "a")) == ["sent"]
    found = old.run(lambda: reading.read("mail", max_messages=9, visibility_timeout=9))
    assert [each.message for each in found] == [2, "a"]
    assert old.run(lambda: reading.archive("mail", found)) == [2, found[1].msg_id]
    assert execute(database, "SELECT count(*) FROM pgmq.a_mail") == [{"count": 3}]
    assert execute(database, "SELECT pgmq.send_topic('a.b', '3', '{}', 0) AS sent") == [{"sent": 1}]
    assert execute(database, "SELECT queue_length FROM pgmq.metrics('mail')") == [{"queue_length": 1}]
    triggers = execute(
        database, "SELECT tgname FROM pg_trigger WHERE tgrelid = 'pgmq.q_mail'::regclass AND NOT tgisinternal"
    )
    assert len(triggers) == 2


def test_a_view_of_somebody_stops_it_and_nothing_is_changed(old, database):
    execute(database, "CREATE VIEW public.theirs AS SELECT * FROM pgmq.list_queues()")
    before = execute(database, "SELECT oid FROM pg_proc WHERE pronamespace = 'pgmq'::regnamespace ORDER BY 1")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist, match="list_queues"):
        upgrade(database)

    after = execute(database, "SELECT oid FROM pg_proc WHERE pronamespace = 'pgmq'::regnamespace ORDER BY 1")
    assert after == before
