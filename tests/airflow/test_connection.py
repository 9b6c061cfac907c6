"""Airflow's connection, form and Test button."""

from __future__ import annotations

import json
import subprocess
import sys

import psycopg
import pytest
from airflow.sdk import Connection

from airflow_pgmq.errors import PgmqError
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.provider_info import get_provider_info
from tests.fixtures.postgres import Database


def test_airflow_finds_the_hook_by_the_connection_type() -> None:
    # The Test button and `BaseHook.get_hook()` go this way.
    hook = Connection(conn_id="queues", conn_type="pgmq").get_hook()
    assert isinstance(hook, PgmqHook)
    assert hook.pgmq_conn_id == "queues"


def test_the_provider_info_names_what_the_hook_is() -> None:
    (kind,) = get_provider_info()["connection-types"]
    assert kind["connection-type"] == PgmqHook.conn_type
    assert kind["hook-name"] == PgmqHook.hook_name


def test_the_test_button(database: Database, empty_database: Database) -> None:
    assert PgmqHook(connection=connection(database)).test_connection() == (
        True,
        "Connected: PGMQ installed by SQL, 0 queues, schema airflow_pgmq 2.",
    )
    ok, text = PgmqHook(connection=connection(empty_database)).test_connection()
    assert not ok
    assert "install()" in text
    ok, text = PgmqHook(
        connection=Connection(conn_id="x", conn_type="pgmq", host="/nowhere")
    ).test_connection()
    assert not ok
    assert "/nowhere" in text


@pytest.mark.parametrize("conn_type", ["pgmq", "postgres"])
def test_both_connection_types_give_a_psycopg_3_connection(database: Database, conn_type: str) -> None:
    extra = {"options": "-c lock_timeout=7s", "cursor": "dictcursor"}
    hook = PgmqHook(connection=connection(database, conn_type=conn_type, extra=extra))
    with hook.get_conn() as conn:
        assert isinstance(conn, psycopg.Connection)
        assert conn.execute("SHOW lock_timeout").fetchone() == ("7s",)
        assert conn.execute("SHOW application_name").fetchone() == ("airflow_pgmq",)


def test_other_connection_types_are_refused(database: Database) -> None:
    with pytest.raises(PgmqError, match="'mysql'"):
        PgmqHook(connection=connection(database, conn_type="mysql")).get_conn()


def connection(
    database: Database, conn_type: str = "pgmq", extra: dict[str, str] | None = None
) -> Connection:
    return Connection(
        conn_id="x",
        conn_type=conn_type,
        host=str(database.server.directory),
        login="postgres",
        schema=database.name,
        extra=json.dumps(extra or {}),
    )


def test_dag_files_do_not_load_the_driver() -> None:
    code = (
        "import sys, airflow.sdk; before = set(sys.modules); "
        "import airflow_pgmq.operators, airflow_pgmq.jobs, airflow_pgmq.sensors; "
        "new = set(sys.modules) - before; "
        "print(sorted(name for name in new if name.split('.')[0] in ('psycopg', 'sqlalchemy', 'fastapi')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
