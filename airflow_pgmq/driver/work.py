"""A transaction around a user's work, and whether that left it standing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
from psycopg import errors as pg
from psycopg import sql

from airflow_pgmq import errors
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.driver import sessions

#: A savepoint that stands from the begin of the work to its end. If it is gone, so is the transaction.
_WORK = "airflow_pgmq_work"
_SAVEPOINT = sql.SQL("SAVEPOINT airflow_pgmq_work")
_RELEASE = sql.SQL("RELEASE airflow_pgmq_work")


def begin_work(conn: sessions.Connection) -> bool:
    """Set the savepoint in a caller's transaction.

    False without one: each statement of the work is a transaction of its own.
    """
    if conn.autocommit and sessions.is_idle(conn):
        return False
    conn.execute(_SAVEPOINT, prepare=False)
    return True


def end_work(conn: sessions.Connection) -> None:
    """Release it.

    :raises TransactionEnded: the work has ended the transaction
    """
    with whole_work():
        conn.execute(_RELEASE, prepare=False)


@contextmanager
def work_transaction(conn: sessions.Connection) -> Iterator[None]:
    """A transaction of a connection of ours around a user's work, begun in one round trip."""
    with ExitStack() as stack:
        if not sessions.is_standby(conn):
            conn.read_only = False
        # Not `conn.transaction()`, which would leave the work inside the pipeline.
        with conn.pipeline():
            stack.enter_context(psycopg.Transaction(conn, _WORK))
            for command in sessions.local_settings(conn):
                conn.execute(command, prepare=False)
        yield


def ending(conn: sessions.Connection, limits: Limits) -> list[sql.SQL | sql.Composed]:
    """What goes ahead of the statements that settle the work: from here on, others may not have to wait."""
    settings = limits.settings(conn.info.server_version)
    names = ("lock_timeout", "idle_in_transaction_session_timeout")
    return [_RELEASE, *(sessions.set_local(name, settings[name]) for name in names)]


@contextmanager
def whole_work() -> Iterator[None]:
    """Name the error of a transaction that ended too early."""
    try:
        yield
    except (pg.InvalidSavepointSpecification, pg.NoActiveSqlTransaction) as exc:
        raise errors.TransactionEnded from exc
