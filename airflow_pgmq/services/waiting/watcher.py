"""One watcher for all waiters of an event loop: it looks when there is a reason, once for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from math import isfinite
from typing import Any, TypeVar

from airflow_pgmq.core import names
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.statements import Statement, Work, groups, overview, watching
from airflow_pgmq.db.statements.watching import Ask
from airflow_pgmq.errors import GroupIndexMissing, InvalidArgument, PgmqError
from airflow_pgmq.services.waiting.listener import Listener
from airflow_pgmq.services.waiting.looking import IMPATIENCE, Looker
from airflow_pgmq.services.waiting.pool import QueryPool
from airflow_pgmq.services.waiting.reconnect import Connector
from airflow_pgmq.services.waiting.timing import end
from airflow_pgmq.services.waiting.waiters import Visible, Waiter, Waiters

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds that connections stay open after the last waiter left: the next trigger often comes soon.
LINGER = 30.0


class Watcher:
    """Waits for messages on at most three connections: one to listen, two to look.

    For one event loop; connections are opened with the first waiter and closed after the last.
    """

    def __init__(
        self,
        arguments: Mapping[str, Any],
        *,
        name: str = "pgmq",
        refresh: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
        linger: float = LINGER,
        limits: Limits | None = None,
    ) -> None:
        self.connector = Connector(arguments, name, refresh, limits)
        self._linger = linger
        self._waiters = Waiters()
        self._channels: dict[str, str] = {}
        self._users = 0
        self._main: asyncio.Task[None] | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._renew()

    async def wait(
        self,
        queue_name: str,
        *,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        ordered: bool = False,
        min_messages: int = 1,
        poll_interval: float | None = None,
    ) -> Visible:
        """Return when enough matching messages are visible. It reads none, and waits through outages.

        Of many waiters for the same, as many are woken as there are messages for, the oldest first; the next
        ones a second later, if messages are still there.

        :param queue_name: the queue
        :param condition: only messages that contain this (jsonb `@>`)
        :param headers_condition: only messages whose headers contain this
        :param ordered: only messages that a read with `ordered` would return; makes the index that it needs
        :param min_messages: how many must be visible at once
        :param poll_interval: the longest time between two looks; 60 seconds by default, and 5 where inserts
            into the queue are not announced or notifications do not pass
        :raises PgmqError: the queue does not exist, or the role may not read it
        """
        if min_messages < 1 or (poll_interval is not None and poll_interval <= 0):
            raise InvalidArgument("min_messages must be at least 1, and poll_interval positive.")
        ask = Ask.of(queue_name, condition, headers_condition, ordered=ordered)
        try:
            return await self._wait(ask, min_messages, poll_interval)
        except GroupIndexMissing:
            # Also where the queue was made again meanwhile.
            await self.run(partial(groups.make_index, queue_name))
        return await self._wait(ask, min_messages, poll_interval)

    async def _wait(self, ask: Ask, min_messages: int, poll_interval: float | None) -> Visible:
        loop = asyncio.get_running_loop()
        waiter = Waiter(ask, min_messages, poll_interval, loop.create_future())
        with self._used():
            if self._waiters.add(waiter):
                self._follow()
            self._wake.set()
            try:
                return await waiter.result
            finally:
                self._waiters.remove(waiter, loop.time())

    async def run(self, work: Work[T] | Callable[[], Work[T]]) -> T:
        """Run a statement, or a flow given as the function that makes it, as one transaction of its own.

        After an outage the work is done again, so it may happen twice; a flow that has begun raises instead.
        A cancelled call returns at once, and work that has begun continues to its end.
        """
        with self._used():
            return await self._pool.run(work)

    async def look(self, statement: Statement[T]) -> T:
        """Run a statement that looks at one queue, as the watcher itself does.

        :raises LockNotAvailable: another session has locked the queue exclusively; waiting would delay others
        """
        with self._used():
            briefly = partial(overview.briefly, statement, IMPATIENCE)
            return await self._pool.run(briefly, waits_for_locks=False)

    async def close(self) -> None:
        """Close the connections now; each remaining waiter gets an error."""
        self._fail(self._waiters.matching(), PgmqError("The watcher was closed."))
        if main := self._retire():
            await asyncio.wait([main])

    @contextmanager
    def _used(self) -> Iterator[None]:
        """Keep the connections open for the block, and a while longer."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._main is None:
            self._renew()
            self._main = asyncio.create_task(self._work(self._pool, self._listener))
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users and self._main is not None:
                self._closing = asyncio.get_running_loop().call_later(self._linger, self._retire)

    def _retire(self) -> asyncio.Task[None] | None:
        """Let the connections be closed; later callers get new ones."""
        main, self._main = self._main, None
        if main is not None:
            main.cancel()
        return main

    def _renew(self) -> None:
        self._wake = asyncio.Event()
        self._pool = QueryPool(self.connector)
        self._looker = Looker(self._pool)
        self._listener = Listener(self.connector, self._pool, self._on_notification)
        self._follow()

    async def _work(self, pool: QueryPool, listener: Listener) -> None:
        """Listen and look until it is cancelled."""
        parts = [asyncio.create_task(listener.run()), asyncio.create_task(self._look_for_ever())]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            # Neither should end: this is a mistake of ours, and no waiter may wait for ever because of it.
            self._main = None
            reason = done.pop().exception() or PgmqError("The watcher ended.")
            log.error("%s: the watcher failed", self.connector.name, exc_info=reason)
            self._fail(self._waiters.matching(), reason)
        finally:
            # If `_retire` was not called, the loop ends and has cancelled all tasks; psycopg fails if that
            # happens twice.
            loop_ends = self._main is asyncio.current_task()
            await end(parts, told=loop_ends)
            await pool.close(cancel=not loop_ends)
            await self.connector.close_half_open()
            if loop_ends:
                self._main = None
            if self._main is None:
                # Objects that belong to the loop must not be kept.
                self._renew()

    async def _look_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if due := self._waiters.to_look_at(loop.time()):
                await self._look(due)
                continue
            if self._waiters.forget(loop.time() - self._linger):
                self._follow()
            next_at = self._waiters.next_at()
            timer = loop.call_at(next_at, self._wake.set) if isfinite(next_at) else None
            await self._wake.wait()
            if timer is not None:
                timer.cancel()

    async def _look(self, queue_names: list[str]) -> None:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        found = await self._looker.look(self._waiters.limits(queue_names, asked_at))
        self._waiters.on_look(found.seen, asked_at, loop.time(), self._listener.notifications_pass)
        self._waiters.put_off(found.locked, loop.time())
        for ask, mistake in found.mistakes.items():
            self._fail(self._waiters.matching(ask), mistake)

    @staticmethod
    def _fail(waiters: Iterable[Waiter], reason: BaseException) -> None:
        for waiter in waiters:
            if not waiter.result.done():
                waiter.result.set_exception(reason)

    def _follow(self) -> None:
        """Let the listener listen on the channels of the watched queues."""
        self._channels = {names.channel(queue_name): queue_name for queue_name in self._waiters.queues}
        self._listener.want(self._channels)

    def _on_notification(self, channel: str, payload: str) -> None:
        """Look at a queue whose messages were announced, or may have come before the LISTEN."""
        if queue_name := self._channels.get(channel):
            now = asyncio.get_running_loop().time()
            if payload == watching.PAUSED:
                self._waiters.on_pause(queue_name, now)
            elif payload == watching.SETTLED:
                self._waiters.on_settled(queue_name, now)
            else:
                self._waiters.on_notify(queue_name, now, watching.arrived(payload))
            self._wake.set()
