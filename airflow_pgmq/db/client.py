"""Runs statements and flows on psycopg, sync and async; only this module and `driver` use psycopg."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.rows import dict_row

from airflow_pgmq import errors
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.driver import sessions
from airflow_pgmq.db.driver.bundled import bundled_pgmq
from airflow_pgmq.db.driver.composing import is_one, text
from airflow_pgmq.db.driver.connecting import DEFAULTS
from airflow_pgmq.db.driver.connecting import connect as connect
from airflow_pgmq.db.driver.connecting import notification_arrives as notification_arrives
from airflow_pgmq.db.driver.connecting import versions as versions
from airflow_pgmq.db.driver.translation import connecting, translated, what_is_missing
from airflow_pgmq.db.driver.user_work import begin_user_work as begin_user_work
from airflow_pgmq.db.driver.user_work import end_user_work as end_user_work
from airflow_pgmq.db.driver.user_work import ending, unended_user_work
from airflow_pgmq.db.driver.user_work import keeps_snapshot as keeps_snapshot
from airflow_pgmq.db.driver.user_work import user_work_transaction as user_work_transaction
from airflow_pgmq.db.driver.values import AsyncCursor, Cursor
from airflow_pgmq.db.statements import Statement, Work, reading, schema
from airflow_pgmq.db.statements.sessions import make_ours

T = TypeVar("T")
Connection = sessions.Connection
AsyncConnection = psycopg.AsyncConnection[Any]

OperationalError = psycopg.OperationalError
DriverError = psycopg.Error

#: Waiting for a lock took too long, on a connection of ours or on another.
LockNotAvailable = (errors.LockTimeout, pg.LockNotAvailable)

#: Errors that may pass: the server cannot be reached, is a standby that is not promoted yet, or others held a
#: lock for too long.
OUTAGES = (psycopg.OperationalError, pg.ReadOnlySqlTransaction, errors.LimitReached)

#: Errors that may mean that PGMQ as a whole is missing.
NOT_THERE = (errors.QueueNotFound, errors.FeatureMissing, errors.NotInstalled)

#: The work had an error in its transaction and did not raise it.
Aborted = pg.InFailedSqlTransaction

#: Lost races that Postgres asks to be run again.
RETRYABLE = (pg.DeadlockDetected, pg.SerializationFailure)
ATTEMPTS = 6


is_lent = sessions.is_lent


async def connect_async(arguments: Mapping[str, Any], limits: Limits | None = None) -> AsyncConnection:
    """Open a connection of our own, in autocommit mode, to be kept."""
    limits = limits or Limits()
    with connecting():
        conn = await psycopg.AsyncConnection.connect(
            autocommit=True, **{**DEFAULTS, "connect_timeout": 5, **arguments}
        )
    try:
        async with sessions.AsyncTransaction(conn) if sessions.is_standby(conn) else nullcontext():
            is_set = await aexecute(_settings(conn, limits), conn)
    except BaseException:
        await conn.close()
        raise
    sessions.keep(conn, sessions.Session(limits, is_set))
    return conn


def _settings(conn: psycopg.BaseConnection[Any], limits: Limits) -> Statement[bool]:
    return make_ours(conn.info.backend_pid, limits, conn.info.server_version, sessions.encoding(conn))


class Client:
    """Runs statements on connections of its own, one per call, or on the caller's.

    :param connect: opens a connection
    :param limits: of each transaction on a connection of its own
    """

    def __init__(self, connect: Callable[[], Connection], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._connect = connect
        self._checked: set[str] = set()
        #: Connections that are lent, and what serves in their place since they were lost.
        self._lent: dict[Connection, Connection] = {}

    def once(self, what: str, check: Callable[[], object]) -> None:
        """Run a check the first time only."""
        if what not in self._checked:
            check()
            self._checked.add(what)

    def forget(self, what: str) -> None:
        """Run that check again next time."""
        self._checked.discard(what)

    def open(self, limits: Limits | None = None) -> Connection:
        """A connection of our own, in autocommit mode, which the caller closes.

        The settings of its session do not matter: if it is only ours, one statement sets isolation, limits
        and encoding. If a pooler lends it by transaction, each transaction sets them.

        :param limits: other ones, as `UNLIMITED` for a transaction around a user's code
        """
        conn = self._begin_session(limits or self.limits)
        try:
            _set_up(conn)
        except BaseException:
            conn.close()
            raise
        return conn

    def _begin_session(self, limits: Limits) -> Connection:
        """The same, without settings until a statement needs them: most transactions set their own."""
        with connecting():
            conn = self._connect()
        conn.autocommit = True
        conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        sessions.keep(conn, sessions.Session(limits))
        return conn

    @contextmanager
    def connection(
        self, conn: Connection | None = None, *, limits: Limits | None = None
    ) -> Iterator[Connection]:
        """The caller's connection as it is, or one of our own, closed afterwards.

        :param limits: as of `open`
        """
        if conn is not None:
            yield conn
            return
        own = self.open(limits) if limits else self._begin_session(self.limits)
        self._lent[own] = own
        try:
            with own:
                yield own
        finally:
            self._lent.pop(own).close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection of ours with an open transaction, for several verbs in one: their `conn`."""
        with self.connection() as own, sessions.Transaction(own):
            yield own

    def run(self, make: Callable[[], Work[T]], conn: Connection | None = None) -> T:
        """Run a statement or a flow as one transaction; inside the caller's, if there is one.

        `make` builds the work again for each attempt: a transaction of our own that lost a race (deadlock,
        serialization) or its connection is run again; in a caller's transaction, that is up to the caller.
        """
        if conn is None:
            with self.connection() as own:
                return self.attempt(make, own)
        if self.begins(conn):
            return self.attempt(make, conn)
        try:
            return _join(make, conn)
        except errors.ArchiveRefused as exc:
            if not _join(partial(reading.free_archive_ids, exc.queue_name, exc.msg_ids), conn):
                raise
            return _join(make, conn)

    def begins(self, conn: Connection) -> bool:
        """Whether a transaction of our own would begin there; its settings end with it."""
        current = self._lent.get(conn, conn)
        return current.autocommit and sessions.is_idle(current)

    def attempt(self, make: Callable[[], Work[T]], own: Connection) -> T:
        """Run as one transaction of our own; again after a lost race or a lost connection.

        After a lost connection it runs on a new one. If this process was frozen, Postgres may have ended its
        transaction: nothing of it was done.
        """
        for attempt in range(ATTEMPTS):
            conn = self._lent.get(own, own)
            transaction = sessions.Transaction(conn)
            try:
                with _explain_missing(conn):
                    return _transact(make(), transaction, conn)
            except RETRYABLE:
                if attempt == ATTEMPTS - 1:
                    raise
            except errors.ArchiveRefused as exc:
                if attempt == ATTEMPTS - 1 or not self.free_archive_ids(exc, conn):
                    raise
            except (DriverError, errors.LimitReached) as exc:
                if attempt == ATTEMPTS - 1 or not transaction.is_undone or not self._reconnect(own, exc):
                    raise
            # Not a wait for an event: transactions that lost a race together must not run again together.
            time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    def explained(self, exc: Exception) -> Exception:
        """The error that says what is missing, looked up after the transaction."""
        if not isinstance(exc, NOT_THERE):
            return exc
        found = None
        with suppress(errors.PgmqError, psycopg.Error):
            found = self.run(lambda: schema.installed(exc.queue_name))
        return what_is_missing(exc, found)

    def free_archive_ids(self, refused: errors.ArchiveRefused, own: Connection) -> bool:
        """Free the ids of these messages in the archive; False if that was not the reason."""
        return self.attempt(lambda: reading.free_archive_ids(refused.queue_name, refused.msg_ids), own)

    def _reconnect(self, own: Connection, exc: Exception) -> bool:
        """Replace a connection that we lent and that is lost by another one."""
        lost = self._lent.get(own)
        if lost is None or not lost.closed or (isinstance(exc, errors.LimitReached) and not exc.is_frozen):
            return False
        session = sessions.of(lost)
        self._lent[own] = self.open(session.limits if session else None)
        return True

    def ensure_schema(self, conn: Connection | None = None) -> None:
        """Make sure, the first time, that our schema is there; installs it where the role may.

        :param conn: where to look, but not inside a caller's transaction: a read there keeps its lock until
            the caller commits, and an installation would wait for it
        """
        if "schema" in self._checked:
            return
        with self.connection(conn if conn is not None and self.begins(conn) else None) as current:
            if not self.attempt(schema.is_current, current):
                self.install(current)
        self._checked.add("schema")

    def install(self, conn: Connection | None = None) -> list[str]:
        """Install PGMQ if it is missing, and our schema; returns what was done, for people."""
        try:
            return self.run(lambda: schema.install(bundled_pgmq), conn)
        except errors.PermissionDenied as exc:
            raise schema.not_allowed(exc) from exc


def _set_up(conn: Connection) -> bool:
    """Give a session of ours its settings, if that was not tried before; whether it has them.

    A user's work in the session may have changed the encoding since.
    """
    session = sessions.of(conn)
    assert session is not None
    if session.is_set is None:
        # If SERIALIZABLE is the default, a standby refuses transactions that set no other isolation.
        with sessions.Transaction(conn) if sessions.is_standby(conn) else nullcontext():
            is_set = execute(_settings(conn, session.limits), conn)
        sessions.keep(conn, session := sessions.Session(session.limits, is_set))
    return bool(session.is_set) and sessions.is_encoded(conn)


def settle_user_work(work: Work[T], conn: Connection, limits: Limits) -> T:
    """Settle a user's work in its transaction; also checks, in the same round trip, that it still exists.

    :raises TransactionEnded: the work has ended the transaction
    """
    with unended_user_work():
        return drive(work, conn, before=ending(conn, limits))


@contextmanager
def _explain_missing(conn: Connection) -> Iterator[None]:
    """Around a transaction: if something is missing, look up what, after the failed transaction."""
    try:
        yield
    except NOT_THERE as exc:
        found = None
        # The connection may be gone, too, or the role may not look.
        with suppress(errors.PgmqError, psycopg.Error):
            found = execute(schema.installed(exc.queue_name), conn)
        raise what_is_missing(exc, found) from exc.__cause__


def _join(make: Callable[[], Work[T]], conn: Connection) -> T:
    """Run inside a caller's transaction."""
    with _explain_missing(conn), translated(None, conn), sessions.joined(conn):
        return drive(make(), conn)


def _transact(work: Work[T], transaction: sessions.Transaction, conn: Connection) -> T:
    if isinstance(work, Statement) and sessions.takes_statements(conn) and _set_up(conn):
        transaction.is_undone = False
        return execute(work, conn)
    with translated(None, conn), transaction:
        return drive(work, conn)


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
    if not sessions.takes_statements(conn) or _set_up(conn):
        return execute(statement, conn, before=before)
    with translated(None, conn), sessions.Transaction(conn):
        return execute(statement, conn, before=before)


def execute(statement: Statement[T], conn: Connection, *, before: Sequence[Any] = ()) -> T:
    """Run one statement; its rows are mappings of our types, independent of the connection's adapters."""
    if statement.is_limit and sessions.of(conn) is None:
        return statement.decode([])
    with translated(statement, conn), Cursor(conn, row_factory=dict_row) as cursor:
        with conn.pipeline() if before else nullcontext():
            for command in before:
                conn.execute(command, prepare=False)
            cursor.execute(text(statement), statement.params or None, prepare=False, binary=is_one(statement))
        return statement.decode(cursor.fetchall() if cursor.description else [])


async def aexecute(statement: Statement[T], conn: AsyncConnection) -> T:
    """The same on the event loop."""
    with translated(statement, conn):
        async with AsyncCursor(conn, row_factory=dict_row) as cursor:
            await cursor.execute(
                text(statement), statement.params or None, prepare=False, binary=is_one(statement)
            )
            return statement.decode(await cursor.fetchall() if cursor.description else [])


async def arun(work: Work[T] | Callable[[], Work[T]], conn: AsyncConnection) -> T:
    """Run on a connection in autocommit mode as one transaction.

    Work that is given as a function that makes it is run again after a lost race.
    """
    for attempt in range(ATTEMPTS):
        try:
            return await _atransact(work() if callable(work) else work, conn)
        except NOT_THERE as exc:
            found = None
            with suppress(errors.PgmqError, psycopg.Error):
                found = await aexecute(schema.installed(exc.queue_name), conn)
            raise what_is_missing(exc, found) from exc.__cause__
        except RETRYABLE:
            if attempt == ATTEMPTS - 1 or not (callable(work) or isinstance(work, Statement)):
                raise
        except errors.ArchiveRefused as exc:
            again = partial(reading.free_archive_ids, exc.queue_name, exc.msg_ids)
            if attempt == ATTEMPTS - 1 or not isinstance(work, Statement) or not await arun(again, conn):
                raise
        await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise AssertionError("unreachable")


async def _atransact(work: Work[T], conn: AsyncConnection) -> T:
    if isinstance(work, Statement) and getattr(sessions.of(conn), "is_set", False):
        return await aexecute(work, conn)
    with translated(None, conn):
        async with sessions.AsyncTransaction(conn):
            return await adrive(work, conn)


async def adrive(work: Work[T], conn: AsyncConnection) -> T:
    """`drive` on the event loop."""
    if isinstance(work, Statement):
        return await aexecute(work, conn)
    try:
        statement = next(work)
        while True:
            statement = work.send(await aexecute(statement, conn))
    except StopIteration as stop:
        result: T = stop.value
        return result
