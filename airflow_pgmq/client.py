"""The only module that talks to psycopg: runs statements and flows, sync and async, and names its errors."""

from __future__ import annotations

import asyncio
import random
import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from airflow_pgmq import errors
from airflow_pgmq.core import payload
from airflow_pgmq.statements import Flow, Statement, schema
from airflow_pgmq.translation import connecting, translated, what_is_missing

T = TypeVar("T")
Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]
Work = Statement[T] | Flow[T]

OperationalError = psycopg.OperationalError
LockNotAvailable = pg.LockNotAvailable
QueryCanceled = pg.QueryCanceled
DriverError = psycopg.Error

#: What passes by itself: no way to the server, or after a failover to a standby that is not promoted yet.
OUTAGES = (psycopg.OperationalError, pg.ReadOnlySqlTransaction)

#: A peer that is gone without a word is noticed after 11 seconds instead of two hours.
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "connect_timeout": 5,
}

#: Errors that may mean that PGMQ as a whole is missing.
NOT_THERE = (errors.QueueNotFound, errors.FeatureMissing, errors.NotInstalled)
INSTALLED: Statement[Mapping[str, Any]] = Statement("installed", decode=lambda rows: rows[0])

#: Lost races that Postgres asks to be run again.
RETRYABLE = (pg.DeadlockDetected, pg.SerializationFailure)
ATTEMPTS = 6


def connect(arguments: Mapping[str, Any]) -> Connection:
    """Open a connection; libpq's arguments."""
    with connecting():
        conn = psycopg.connect(**arguments)
    set_json_loads(payload.loads, conn)
    return conn


async def connect_async(arguments: Mapping[str, Any]) -> AsyncConnection:
    """Open a connection that is kept: in autocommit mode, and a peer that vanishes is noticed."""
    with connecting():
        conn = await psycopg.AsyncConnection.connect(autocommit=True, **{**KEEPALIVES, **arguments})
    set_json_loads(payload.loads, conn)
    return conn


def versions() -> tuple[str, int]:
    """Of psycopg, and of the libpq that it uses, as libpq numbers it."""
    return psycopg.__version__, psycopg.pq.version()


def hears(conn: Connection, seconds: float) -> bool:
    """Whether a notification reaches a listening connection in time."""
    return any(True for _ in conn.notifies(timeout=seconds, stop_after=1))


def answers(conn: Connection, seconds: float) -> bool:
    """Whether the server answers in time, on a connection that was idle.

    No statement of the driver's: their time is limited only by a server that is alive.
    """
    with suppress(OperationalError), selectors.DefaultSelector() as selector:
        conn.pgconn.send_query(b"SELECT")
        selector.register(conn.fileno(), selectors.EVENT_READ)
        if not selector.select(seconds):
            return False
        statuses = [result.status for result in iter(conn.pgconn.get_result, None)]
        return statuses == [psycopg.pq.ExecStatus.TUPLES_OK]
    return False


class Client:
    """Runs statements on connections that `connect` opens, one per call, or on the caller's.

    `first` is run first in each transaction, such as a limit that holds for it alone.
    """

    def __init__(self, connect: Callable[[], Connection], first: Statement[Any] | None = None) -> None:
        self.connect = connect
        self._first = first
        self._checked: set[str] = set()

    def once(self, what: str, check: Callable[[], object]) -> None:
        """Run a check the first time only."""
        if what not in self._checked:
            check()
            self._checked.add(what)

    def forget(self, what: str) -> None:
        """Run that check again next time."""
        self._checked.discard(what)

    @contextmanager
    def connection(self, conn: Connection | None = None) -> Iterator[Connection]:
        """The caller's connection as it is, or one of our own, closed afterwards."""
        if conn is not None:
            yield conn
            return
        with connecting():
            opened = self.connect()
        with opened as own:
            own.autocommit = True
            yield own

    def run(self, make: Callable[[], Work[T]], conn: Connection | None = None) -> T:
        """Run a statement or a flow as one transaction; inside the caller's, if there is one.

        `make` builds the work anew for each attempt: a lost race (deadlock, serialization) of a
        transaction of our own is run again, one of the caller's is the caller's to run again.
        """
        if conn is not None:
            with _asked_again(conn), _joined(conn):
                return self._drive(make, conn)
        with self.connection() as own:
            return self.attempt(make, own)

    def attempt(self, make: Callable[[], Work[T]], own: Connection) -> T:
        """Run as one transaction of a connection of our own, again after a lost race."""
        for attempt in range(ATTEMPTS):
            try:
                with _asked_again(own), own.transaction():
                    return self._drive(make, own)
            except RETRYABLE:
                if attempt == ATTEMPTS - 1:
                    raise
            # Not a wait for an event: racers that lost together must not come back together.
            time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    def _drive(self, make: Callable[[], Work[T]], conn: Connection) -> T:
        if self._first is not None:
            execute(self._first, conn)
        return drive(make(), conn)

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


@contextmanager
def _asked_again(conn: Connection) -> Iterator[None]:
    """Around a transaction: errors of its end are ours too, and what is missing is looked up after it."""
    try:
        with translated():
            yield
    except NOT_THERE as exc:
        found = None
        # The connection may be gone, too, or the role may not look.
        with suppress(errors.PgmqError, psycopg.Error):
            found = execute(INSTALLED, conn)
        raise what_is_missing(exc, found) from exc.__cause__


@contextmanager
def _joined(conn: Connection) -> Iterator[None]:
    """A savepoint inside the caller's transaction, so that an error of ours leaves theirs usable.

    psycopg's `transaction()` would commit a connection that is idle, so the transaction is begun first.
    """
    if not conn.autocommit and conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        conn.execute("SELECT 1")
    with conn.transaction():
        yield


def drive(work: Work[T], conn: Connection) -> T:
    """Run each statement that the work yields, and hand its answer back."""
    if isinstance(work, Statement):
        return execute(work, conn)
    try:
        statement = next(work)
        while True:
            statement = work.send(execute(statement, conn))
    except StopIteration as stop:
        result: T = stop.value
        return result


def execute(statement: Statement[T], conn: Connection) -> T:
    """Run one statement; its rows come as mappings, whatever the connection's row factory is."""
    with translated(statement), conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(compose(statement), statement.params or None, prepare=False)
        return statement.decode(cursor.fetchall() if cursor.description else [])


async def aexecute(statement: Statement[T], conn: AsyncConnection) -> T:
    """The same on the event loop."""
    with translated(statement):
        async with conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(compose(statement), statement.params or None, prepare=False)
            return statement.decode(await cursor.fetchall() if cursor.description else [])


async def arun(work: Work[T] | Callable[[], Work[T]], conn: AsyncConnection) -> T:
    """Run on a connection in autocommit mode as one transaction.

    Work that is given as the function that makes it is run again after a lost race.
    """
    for attempt in range(ATTEMPTS):
        try:
            with translated():
                return await _aonce(work() if callable(work) else work, conn)
        except NOT_THERE as exc:
            found = None
            with suppress(errors.PgmqError, psycopg.Error):
                found = await aexecute(INSTALLED, conn)
            raise what_is_missing(exc, found) from exc.__cause__
        except RETRYABLE:
            if attempt == ATTEMPTS - 1 or not (callable(work) or isinstance(work, Statement)):
                raise
        await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise AssertionError("unreachable")


async def _aonce(work: Work[T], conn: AsyncConnection) -> T:
    if isinstance(work, Statement):
        return await aexecute(work, conn)
    async with conn.transaction():
        return await adrive(work, conn)


async def adrive(flow: Flow[T], conn: AsyncConnection) -> T:
    """`drive` for a flow on the event loop."""
    try:
        statement = next(flow)
        while True:
            statement = flow.send(await aexecute(statement, conn))
    except StopIteration as stop:
        result: T = stop.value
        return result


def compose(statement: Statement[Any]) -> sql.SQL | sql.Composed:
    """Put quoted identifiers into the query; a script without any is taken as it is."""
    if statement.script is not None and not statement.identifiers:
        return sql.SQL(statement.script)
    return _compose(
        statement.sql,
        tuple(statement.identifiers.items()),
        statement.columns,
        tuple(statement.fragments.items()),
        bool(statement.params),
    )


@lru_cache(maxsize=512)
def _compose(
    text: str,
    identifiers: tuple[tuple[str, tuple[str, ...]], ...],
    columns: tuple[str, ...],
    fragments: tuple[tuple[str, str], ...],
    has_params: bool,
) -> sql.Composed:
    def quoted(*path: str) -> sql.Identifier:
        # Beside parameters a percent sign begins one, in a name too, and the driver does not double it.
        return sql.Identifier(*(name.replace("%", "%%") if has_params else name for name in path))

    parts: dict[str, sql.Composable] = {name: quoted(*path) for name, path in identifiers}
    parts["columns"] = sql.SQL(", ").join(map(quoted, columns))
    parts.update((name, sql.SQL(own)) for name, own in fragments)
    return sql.SQL(text).format(**parts)


def bundled_pgmq() -> str | None:
    """PGMQ's SQL from the official client, if that is installed (extra `local`)."""
    try:
        from pgmq.install import get_embedded_install_sql
    except ImportError:
        return None
    text: str = get_embedded_install_sql()
    return text
