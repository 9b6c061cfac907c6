"""A verb opens one connection, also if it first checks that schema, index or queue exists."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.db.client import Client
from airflow_pgmq.services import maintenance
from tests.fixtures.factories import (
    QUEUE,
    client_of,
    execute,
    job,
    keys_in,
    queued,
    read_committed,
    send,
    statuses,
    tick,
)
from tests.fixtures.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pgmq.hooks import PgmqHook
    from tests.fixtures.postgres import Database

pytestmark = pytest.mark.direct("counts connections to the server, not to a pooler")

NOW = datetime.now(timezone.utc)
MANY = [f"k{n}" for n in range(2500)]
ROWS = "SELECT 'k' || n AS dedup_key, n FROM generate_series(1, 2) AS n"


@pytest.fixture
def fresh(proxy: Proxy) -> Client:
    """A client that has not looked at its database yet."""
    return client_of(proxy.dsn)


@pytest.fixture
def hook(proxy: Proxy, database: Database, monkeypatch: pytest.MonkeyPatch) -> PgmqHook:
    """A hook that leads through the proxy, not used yet."""
    from airflow_pgmq.hooks import PgmqHook

    connection = {"conn_type": "pgmq", "host": proxy.host, "port": proxy.port, "schema": database.name}
    connection |= {"login": "postgres", "extra": {"sslmode": "disable", "gssencmode": "disable"}}
    monkeypatch.setenv("AIRFLOW_CONN_PROXIED", json.dumps(connection))
    return PgmqHook("proxied")


def consume(hook: PgmqHook) -> None:
    with hook.consume(QUEUE) as messages:
        assert messages == []


VERBS: dict[str, Callable[[PgmqHook], Any]] = {
    "send, once": lambda hook: hook.send(QUEUE, 1, dedup_key="a"),
    "send, queued": lambda hook: hook.send(QUEUE, 1, dedup_key="a", dedup_scope="queued"),
    "send or fail": lambda hook: hook.send(QUEUE, 1, dedup_key="a", on_duplicate="fail"),
    "send many": lambda hook: hook.send_batch(QUEUE, MANY, dedup_keys=MANY),
    "send a query's rows": lambda hook: hook.send_from_query(QUEUE, ROWS),
    "send them, queued": lambda hook: hook.send_from_query(QUEUE, ROWS, dedup_scope="queued"),
    "tick": lambda hook: tick(job()).run(hook.client),
    "backfill": lambda hook: tick(job()).backfill(hook.client, NOW - timedelta(hours=3), NOW),
    "maintain": lambda hook: maintenance.maintain(hook.client),
    "create a queue": lambda hook: hook.create_queue("other", notify=True),
    "consume": consume,
    "announce": lambda hook: hook.enable_notify(QUEUE),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_first_use_of_a_verb_opens_one_connection(hook: PgmqHook, proxy: Proxy, verb: str) -> None:
    VERBS[verb](hook)
    assert proxy.opened == 1


@pytest.mark.parametrize("verb", ["send, once", "tick"])
def test_so_does_the_one_that_installs_the_schema(
    hook: PgmqHook, proxy: Proxy, database: Database, verb: str
) -> None:
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")
    VERBS[verb](hook)
    assert proxy.opened == 1
    assert queued(database)


def test_a_connection_that_is_lost_at_the_check_is_opened_again(
    fresh: Client, proxy: Proxy, database: Database
) -> None:
    proxy.cut_before(b"airflow_pgmq.migrations")
    assert statuses(send(fresh, "a")) == ["sent"]
    assert proxy.opened == 2
    assert keys_in(database) == ["a"]


def test_a_callers_idle_connection_serves(fresh: Client, proxy: Proxy, database: Database) -> None:
    with database.connect(autocommit=True) as conn:
        assert statuses(send(fresh, "a", conn=conn)) == ["sent"]
        assert statuses(send(fresh, "b", scope="queued", conn=conn)) == ["sent"]
    assert proxy.opened == 0


def test_in_a_callers_transaction_nothing_of_the_check_stays_locked(
    fresh: Client, proxy: Proxy, database: Database
) -> None:
    """Otherwise an installation and that transaction would wait for each other."""
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")
    with read_committed(database) as conn:
        conn.execute("SELECT 1")
        assert statuses(send(fresh, "a", conn=conn)) == ["sent"]
        assert proxy.opened == 1
        assert statuses(send(fresh, "b", conn=conn)) == ["sent"]
    assert proxy.opened == 1
    assert keys_in(database) == ["a", "b"]
