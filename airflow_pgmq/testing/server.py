"""The server of a test process: the embedded Postgres, or one that is there already."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_pgmq.db.client import Client, arguments_of, connect
from airflow_pgmq.db.driver import databases
from airflow_pgmq.db.driver.sessions import Connection
from airflow_pgmq.db.local import LocalPostgres
from airflow_pgmq.testing.database import PgmqDatabase, uri_of

# The data are temporary: no commit waits for a disk.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}

#: How the databases begin that tests make, so that one can find those of a process that was killed.
PREFIX = "pgmq_test_"


class PgmqServer:
    """A Postgres server on which each test gets a database of its own.

    :param arguments: libpq's arguments of a database in which the role may create others
    :param is_temporary: nobody needs its data after the tests
    """

    def __init__(self, arguments: Mapping[str, Any], *, is_temporary: bool) -> None:
        self.arguments = dict(arguments)
        # Without durability a copy of files is faster than a copy through the log. A server whose data matter
        # would write all it has to its disk first.
        self._by_files = is_temporary
        self._template: str | None = None

    @property
    def uri(self) -> str:
        """The address of the database that was there before."""
        return uri_of(self.arguments)

    @contextmanager
    def database(self) -> Iterator[PgmqDatabase]:
        """A new database with PGMQ and our schema, dropped at the end even if somebody is connected."""
        if self._template is None:
            self._template = self._make_template()
        name = _new_name()
        with self._admin() as admin:
            databases.create(admin, name, self._template, by_files=self._by_files)
        database = PgmqDatabase({**self.arguments, "dbname": name})
        try:
            yield database
        finally:
            database.close()
            self._drop(name)

    def close(self) -> None:
        """Drop the template."""
        if self._template is not None:
            self._drop(self._template)
            self._template = None

    def _make_template(self) -> str:
        """Install once what every test needs; a copy of the database takes a fraction of the time."""
        name = _new_name()
        with self._admin() as admin:
            databases.create(admin, name)
        try:
            client = Client(lambda: connect({**self.arguments, "dbname": name}))
            client.install()
            # Postgres copies no database that somebody is connected to.
            client.close()
        except BaseException:
            self._drop(name)
            raise
        return name

    def _drop(self, name: str) -> None:
        with self._admin() as admin:
            databases.drop(admin, name)

    def _admin(self) -> Connection:
        """A connection; a database cannot be made or dropped in a transaction."""
        return connect({**self.arguments, "autocommit": True})


@contextmanager
def running_server(uri: str | None) -> Iterator[PgmqServer]:
    """The server of the URI or, without one, the embedded Postgres, which is stopped at the end.

    :raises InvalidArgument: it is no URI of Postgres
    :raises LocalPostgresError: the embedded Postgres is not installed, or cannot run here
    """
    if uri:
        server = PgmqServer(arguments_of(uri), is_temporary=False)
        try:
            yield server
        finally:
            server.close()
        return
    with LocalPostgres(settings=SETTINGS) as local:
        yield PgmqServer(arguments_of(local.dsn()), is_temporary=True)


def _new_name() -> str:
    # Several test processes, on several machines, may use one server.
    return f"{PREFIX}{uuid.uuid4().hex[:16]}"
