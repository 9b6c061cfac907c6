"""How a connection is opened, and whether it is still good for anything."""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg

from airflow_pgmq.db.driver.sessions import Connection
from airflow_pgmq.db.driver.translation import connecting

#: A peer that is gone without a word is noticed after 11 seconds instead of two hours.
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

#: How a connection is opened where nothing else is said; unlike `options`, a pooler takes it. The driver must
#: prepare nothing by itself, such as a user's statement that is run often: a pooler's next session lacks it.
DEFAULTS = {**KEEPALIVES, "client_encoding": "UTF8", "prepare_threshold": None}


def connect(arguments: Mapping[str, Any]) -> Connection:
    """Open a connection for whoever asks; libpq's arguments."""
    with connecting():
        return psycopg.connect(**{**DEFAULTS, **arguments})


def versions() -> tuple[str, int]:
    """Of psycopg, and of the libpq that it uses, as libpq numbers it."""
    return psycopg.__version__, psycopg.pq.version()


def stores_all_text(conn: Connection) -> bool:
    """Whether the database's encoding knows every character; LATIN1, for example, has no euro sign."""
    return conn.pgconn.parameter_status(b"server_encoding") in (b"UTF8", b"SQL_ASCII")


def notification_arrives(conn: Connection, seconds: float) -> bool:
    """Whether a notification reaches a listening connection in time."""
    return any(True for _ in conn.notifies(timeout=seconds, stop_after=1))


def answers(conn: Connection, seconds: float) -> bool:
    """Whether the server answers in time, on a connection that was idle.

    No statement of the driver's: their time is limited only by a server that is alive.
    """
    with suppress(psycopg.OperationalError), selectors.DefaultSelector() as selector:
        conn.pgconn.send_query(b"SELECT")
        selector.register(conn.fileno(), selectors.EVENT_READ)
        if not selector.select(seconds):
            return False
        statuses = [result.status for result in iter(conn.pgconn.get_result, None)]
        return statuses == [psycopg.pq.ExecStatus.TUPLES_OK]
    return False
