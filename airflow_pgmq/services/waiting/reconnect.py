"""Connecting to the server: the pauses after failures, and one log line per outage."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.client import AsyncConnection, connect_async
from airflow_pgmq.db.driver.notifying import close_at_once
from airflow_pgmq.errors import NotConnected

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 10.0

#: After a connection that lasted this long, the next failure counts as the first one.
GOOD_AFTER = 10.0

#: Seconds that closing waits for connections that are being opened; a running server needs much less.
HALF_OPEN_TIME = 1.0

#: Seconds to wait for a lock: a look at many queues must not wait long for one of them.
LOCK_WAIT = 2
#: Seconds for one statement: as long as the pool waits, or the server would continue after the pool gave up.
STATEMENT = 30

Refresh = Callable[[], Awaitable[Mapping[str, Any]]]


class Connector:
    """Opens connections for a watcher, and remembers which parts of the watcher have none."""

    def __init__(
        self,
        arguments: Mapping[str, Any],
        name: str,
        refresh: Refresh | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.arguments = arguments
        limits = limits or Limits()
        lock = min(limits.lock or LOCK_WAIT, LOCK_WAIT)
        self._limits = replace(limits, lock=lock, statement=min(limits.transaction or STATEMENT, STATEMENT))
        self.name = name
        self._refresh = refresh
        self._opening: set[asyncio.Task[AsyncConnection]] = set()
        self._down: set[str] = set()
        self._down_since = 0.0
        self._logged_mistake = False

    async def connect(self) -> AsyncConnection:
        """Open a connection; during an outage with fresh arguments, since the old ones may be its cause.

        So a mistake in the arguments is still in Airflow's connection, too.
        """
        is_fresh = bool(self._down) and await self._looked_up()
        try:
            return await self._open()
        except NotConnected as exc:
            if not exc.is_mistake or is_fresh or not await self._looked_up():
                raise
        return await self._open()

    async def _looked_up(self) -> bool:
        """Take the arguments from the Airflow connection again; whether that succeeded."""
        if self._refresh is None:
            return False
        try:
            self.arguments = await self._refresh()
        except Exception as exc:
            log.debug("%s: the connection could not be looked up again: %s", self.name, exc)
            return False
        return True

    async def _open(self) -> AsyncConnection:
        opening = asyncio.create_task(connect_async(self.arguments, self._limits))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # Not cancelled: a half-open connection would stay until garbage collection.
            opening.add_done_callback(_close)
            raise

    async def close_half_open(self) -> None:
        """Wait a short time until connections that are still being opened are closed."""
        if self._opening:
            await asyncio.wait(self._opening, timeout=HALF_OPEN_TIME)

    def lost(self, part: str, reason: object) -> None:
        """Note that a part has no connection; the first one's reason is logged."""
        if not self._down:
            self._down_since = monotonic()
            self._say(reason)
        elif _is_mistake(reason) and not self._logged_mistake:
            self._say(reason)
        self._down.add(part)

    def _say(self, reason: object) -> None:
        text = " ".join(str(reason).split()) or type(reason).__name__
        self._logged_mistake = _is_mistake(reason)
        if self._logged_mistake:
            log.error("%s: no connection until this is corrected, trying again: %s", self.name, text)
        else:
            log.warning("%s: lost Postgres, waiters wait until it is back: %s", self.name, text)

    def found(self, part: str) -> None:
        """Note that a part has a connection again; logged when it was the last one without."""
        if part in self._down:
            self._down.remove(part)
            if not self._down:
                self._logged_mistake = False
                log.info("%s: Postgres is back after %.1f s", self.name, monotonic() - self._down_since)


def _is_mistake(reason: object) -> bool:
    return isinstance(reason, NotConnected) and reason.is_mistake


def _close(opening: asyncio.Task[AsyncConnection]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        close_at_once(opening.result())


class Backoff:
    """Increasing pauses with jitter, so that clients that lost a server together return apart."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE
        self._good_since: float | None = None

    def succeeded(self) -> None:
        """Note a success; later ones in a row change nothing."""
        if self._good_since is None:
            self._good_since = monotonic()

    def failed(self) -> float:
        """Note a failure; returns the seconds to pause."""
        if self._good_since is not None and monotonic() - self._good_since >= GOOD_AFTER:
            self._next = FIRST_PAUSE
        self._good_since = None
        pause = self._next * random.uniform(0.5, 1)
        self._next = min(self._next * 2, LONGEST_PAUSE)
        return pause
