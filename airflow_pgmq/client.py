"""The only module that talks to psycopg: runs statements and flows, sync and async, and names its errors."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.rows import dict_row

from airflow_pgmq import errors
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.driver import sessions
from airflow_pgmq.driver.composing import compose
from airflow_pgmq.driver.connecting import DEFAULTS
from airflow_pgmq.driver.connecting import KEEPALIVES as KEEPALIVES
from airflow_pgmq.driver.connecting import answers as answers
from airflow_pgmq.driver.connecting import connect as connect
from airflow_pgmq.driver.connecting import hears as hears
from airflow_pgmq.driver.connecting import stores_all_text as stores_all_text
from airflow_pgmq.driver.connecting import versions as versions
from airflow_pgmq.driver.values import AsyncCursor, Cursor
from airflow_pgmq.driver.work import begin_work as begin_work
from airflow_pgmq.driver.work import end_work as end_work
from airflow_pgmq.driver.work import ending, whole_work
from airflow_pgmq.driver.work import work_transaction as work_transaction
from airflow_pgmq.statements import Statement, Work, schema
from airflow_pgmq.statements.sessions import make_ours

T = TypeVar("T")
Connection = sessions.Connection
AsyncConnection = psycopg.AsyncConnection[Any]

OperationalError = psycopg.OperationalError
DriverError = psycopg.Error

#: A lock was waited for in vain, on a connection of ours or on another.
LockNotAvailable = (errors.LockTimeout, pg.LockNotAvailable)

#: What passes by itself: no way to the server, or after a failover to a standby that is not promoted yet, or
#: others held a lock for too long.
OUTAGES = (psycopg.OperationalError, pg.ReadOnlySqlTransaction, errors.LimitReached)

#: Lost races that Postgres asks to be run again.
RETRYABLE = (pg.DeadlockDetected, pg.SerializationFailure)
ATTEMPTS = 6


async def connect_async(arguments: Mapping[str, Any], limits: Limits | None = None) -> AsyncConnection:
    """Open a connection of our own, in autocommit mode, which is kept."""
    limits = limits or Limits()
    conn = await psycopg.AsyncConnection.connect(
        autocommit=True, **{**DEFAULTS, "connect_timeout": 5, **arguments}
    )
    try:
        await conn.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
        async with sessions.AsyncTransaction(conn) if sessions.is_standby(conn) else nullcontext():
            has_it_alone = await aexecute(_settings(conn, limits), conn)
    except BaseException:
        await conn.close()
        raise
    sessions.keep(conn, sessions.Session(limits, is_pooled=not has_it_alone))
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

        What its session says does not matter: where it is ours alone, one statement gives it the isolation,
        limits and encoding that we need. A pooler lends it by transaction, which then sets them.

        :param limits: other ones, as `UNLIMITED` for a transaction around a user's code
        """
        limits = limits or self.limits
        conn = self._connect()
        try:
            conn.autocommit = True
            conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            # Where SERIALIZABLE is the default, a standby refuses what begins without saying otherwise.
            with sessions.Transaction(conn) if sessions.is_standby(conn) else nullcontext():
                has_it_alone = execute(_settings(conn, limits), conn)
        except BaseException:
            conn.close()
            raise
        sessions.keep(conn, sessions.Session(limits, is_pooled=not has_it_alone))
        return conn

    @contextmanager
    def connection(
        self, conn: Connection | None = None, *, limits: Limits | None = None
    ) -> Iterator[Connection]:
        """The caller's connection as it is, or one of our own, closed afterwards."""
        if conn is not None:
            yield conn
            return
        own = self.open(limits)
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

        `make` builds the work anew for each attempt: a transaction of our own that lost a race (deadlock,
        serialization) or its connection is run again, one of the caller's is the caller's to run again.
        """
        if conn is None:
            with self.connection() as own:
                return self.attempt(make, own)
        if self.begins(conn):
            return self.attempt(make, conn)
        with sessions.joined(conn):
            return drive(make(), conn)

    def begins(self, conn: Connection) -> bool:
        """Whether a transaction of our own would begin there; what is set in it ends with it."""
        current = self._lent.get(conn, conn)
        return current.autocommit and sessions.is_idle(current)

    def attempt(self, make: Callable[[], Work[T]], own: Connection) -> T:
        """Run as one transaction of our own; again after a lost race or, on another connection, a lost one.

        A process that was frozen finds its transaction gone and its locks free: nothing of it was done.
        """
        for attempt in range(ATTEMPTS):
            conn = self._lent.get(own, own)
            transaction = sessions.Transaction(conn)
            try:
                return _transact(make(), transaction, conn)
            except RETRYABLE:
                if attempt == ATTEMPTS - 1:
                    raise
            except (DriverError, errors.LimitReached) as exc:
                if attempt == ATTEMPTS - 1 or not transaction.is_undone or not self._reconnect(own, exc):
                    raise
            # Not a wait for an event: racers that lost together must not come back together.
            time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    def _reconnect(self, own: Connection, exc: Exception) -> bool:
        """Let another connection serve in the place of one that we lent and that is lost."""
        lost = self._lent.get(own)
        if lost is None or not lost.closed or (isinstance(exc, errors.LimitReached) and not exc.is_frozen):
            return False
        session = sessions.of(lost)
        self._lent[own] = self.open(session.limits if session else None)
        return True

    def ensure_schema(self, conn: Connection | None = None) -> None:
        """Make sure that our schema is there; installs it where the role may."""
        with self.connection(conn) as current:
            if drive(schema.is_current(), current):
                return
        self.install()

    def install(self) -> list[str]:
        """Install PGMQ if it is missing and our schema; says what was done, an empty list: nothing."""
        try:
            return self.run(lambda: schema.install(bundled_pgmq))
        except errors.PermissionDenied as exc:
            raise errors.NotInstalled(
                f"The schema airflow_pgmq is missing or old and this role may not install it ({exc}). "
                "Let a role that may create schemas run PgmqHook().install() once and grant this one its use."
            ) from exc


def settle_work(work: Work[T], conn: Connection, limits: Limits) -> T:
    """Run what settles a user's work in its transaction; with the check that this still stands, at once.

    :raises TransactionEnded: the work has ended it
    """
    with whole_work():
        return drive(work, conn, before=ending(conn, limits))


def _transact(work: Work[T], transaction: sessions.Transaction, conn: Connection) -> T:
    if isinstance(work, Statement) and sessions.needs_no_begin(conn):
        transaction.is_undone = False
        return execute(work, conn)
    with _told(conn), transaction:
        return drive(work, conn)


def drive(work: Work[T], conn: Connection, *, before: Sequence[Any] = ()) -> T:
    """Run each statement that the work yields, and hand its answer back.

    :param before: commands that go ahead of the first one, in one round trip with it
    """
    if isinstance(work, Statement):
        return execute(work, conn, before=before)
    try:
        answer = execute(next(work), conn, before=before)
        while True:
            answer = execute(work.send(answer), conn)
    except StopIteration as stop:
        result: T = stop.value
        return result


def execute(statement: Statement[T], conn: Connection, *, before: Sequence[Any] = ()) -> T:
    """Run one statement; its rows come as mappings of our values, whatever the connection's are."""
    if statement.is_limit and sessions.of(conn) is None:
        return statement.decode([])
    with translated(statement, conn), Cursor(conn, row_factory=dict_row) as cursor:
        with conn.pipeline() if before else nullcontext():
            for command in before:
                conn.execute(command, prepare=False)
            cursor.execute(
                compose(statement), statement.params or None, prepare=False, binary=_is_one(statement)
            )
        return statement.decode(cursor.fetchall() if cursor.description else [])


async def aexecute(statement: Statement[T], conn: AsyncConnection) -> T:
    """The same on the event loop."""
    with translated(statement, conn):
        async with AsyncCursor(conn, row_factory=dict_row) as cursor:
            await cursor.execute(
                compose(statement).as_bytes(None),
                statement.params or None,
                prepare=False,
                binary=_is_one(statement),
            )
            return statement.decode(await cursor.fetchall() if cursor.description else [])


def _is_one(statement: Statement[Any]) -> bool:
    # Only text comes back from a script of several.
    return statement.script is None or bool(statement.params)


async def arun(work: Work[T] | Callable[[], Work[T]], conn: AsyncConnection) -> T:
    """Run on a connection in autocommit mode as one transaction.

    Work that is given as the function that makes it is run again after a lost race.
    """
    for attempt in range(ATTEMPTS):
        try:
            current = work() if callable(work) else work
            if isinstance(current, Statement) and sessions.needs_no_begin(conn):
                return await aexecute(current, conn)
            with _told(conn):
                async with sessions.AsyncTransaction(conn):
                    return await adrive(current, conn)
        except RETRYABLE:
            if attempt == ATTEMPTS - 1 or not (callable(work) or isinstance(work, Statement)):
                raise
        await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise AssertionError("unreachable")


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


def bundled_pgmq() -> str | None:
    """PGMQ's SQL from the official client, if that is installed (extra `local`)."""
    try:
        from pgmq.install import get_embedded_install_sql
    except ImportError:
        return None
    text: str = get_embedded_install_sql()
    return text


@contextmanager
def translated(statement: Statement[Any], conn: psycopg.BaseConnection[Any]) -> Iterator[None]:
    """Driver errors with a known cause → ours, which say what to do; others pass as they are."""
    with _told(conn):
        try:
            yield
        except psycopg.Error as exc:
            if (known := _known(statement, exc)) is not None:
                raise known from exc
            raise


@contextmanager
def _told(conn: psycopg.BaseConnection[Any]) -> Iterator[None]:
    """What a session of ours, or the database's encoding, does not let pass."""
    try:
        yield
    except psycopg.Error as exc:
        text = (exc.diag.message_primary or str(exc)).strip()
        if isinstance(exc, (pg.UntranslatableCharacter, pg.CharacterNotInRepertoire)):
            raise errors.InvalidMessage(
                f"This database cannot store the text, so nothing was done: {text}."
            ) from exc
        if sessions.of(conn) is not None and (reached := errors.limit_reached(exc.sqlstate, text)):
            raise reached from exc
        raise


def _known(statement: Statement[Any], exc: psycopg.Error) -> errors.PgmqError | None:
    text = exc.diag.message_primary or str(exc)
    queue_name = statement.queue_name
    if exc.sqlstate == errors.CODE_TOO_OLD:
        return errors.CodeTooOld(f"{text}. {exc.diag.message_hint}")
    if isinstance(exc, pg.InsufficientPrivilege) and statement.name in ("create_guard", "drop_guard"):
        return errors.GuardMissing(
            "dedup_scope='queued' needs a unique index that only the owner of the queue's table can make "
            f"({text}): {compose(statement).as_string(None)}"
        )
    if isinstance(exc, pg.InsufficientPrivilege):
        return errors.PermissionDenied(f"{text}. docs/permissions.md lists the GRANTs that a role needs.")
    if isinstance(exc, (pg.UndefinedTable, pg.InvalidSchemaName, pg.UndefinedFunction)):
        return _missing(queue_name, exc, text)
    if isinstance(exc, pg.InvalidColumnReference) and statement.name in ("send_queued", "send_query_queued"):
        return errors.GuardMissing(
            f"Queue {queue_name!r} lacks the unique index that dedup_scope='queued' needs; nothing was sent. "
            f"PgmqHook().guard_queue({queue_name!r}) makes it."
        )
    if isinstance(exc, pg.SyntaxError) and statement.fragments:
        return errors.InvalidQuery(
            f"{text}. It must be one statement, without a semicolon inside: "
            + next(iter(statement.fragments.values())).strip()
        )
    if isinstance(exc, pg.UniqueViolation) and statement.name in (
        "send_new",
        "send_once",
        "send_query_once",
        "create_guard",
    ):
        return _unique(statement, exc)
    return None


def _missing(queue_name: str | None, exc: psycopg.Error, text: str) -> errors.PgmqError | None:
    if "airflow_pgmq." in text:
        return errors.NotInstalled(f"{text}: run PgmqHook().install() once on this database.")
    if isinstance(exc, pg.UndefinedTable) and queue_name and "pgmq." in text and "pgmq.meta" not in text:
        return errors.QueueNotFound(queue_name)
    if isinstance(exc, pg.UndefinedFunction) and "pgmq." in text and 'schema "pgmq"' not in text:
        return errors.FeatureMissing(f"{text}: this PGMQ is too old for it, or PGMQ is not installed.")
    if "pgmq" in text:
        return errors.NotInstalled(f"{text}: run PgmqHook().install() once on this database.")
    return None


def _unique(statement: Statement[Any], exc: pg.UniqueViolation) -> errors.PgmqError:
    detail = exc.diag.message_detail or ""
    if statement.name == "create_guard":
        return errors.GuardMissing(
            f"Queue {statement.queue_name!r} holds messages with the same dedup key ({detail}), so the "
            "unique index cannot be built. Consume or cancel all but one of them, then try again."
        )
    if statement.name == "send_new" and exc.diag.table_name == "dedup_ledger":
        return errors.LostRace(detail)
    why = (detail or str(exc)).rstrip(".")
    refused = (
        f"A unique index of queue {statement.queue_name!r} refused a message ({why}): use one dedup_scope "
        "per queue. What was committed before of a large batch stands."
    )
    return errors.DuplicateMessage(statement.queue_name or "", [], refused)
