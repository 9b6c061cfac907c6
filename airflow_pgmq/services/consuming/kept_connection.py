"""A connection of our own that is replaced if it was lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import TypeVar

from airflow_pgmq.db.client import (
    OUTAGES,
    Client,
    Connection,
    is_alive,
    next_user_work,
    user_work_transaction,
)
from airflow_pgmq.db.statements import Work
from airflow_pgmq.errors import LimitReached

T = TypeVar("T")

#: Seconds for which work is tried again, while the server cannot be reached.
PATIENCE = 60.0
LONGEST_PAUSE = 5.0


class KeptConnection:
    """A kept connection for one thread.

    Servers, poolers and load balancers close connections that are idle for too long, also during work.
    All that runs here is fenced, so it may run again on another connection.

    :param patience: seconds for which work is tried again
    :param prepare: called with each new connection
    :param for_a_call: it is used only for a moment
    :param is_new: it is opened for this and closed afterwards, since a user's code may change its session
    """

    def __init__(
        self,
        client: Client,
        patience: float = PATIENCE,
        prepare: Callable[[Connection], object] | None = None,
        *,
        for_a_call: bool = False,
        is_new: bool = False,
    ) -> None:
        self._client = client
        self._prepare = prepare
        self._for_a_call = for_a_call
        self._is_new = is_new
        self._patience = patience
        self._conn: Connection | None = None
        #: The transaction of the next work, if it was begun with the commit before.
        self._begun: ExitStack | None = None

    def __enter__(self) -> KeptConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open the connection now, not at its first use."""
        self._connection()

    def close(self) -> None:
        """End the use of the connection; the next use takes another."""
        with suppress(*OUTAGES):
            self._end_begun()
        conn, self._conn = self._conn, None
        if conn is not None:
            self._client.give_back(conn)

    def run(self, make: Callable[[bool], Work[T]], meanwhile: Callable[[], object] = lambda: None) -> T:
        """Run as one transaction; if its connection is lost, again on another.

        A server that cannot be reached at the first try is an error at once.

        :param make: gets whether an earlier attempt may have been committed although its answer was lost
        :param meanwhile: called before each further attempt
        """
        was_sent, give_up, pause = False, 0.0, 0.0
        while True:
            conn: Connection | None = None
            try:
                with suppress(*OUTAGES):
                    self._end_begun()
                conn = self._connection()
                return self._client.attempt(partial(make, was_sent), conn)
            except OUTAGES as exc:
                now = time.monotonic()
                if (conn is None and not was_sent) or (give_up and now >= give_up):
                    raise
                # A transaction that a limit has ended was not committed.
                was_sent = was_sent or not isinstance(exc, LimitReached)
                give_up = give_up or now + self._patience
                self.close()
            meanwhile()
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause or 0.05)

    def run_once(self, make: Callable[[], Work[T]]) -> T:
        """Run as one transaction, without another attempt after an outage."""
        with suppress(*OUTAGES):
            self._end_begun()
        try:
            return self._client.attempt(make, self._connection())
        except OUTAGES:
            self.close()
            raise

    @contextmanager
    def work(self, goes_on: Callable[[], bool] = lambda: False) -> Iterator[Connection]:
        """A transaction around a user's work, which `settle_user_work` settles.

        :param goes_on: whether more work follows at once: then its transaction begins with this one's commit
        """
        if self._begun is not None and (self._conn is None or not is_alive(self._conn)):
            # Lost since; nothing had started in it.
            self.close()
        begun, self._begun = self._begun, None
        with begun or self._begin() as stack:
            assert self._conn is not None
            yield self._conn
            if goes_on():
                next_user_work(self._conn)
                self._begun = stack.pop_all()

    def _begin(self) -> ExitStack:
        try:
            return self._transaction()
        except OUTAGES:
            # The connection was lost while it was idle; nothing had started.
            self.close()
            return self._transaction()

    def _transaction(self) -> ExitStack:
        with ExitStack() as stack:
            stack.enter_context(user_work_transaction(self._connection()))
            return stack.pop_all()

    def _end_begun(self) -> None:
        """End a transaction in which no work has begun."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.close()

    def _connection(self) -> Connection:
        if self._conn is None or self._conn.closed:
            self.close()
            conn = self._open()
            try:
                if self._prepare is not None:
                    self._prepare(conn)
            except BaseException:
                self._client.give_back(conn)
                raise
            self._conn = conn
        return self._conn

    def _open(self) -> Connection:
        if self._is_new:
            return self._client.open()
        return self._client.take(for_a_call=self._for_a_call)
