"""The two connections on which a watcher runs statements, opened when needed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from airflow_pgmq.db.client import OUTAGES, AsyncConnection, LockNotAvailable, arun
from airflow_pgmq.db.statements import Work
from airflow_pgmq.errors import NotConnected
from airflow_pgmq.services.waiting.notifications import sever
from airflow_pgmq.services.waiting.reconnect import Backoff, Connector
from airflow_pgmq.services.waiting.timing import end

T = TypeVar("T")

CONNECTIONS = 2

#: After this many seconds without an answer, the connection is cut and the work done again on another.
PATIENCE = 30.0


class QueryPool:
    """Runs statements and flows, two at a time, through outages."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._backoff = Backoff()
        self._resume_at = 0.0
        self._places = [_Place() for _ in range(CONNECTIONS)]
        # Last in, first out: the second connection is opened only when two are needed at once.
        self._idle: asyncio.LifoQueue[_Place] = asyncio.LifoQueue()
        for place in reversed(self._places):
            self._idle.put_nowait(place)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Work[T] | Callable[[], Work[T]], *, waits_for_locks: bool = True) -> T:
        """Run as one transaction; after an outage again, unless it is a flow that has already begun.

        A wrong connection, for example its password, is not an outage. A cancelled call returns at once; work
        that has begun continues to its end without it.

        :param waits_for_locks: whether a lock that others hold for too long counts as an outage, too
        """
        while True:
            place = await self._place()
            fresh = place.connection is None
            task = asyncio.create_task(self._use(place, work))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
            try:
                return await asyncio.shield(task)
            except OUTAGES as exc:
                if isinstance(exc, LockNotAvailable) and not waits_for_locks:
                    raise
                # Only a new connection shows the state of the server: old ones may have been lost while idle.
                if fresh:
                    self._connector.lost("pool", exc)
                    self._resume_at = asyncio.get_running_loop().time() + self._backoff.failed()
                    if isinstance(exc, NotConnected) and exc.is_mistake:
                        raise
                if isinstance(work, Generator) and inspect.getgeneratorstate(work) != inspect.GEN_CREATED:
                    raise

    async def _place(self) -> _Place:
        """A free place, after the pause that follows a failure; many callers may wait for it."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, self._resume_at - loop.time()))
            place = await self._idle.get()
            if place.connection is not None or loop.time() >= self._resume_at:
                return place
            self._idle.put_nowait(place)

    def sever(self) -> None:
        """Cut every connection, since the server does not answer."""
        for place in self._places:
            if place.connection is not None:
                sever(place.connection)

    async def close(self, *, cancel: bool = True) -> None:
        """Close the connections; running work is cancelled, unless the end of the loop has done that."""
        await end(self._tasks, told=not cancel)
        for place in self._places:
            await place.drop()

    async def _use(self, place: _Place, work: Work[T] | Callable[[], Work[T]]) -> T:
        timer = asyncio.get_running_loop().call_later(PATIENCE, place.sever)
        try:
            if place.connection is None:
                place.connection = await self._connector.connect()
            result = await arun(work, place.connection)
        except LockNotAvailable:
            raise
        except (*OUTAGES, asyncio.CancelledError):
            await place.drop()
            raise
        finally:
            timer.cancel()
            self._idle.put_nowait(place)
        self._backoff.succeeded()
        self._connector.found("pool")
        return result

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Retrieved here, since the caller may have been cancelled.
            task.exception()


class _Place:
    """A place for one connection."""

    def __init__(self) -> None:
        self.connection: AsyncConnection | None = None

    def sever(self) -> None:
        if self.connection is not None:
            sever(self.connection)

    async def drop(self) -> None:
        if self.connection is not None:
            connection, self.connection = self.connection, None
            await connection.close()
