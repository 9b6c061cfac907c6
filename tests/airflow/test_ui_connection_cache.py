"""The connections that the page keeps between requests."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import anyio
import pytest

from airflow_pgmq.db import connection_cache
from airflow_pgmq.db.connection_cache import ConnectionCache
from airflow_pgmq.db.driver.connecting import answers
from airflow_pgmq.db.statements import Statement, first
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services import overview
from airflow_pgmq.ui import database as ui_database
from tests.fixtures.factories import execute
from tests.fixtures.pooler import running_pooler
from tests.fixtures.ui import asker


@pytest.fixture
def kept(monkeypatch):
    """Nothing is kept before the test."""
    kept = ConnectionCache(2, lambda conn: answers(conn, ui_database.CHECK_TIMEOUT))
    monkeypatch.setattr(ui_database, "_cache", kept)
    yield kept
    kept.close()


@pytest.fixture
def hook(pgmq_connection):
    return PgmqHook()


def backend(client, conn):
    return conn.info.backend_pid


def ask(work=backend):
    return anyio.run(ui_database.read, asker(), work)


def backends(database):
    """The page's connections, as the server sees them."""
    rows = execute(
        database,
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'airflow-pgmq-ui' AND datname = %s",
        [database.name],
    )
    return {row["pid"] for row in rows}


def test_requests_after_each_other_share_one(kept, hook, database):
    assert {ask() for _ in range(3)} == backends(database)
    assert len(backends(database)) == 1


def test_requests_at_once_have_one_each(kept, hook):
    together = Barrier(2, timeout=60)

    def work(client, conn):
        together.wait()
        return backend(client, conn)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: ask(work), range(2))
    assert first != second


def test_one_that_the_server_has_ended_is_replaced(kept, hook, database):
    before = ask()
    execute(database, "SELECT pg_terminate_backend(%s, 10000)", [before])
    assert ask() != before


def test_one_whose_server_hangs_is_replaced(kept, hook, monkeypatch):
    monkeypatch.setattr(ui_database, "CHECK_TIMEOUT", 0.5)
    before = ask()
    os.kill(before, signal.SIGSTOP)
    try:
        assert ask() != before
    finally:
        os.kill(before, signal.SIGCONT)


def test_one_that_is_old_is_not_kept(kept, hook, monkeypatch):
    monkeypatch.setattr(connection_cache, "MAX_AGE", 0)
    assert ask() != ask()
    assert kept._idle == []


def test_a_few_are_kept(kept, hook, database):
    together = Barrier(4, timeout=60)

    def work(client, conn):
        together.wait()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ask(work), range(4)))
    assert len(kept._idle) == 2


def test_a_pooler_of_transactions_is_no_hindrance(kept, hook, database, tmp_path, monkeypatch):
    def settings(client, conn):
        script = (
            "SELECT current_setting('transaction_read_only') AS read_only,"
            " current_setting('statement_timeout') AS limit"
        )
        return client.run(lambda: Statement("settings", script=script, decode=first), conn)

    with running_pooler(database.server, tmp_path, "transaction") as port:
        pooled = {"conn_type": "pgmq", "host": "127.0.0.1", "port": port}
        pooled |= {"login": "postgres", "schema": database.name}
        monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(pooled))
        # More often than the driver waits before it prepares a statement.
        for _ in range(10):
            assert ask(settings) == {"read_only": "on", "limit": "5s"}
        anyio.run(ui_database.write, asker(), lambda hook: hook.create_queue("mail"))
        assert ask(lambda client, conn: overview.queues(client, conn)["queues"][0]["queue_name"]) == "mail"
        kept.close()


def test_one_in_a_transaction_is_not_kept(airflow_app, kept, hook, database):
    ask(lambda client, conn: conn.execute("BEGIN"))
    assert kept._idle == []


def test_one_that_read_writes_nothing_later(airflow_app, kept, hook, database):
    assert ask(lambda client, conn: conn.read_only)
    is_read_only = anyio.run(ui_database.write, asker(), lambda hook: _is_read_only(hook.client))
    assert not is_read_only


def _is_read_only(client):
    with client.connection() as conn:
        return conn.read_only


def test_another_password_opens_another(kept, hook, monkeypatch):
    before = ask()
    changed = os.environ["AIRFLOW_CONN_PGMQ_DEFAULT"].replace("{", '{"password": "new", ', 1)
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", changed)
    assert ask() != before


def test_those_that_nobody_uses_are_closed(kept, hook):
    ask()
    kept.close(unused_for=3600)
    (idle,) = kept._idle
    assert not idle.conn.closed
    kept.close()
    assert idle.conn.closed
    assert kept._idle == []


def test_they_are_closed_by_and_by_without_another_request(kept, hook, database, monkeypatch):
    monkeypatch.setattr(ui_database, "IDLE_TIME", 1)

    async def main():
        await ui_database.read(asker(), backend)
        (idle,) = kept._idle
        with anyio.fail_after(60):
            while not idle.conn.closed:
                await anyio.sleep(0.05)

    anyio.run(main)
