"""A timeout that never loses a cancellation, and an end for tasks that may have lost one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds until a task is cancelled again: time for the driver to cancel a query on the server.
AGAIN = 1.0


async def end(tasks: Collection[asyncio.Task[Any]], *, told: bool = False) -> None:
    """Cancel tasks and return when they have ended.

    psycopg waits with `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes together
    with the result: the task continues, and waiting for its end takes for ever. So it is cancelled again.

    :param told: whether they were cancelled already
    """
    pending = set(tasks)
    while pending:
        for task in () if told else pending:
            task.cancel()
        told = False
        ended, pending = await asyncio.wait(pending, timeout=AGAIN)
        for task in ended:
            # Retrieved, so that asyncio does not log their errors.
            _ = task.cancelled() or task.exception()


async def within(awaitable: Awaitable[T], seconds: float | None) -> T:
    """The result, or `asyncio.TimeoutError`; None: without limit.

    `asyncio.wait_for` of Python before 3.12 loses a cancellation that comes together with the result: a loop
    then continues for ever, and the task that cancelled it waits for ever.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        # Its result is no longer needed; retrieved, so that asyncio does not log its error.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        task.cancel()
        raise
    if not task.done():
        await end([task])
        if task.cancelled():
            raise asyncio.TimeoutError
    return task.result()
