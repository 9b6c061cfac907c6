"""Connections to one database, and transactions on them."""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from airflow_pgmq import errors
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.connection_cache import ConnectionCache
from airflow_pgmq.db.driver import failures, running, sessions
from airflow_pgmq.db.driver.bundled import bundled_pgmq
from airflow_pgmq.db.driver.choices import OtherChoice
from airflow_pgmq.db.driver.connecting import arguments_of as arguments_of
from airflow_pgmq.db.driver.connecting import connect as connect
from airflow_pgmq.db.driver.connecting import is_open
from airflow_pgmq.db.driver.connecting import notification_arrives as notification_arrives
from airflow_pgmq.db.driver.connecting import versions as versions
from airflow_pgmq.db.driver.failures import ATTEMPTS as ATTEMPTS
from airflow_pgmq.db.driver.failures import NOT_THERE as NOT_THERE
from airflow_pgmq.db.driver.failures import OUTAGES as OUTAGES
from airflow_pgmq.db.driver.failures import RETRYABLE as RETRYABLE
from airflow_pgmq.db.driver.failures import Aborted as Aborted
from airflow_pgmq.db.driver.failures import DriverError as DriverError
from airflow_pgmq.db.driver.failures import LockNotAvailable as LockNotAvailable
from airflow_pgmq.db.driver.failures import OperationalError as OperationalError
from airflow_pgmq.db.driver.running import drive as drive
from airflow_pgmq.db.driver.running import execute as execute
from airflow_pgmq.db.driver.running import settle_user_work as settle_user_work
from airflow_pgmq.db.driver.running_async import AsyncConnection as AsyncConnection
from airflow_pgmq.db.driver.running_async import aexecute as aexecute
from airflow_pgmq.db.driver.running_async import arun as arun
from airflow_pgmq.db.driver.running_async import connect_async as connect_async
from airflow_pgmq.db.driver.sessions import Connection as Connection
from airflow_pgmq.db.driver.sessions import is_alive as is_alive
from airflow_pgmq.db.driver.sessions import is_lent as is_lent
from airflow_pgmq.db.driver.translation import connecting, translated, what_is_missing
from airflow_pgmq.db.driver.user_work import begin_user_work as begin_user_work
from airflow_pgmq.db.driver.user_work import end_user_work as end_user_work
from airflow_pgmq.db.driver.user_work import keeps_snapshot as keeps_snapshot
from airflow_pgmq.db.driver.user_work import next_user_work as next_user_work
from airflow_pgmq.db.driver.user_work import user_work_transaction as user_work_transaction
from airflow_pgmq.db.statements import Work, reading, schema

T = TypeVar("T")


#: The idle connections of a client: one for its calls, and one for a consumer whose work makes calls.
KEPT = 2


class Client:
    """Runs statements on connections of its own, which it keeps between calls, or on the caller's.

    :param connect: opens a connection
    :param limits: of each transaction on a connection of its own
    :param cache: where idle connections are, if it is shared with other clients
    :param key: which of the shared connections are like this client's
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        limits: Limits | None = None,
        *,
        cache: ConnectionCache | None = None,
        key: str = "",
    ) -> None:
        self.limits = limits or Limits()
        self._connect = connect
        self._key = key
        self._owns_cache = cache is None
        self._cache = cache or ConnectionCache(KEPT, is_open)
        if self._owns_cache:
            # When the client or the process ends.
            weakref.finalize(self, self._cache.close)
        self._facts: dict[str, Any] = {}
        #: Connections that are lent, and what serves in their place since they were lost.
        self._lent: dict[Connection, Connection] = {}

    def fact(self, what: str, find: Callable[[], T]) -> T:
        """What is found the first time."""
        if what not in self._facts:
            self._facts[what] = find()
        found: T = self._facts[what]
        return found

    def once(self, what: str, check: Callable[[], object]) -> None:
        """Run a check the first time only."""
        self.fact(what, check)

    def forget(self, what: str) -> None:
        """Run that check again next time."""
        self._facts.pop(what, None)

    def close(self) -> None:
        """Close the idle connections, unless others share them. The next call opens another one."""
        if self._owns_cache:
            self._cache.close()

    def open(self, limits: Limits | None = None) -> Connection:
        """A connection of our own, in autocommit mode, which the caller closes.

        The settings of its session do not matter: if it is only ours, one statement sets isolation, limits
        and encoding. If a pooler lends it by transaction, each transaction sets them.

        :param limits: other ones, as `UNLIMITED` for a transaction around a user's code
        """
        conn = self._begin_session(limits or self.limits)
        try:
            running.set_up(conn)
        except BaseException:
            conn.close()
            raise
        return conn

    def _begin_session(self, limits: Limits) -> Connection:
        """The same, without settings until a statement needs them: most transactions set their own."""
        with connecting():
            conn = self._connect()
        sessions.begin(conn, limits)
        return conn

    def connection(
        self, conn: Connection | None = None, *, limits: Limits | None = None, is_new: bool = False
    ) -> AbstractContextManager[Connection]:
        """The caller's connection as it is, or one of our own, kept afterwards for the next call.

        :param limits: as of `open`
        :param is_new: open one and close it afterwards: to see what a session gets, or to run a user's SQL,
            which may change the session
        """
        if conn is not None:
            return nullcontext(conn)
        return _Loan(self._cache, self._lent, (lambda: self.open(limits)) if limits or is_new else self.take)

    def take(self, *, for_a_call: bool = True) -> Connection:
        """A kept connection, or a new one, without settings yet; `give_back` ends the loan."""
        return self._cache.take(self._key, self._open_kept, for_a_call=for_a_call)

    def _open_kept(self) -> Connection:
        return self._begin_session(self.limits)

    def give_back(self, taken: Connection, conn: Connection | None = None) -> None:
        """Keep a connection for the next call, if it can be used again and was not opened for one use.

        :param conn: what serves in its place since it was lost
        """
        self._cache.give_back(taken, conn or taken)

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
        except OtherChoice:
            return _join(make, conn)
        except errors.ArchiveRefused as exc:
            if not _join(partial(reading.free_archive_ids, exc.queue_name, exc.msg_ids), conn):
                raise
            return _join(make, conn)

    def begins(self, conn: Connection) -> bool:
        """Whether a transaction of our own would begin there; its settings end with it."""
        current = self._lent.get(conn, conn)
        return current.autocommit and sessions.is_idle(current)

    def attempt(self, make: Callable[[], Work[T]], own: Connection, *, is_repeatable: bool = False) -> T:
        """Run as one transaction of our own; again after a lost race or a lost connection.

        After a lost connection it runs on a new one. If this process was frozen, Postgres may have ended its
        transaction: nothing of it was done.

        :param is_repeatable: it may also run again if an attempt without an answer may have been committed
        """
        for attempt in range(ATTEMPTS):
            conn = self._lent.get(own, own)
            transaction = sessions.Transaction(conn)
            try:
                return running.transact(make(), transaction, conn)
            except NOT_THERE as exc:
                raise failures.explanation(exc, conn) from exc.__cause__
            except RETRYABLE:
                if attempt == ATTEMPTS - 1:
                    raise
            except errors.ArchiveRefused as exc:
                if attempt == ATTEMPTS - 1 or not self.free_archive_ids(exc, conn):
                    raise
            except (DriverError, errors.LimitReached) as exc:
                may_repeat = transaction.is_undone or is_repeatable
                if attempt == ATTEMPTS - 1 or not may_repeat or not self._reconnect(own, exc):
                    raise
            # Not a wait for an event: transactions that lost a race together must not run again together.
            time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    def explained(self, exc: Exception) -> Exception:
        """The error that says what is missing, looked up after the transaction."""
        if not isinstance(exc, NOT_THERE):
            return exc
        found = None
        with suppress(errors.PgmqError, DriverError):
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

        def check() -> None:
            with self.connection(conn if conn is not None and self.begins(conn) else None) as current:
                if not self.attempt(schema.is_current, current):
                    self.install(current)

        self.once("schema", check)

    def install(self, conn: Connection | None = None) -> list[str]:
        """Install PGMQ if it is missing, and our schema; returns what was done, for people."""
        try:
            return self.run(lambda: schema.install(bundled_pgmq), conn)
        except errors.PermissionDenied as exc:
            raise schema.not_allowed(exc) from exc


class _Loan:
    """One of a client's own connections. No generator, since each step beside a wait costs a send time."""

    __slots__ = ("_cache", "_lent", "_take", "_taken")
    _taken: Connection | None

    def __init__(
        self, cache: ConnectionCache, lent: dict[Connection, Connection], take: Callable[[], Connection]
    ) -> None:
        self._cache = cache
        self._lent = lent
        self._take = take
        self._taken = None

    def __enter__(self) -> Connection:
        taken = self._taken = self._take()
        self._lent[taken] = taken
        return taken

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        taken, self._taken = self._taken, None
        if taken is not None:
            self._cache.give_back(taken, self._lent.pop(taken))

    def __del__(self) -> None:
        # An interrupt can come before `__exit__` begins.
        self.__exit__(None, None, None)


def _join(make: Callable[[], Work[T]], conn: Connection) -> T:
    """Run inside a caller's transaction."""
    try:
        with translated(None, conn), sessions.joined(conn):
            return running.drive(make(), conn)
    except NOT_THERE as exc:
        raise failures.explanation(exc, conn) from exc.__cause__
