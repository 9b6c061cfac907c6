"""The hook's methods for waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from typing import Any

from asgiref.sync import sync_to_async

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.services import waiting
from airflow_pgmq.services.waiting import Visible, Watcher
from airflow_pgmq.services.waiting.timing import within

#: Seconds for which a looked-up connection is reused: a starting triggerer may have a thousand triggers.
FRESH = 10.0

_Lookup = tuple[float, "asyncio.Task[tuple[dict[str, Any], Limits]]"]

_lookups: dict[asyncio.AbstractEventLoop, dict[str, _Lookup]] = {}


class WaitingMethods(ConnectionBase):
    """Wait until messages are visible, without reading them."""

    def wait(
        self,
        queue_name: str,
        *,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        ordered: bool = False,
        min_messages: int = 1,
        timeout: float | timedelta | None = None,
        poll_interval: float | None = None,
    ) -> Visible:
        """Return as soon as enough matching messages are visible; an outage does not end the wait.

        On an event loop, use `await (await hook.watcher()).wait(...)` instead.

        :param queue_name: the queue
        :param condition: only messages that contain this (jsonb `@>`)
        :param headers_condition: only messages whose headers contain this
        :param ordered: only messages that a read with `ordered` would return (docs/guides/ordering.md); makes
            the index that it needs
        :param min_messages: how many must be visible at once
        :param timeout: seconds or a timedelta; without limit by default
        :param poll_interval: the longest time in seconds between two polls; 60 by default, and 5 where
            inserts into the queue are not announced or notifications do not arrive
        :return: how many are visible, and when the oldest of them was enqueued
        :raises TimeoutError: not enough became visible within the timeout
        :raises QueueNotFound: there is no such queue
        :raises GroupIndexMissing: `ordered` needs an index that only the owner of the queue's table may make
        """
        arguments = self.connection_arguments()
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout

        async def waiting() -> Visible:
            watcher = Watcher(arguments, name=self.pgmq_conn_id, limits=self._transaction_limits())
            try:
                return await within(
                    watcher.wait(
                        queue_name,
                        condition=condition,
                        headers_condition=headers_condition,
                        ordered=ordered,
                        min_messages=min_messages,
                        poll_interval=poll_interval,
                    ),
                    seconds,
                )
            finally:
                await watcher.close()

        try:
            return asyncio.run(waiting())
        except asyncio.TimeoutError:
            # Before Python 3.11, asyncio.TimeoutError is not the built-in TimeoutError.
            raise TimeoutError(f"Not enough messages in queue {queue_name!r} within {seconds} s.") from None

    async def watcher(self) -> Watcher:
        """The running loop's watcher of this connection, shared by all callers."""
        arguments, limits = await self._lookup()
        return waiting.shared(self.pgmq_conn_id, arguments, self._arguments_in_thread, limits)

    async def _lookup(self) -> tuple[dict[str, Any], Limits]:
        for loop in [each for each in _lookups if each.is_closed()]:
            del _lookups[loop]
        lookups = _lookups.setdefault(asyncio.get_running_loop(), {})
        at, lookup = lookups.get(self.pgmq_conn_id, (0.0, None))
        if lookup is None or self._connection is not None or monotonic() - at > FRESH:
            # Airflow's configuration is slow: a thousand waiters would block the event loop.
            lookup = asyncio.ensure_future(sync_to_async(self._looked_up)())
            if self._connection is None:
                lookups[self.pgmq_conn_id] = monotonic(), lookup
        try:
            # Shielded, because other callers may await the same look-up.
            return await asyncio.shield(lookup)
        except Exception:
            lookups.pop(self.pgmq_conn_id, None)
            raise

    def _looked_up(self) -> tuple[dict[str, Any], Limits]:
        return self.connection_arguments(), self._transaction_limits()

    async def _arguments_in_thread(self) -> dict[str, Any]:
        # Looking up a connection blocks; asgiref's thread, because Airflow's look-up needs this event loop.
        return await sync_to_async(self.connection_arguments)()
