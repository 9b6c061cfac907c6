"""How a connection is opened, and whether it still works."""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
import psycopg.conninfo

from airflow_pgmq.db.driver.sessions import Connection, check_alive, is_idle, is_quiet
from airflow_pgmq.db.driver.translation import connecting
from airflow_pgmq.errors import InvalidArgument

#: With these, a server that disappears silently is noticed after 11 seconds instead of two hours.
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

#: Defaults of a connection; unlike `options`, a pooler accepts them. The driver must not prepare statements
#: itself, such as a user's statement that is run often: a pooler's next session does not have them.
DEFAULTS = {**KEEPALIVES, "client_encoding": "UTF8", "prepare_threshold": None}


def connect(arguments: Mapping[str, Any]) -> Connection:
    """Open a connection with libpq's arguments."""
    with connecting():
        return psycopg.connect(**{**DEFAULTS, **arguments})


def arguments_of(dsn: str) -> dict[str, Any]:
    """libpq's arguments, from a URI or words such as `host=db dbname=shop`.

    :raises InvalidArgument: it is neither
    """
    try:
        return psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # What is wrong is not shown: it may be a part of a password.
        raise InvalidArgument(
            "This is no DSN of Postgres. Write postgresql://user@host:5432/database, or host=… dbname=…"
        ) from None


def versions() -> tuple[str, int]:
    """The versions of psycopg, and of the libpq that it uses, as libpq numbers it."""
    return psycopg.__version__, psycopg.pq.version()


def stores_all_text(conn: Connection) -> bool:
    """Whether the database's encoding knows every character; LATIN1, for example, has no euro sign."""
    return conn.pgconn.parameter_status(b"server_encoding") in (b"UTF8", b"SQL_ASCII")


def notification_arrives(conn: Connection, seconds: float) -> bool:
    """Whether a notification reaches a listening connection in time."""
    return any(True for _ in conn.notifies(timeout=seconds, stop_after=1))


def is_open(conn: Connection) -> bool:
    """Whether an idle connection can be used, as far as this side can know without a round trip."""
    if is_quiet(conn):
        return True
    if conn.closed:
        return False
    try:
        check_alive(conn)
    except psycopg.Error:
        return False
    return is_idle(conn)


def answers(conn: Connection, seconds: float) -> bool:
    """Whether the server answers in time, on a connection that was idle.

    Without a statement of the driver, since only a running server limits its time.
    """
    with suppress(psycopg.OperationalError), selectors.DefaultSelector() as selector:
        conn.pgconn.send_query(b"SELECT")
        selector.register(conn.fileno(), selectors.EVENT_READ)
        if not selector.select(seconds):
            return False
        statuses = [result.status for result in iter(conn.pgconn.get_result, None)]
        return statuses == [psycopg.pq.ExecStatus.TUPLES_OK]
    return False
