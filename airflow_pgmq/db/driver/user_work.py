"""A transaction around a user's work, and whether the work has ended it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import dict_row, tuple_row

from airflow_pgmq import errors
from airflow_pgmq.core.limits import UNLIMITED, Limits
from airflow_pgmq.db.driver import sessions
from airflow_pgmq.db.driver.values import Cursor

#: In a caller's transaction, a savepoint that exists from the start of the work to its end. If it is gone, so
#: is the transaction.
_SAVEPOINT = sql.SQL("SAVEPOINT airflow_pgmq_work")
_RELEASE = sql.SQL("RELEASE airflow_pgmq_work")
#: In ours, the time of its BEGIN tells whether it is the same one, without two more commands.
_BEGAN = sql.SQL(
    """to_char(transaction_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS began"""
)
_UNCHANGED = sql.SQL(
    "CASE WHEN transaction_timestamp() <> {}::timestamptz"
    " THEN (transaction_timestamp() || ': not the transaction of the work')::integer END"
)
_began: WeakKeyDictionary[sessions.Connection, str] = WeakKeyDictionary()


def begin_user_work(conn: sessions.Connection) -> bool:
    """Set the savepoint in a caller's transaction.

    False if no transaction is open: each statement of the work is a transaction of its own.
    """
    if conn.autocommit and sessions.is_idle(conn):
        return False
    conn.execute(_SAVEPOINT, prepare=False)
    return True


def keeps_snapshot(conn: sessions.Connection) -> bool:
    """Whether a caller's transaction sees rows as they were at its first query, and changes no newer ones."""
    with Cursor(conn, row_factory=tuple_row) as cursor:
        # Unlike a SELECT, SHOW does not take the snapshot.
        found = cursor.execute("SHOW transaction_isolation", prepare=False).fetchone()
    return found is not None and found[0] in ("repeatable read", "serializable")


def end_user_work(conn: sessions.Connection) -> None:
    """Release the savepoint.

    :raises TransactionEnded: the work has ended the transaction
    """
    with unended_user_work():
        conn.execute(_RELEASE, prepare=False)


@contextmanager
def user_work_transaction(conn: sessions.Connection) -> Iterator[None]:
    """A transaction of a connection of ours around a user's work, begun in one round trip, without limits."""
    with ExitStack() as stack:
        if not sessions.is_standby(conn):
            conn.read_only = False
        # Not `conn.transaction()`, with which the work would run inside the pipeline.
        with Cursor(conn, row_factory=dict_row) as cursor:
            with conn.pipeline():
                stack.enter_context(psycopg.Transaction(conn))
                for command in sessions.local_settings(conn):
                    conn.execute(command, prepare=False)
                cursor.execute(_beginning(conn.info.server_version), prepare=False)
            _began[conn] = cursor.fetchall()[0]["began"]
        yield


def next_user_work(conn: sessions.Connection) -> None:
    """Commit a user's work and begin the transaction of the next one, in one round trip.

    To the driver, both are the transaction of `user_work_transaction`.
    """
    commands = [
        sql.SQL("COMMIT"),
        sessions.opening(conn),
        sql.SQL(_beginning(conn.info.server_version).decode()),
    ]
    with Cursor(conn, row_factory=dict_row) as cursor:
        cursor.execute(sql.SQL("; ").join(commands), prepare=False)
        while cursor.nextset():
            pass
        _began[conn] = cursor.fetchall()[0]["began"]


def ending(conn: sessions.Connection, limits: Limits) -> list[bytes]:
    """Commands before the statements that settle the work: from here on, our limits apply.

    They undo what the work has SET for role and session; if the work aborts, its rollback does that.
    """
    session = sessions.of(conn)
    own = session.limits if session is not None and session.is_set else None
    if not sessions.is_encoded(conn):
        # A command of its own, because the driver must know it before it sends the next text.
        conn.execute(sessions.set_encoding(conn, is_local=own is None), prepare=False)
    settings = _ending(own, limits, conn.info.server_version)
    return [b"RESET ROLE", _select(_UNCHANGED.format(sql.Literal(_began[conn])), settings)]


@lru_cache
def _ending(own: Limits | None, limits: Limits, server_version: int) -> sql.SQL:
    now = limits.settings(server_version)
    session = own.session(server_version) if own else {}
    settings = [
        *((name, value, False) for name, value in session.items()),
        *((name, now[name], True) for name in ("lock_timeout", "idle_in_transaction_session_timeout")),
    ]
    return _said(settings)


@lru_cache
def _beginning(server_version: int) -> bytes:
    limits = [(name, value, True) for name, value in UNLIMITED.settings(server_version).items()]
    return _select(_BEGAN, _said(limits))


def _select(*columns: sql.Composable) -> bytes:
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(columns)).as_bytes(None)


def _said(settings: Iterable[tuple[str, int | str, bool]]) -> sql.SQL:
    """Settings as columns; the third value: whether only for the transaction."""
    said = sql.SQL(", ").join(
        sql.SQL("set_config({}, {}, {})").format(name, str(value), is_local)
        for name, value, is_local in settings
    )
    # Composed once.
    return sql.SQL(said.as_string(None))


@contextmanager
def unended_user_work() -> Iterator[None]:
    """Raise TransactionEnded if the transaction was ended too early."""
    try:
        yield
    except (pg.InvalidSavepointSpecification, pg.NoActiveSqlTransaction) as exc:
        raise errors.TransactionEnded from exc
    except pg.InvalidTextRepresentation as exc:
        if "not the transaction of the work" not in str(exc):
            raise
        raise errors.TransactionEnded from exc
