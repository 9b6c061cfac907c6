"""Connections: which are our own, how a transaction begins, and how it ends.

Our own transactions are READ COMMITTED READ WRITE and have limits, under any settings of server, database,
role and session. A transaction that a caller has opened keeps its isolation and has no limit of ours.
"""

from __future__ import annotations

import os
import select
import selectors
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from airflow_pgmq.core.limits import READING, Limits
from airflow_pgmq.db.driver.direct import Prepared
from airflow_pgmq.db.driver.values import AsyncCursor, Cursor

Connection: TypeAlias = psycopg.Connection[Any]
AnyConnection: TypeAlias = psycopg.BaseConnection[Any]

#: Postgres had ended the session before it read the COMMIT.
_NOT_READ = frozenset({"25P03"})


@dataclass(slots=True)
class Session:
    """A connection of our own."""

    limits: Limits
    #: Whether the session has our settings. None: not tried yet. False: a pooler lends it by transaction.
    #: Without them, each transaction sets what it needs, in the message that begins it.
    is_set: bool | None = None
    #: The process that opened it.
    pid: int = field(default_factory=os.getpid)
    #: When the server forgot its plans.
    replanned_at: float | None = None
    #: By query.
    prepared: dict[bytes, Prepared] = field(default_factory=dict)


#: The attribute of a connection that has its session: a dictionary with weak keys takes longer.
_SESSION = "airflow_pgmq_session"


def keep(conn: AnyConnection, session: Session) -> None:
    """Note that a connection is ours."""
    vars(conn)[_SESSION] = session


def begin(conn: Connection, limits: Limits) -> None:
    """Make a new connection ours; its settings follow with the first statement that needs them."""
    conn.autocommit = True
    conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    # Only statements that ask for it are prepared: `None` would refuse those, too.
    conn.prepare_threshold = sys.maxsize
    keep(conn, Session(limits))
    _last_words(conn)


def of(conn: AnyConnection) -> Session | None:
    """Our settings of a connection; None if it is a caller's."""
    return vars(conn).get(_SESSION)


def is_reusable(conn: AnyConnection) -> bool:
    """Whether another call can use the connection."""
    status = conn.pgconn.transaction_status
    return status == TransactionStatus.IDLE and conn.autocommit and _SESSION in vars(conn)


def close(conn: Connection) -> None:
    """Close a connection; one that a forked process has from its parent stays the parent's."""
    session = of(conn)
    if session is None or session.pid == os.getpid():
        conn.close()


def is_idle(conn: AnyConnection) -> bool:
    """Whether no transaction is open; False for a lost connection, where that is unknown."""
    return bool(conn.pgconn.transaction_status == TransactionStatus.IDLE)


def takes_statements(conn: AnyConnection) -> bool:
    """Whether a single statement can be a transaction of our own on it."""
    return of(conn) is not None and conn.autocommit and not conn.read_only and is_idle(conn)


def is_ready(conn: AnyConnection) -> bool:
    """Whether a single statement can be sent at once. In one step, as it is asked each time."""
    session: Session | None = vars(conn).get(_SESSION)
    if session is None or not session.is_set or conn.read_only or not conn.autocommit:
        return False
    return conn.pgconn.transaction_status == TransactionStatus.IDLE and is_encoded(conn)


def opening(conn: AnyConnection) -> sql.Composed:
    """Begin a transaction of our own, in one message with its local settings."""
    # A READ WRITE transaction cannot begin on a standby.
    access = "READ ONLY" if conn.read_only else "" if is_standby(conn) else "READ WRITE"
    begin = sql.SQL("BEGIN ISOLATION LEVEL READ COMMITTED ") + sql.SQL(access)
    return sql.SQL("; ").join([begin, *local_settings(conn)])


def local_settings(conn: AnyConnection) -> list[sql.Composed]:
    """Settings that a transaction of our own must make, because its session has not."""
    session = of(conn)
    settings: Mapping[str, int | str] = {}
    if session is not None and not session.is_set:
        settings = {**session.limits.settings(conn.info.server_version), **READING}
    if not is_encoded(conn):
        settings = {**settings, "client_encoding": encoding(conn)}
    return [set_local(name, value) for name, value in settings.items()]


def is_lent(conn: AnyConnection) -> bool:
    """Whether a pooler may lend the session to other clients, too."""
    session = of(conn)
    return session is not None and not session.is_set


def is_standby(conn: AnyConnection) -> bool:
    """Whether the server is a standby, which takes no writes."""
    return conn.pgconn.parameter_status(b"in_hot_standby") == b"on"


def set_local(name: str, value: int | str) -> sql.Composed:
    """Set a value until the transaction ends."""
    return sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value))


def set_encoding(conn: AnyConnection, *, is_local: bool) -> sql.Composed:
    """Set the encoding of text to ours, until the transaction or the session ends."""
    command = sql.SQL("SET LOCAL client_encoding = {}" if is_local else "SET client_encoding = {}")
    return command.format(sql.Literal(encoding(conn)))


def encoding(conn: AnyConnection) -> str:
    """The client encoding to use. With a server in SQL_ASCII the same, since UTF-8 would be checked."""
    return "SQL_ASCII" if conn.pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII" else "UTF8"


def is_encoded(conn: AnyConnection) -> bool:
    """Whether the connection has that encoding."""
    return conn.pgconn.parameter_status(b"client_encoding") == encoding(conn).encode()


class Transaction:
    """A transaction of our own on a connection in autocommit mode."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        #: Whether it is certain that nothing was committed, so that its work may be done again.
        self.is_undone = True

    def __enter__(self) -> None:
        _last_words(self._conn)
        _say(self._conn, opening(self._conn))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # The first error says more than a failed rollback.
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

    After a COMMIT to such a session it would be unknown whether it was done.
    """
    file = conn.fileno()
    fatal = _last_words(conn)
    try:
        # What came together with the last answer is in the driver's buffer already.
        conn.pgconn.is_busy()
        # To the end: a server that crashes says so in a warning, and closes the connection after it.
        while not fatal and _is_readable(file):
            conn.pgconn.consume_input()
            conn.pgconn.is_busy()
    except psycopg.OperationalError:
        if not fatal:
            raise
    if fatal:
        conn.close()
        raise psycopg.OperationalError(fatal[0])


#: The attribute of a connection that has it.
_LAST_WORDS = "airflow_pgmq_last_words"


def _last_words(conn: Connection) -> list[str]:
    """What Postgres says when it ends the session, noted from now on.

    It can come together with the answer of a statement, some time before the connection is closed; outside
    of a statement, libpq takes it for a notice.
    """
    fatal: list[str] | None = vars(conn).get(_LAST_WORDS)
    if fatal is None:
        said: list[str] = []

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            # Read at once: it is freed when this returns.
            if diagnostic.severity_nonlocalized == "FATAL":
                said.append(str(diagnostic.message_primary))

        conn.add_notice_handler(note)
        fatal = vars(conn)[_LAST_WORDS] = said
    return fatal


def is_quiet(conn: Connection) -> bool:
    """Whether an idle connection of ours has heard nothing since: it can be used. Else see `check_alive`."""
    pgconn = conn.pgconn
    if pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    # What came together with the last answer is in the driver's buffer.
    pgconn.is_busy()
    return vars(conn).get(_LAST_WORDS) == [] and not _is_readable(pgconn.socket)


def is_alive(conn: Connection) -> bool:
    """Whether Postgres has not ended the session, as far as can be known without a round trip."""
    try:
        check_alive(conn)
    except psycopg.Error:
        return False
    return not conn.closed


def _is_readable(file: int) -> bool:
    if hasattr(select, "poll"):
        # A selector makes a file of its own, which takes longer than the question.
        poll = select.poll()
        poll.register(file, select.POLLIN)
        return bool(poll.poll(0))
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        return bool(selector.select(0))


class AsyncTransaction:
    """The same on the event loop, where the caller does the work again."""

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
    """A savepoint inside the caller's transaction, which stays usable after an error of ours.

    psycopg's `transaction()` would commit if no transaction is open, so one is begun first.
    """
    if not conn.autocommit and is_idle(conn):
        _say(conn, sql.SQL("SELECT 1"))
    with conn.transaction(), _encoded(conn):
        yield


@contextmanager
def _encoded(conn: Connection) -> Iterator[None]:
    """Use our encoding, and then the one before: SET LOCAL outlives a savepoint that is released."""
    if is_encoded(conn):
        yield
        return
    before = (conn.pgconn.parameter_status(b"client_encoding") or b"").decode()
    _say(conn, set_local("client_encoding", encoding(conn)))
    # Rolling back the savepoint undoes it.
    yield
    _say(conn, set_local("client_encoding", before))


def _say(conn: Connection, text: sql.SQL | sql.Composed) -> None:
    """Run a command; never prepared, because it may be several commands and go through a pooler."""
    with Cursor(conn, row_factory=tuple_row) as cursor:
        cursor.execute(text, prepare=False)
