"""Fixtures of most of these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_pgmq.db.driver import running
from tests.fixtures.factories import QUEUE, client_of, execute
from tests.fixtures.proxy import running_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pgmq.db.client import Client, Connection
    from tests.fixtures.postgres import Database
    from tests.fixtures.proxy import Proxy


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of some thousand messages are several statements."""
    monkeypatch.setattr("airflow_pgmq.core.batch.CHUNK", 1000)


@pytest.fixture
def client(database: Database) -> Client:
    """A client of the test's database, in which the queue `mail` exists."""
    execute(database, "SELECT pgmq.create(%s)", [QUEUE])
    return client_of(database.dsn)


@pytest.fixture
def conn(client: Client) -> Iterator[Connection]:
    """A session of that client, with its settings."""
    with client.connection() as conn:
        running.set_up(conn)
        yield conn


@pytest.fixture
def proxy(database: Database, client: Client) -> Iterator[Proxy]:
    """What can cut connections to that database."""
    with running_proxy(database) as proxy:
        yield proxy
