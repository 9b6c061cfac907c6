"""The page about the schema `airflow_pgmq` says what is in it; `WRITE_PAGES=1` writes it."""

from __future__ import annotations

import os
import re

from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import groups, queues
from tests.fixtures.postgres import Database
from tests.postgres import sql_objects
from tests.postgres.watching import make_queue

COLUMNS = """
    SELECT relname, array_agg(attname || ' ' || format_type(atttypid, atttypmod) ORDER BY attnum) AS columns
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    WHERE relnamespace = 'airflow_pgmq'::regnamespace AND relkind IN ('r', 'v')
    GROUP BY relname
"""
FUNCTIONS = "SELECT proname FROM pg_proc WHERE pronamespace = 'airflow_pgmq'::regnamespace"
ON_QUEUES = """
    SELECT tgname FROM pg_trigger WHERE tgrelid = 'pgmq.q_mail'::regclass AND NOT tgisinternal
    UNION SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'pgmq.q_mail'::regclass
"""


def test_the_page_is_what_the_schema_is(database: Database) -> None:
    with database.observe() as conn:
        columns = {name: ", ".join(map(sql_objects.shown, each)) for name, each in conn.execute(COLUMNS)}
    written = sql_objects.page(columns)
    if os.environ.get("WRITE_PAGES"):
        sql_objects.PAGE.write_text(written)
    assert sql_objects.PAGE.read_text() == written
    assert set(columns) == {*sql_objects.TABLES, *sql_objects.VIEWS}


def test_each_function_is_described(database: Database) -> None:
    with database.observe() as conn:
        assert {name for (name,) in conn.execute(FUNCTIONS)} == set(sql_objects.FUNCTIONS)


def test_what_is_on_queues_is_described(database: Database, client: Client) -> None:
    make_queue(client, "mail")
    client.run(lambda: groups.make_index("mail"))
    client.run(lambda: queues.guard("mail"))
    with database.observe() as conn:
        names = {name.rpartition(".")[2] for (name,) in conn.execute(ON_QUEUES)}
    described = set(re.findall(r"`(\w+)`", sql_objects.ON_QUEUES.replace("<queue>", "mail")))
    # PGMQ's own are not described.
    assert names - described == {"q_mail_pkey", "q_mail_vt_idx"}
