"""Helpers of the watcher's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_pgmq.core import names
from airflow_pgmq.db.statements import queues
from airflow_pgmq.services.waiting import Watcher
from tests.fixtures.factories import execute
from tests.fixtures.patience import patience, within

if TYPE_CHECKING:
    from airflow_pgmq.db.client import Client
    from tests.fixtures.postgres import Database

Result = TypeVar("Result")

#: For what must happen at all; the polls that would make it happen sooner or later are slower or off.
SOON = 20


def soon(awaitable: Awaitable[Result]) -> Awaitable[Result]:
    """Await the result; raises if it takes too long."""
    return within(awaitable, SOON)


async def until(condition: Callable[[], object], what: str) -> None:
    """Poll until the condition is true."""
    started = monotonic()
    while not condition():
        assert monotonic() - started < patience(SOON), f"not within {patience(SOON):.0f} s: {what}"
        await asyncio.sleep(0.02)


def arguments(database: Database, **more: Any) -> dict[str, Any]:
    """Arguments of the watcher's connections, which can be distinguished from the test's."""
    return {**database.address, "application_name": "watcher", **more}


@asynccontextmanager
async def watcher_of(database: Database, **options: Any) -> AsyncIterator[Watcher]:
    """A watcher that is closed with the block."""
    watcher = Watcher(arguments(database), **options)
    try:
        yield watcher
    finally:
        await watcher.close()


def make_queue(client: Client, queue_name: str, *, notify: bool = True) -> None:
    """A queue, announced by our trigger."""
    client.run(lambda: queues.create(queue_name, notify=notify))


def put(database: Database, queue_name: str, message: str = "{}", delay: int = 0) -> int:
    """Send by PGMQ's own function, as any client does."""
    (row,) = execute(database, "SELECT pgmq.send(%s, %s::jsonb, %s) AS id", [queue_name, message, delay])
    return row["id"]


def connections(database: Database) -> list[int]:
    """The backends of the watcher."""
    rows = execute(database, "SELECT pid FROM pg_stat_activity WHERE application_name = 'watcher'")
    return [row["pid"] for row in rows]


async def waiting(watcher: Watcher, queue_name: str, **options: Any) -> asyncio.Task[Any]:
    """A waiter for which the queue was looked at once, without a result."""
    task = asyncio.create_task(watcher.wait(queue_name, **options))
    # The watcher knows it from here on.
    await asyncio.sleep(0)
    now = asyncio.get_running_loop().time

    def looked() -> bool:
        queue = watcher._waiters.queues.get(names.lower(queue_name))
        # No look is wanted, and none is under way.
        return task.done() or (queue is not None and queue.look_at > now() and queue.poll_at < inf)

    await until(looked, "the first look")
    return task


async def listening(watcher: Watcher, database: Database, *queue_names: str) -> None:
    """Wait until the queues' announcements are heard: a second LISTEN tells nothing, so ask the listener."""
    wanted = {names.channel(queue_name) for queue_name in queue_names}
    await until(
        lambda: watcher._listener.notifications_pass and wanted <= watcher._listener.current, "LISTEN"
    )
