"""Airflow connection → psycopg connection, the way the Postgres provider reads it."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from typing import Any

from airflow_pgmq.client import Client, Connection, connect, drive
from airflow_pgmq.compat import BaseHook
from airflow_pgmq.core.messages import Row
from airflow_pgmq.errors import PgmqError
from airflow_pgmq.statements import schema


class ConnectionBase(BaseHook):
    """What the verbs build on: the client, and the pages of Airflow that show a connection."""

    conn_name_attr = "pgmq_conn_id"
    default_conn_name = "pgmq_default"
    conn_type = "pgmq"
    hook_name = "PGMQ (Postgres queue)"

    def __init__(self, pgmq_conn_id: str = default_conn_name, *, connection: Any = None) -> None:
        super().__init__()
        self.pgmq_conn_id = pgmq_conn_id
        self._connection = connection

    def get_conn(self) -> Connection:
        """Open a psycopg 3 connection, whatever driver Airflow uses; the caller commits and closes it."""
        return connect(self.connection_arguments())

    def connection_arguments(self) -> dict[str, Any]:
        """libpq's arguments from the Airflow connection: SSL, options, sockets, IAM and Azure tokens."""
        # Imported late: it loads SQLAlchemy and pandas stubs, half a second in every Dag file.
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        connection = deepcopy(self._connection or self.get_connection(self.pgmq_conn_id))
        extras = connection.extra_dejson
        if connection.conn_type not in ("pgmq", "postgres"):
            raise PgmqError(
                f"Connection {self.pgmq_conn_id!r} is of type {connection.conn_type!r}, "
                "not 'pgmq' or 'postgres'."
            )
        if extras.get("iam", False):
            postgres = PostgresHook(postgres_conn_id=self.pgmq_conn_id)
            connection.login, connection.password, connection.port = postgres.get_iam_token(connection)
        ignored: set[str] = PostgresHook.ignored_extra_options
        arguments = {
            "host": connection.host,
            "port": connection.port,
            "dbname": connection.schema,
            "user": connection.login,
            "password": connection.password,
            "application_name": "airflow_pgmq",
            **{name: value for name, value in extras.items() if name not in ignored},
        }
        return {name: value for name, value in arguments.items() if value not in (None, "")}

    @cached_property
    def client(self) -> Client:
        """Runs statements on connections of this hook."""
        return Client(self.get_conn)

    def install(self) -> list[str]:
        """Install PGMQ, if it is missing and the role may, and the schema `airflow_pgmq`.

        Idempotent and safe in parallel. PGMQ comes as the server's extension or, where that is not
        available, from the SQL that the official client (extra `local`) brings.

        :return: what was done, empty if all was there
        :raises NotInstalled: PGMQ cannot be had, or the role may not create schemas
        """
        return self.client.install()

    def test_connection(self) -> tuple[bool, str]:
        """Airflow's Test button: the connection, PGMQ and our schema."""
        try:
            with self.client.connection() as conn:
                found: Row = drive(schema.found(), conn)
        except Exception as exc:
            return False, str(exc)
        if not found["pgmq"]:
            return False, "Connected, but PGMQ is not in this database: run PgmqHook().install()."
        ours = (
            f"schema airflow_pgmq {found['ours']}"
            if found["ours"]
            else "schema airflow_pgmq is made on first use"
        )
        return (
            True,
            f"Connected: PGMQ {found['version'] or 'installed by SQL'}, {found['queues']} queues, {ours}.",
        )
