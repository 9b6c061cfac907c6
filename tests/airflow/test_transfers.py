"""Between tables and queues, without Python in between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.sdk import DAG

from airflow_pgmq.core.delays import AT_ONCE
from airflow_pgmq.db.statements import reading
from airflow_pgmq.errors import (
    DuplicateMessage,
    InvalidArgument,
    InvalidName,
    InvalidQuery,
    MessagesFailed,
    PermissionDenied,
)
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.operators import PgmqToSqlOperator, SqlToPgmqOperator
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.factories import execute, queued
from tests.fixtures.pooler import running_pooler
from tests.fixtures.postgres import Database
from tests.fixtures.roles import drop_role

Run = Callable[..., FinishedRun]


@pytest.fixture
def hook(pgmq_connection: str, database: Database) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("q")
    execute(
        database, "CREATE TABLE orders (id int PRIMARY KEY, total numeric, made timestamptz DEFAULT now())"
    )
    return hook


def test_rows_become_messages(hook: PgmqHook, run_dag: Run, database: Database) -> None:
    execute(database, "INSERT INTO orders SELECT n, n * 1.5 FROM generate_series(1, 3) AS n")
    with DAG("query", schedule=None) as dag:
        SqlToPgmqOperator(
            task_id="t",
            queue_name="q",
            sql="SELECT id, total, 'order/' || id AS dedup_key FROM orders"
            " WHERE id <= %(most)s ORDER BY id DESC; ",
            parameters={"most": "{{ 2 }}"},
            headers={"team": "sales"},
            ttl="{{ 60 }}",
        )
    run = run_dag(dag)
    assert run.xcom("t") == {"sent": 2, "duplicates": 0}
    rows = queued(database, "q")
    # Ids follow the query's order.
    assert [row["message"] for row in rows] == [{"id": 2, "total": 3.0}, {"id": 1, "total": 1.5}]
    assert rows[0]["headers"]["dedup_key"] == "order/2"
    assert rows[0]["headers"]["team"] == "sales"
    assert rows[0]["headers"]["source"]["task_id"] == "t"
    expire = [datetime.fromisoformat(row["headers"]["expires_at"]) - row["vt"] for row in rows]
    assert expire == [timedelta(minutes=1)] * 2
    assert run_dag(dag).xcom("t") == {"sent": 0, "duplicates": 2}


def test_columns_say_how_a_row_is_sent(hook: PgmqHook, database: Database) -> None:
    hook.send_from_query(
        "q",
        """-- a comment with 100 % and {braces}
        SELECT jsonb_build_object('n', n) AS message, jsonb_build_object('h', n) AS headers,
               CASE n WHEN 1 THEN interval '1 hour' END AS delay,
               CASE n WHEN 2 THEN timestamptz '2099-01-01 00:00Z' END AS visible_at,
               CASE n WHEN 3 THEN 'k' END AS dedup_key
        FROM generate_series(1, 4) AS n ORDER BY n -- and one at the end""",
        headers={"h": 0, "all": True},
    )
    rows = queued(database, "q")
    assert [row["message"] for row in rows] == [{"n": n} for n in (1, 2, 3, 4)]
    assert [row["headers"] for row in rows] == [
        {"h": 1, "all": True},
        {"h": 2, "all": True},
        {"h": 3, "all": True, "dedup_key": "k"},
        {"h": 4, "all": True},
    ]
    now = datetime.now(timezone.utc)
    assert timedelta(minutes=59) < rows[0]["vt"] - now < timedelta(minutes=61)
    assert rows[1]["vt"] == datetime(2099, 1, 1, tzinfo=timezone.utc)
    assert rows[2]["vt"] <= now


@pytest.mark.parametrize("scope", ["once", "queued", "none"])
def test_scopes(hook: PgmqHook, database: Database, scope: Any) -> None:
    sql = "SELECT n, nullif('k' || n % 3, 'k0') AS dedup_key, 1.5 AS delay FROM generate_series(1, 6) AS n"
    first = hook.send_from_query("q", sql, dedup_scope=scope)
    again = hook.send_from_query("q", sql, dedup_scope=scope)
    if scope == "none":
        assert first == again == {"sent": 6, "duplicates": 0}
        assert {row["headers"] for row in queued(database, "q")} == {None}
    else:
        # Two without a key each time, and the first of each key.
        assert first == {"sent": 4, "duplicates": 2}
        assert again == {"sent": 2, "duplicates": 4}
        assert hook.send("q", "m", dedup_key="k1", dedup_scope=scope).status == "duplicate"
    # No ids are burnt by duplicates.
    ids = [row["msg_id"] for row in queued(database, "q")]
    assert ids == list(range(1, len(ids) + 1))


def test_a_key_that_expired_is_sent_again(hook: PgmqHook, database: Database) -> None:
    sql = "SELECT 'k' AS dedup_key"
    hook.send_from_query("q", sql)
    execute(database, "UPDATE airflow_pgmq.dedup_ledger SET expires_at = now() - interval '1 s'")
    assert hook.send_from_query("q", sql)["sent"] == 1


def test_all_or_nothing(hook: PgmqHook, database: Database) -> None:
    hook.send("q", "m", dedup_key="k2")
    sql = "SELECT 'k' || n AS dedup_key FROM generate_series(1, 3) AS n"
    with pytest.raises(DuplicateMessage):
        hook.send_from_query("q", sql, on_duplicate="fail")
    with pytest.raises(InvalidName, match="256"):
        hook.send_from_query("q", "SELECT repeat('k', 256) AS dedup_key UNION ALL SELECT 'k'")
    assert len(queued(database, "q")) == 1
    assert len(execute(database, "SELECT 1 FROM airflow_pgmq.dedup_ledger")) == 1


def test_in_the_callers_transaction(hook: PgmqHook, database: Database) -> None:
    with hook.get_conn() as conn:
        conn.execute("INSERT INTO orders VALUES (1, 1)")
        assert hook.send_from_query("q", "SELECT id FROM orders", conn=conn)["sent"] == 1
        conn.rollback()
    assert queued(database, "q") == []


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT 1; SELECT 2", None),
        ("SELEC 1", None),
        ("  ", None),
        ("SELECT %(a)s", ["a"]),
        ("SELECT 1", {"pgmq_queue": 1}),
    ],
    ids=str,
)
def test_what_is_not_one_query_is_refused(hook: PgmqHook, sql: str, parameters: Any) -> None:
    with pytest.raises(InvalidQuery):
        hook.send_from_query("q", sql, parameters)


def test_errors_of_the_query_have_postgres_words(hook: PgmqHook) -> None:
    with pytest.raises(InvalidQuery, match=r'"nowhere".*It was: SELECT') as failed:
        hook.send_from_query("q", "SELECT * FROM nowhere")
    assert "semicolon" not in str(failed.value)
    with pytest.raises(psycopg.errors.InvalidDatetimeFormat, match="soon"):
        hook.send_from_query("q", "SELECT 'soon' AS delay")
    with pytest.raises(InvalidArgument):
        hook.send_from_query("q", "SELECT 1", on_duplicate="replace")  # type: ignore[arg-type]


# To a table.


def test_messages_become_rows(hook: PgmqHook, run_dag: Run, database: Database) -> None:
    hook.send_batch("q", [{"id": n, "total": n / 2, "other": "x"} for n in range(5)])
    with DAG("rows", schedule=None) as dag:
        PgmqToSqlOperator(
            task_id="t", queue_name="q", table="public.{{ 'orders' }}", columns=["id", "total"], batch_size=2
        )
    counts = run_dag(dag).xcom("t")
    assert (counts["acked"], counts["batches"]) == (5, 3)
    rows = execute(database, "SELECT * FROM orders ORDER BY id")
    assert [row["id"] for row in rows] == list(range(5))
    # Columns that are not named keep their defaults.
    assert all(row["made"] for row in rows)
    assert hook.metrics("q").queue_length == 0


def test_one_bad_row_does_not_stop_the_others(hook: PgmqHook, database: Database) -> None:
    hook.send_batch("q", [{"id": 1}, {"id": "x"}, {"id": 1}, {"id": 2}])
    operator = PgmqToSqlOperator(
        task_id="t", queue_name="q", table="orders", columns=["id"], max_reads=None, do_xcom_push=False
    )
    with pytest.raises(MessagesFailed, match="2 of 4"):
        operator.execute({})
    assert [row["id"] for row in execute(database, "SELECT id FROM orders ORDER BY 1")] == [1, 2]
    assert [row["message"]["id"] for row in queued(database, "q")] == ["x", 1]


def test_rows_of_a_group_are_stored_in_order(hook: PgmqHook, database: Database) -> None:
    for number in range(5):
        hook.send("q", {"id": number, "total": 1}, group="a")
        hook.send("q", {"id": 10 + number, "total": 2}, group="b")
    operator = PgmqToSqlOperator(
        task_id="t", queue_name="q", table="orders", columns=["id", "total"], ordered=True
    )
    assert operator.execute({})["acked"] == 10
    for total, first in ((1, 0), (2, 10)):
        rows = execute(database, "SELECT id FROM orders WHERE total = %s ORDER BY ctid", [total])
        assert [row["id"] for row in rows] == list(range(first, first + 5))


def test_conflicts_can_be_skipped(hook: PgmqHook, database: Database) -> None:
    hook.send_batch("q", [{"id": 1, "total": 1}, {"id": 1, "total": 2}])
    operator = PgmqToSqlOperator(
        task_id="t", queue_name="q", table="orders", columns=["id", "total"], on_conflict="skip"
    )
    assert operator.execute({})["acked"] == 2
    assert [row["total"] for row in execute(database, "SELECT total FROM orders")] == [1]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO orders (id, total) SELECT (message ->> 'id')::int, %(rate)s * read_ct FROM messages;",
        """/* first */ -- then
        with recursive numbered AS (SELECT *, 1 AS step FROM messages)
        INSERT INTO orders (id, total) SELECT (message ->> 'id')::int, %(rate)s FROM numbered""",
    ],
)
def test_a_statement_sees_messages_as_a_table(hook: PgmqHook, database: Database, sql: str) -> None:
    hook.send_batch("q", [{"id": 1}, {"id": 2}])
    operator = PgmqToSqlOperator(task_id="t", queue_name="q", sql=sql, parameters={"rate": 7})
    assert operator.execute({})["acked"] == 2
    assert [(row["id"], row["total"]) for row in execute(database, "SELECT * FROM orders ORDER BY 1")] == [
        (1, 7),
        (2, 7),
    ]


def test_errors_of_the_statement_have_postgres_words(hook: PgmqHook) -> None:
    hook.send("q", {"id": 1})
    for sql in ("INSERT INTO nowhere SELECT 1 FROM messages", "SELECT 1; SELECT 2 FROM messages"):
        with pytest.raises(MessagesFailed) as failed:
            PgmqToSqlOperator(
                task_id="t", queue_name="q", sql=sql, max_batches=1, do_xcom_push=False
            ).execute({})
        cause = failed.value.__cause__
        assert type(cause) is InvalidQuery
        assert f"It was: {sql}" in str(cause)
        hook.client.run(lambda: reading.set_vt("q", [1], AT_ONCE))


@pytest.mark.parametrize(
    "sql",
    [
        "/* a */ INSERT INTO orders (id) /* b */ WITH m AS (SELECT * FROM messages)"
        " SELECT (message ->> 'id')::int FROM m",
        "/* a */" * 40
        + "-- b\n" * 40
        + "INSERT INTO orders (id) SELECT (message ->> 'id')::int FROM messages -- c",
        "INSERT INTO orders (id) SELECT (message ->> 'id')::int % 10 FROM messages",
        "WITH a AS (SELECT * FROM messages), b AS (SELECT 1)"
        " INSERT INTO orders (id) SELECT (message ->> 'id')::int FROM a ON CONFLICT DO NOTHING",
        "DO $$ BEGIN INSERT INTO orders (id) SELECT (message ->> 'id')::int FROM messages; END $$",
    ],
)
def test_a_statement_is_run_as_it_is(hook: PgmqHook, database: Database, sql: str) -> None:
    hook.send_batch("q", [{"id": 1}, {"id": 2}, {"id": 3}])
    assert PgmqToSqlOperator(task_id="t", queue_name="q", sql=sql, batch_size=2).execute({})["acked"] == 3
    assert [row["id"] for row in execute(database, "SELECT id FROM orders ORDER BY 1")] == [1, 2, 3]


def test_a_table_of_the_users_by_the_same_name(hook: PgmqHook, database: Database) -> None:
    execute(database, "CREATE TABLE public.messages (message jsonb)")
    hook.send_batch("q", [1, 2])
    into = "INSERT INTO {} (message) SELECT message FROM messages"
    operator = PgmqToSqlOperator(task_id="t", queue_name="q", sql=into.format("messages"), do_xcom_push=False)
    with pytest.raises(MessagesFailed, match="2 of 2") as failed:
        operator.execute({})
    assert "cannot insert into view" in str(failed.value.__cause__)
    assert hook.metrics("q").queue_length == 2
    execute(database, "UPDATE pgmq.q_q SET vt = now()")
    operator = PgmqToSqlOperator(task_id="t", queue_name="q", sql=into.format("public.messages"))
    assert operator.execute({})["acked"] == 2
    assert [row["message"] for row in execute(database, "SELECT * FROM messages ORDER BY 1")] == [1, 2]


def test_a_batch_that_would_not_be_read_is_not_acked(hook: PgmqHook, database: Database) -> None:
    execute(database, "CREATE TABLE public.messages (message jsonb)")
    execute(database, f"ALTER DATABASE {database.name} SET search_path = public, pg_temp")
    hook.send("q", {"id": 1})
    operator = PgmqToSqlOperator(
        task_id="t",
        queue_name="q",
        sql="INSERT INTO orders (id) SELECT 1 FROM messages",
        do_xcom_push=False,
    )
    with pytest.raises(MessagesFailed) as failed:
        operator.execute({})
    assert "pg_temp" in str(failed.value.__cause__)


def test_without_the_right_to_temporary_tables_nothing_is_read(
    hook: PgmqHook, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.create_queue("q_dlq")
    hook.send("q", {"id": 1})
    execute(
        database,
        f"REVOKE TEMPORARY ON DATABASE {database.name} FROM PUBLIC; CREATE ROLE plain LOGIN;"
        " GRANT USAGE ON SCHEMA pgmq TO plain; GRANT ALL ON ALL TABLES IN SCHEMA pgmq TO plain",
    )
    arguments = PgmqHook.connection_arguments
    monkeypatch.setattr(PgmqHook, "connection_arguments", lambda self: {**arguments(self), "user": "plain"})
    operator = PgmqToSqlOperator(task_id="t", queue_name="q", sql="SELECT 1 FROM messages")
    with pytest.raises(PermissionDenied, match=r"temporary tables.* doctor` prints"):
        operator.execute({})
    assert [row["read_ct"] for row in queued(database, "q")] == [0]
    drop_role(database, "plain")


def test_behind_a_pooler_nothing_stays_in_the_session(
    hook: PgmqHook, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.send_batch("q", [{"id": n} for n in range(5)])
    arguments = PgmqHook.connection_arguments
    with running_pooler(database.server, tmp_path, "transaction") as port:
        through = {"host": "127.0.0.1", "port": port}
        monkeypatch.setattr(PgmqHook, "connection_arguments", lambda self: {**arguments(self), **through})
        operator = PgmqToSqlOperator(
            task_id="t",
            queue_name="q",
            sql="INSERT INTO orders (id) SELECT (message ->> 'id')::int FROM messages",
            batch_size=2,
        )
        assert operator.execute({})["acked"] == 5
        with PgmqHook().get_conn() as conn:
            assert conn.execute("SELECT to_regclass('messages')").fetchone() == (None,)
    assert len(execute(database, "SELECT id FROM orders")) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"table": "t", "sql": "SELECT 1", "columns": ["a"]},
        {"table": "t"},
        {"table": "t", "columns": "id"},
        {"sql": "SELECT 1", "columns": ["id"]},
        {"sql": "SELECT 1", "fail_on": "some"},
    ],
    ids=str,
)
def test_bad_parameters_are_refused_at_dag_parse(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        PgmqToSqlOperator(task_id="t", queue_name="q", **wrong)


def test_a_table_name_is_quoted(hook: PgmqHook) -> None:
    operator = PgmqToSqlOperator(
        task_id="t", queue_name="q", table="a.b.c", columns=["id"], do_xcom_push=False
    )
    hook.send("q", {"id": 1})
    with pytest.raises(MessagesFailed) as failed:
        operator.execute({})
    assert type(failed.value.__cause__) is InvalidArgument
