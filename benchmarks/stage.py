"""A Postgres with default, durable settings, and the hook that connects to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from pgmq.install import get_embedded_install_sql
from psycopg import sql

from airflow_pgmq.db.local import LocalPostgres

if TYPE_CHECKING:
    from airflow_pgmq.hooks import PgmqHook


@dataclass
class Database:
    """A database with PGMQ and our schema, reached by the hook and by plain connections."""

    name: str
    dsn: str
    hook: PgmqHook
    _queues: int = 0

    def connect(self) -> psycopg.Connection[Any]:
        """A connection in autocommit mode, for the ways to compare with."""
        return psycopg.connect(self.dsn, autocommit=True)

    def new_queue(self, *, alone: bool = False) -> str:
        """An empty queue.

        :param alone: others are dropped first, or autovacuum would work on them while this one is measured
        """
        if alone:
            with self.connect() as connection:
                connection.execute("SELECT pgmq.drop_queue(queue_name) FROM pgmq.meta")
        self._queues += 1
        queue_name = f"queue_{self._queues}"
        self.hook.create_queue(queue_name)
        return queue_name


@dataclass
class Stage:
    """The argument of a benchmark."""

    server: LocalPostgres
    rounds: int
    #: How many messages and ledger rows "a full queue" has.
    queued: int
    progress: Callable[[str], None]

    def database(self, name: str) -> Database:
        """Make a database; the Airflow connection of the same name leads to it, in child processes too."""
        # Airflow reads its environment when it is imported, and `__main__` sets it.
        from airflow_pgmq.hooks import PgmqHook

        with psycopg.connect(self.server.dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with psycopg.connect(self.server.dsn(name), autocommit=True) as connection:
            connection.execute(get_embedded_install_sql())
        connection_id = f"benchmark_{name}"
        os.environ[f"AIRFLOW_CONN_{connection_id.upper()}"] = json.dumps(
            {"conn_type": "pgmq", "host": str(self.server.directory), "login": "postgres", "schema": name}
        )
        hook = PgmqHook(connection_id)
        hook.install()
        return Database(name, self.server.dsn(name), hook)

    def postgres_version(self) -> str:
        """Return the server's version."""
        with psycopg.connect(self.server.dsn()) as connection:
            return connection.info.parameter_status("server_version") or "unknown"
