"""The connection that is notified when messages arrive, and the test whether notifications still pass."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from airflow_pgmq.db.client import OUTAGES, AsyncConnection, OperationalError
from airflow_pgmq.db.statements import watching
from airflow_pgmq.services.waiting.notifications import ListeningConnection, sever
from airflow_pgmq.services.waiting.pool import QueryPool
from airflow_pgmq.services.waiting.reconnect import Backoff, Connector
from airflow_pgmq.services.waiting.timing import within

log = logging.getLogger(__name__)

#: Seconds between two health checks of the server, and for its answer.
HEALTH_INTERVAL = 5.0
HEALTH_TIMEOUT = 3.0

#: Seconds that a notification to ourselves may take, and until the next try if it did not arrive.
TEST_TIMEOUT = 3.0
TEST_INTERVAL = 60.0


class Listener:
    """Keeps one connection listening on the wanted channels, and reconnects if it is lost.

    :param on_notification: called with channel and payload of each notification, and with each channel that
        is newly listened on: messages that came before must be looked for
    """

    def __init__(
        self, connector: Connector, pool: QueryPool, on_notification: Callable[[str, str], None]
    ) -> None:
        self._connector = connector
        self._pool = pool
        self._notify = on_notification
        self._private = f"airflow_pgmq.{uuid.uuid4().hex}"
        self._wanted: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._passed = asyncio.Event()
        self._lost: Exception | None = None
        self._warned = False
        #: Whether notifications arrive; they do not behind a pooler in transaction mode.
        self.notifications_pass = False
        #: The channels that are listened on now.
        self.current: frozenset[str] = frozenset()

    def want(self, channels: Iterable[str]) -> None:
        """Listen on these channels only."""
        self._wanted = frozenset(channels)
        self._changed.set()

    async def run(self) -> None:
        """Listen for ever."""
        backoff = Backoff()
        while True:
            try:
                await self._session(backoff)
            except OUTAGES as exc:
                self.notifications_pass = False
                self._connector.lost("listener", self._lost or exc)
                await asyncio.sleep(backoff.failed())

    async def _session(self, backoff: Backoff) -> None:
        self._lost = None
        listening = ListeningConnection(await self._connector.connect(), self._on_notification, self._on_loss)
        test: asyncio.Task[None] | None = None
        try:
            with self._bounded(listening.conn):
                await listening.run(watching.listen(self._private))
            backoff.succeeded()
            self._connector.found("listener")
            test = asyncio.create_task(self._test())
            await self._listen(listening)
        finally:
            if test is not None:
                test.cancel()
            await listening.close()

    async def _listen(self, listening: ListeningConnection) -> None:
        """Listen on the wanted channels, and run a health check from time to time."""
        loop = asyncio.get_running_loop()
        self.current = frozenset()
        health_at = loop.time() + HEALTH_INTERVAL
        while True:
            timer = loop.call_at(health_at, self._changed.set)
            await self._changed.wait()
            timer.cancel()
            self._changed.clear()
            if self._lost is not None:
                raise self._lost
            # No queue's channel before the test: behind a pooler, other clients would get its notifications.
            wanted = self._wanted if self.notifications_pass else frozenset()
            with self._bounded(listening.conn):
                for channel in self.current - wanted:
                    await listening.run(watching.unlisten(channel))
                for channel in wanted - self.current:
                    await listening.run(watching.listen(channel))
                if loop.time() >= health_at:
                    await listening.run(watching.alive())
                    health_at = loop.time() + HEALTH_INTERVAL
            new, self.current = wanted - self.current, wanted
            for channel in new:
                self._notify(channel, "")

    async def _test(self) -> None:
        """Test whether notifications from another connection reach this one; repeated until they do."""
        while not self.notifications_pass:
            self._passed.clear()
            try:
                await self._pool.run(watching.announce(self._private))
                await within(self._passed.wait(), TEST_TIMEOUT)
            except asyncio.TimeoutError:
                if not self._warned:
                    log.warning(
                        "%s: notifications do not pass, as behind a pooler in transaction mode; looking for "
                        "messages by timers and polls",
                        self._connector.name,
                    )
                self._warned = True
                await asyncio.sleep(TEST_INTERVAL)
            except OUTAGES:
                # The pool's connection failed, which is logged there; this one may still work.
                await asyncio.sleep(TEST_INTERVAL)
            else:
                self._warned = False
                self.notifications_pass = True
                self._changed.set()

    @contextmanager
    def _bounded(self, connection: AsyncConnection) -> Iterator[None]:
        """Cut the connection if its statements take too long."""
        timer = asyncio.get_running_loop().call_later(HEALTH_TIMEOUT, self._give_up, connection)
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self, connection: AsyncConnection) -> None:
        self._lost = OperationalError(f"no answer within {HEALTH_TIMEOUT:.0f} s")
        sever(connection)
        # The pool waits, too, if the server is frozen or the network drops everything.
        self._pool.sever()

    def _on_notification(self, channel: str, payload: str) -> None:
        if channel == self._private:
            self._passed.set()
        else:
            self._notify(channel, payload)

    def _on_loss(self, exc: Exception) -> None:
        self._lost = self._lost or exc
        self._changed.set()
