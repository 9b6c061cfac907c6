"""Fixtures for the tests of your Dags. pytest loads this module wherever the provider is installed.

So it imports nothing that takes time; what does is imported when a test asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_pgmq.testing.database import PgmqDatabase
    from airflow_pgmq.testing.server import PgmqServer

#: The variable with the URI of a server to use instead of the embedded one.
SERVER = "PGMQ_TEST_URI"

MARK = "pgmq_queues"


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the mark."""
    config.addinivalue_line("markers", f"{MARK}(*names): queues that the fixture pgmq_database creates")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A mark that nobody reads would be a test without its queues, and with a strange error."""
    if item.get_closest_marker(MARK) and "pgmq_database" not in getattr(item, "fixturenames", ()):
        pytest.fail(f"the mark {MARK} is for tests that use the fixture pgmq_database", pytrace=False)


@pytest.fixture(scope="session")
def pgmq_server() -> Iterator[PgmqServer]:
    """The server of this test process: the embedded Postgres, or that of the variable PGMQ_TEST_URI."""
    from airflow_pgmq.db.local import LocalPostgresError
    from airflow_pgmq.errors import InvalidArgument
    from airflow_pgmq.testing.server import running_server

    with ExitStack() as stack:
        try:
            server = stack.enter_context(running_server(os.environ.get(SERVER)))
        except LocalPostgresError as exc:
            other = f"set {SERVER} to the URI of a Postgres server whose role may create databases"
            pytest.fail(f"{exc}, or {other}", pytrace=False)
        except InvalidArgument as exc:
            pytest.fail(f"{SERVER}: {exc}", pytrace=False)
        yield server


@pytest.fixture
def pgmq_database(
    request: pytest.FixtureRequest, pgmq_server: PgmqServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PgmqDatabase]:
    """A database of this test's own, with PGMQ and the queues of the mark `pgmq_queues`.

    The Airflow connection `pgmq_default` leads to it.
    """
    with pgmq_server.database() as database:
        monkeypatch.setenv(f"AIRFLOW_CONN_{database.connection_id.upper()}", database.airflow_connection)
        names = [name for mark in request.node.iter_markers(MARK) for name in mark.args]
        for name in dict.fromkeys(names):
            database.hook.create_queue(name)
        yield database
