"""Runs statements and flows on a connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import psycopg
from psycopg.rows import RowFactory, dict_row

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.driver import choices, direct, plans, sessions
from airflow_pgmq.db.driver.composing import is_one, text
from airflow_pgmq.db.driver.sessions import Connection
from airflow_pgmq.db.driver.translation import FAULTS, translated, translation
from airflow_pgmq.db.driver.user_work import ending, unended_user_work
from airflow_pgmq.db.driver.values import Cursor
from airflow_pgmq.db.statements import Statement, Work
from airflow_pgmq.db.statements.sessions import NOTHING, Made, Usable, make_ours, usable

T = TypeVar("T")


def settings(conn: psycopg.BaseConnection[Any], limits: Limits) -> Statement[Made]:
    """The statement that makes a session ours."""
    return make_ours(conn.info.backend_pid, limits, conn.info.server_version, sessions.encoding(conn))


def set_up(conn: Connection) -> bool:
    """Give a session of ours its settings, if that was not tried before; whether it has them.

    A user's work in the session may have changed the encoding since.
    """
    session = sessions.of(conn)
    assert session is not None
    if session.is_set is None:
        # If SERIALIZABLE is the default, a standby refuses transactions that set no other isolation.
        with sessions.Transaction(conn) if sessions.is_standby(conn) else nullcontext():
            made = execute(settings(conn, session.limits), conn)
        session.is_set = made.is_ours
        choices.note(conn, made.usable)
    return bool(session.is_set) and sessions.is_encoded(conn)


def transact(work: Work[T], transaction: sessions.Transaction, conn: Connection) -> T:
    """Run as one transaction; a single statement is one by itself, in one round trip."""
    # Also before a flow: then its transactions need not set it, and its statements can be prepared.
    is_set = sessions.is_ready(conn) or (sessions.takes_statements(conn) and set_up(conn))
    if isinstance(work, Statement) and is_set:
        transaction.is_undone = False
        return execute(work, conn)
    with translated(None, conn), transaction:
        return drive(work, conn)


def settle_user_work(work: Work[T], conn: Connection, limits: Limits) -> T:
    """Settle a user's work in its transaction; also checks, in the same round trip, that it still exists.

    :raises TransactionEnded: the work has ended the transaction
    """
    with unended_user_work():
        return drive(work, conn, before=ending(conn, limits))


def drive(work: Work[T], conn: Connection, *, before: Sequence[Any] = ()) -> T:
    """Run each statement that the work yields, and send it the answer.

    Without an open transaction, each statement is one by itself.

    :param before: commands to run before the first statement, in one round trip with it
    """
    if isinstance(work, Statement):
        return _single(work, conn, before)
    try:
        answer = _single(next(work), conn, before)
        while True:
            answer = _single(work.send(answer), conn)
    except StopIteration as stop:
        result: T = stop.value
        return result


def _single(statement: Statement[T], conn: Connection, before: Sequence[Any] = ()) -> T:
    if not sessions.takes_statements(conn) or set_up(conn):
        return execute(statement, conn, before=before)
    with translated(None, conn), sessions.Transaction(conn):
        return execute(statement, conn, before=before)


def execute(statement: Statement[T], conn: Connection, *, before: Sequence[Any] = ()) -> T:
    """Run one statement; its values are of our types, independent of the connection's adapters."""
    if statement.is_limit and sessions.of(conn) is None:
        return statement.decode([])
    can_use = choices.of(statement, conn, _usable(conn)) if choices.matter(statement) else NOTHING
    # Not within `translated`: after a wait, a generator is no longer in the processor's caches.
    try:
        query = text(statement, can_use)
        try:
            if not before and (rows := _direct(statement, query, conn)) is not None:
                return statement.decode(rows)
            cursor = Cursor(conn, row_factory=rows_of(statement))
            cursor.meanwhile = statement.meanwhile
            with conn.pipeline() if before else nullcontext():
                for command in before:
                    conn.execute(command, prepare=False)
                is_prepared = statement.is_prepared and plans.keeper(conn) is not None
                cursor.execute(query, statement.params or None, prepare=is_prepared, binary=is_one(statement))
        except choices.REFUSED as exc:
            choices.check(statement, conn, can_use, exc)
            raise
        # Not `description`, which describes each column.
        return statement.decode([] if cursor.rownumber is None else cursor.fetchall())
    except FAULTS as exc:
        if (ours := translation(exc, statement, conn)) is not None:
            raise ours from exc
        raise


def _direct(statement: Statement[Any], query: bytes, conn: Connection) -> list[dict[str, Any]] | None:
    """The rows of a short statement; None if the cursor must run it."""
    if not statement.is_prepared or statement.rows is not None or (session := plans.keeper(conn)) is None:
        return None
    return direct.rows(query, statement.params, conn, session.prepared)


def rows_of(statement: Statement[Any]) -> RowFactory[Any]:
    """What the driver makes of each row, for `decode`."""
    make = statement.rows
    if make is None:
        return dict_row

    def factory(cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]) -> Callable[[Sequence[Any]], Any]:
        result = cursor.pgresult
        return make([(result.fname(at) or b"").decode() for at in range(result.nfields)] if result else [])

    return factory


def _usable(conn: Connection) -> Usable:
    """What statements may name on the connection: asked once, with the settings if it is ours."""
    if (found := choices.known(conn)) is None:
        choices.note(conn, found := execute(usable(), conn))
    return found
