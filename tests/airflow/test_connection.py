"""Airflow's connection, form and Test button."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import airflow
import psycopg
import pytest
from airflow.exceptions import AirflowNotFoundException
from airflow.sdk import Connection, dag, task
from packaging.version import Version

from airflow_pgmq import settings
from airflow_pgmq.command_line import command
from airflow_pgmq.db.local import LocalPostgres
from airflow_pgmq.errors import InvalidArgument, InvalidConnection, documentation
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.provider_info import get_provider_info
from tests.fixtures.factories import execute
from tests.fixtures.postgres import Database
from tests.fixtures.roles import drop_role


def test_airflow_finds_the_hook_by_the_connection_type() -> None:
    # The Test button and `BaseHook.get_hook()` go this way.
    hook = Connection(conn_id="queues", conn_type="pgmq").get_hook()
    assert isinstance(hook, PgmqHook)
    assert hook.pgmq_conn_id == "queues"


def test_the_provider_info_names_what_the_hook_is() -> None:
    (kind,) = get_provider_info()["connection-types"]
    assert kind["connection-type"] == PgmqHook.conn_type
    assert kind["hook-name"] == PgmqHook.hook_name


def press(database: Database, **fields: str) -> tuple[bool, str]:
    """The Test button."""
    return PgmqHook(connection=connection(database, **fields)).test_connection()


def test_the_test_button_tells_what_is_there_and_what_the_role_may(database: Database) -> None:
    ok, text = press(database)
    assert ok
    assert re.fullmatch(
        r"Connected to Postgres \d+\.\d+ as postgres: PGMQ \(installed by SQL\), 0 queues, "
        r"schema airflow_pgmq at migration \d+\. "
        r"It may send, read, see pauses, pause queues, run periodic jobs, maintain, look, create queues\.",
        text,
    )


def test_the_test_button_tells_what_a_role_may_not(database: Database) -> None:
    role = f"app_{database.name}"
    execute(database, f"SELECT pgmq.create('mail'); CREATE ROLE {role} LOGIN")
    try:
        ok, text = press(database, login=role)
        assert not ok
        assert "may not use PGMQ" in text
        execute(database, f"GRANT USAGE ON SCHEMA pgmq TO {role}")
        execute(database, f"GRANT SELECT, UPDATE, DELETE ON pgmq.q_mail TO {role}")
        execute(database, f"GRANT SELECT, INSERT ON pgmq.a_mail TO {role}")
        ok, text = press(database, login=role)
        assert ok
        unable = "send or see pauses or pause queues or run periodic jobs or maintain or look"
        assert f"may read, and may not {unable} (" in text
        assert documentation.PERMISSIONS in text
    finally:
        drop_role(database, role)


def test_the_test_button_without_our_schema(database: Database) -> None:
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")
    ok, text = press(database)
    assert ok
    assert "it is made on first use" in text


def test_the_test_button_tells_what_to_do(database: Database, empty_database: Database) -> None:
    ok, text = press(empty_database)
    assert not ok
    assert "PGMQ is not in database" in text
    assert command("init") in text
    ok, text = press(database, login="nobody")
    assert not ok
    assert "Correct user and password" in text
    ok, text = press(database, host="127.0.0.1", port="1")
    assert not ok
    assert "Correct host and port" in text
    ok, text = press(database, conn_type="mysql")
    assert not ok
    assert "'mysql'" in text


def test_the_command_that_texts_name_is_the_one_that_there_is() -> None:
    # Airflow 3.2 is the first that takes commands of providers.
    modern = Version(airflow.__version__) >= Version("3.2.0.dev0")
    assert command("init a") == ("airflow pgmq init a" if modern else "python -m airflow_pgmq init a")


def test_a_plain_script_is_told_why_it_sees_no_connection(airflow_metadata: LocalPostgres) -> None:
    from airflow.models.connection import Connection as Row
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Row(conn_id="made_in_the_ui", conn_type="pgmq", host="127.0.0.1"))
    try:
        said = script("PgmqHook('made_in_the_ui').create_queue('orders')")
    finally:
        with create_session() as session:
            session.query(Row).filter_by(conn_id="made_in_the_ui").delete()
    assert "plain Python process" in said
    for way in (
        f"`{command('init')} QUEUE`",
        "in a task",
        "export AIRFLOW_CONN_MADE_IN_THE_UI='pgmq://USER:PASSWORD@HOST:5432/DATABASE'",
    ):
        assert way in said
    # An `except` for Airflow's own error, or for ours, catches this one.
    assert "airflow True True" in said


def test_the_environment_is_the_way_for_a_plain_script(pgmq_connection: str, database: Database) -> None:
    assert script("PgmqHook().create_queue('orders')") == "done"
    assert execute(database, "SELECT queue_name FROM pgmq.meta") == [{"queue_name": "orders"}]


def script(statement: str) -> str:
    """What a plain Python process says that runs it."""
    code = (
        "from airflow.exceptions import AirflowNotFoundException; from airflow_pgmq.errors import PgmqError\n"
        f"from airflow_pgmq.hooks import PgmqHook\ntry:\n    {statement}\n    print('done')\n"
        "except Exception as exc: print(exc, 'airflow', isinstance(exc, AirflowNotFoundException), "
        "isinstance(exc, PgmqError))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_a_task_without_its_connection_is_told_how_to_make_one(run_dag: Callable[..., Any]) -> None:
    told = []

    @dag(schedule=None)
    def lonely() -> None:
        @task
        def send() -> None:
            try:
                PgmqHook("nowhere").send("orders", 1)
            except AirflowNotFoundException as exc:
                told.append(str(exc))

        send()

    assert run_dag(lonely()).state == "success"
    assert "airflow connections add nowhere --conn-uri" in told[0]
    assert "plain Python" not in told[0]


def test_the_form_of_older_airflows_has_the_same_labels() -> None:
    behaviour = PgmqHook.get_ui_field_behaviour()
    assert behaviour.keys() == {"hidden_fields", "relabeling", "placeholders"}
    assert behaviour["relabeling"]["schema"] == "Database"


@pytest.mark.parametrize("conn_type", ["pgmq", "postgres"])
def test_both_connection_types_give_a_psycopg_3_connection(database: Database, conn_type: str) -> None:
    extra = {"options": "-c lock_timeout=7s", "cursor": "dictcursor"}
    hook = PgmqHook(connection=connection(database, conn_type=conn_type, extra=extra))
    with hook.get_conn() as conn:
        assert isinstance(conn, psycopg.Connection)
        assert conn.execute("SHOW lock_timeout").fetchone() == ("7s",)
        assert conn.execute("SHOW application_name").fetchone() == ("airflow_pgmq",)


def test_other_connection_types_are_refused(database: Database) -> None:
    with pytest.raises(InvalidConnection, match="'mysql'"):
        PgmqHook(connection=connection(database, conn_type="mysql")).get_conn()


def connection(database: Database, extra: dict[str, str] | None = None, **fields: str) -> Connection:
    values = {
        "conn_type": "pgmq",
        "host": str(database.server.directory),
        "login": "postgres",
        "schema": database.name,
        **fields,
    }
    port = int(values.pop("port", 0)) or None
    return Connection(conn_id="x", port=port, extra=json.dumps(extra or {}), **values)


def test_dag_files_do_not_load_the_driver() -> None:
    code = (
        "import sys, airflow.sdk; before = set(sys.modules); "
        "import airflow_pgmq.operators, airflow_pgmq.jobs, airflow_pgmq.sensors; "
        "new = set(sys.modules) - before; "
        "print(sorted(name for name in new if name.split('.')[0] in ('psycopg', 'sqlalchemy', 'fastapi')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e9", "0.0001"])
def test_a_limit_that_postgres_cannot_have_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AIRFLOW__PGMQ__LOCK_TIMEOUT", value)
    with pytest.raises(InvalidArgument, match=r"\[pgmq\] lock_timeout is .*: give seconds from 0.001 to"):
        settings.limits()
