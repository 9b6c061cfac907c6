"""Following a queue: its new messages as they come, without a read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any

from airflow_pgmq.core import names
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.tail import Position
from airflow_pgmq.db.client import Client, LockNotAvailable
from airflow_pgmq.db.statements import overview, tailing, watching
from airflow_pgmq.db.statements.tailing import PAGE, Looked
from airflow_pgmq.services.waiting.listener import Listener
from airflow_pgmq.services.waiting.looking import IMPATIENCE
from airflow_pgmq.services.waiting.pool import QueryPool
from airflow_pgmq.services.waiting.reconnect import Connector, Refresh
from airflow_pgmq.services.waiting.timing import end, within
from airflow_pgmq.services.waiting.waiters import AFTER_THROTTLE, FAST_POLL, LOCKED_POLL, SLOW_POLL

#: Seconds between two looks at least: what comes meanwhile is found together.
REST = 0.05

Tell = Callable[[str], object]


class Tail:
    """New messages of one queue, woken by notifications; through outages, which are told.

    :param from_start: with the messages that are in the queue already
    :param last: with this many of them
    :param tell: gets sentences for people
    """

    def __init__(
        self, client: Client, queue_name: str, *, tell: Tell, from_start: bool = False, last: int = 0
    ) -> None:
        self.queue_name = queue_name
        self._tell = tell
        begin = client.run(lambda: tailing.start(queue_name, last))
        newest, first = begin["newest"], begin["first_of_last"]
        self._made_at = begin["made_at"]
        after = -1 if from_start else newest if first is None else first - 1
        # What was missing has no time yet: the clock is that of the event loop.
        self._position = Position(after, newest, dict.fromkeys(begin["missing"], inf))
        self._woken = asyncio.Event()
        #: Whether inserts are announced, and whether the notification itself says what came: PGMQ's own
        #: trigger is silent for a while after one.
        self._announced: bool | None = None
        self._throttled = False
        self._is_deaf = False

    async def batches(
        self,
        arguments: Mapping[str, Any],
        *,
        name: str,
        refresh: Refresh | None = None,
        limits: Limits | None = None,
    ) -> AsyncGenerator[Sequence[Row], None]:
        """New messages, some at a time, for ever; close it at the end.

        :param arguments: libpq's
        :param name: of the connection, for log lines
        :param refresh: returns fresh arguments, before a reconnect
        :raises PgmqError: the queue was dropped, or the role may not read it
        """
        connector = _Telling(arguments, name, refresh, limits)
        connector.tell = self._tell
        pool = QueryPool(connector)
        listener = Listener(connector, pool, self._on_notification)
        listener.want([names.channel(self.queue_name)])
        listening = asyncio.create_task(listener.run())
        try:
            while not listening.done():
                self._woken.clear()
                found = await self._look(pool)
                if found is not None and found.rows:
                    yield found.rows
                if found is None or len(found.rows) < PAGE:
                    await self._wait(listener, is_locked=found is None)
            # It never ends by itself, but for a mistake of ours.
            listening.result()
        finally:
            await end([listening])
            await pool.close()
            await connector.close_half_open()

    async def _look(self, pool: QueryPool) -> Looked | None:
        """What is new; None if somebody has locked the queue."""
        position = self._position
        make = partial(
            tailing.look,
            self.queue_name,
            after=position.after,
            archived_after=position.archived_after,
            missing=position.missing,
        )
        try:
            found = await pool.run(lambda: overview.briefly(make(), IMPATIENCE), waits_for_locks=False)
        except LockNotAvailable:
            return None
        now = asyncio.get_running_loop().time()
        position.missing = {msg_id: min(at, now) for msg_id, at in position.missing.items()}
        position.advance((row["msg_id"] for row in found.rows), now)
        if not found.rows:
            self._judge(found)
        return found

    def _judge(self, found: Looked) -> None:
        """Note what the queue is now."""
        if found.made_at != self._made_at:
            self._tell(f"Queue {self.queue_name} was made again; its ids begin again.")
            self._made_at, self._position = found.made_at, Position(0, 0)
            self._woken.set()
        if self._announced is not found.announced and not found.announced:
            self._tell(
                f"Queue {self.queue_name} does not announce its messages: looking every {FAST_POLL:.0f} s."
            )
        self._announced = found.announced

    async def _wait(self, listener: Listener, *, is_locked: bool) -> None:
        """Wait until there is a reason to look."""
        # Time must pass, or each message of a busy queue would be a look.
        await asyncio.sleep(REST)
        is_told = self._announced is not False and listener.notifications_pass
        longest = LOCKED_POLL if is_locked else SLOW_POLL if is_told else FAST_POLL
        if self._throttled:
            self._throttled, longest = False, AFTER_THROTTLE
        try:
            await within(self._woken.wait(), longest)
        except asyncio.TimeoutError:
            if longest == FAST_POLL and self._announced and not listener.notifications_pass:
                self._tell_of_deafness()

    def _tell_of_deafness(self) -> None:
        if not self._is_deaf:
            self._tell(
                f"No notification arrives, as behind a pooler in transaction mode: looking every "
                f"{FAST_POLL:.0f} s until one does."
            )
        self._is_deaf = True

    def _on_notification(self, channel: str, payload: str) -> None:
        if payload not in (watching.PAUSED, watching.SETTLED):
            self._throttled = watching.arrived(payload) is None
            self._woken.set()


class _Telling(Connector):
    """Says that Postgres is lost and back, also where nothing is logged."""

    tell: Tell

    def lost(self, part: str, reason: object) -> None:
        """Note it, and tell the first one."""
        was_down = bool(self._down)
        super().lost(part, reason)
        if not was_down:
            self.tell(f"Lost Postgres, waiting until it is back: {' '.join(str(reason).split())}")

    def found(self, part: str) -> None:
        """Note it, and tell the last one."""
        was_down = bool(self._down)
        super().found(part)
        if was_down and not self._down:
            self.tell("Postgres is back.")
