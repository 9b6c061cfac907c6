"""The connection that hears when messages arrive, and notices when it no longer would."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from airflow_pgmq.db.client import OUTAGES, AsyncConnection, OperationalError
from airflow_pgmq.db.statements import watching
from airflow_pgmq.services.waiting.notifications import ListeningConnection, sever
from airflow_pgmq.services.waiting.pool import Readers
from airflow_pgmq.services.waiting.reconnect import Backoff, Connector
from airflow_pgmq.services.waiting.timing import within

log = logging.getLogger(__name__)

#: Seconds between two questions whether the server is there, and for its answer.
HEALTH_INTERVAL = 5.0
HEALTH_TIMEOUT = 3.0

#: How long a notification to ourselves may take, and when it is tried again if it did not come.
TEST_TIMEOUT = 3.0
TEST_INTERVAL = 60.0


class Listener:
    """Keeps one connection listening on the wanted channels, whatever happens to it.

    :param heard: called with a channel and its payload after each notification, and with those channels that
        are heard from now on: what came before must be looked for
    """

    def __init__(self, connector: Connector, readers: Readers, heard: Callable[[str, str], None]) -> None:
        self._connector = connector
        self._readers = readers
        self._heard = heard
        self._private = f"airflow_pgmq.{uuid.uuid4().hex}"
        self._wanted: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._passed = asyncio.Event()
        self._lost: Exception | None = None
        self._warned = False
        #: Whether notifications pass; not so behind a pooler that lends connections by transaction.
        self.notifications_pass = False
        #: The channels that are listened on now.
        self.current: frozenset[str] = frozenset()

    def want(self, channels: Iterable[str]) -> None:
        """Listen on these channels, and on no others."""
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
        """Follow what is wanted, and ask now and then whether the server is there."""
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
            # No queue's channel before the test: behind a pooler, others would get its notifications.
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
                self._heard(channel, "")

    async def _test(self) -> None:
        """Find out whether notifications from another connection reach this one; tried until they do."""
        while not self.notifications_pass:
            self._passed.clear()
            try:
                await self._readers.run(watching.announce(self._private))
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
                # The readers' connection, which says so itself; this one may be good for long.
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
        # A frozen server, or a way to it that swallows everything, keeps them waiting as well.
        self._readers.sever()

    def _on_notification(self, channel: str, payload: str) -> None:
        if channel == self._private:
            self._passed.set()
        else:
            self._heard(channel, payload)

    def _on_loss(self, exc: Exception) -> None:
        self._lost = self._lost or exc
        self._changed.set()
