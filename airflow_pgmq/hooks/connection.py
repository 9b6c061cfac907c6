"""Airflow connection → psycopg connection, the way the Postgres provider reads it."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow_pgmq import settings
from airflow_pgmq.compat import AirflowNotFoundException, BaseHook, is_plain_process
from airflow_pgmq.core import diagnoses, row_security
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.client import Client, Connection, connect, drive
from airflow_pgmq.db.driver.translation import words
from airflow_pgmq.db.statements import doctor as doctor_statements
from airflow_pgmq.errors import ConnectionNotFound, InvalidConnection, NotConnected
from airflow_pgmq.provider_info import get_provider_info
from airflow_pgmq.services import doctor

if TYPE_CHECKING:
    from typing_extensions import Self


class UndefinedConnection(ConnectionNotFound, AirflowNotFoundException):
    """Both our error and Airflow's, so that code which catches either one catches this."""


class ConnectionBase(BaseHook):
    """The base of the hook's methods: the client, and what Airflow's UI shows of a connection."""

    conn_name_attr = "pgmq_conn_id"
    default_conn_name = "pgmq_default"
    conn_type = "pgmq"
    hook_name = "PGMQ (Postgres queue)"

    def __init__(
        self, pgmq_conn_id: str = default_conn_name, *, connection: Any = None, limits: Limits | None = None
    ) -> None:
        super().__init__()
        self.pgmq_conn_id = pgmq_conn_id
        self._connection = connection
        self._limits = limits
        #: The Airflow connection, since it was looked up.
        self._known: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """A copy opens connections of its own."""
        return {name: value for name, value in vars(self).items() if name not in ("client", "_known")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _known=None)

    @cached_property
    def _max_message_bytes(self) -> int:
        # Read once: a look into Airflow's configuration takes a fifth of the time of a send.
        return settings.max_message_bytes()

    def close(self) -> None:
        """Close the connections that are kept between calls; `with PgmqHook() as hook:` does it at its end.

        Without it they are closed when the hook or the process ends. The next call opens another one.
        """
        if "client" in vars(self):
            self.client.close()

    def get_conn(self) -> Connection:
        """Open a psycopg 3 connection, whatever driver Airflow uses; the caller commits and closes it.

        The Airflow connection is looked up once, and again if the server refuses it: its password may be
        another one since.
        """
        is_known = self._known is not None
        try:
            return connect(self.connection_arguments())
        except NotConnected as exc:
            if not is_known or not exc.is_mistake:
                raise
        self._known = None
        return connect(self.connection_arguments())

    def connection_arguments(self) -> dict[str, Any]:
        """libpq's arguments from the Airflow connection: SSL, options, sockets, IAM and Azure tokens."""
        if self._connection is None and self._known is None:
            self._known = self._look_up()
        connection = deepcopy(self._connection or self._known)
        if connection.conn_type not in ("pgmq", "postgres"):
            raise InvalidConnection(
                f"Connection {self.pgmq_conn_id!r} is of type {connection.conn_type!r}, not 'pgmq' or "
                "'postgres'. Give it the type 'pgmq', or name another connection."
            )
        if extras := self._extras(connection):
            extras = self._libpq_options(connection, extras)
        arguments = {
            "host": connection.host,
            "port": connection.port,
            "dbname": connection.schema,
            "user": connection.login,
            "password": connection.password,
            "application_name": "airflow_pgmq",
            **extras,
        }
        return {name: value for name, value in arguments.items() if value not in (None, "")}

    def _extras(self, connection: Any) -> dict[str, Any]:
        """The connection's extra. Airflow reads what is no JSON as nothing, so that TLS would be left out."""
        try:
            found = json.loads(connection.extra) if connection.extra else {}
        except (ValueError, TypeError):
            found = None
        if not isinstance(found, dict):
            raise InvalidConnection(
                f"The extra of connection {self.pgmq_conn_id!r} is not a JSON object. Write it as "
                '{"sslmode": "require"}, or leave it out.'
            )
        # Airflow's own reading lets its logs hide what is secret there.
        extras: dict[str, Any] = connection.extra_dejson
        return extras

    def _libpq_options(self, connection: Any, extras: dict[str, Any]) -> dict[str, Any]:
        """Those of a connection's extras that are libpq's; a token goes into the connection."""
        # Imported late: it loads SQLAlchemy and pandas stubs, which takes long in every task and command.
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        if extras.get("iam", False):
            postgres = PostgresHook(postgres_conn_id=self.pgmq_conn_id)
            connection.login, connection.password, connection.port = postgres.get_iam_token(connection)
        ignored: set[str] = PostgresHook.ignored_extra_options
        return {name: value for name, value in extras.items() if name not in ignored}

    def _look_up(self) -> Any:
        try:
            return self.get_connection(self.pgmq_conn_id)
        except AirflowNotFoundException as exc:
            raise UndefinedConnection(self.pgmq_conn_id, is_plain=is_plain_process()) from exc
        except ImportError as exc:
            # Airflow 3.1.0 raises this instead, in a process that Airflow did not start.
            if not is_plain_process():
                raise
            raise UndefinedConnection(self.pgmq_conn_id, is_plain=True) from exc

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Labels and placeholders of the connection form, for Airflow 3.1; newer versions don't call this."""
        (kind,) = get_provider_info()["connection-types"]
        behaviour = kind["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @cached_property
    def client(self) -> Client:
        """The client, which runs statements on connections of this hook."""
        return Client(self.get_conn, self._transaction_limits())

    def _transaction_limits(self) -> Limits:
        return self._limits or settings.limits()

    def install(self) -> list[str]:
        """Install the schema `airflow_pgmq`, and PGMQ if it is missing and the role may install it.

        Idempotent and safe in parallel. PGMQ is installed as the server's extension or, where that is not
        available, from the SQL in the official client (extra `sql`).

        :return: what was done; empty if everything was installed already
        :raises NotInstalled: PGMQ is not available, or the role may not create schemas
        """
        return self.client.install()

    def test_connection(self) -> tuple[bool, str]:
        """Airflow's Test button: check the connection, PGMQ, our schema and the role's privileges."""
        try:
            with self.client.connection(is_new=True) as conn:
                installed = drive(doctor_statements.installation(), conn)
        except Exception as exc:
            return False, words(exc)
        wrong = doctor.judge(installed)
        missing_rights = [*installed.lacking, *row_security.no_rows(installed.restricted)]
        return diagnoses.verdict(installed.server, len(installed.queues), missing_rights, wrong)
