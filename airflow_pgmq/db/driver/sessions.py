"""Connections as they are used here: which are our own, how a transaction begins, and how it ends.

Our own transactions are READ COMMITTED READ WRITE and have limits, whatever server, database, role and
session say. A transaction that a caller has opened keeps its isolation and has no limit of ours.
"""

from __future__ import annotations

import selectors
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from airflow_pgmq.core.limits import READING, Limits
from airflow_pgmq.db.driver.values import AsyncCursor, Cursor

Connection: TypeAlias = psycopg.Connection[Any]
AnyConnection: TypeAlias = psycopg.BaseConnection[Any]

#: Postgres had ended the session before it read the COMMIT.
_NOT_READ = frozenset({"25P03"})


@dataclass(frozen=True, slots=True)
class Session:
    """A connection of our own."""

    limits: Limits
    #: Whether the session has our settings. None: it was not asked for. False: a pooler lends it by
    #: transaction. Without them, each transaction begins with what it needs, in the same message.
    is_set: bool | None = None


_ours: WeakKeyDictionary[AnyConnection, Session] = WeakKeyDictionary()


def keep(conn: AnyConnection, session: Session) -> None:
    """Note that a connection is ours."""
    _ours[conn] = session


def of(conn: AnyConnection) -> Session | None:
    """What we know of a connection, unless it is a caller's."""
    return _ours.get(conn)


def is_idle(conn: AnyConnection) -> bool:
    """Whether no transaction is open; of a connection that is lost, nobody knows what was."""
    return conn.info.transaction_status == TransactionStatus.IDLE


def takes_statements(conn: AnyConnection) -> bool:
    """Whether a single statement can be a transaction of our own on it."""
    return of(conn) is not None and conn.autocommit and not conn.read_only and is_idle(conn)


def opening(conn: AnyConnection) -> sql.Composed:
    """Begin a transaction of our own, in one message with what holds in it alone."""
    # One that wants to write cannot even begin on a standby.
    access = "READ ONLY" if conn.read_only else "" if is_standby(conn) else "READ WRITE"
    begin = sql.SQL("BEGIN ISOLATION LEVEL READ COMMITTED ") + sql.SQL(access)
    return sql.SQL("; ").join([begin, *local_settings(conn)])


def local_settings(conn: AnyConnection) -> list[sql.Composed]:
    """What a transaction of our own must set for itself, because its session has not."""
    session = of(conn)
    settings: Mapping[str, int | str] = {}
    if session is not None and not session.is_set:
        settings = {**session.limits.settings(conn.info.server_version), **READING}
    if not is_encoded(conn):
        settings = {**settings, "client_encoding": encoding(conn)}
    return [set_local(name, value) for name, value in settings.items()]


def is_lent(conn: AnyConnection) -> bool:
    """Whether a pooler may lend us a session that it lends to others, too."""
    session = of(conn)
    return session is not None and not session.is_set


def is_standby(conn: AnyConnection) -> bool:
    """Whether the server says that nothing can be written."""
    return conn.pgconn.parameter_status(b"in_hot_standby") == b"on"


def set_local(name: str, value: int | str) -> sql.Composed:
    """Set something until the transaction ends."""
    return sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value))


def set_encoding(conn: AnyConnection, *, is_local: bool) -> sql.Composed:
    """Let text travel as ours, until the transaction or the session ends."""
    command = sql.SQL("SET LOCAL client_encoding = {}" if is_local else "SET client_encoding = {}")
    return command.format(sql.Literal(encoding(conn)))


def encoding(conn: AnyConnection) -> str:
    """How text must travel. To SQL_ASCII it goes, and comes, as it is: as UTF-8 it would be checked."""
    return "SQL_ASCII" if conn.pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII" else "UTF8"


def is_encoded(conn: AnyConnection) -> bool:
    """Whether text travels so."""
    return conn.pgconn.parameter_status(b"client_encoding") == encoding(conn).encode()


class Transaction:
    """A transaction of our own on a connection in autocommit mode."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        #: Whether nothing of it was committed, for certain: its work may be done again.
        self.is_undone = True

    def __enter__(self) -> None:
        _say(self._conn, opening(self._conn))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # What went wrong says more than that the connection is gone.
            with suppress(psycopg.Error):
                self._conn.rollback()
            return
        check_alive(self._conn)
        self.is_undone = False
        try:
            self._conn.commit()
        except psycopg.Error as error:
            self.is_undone = error.sqlstate in _NOT_READ
            raise


def check_alive(conn: Connection) -> None:
    """Raise if Postgres has ended the session meanwhile, which costs no round trip.

    After a COMMIT to such a session nobody could tell whether it was read.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(conn.fileno(), selectors.EVENT_READ)
        if not selector.select(0):
            return
    said: list[psycopg.errors.Diagnostic] = []
    conn.add_notice_handler(said.append)
    try:
        conn.pgconn.consume_input()
        conn.pgconn.is_busy()
    finally:
        conn.remove_notice_handler(said.append)
    for each in said:
        if each.severity_nonlocalized == "FATAL":
            conn.close()
            raise psycopg.OperationalError(str(each.message_primary))


class AsyncTransaction:
    """The same on the event loop, where whoever asks does the work again."""

    def __init__(self, conn: psycopg.AsyncConnection[Any]) -> None:
        self._conn = conn

    async def __aenter__(self) -> None:
        async with AsyncCursor(self._conn, row_factory=tuple_row) as cursor:
            await cursor.execute(opening(self._conn), prepare=False)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self._conn.commit()
            return
        with suppress(psycopg.Error):
            await self._conn.rollback()


@contextmanager
def joined(conn: Connection) -> Iterator[None]:
    """A savepoint inside the caller's transaction, so that an error of ours leaves theirs usable.

    psycopg's `transaction()` would commit a connection that is idle, so the transaction is begun first.
    """
    if not conn.autocommit and is_idle(conn):
        _say(conn, sql.SQL("SELECT 1"))
    with conn.transaction(), _encoded(conn):
        yield


@contextmanager
def _encoded(conn: Connection) -> Iterator[None]:
    """Text travels as ours, and afterwards as before: SET LOCAL outlives a savepoint that is released."""
    if is_encoded(conn):
        yield
        return
    before = (conn.pgconn.parameter_status(b"client_encoding") or b"").decode()
    _say(conn, set_local("client_encoding", encoding(conn)))
    # A savepoint that is rolled back takes it along.
    yield
    _say(conn, set_local("client_encoding", before))


def _say(conn: Connection, text: sql.SQL | sql.Composed) -> None:
    """Run what is no statement of its own; never prepared, because it may be several and pass a pooler."""
    with Cursor(conn, row_factory=tuple_row) as cursor:
        cursor.execute(text, prepare=False)
