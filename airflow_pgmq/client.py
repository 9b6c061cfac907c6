"""The only module that talks to psycopg: runs statements and flows, sync and async, and names its errors."""

from __future__ import annotations

import asyncio
import random
import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from airflow_pgmq import errors
from airflow_pgmq.core import payload
from airflow_pgmq.statements import Flow, Statement, Work, schema

T = TypeVar("T")
Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]

OperationalError = psycopg.OperationalError
LockNotAvailable = pg.LockNotAvailable
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

#: Lost races that Postgres asks to be run again.
RETRYABLE = (pg.DeadlockDetected, pg.SerializationFailure)
ATTEMPTS = 6


def connect(arguments: Mapping[str, Any]) -> Connection:
    """Open a connection; libpq's arguments."""
    conn = psycopg.connect(**arguments)
    set_json_loads(payload.loads, conn)
    return conn


async def connect_async(arguments: Mapping[str, Any]) -> AsyncConnection:
    """Open a connection that is kept: in autocommit mode, and a peer that vanishes is noticed."""
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
        with self.connect() as own:
            own.autocommit = True
            yield own

    def run(self, make: Callable[[], Work[T]], conn: Connection | None = None) -> T:
        """Run a statement or a flow as one transaction; inside the caller's, if there is one.

        `make` builds the work anew for each attempt: a lost race (deadlock, serialization) of a
        transaction of our own is run again, one of the caller's is the caller's to run again.
        """
        if conn is not None:
            with _joined(conn):
                return self._drive(make(), conn)
        with self.connection() as own:
            return self.attempt(make, own)

    def attempt(self, make: Callable[[], Work[T]], own: Connection) -> T:
        """Run as one transaction of a connection of our own, again after a lost race."""
        for attempt in range(ATTEMPTS):
            try:
                work = make()
                if isinstance(work, Statement) and self._first is None:
                    # By itself a transaction, in one round trip.
                    return execute(work, own)
                with own.transaction():
                    return self._drive(work, own)
            except RETRYABLE:
                if attempt == ATTEMPTS - 1:
                    raise
            # Not a wait for an event: racers that lost together must not come back together.
            time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    def _drive(self, work: Work[T], conn: Connection) -> T:
        if self._first is not None:
            execute(self._first, conn)
        return drive(work, conn)

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


#: Stands from the begin of a user's work to its end.
_WORK = "airflow_pgmq_work"


def begin_work(conn: Connection) -> bool:
    """Set a savepoint before a user's work: it tells afterwards whether the transaction still stands.

    False without one: each statement of the work is a transaction of its own.
    """
    if conn.autocommit and conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        return False
    conn.execute(f"SAVEPOINT {_WORK}", prepare=False)
    return True


def end_work(conn: Connection) -> None:
    """Release that savepoint.

    :raises TransactionEnded: the work has ended the transaction
    """
    with _whole_work():
        conn.execute(f"RELEASE {_WORK}", prepare=False)


@contextmanager
def work_transaction(conn: Connection) -> Iterator[None]:
    """A transaction around a user's work, to be settled by `settle_work` at its end."""
    with ExitStack() as stack:
        # Not `conn.transaction()`, which would leave the work inside the pipeline.
        with conn.pipeline():
            stack.enter_context(psycopg.Transaction(conn, _WORK))
        yield


def settle_work(work: Work[T], conn: Connection) -> T:
    """Run what settles a user's work in its transaction, in one round trip with `end_work`."""
    with _whole_work():
        return drive(work, conn, before=f"RELEASE {_WORK}")


@contextmanager
def _whole_work() -> Iterator[None]:
    try:
        yield
    except (pg.InvalidSavepointSpecification, pg.NoActiveSqlTransaction) as exc:
        raise errors.TransactionEnded from exc


@contextmanager
def _joined(conn: Connection) -> Iterator[None]:
    """A savepoint inside the caller's transaction, so that an error of ours leaves theirs usable.

    psycopg's `transaction()` would commit a connection that is idle, so the transaction is begun first.
    """
    if not conn.autocommit and conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        conn.execute("SELECT 1")
    with conn.transaction():
        yield


def drive(work: Work[T], conn: Connection, *, before: str | None = None) -> T:
    """Run each statement that the work yields, and hand its answer back.

    :param before: a command that goes ahead of the first one, in one round trip with it
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


def execute(statement: Statement[T], conn: Connection, *, before: str | None = None) -> T:
    """Run one statement; its rows come as mappings, whatever the connection's row factory is."""
    with translated(statement), conn.cursor(row_factory=dict_row) as cursor:
        with conn.pipeline() if before else nullcontext():
            if before:
                conn.execute(before, prepare=False)
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
            current = work() if callable(work) else work
            if isinstance(current, Statement):
                return await aexecute(current, conn)
            async with conn.transaction():
                return await adrive(current, conn)
        except RETRYABLE:
            if attempt == ATTEMPTS - 1 or not (callable(work) or isinstance(work, Statement)):
                raise
        await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise AssertionError("unreachable")


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


@contextmanager
def translated(statement: Statement[Any]) -> Iterator[None]:
    """Driver errors with a known cause → ours, which say what to do; others pass as they are."""
    try:
        yield
    except psycopg.Error as exc:
        if (known := _known(statement, exc)) is not None:
            raise known from exc
        raise


def _known(statement: Statement[Any], exc: psycopg.Error) -> errors.PgmqError | None:
    text = exc.diag.message_primary or str(exc)
    queue_name = statement.queue_name
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
