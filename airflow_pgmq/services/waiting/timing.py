"""A limit for waiting that lets a cancellation through, and an end for what has lost one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds until a task is cancelled again: time for the driver to cancel a query on the server.
AGAIN = 1.0


async def end(tasks: Collection[asyncio.Task[Any]], *, told: bool = False) -> None:
    """Cancel tasks, which may have been told already, and return when they have ended.

    psycopg waits with `asyncio.wait_for`, which before Python 3.12 forgets a cancellation that comes together
    with the result: the task goes on, and who waits for its end waits for ever. So it is told again.
    """
    pending = set(tasks)
    while pending:
        for task in () if told else pending:
            task.cancel()
        told = False
        ended, pending = await asyncio.wait(pending, timeout=AGAIN)
        for task in ended:
            # No error of theirs is left to be complained of.
            _ = task.cancelled() or task.exception()


async def within(awaitable: Awaitable[T], seconds: float | None) -> T:
    """The result, or `asyncio.TimeoutError`; None: without limit.

    `asyncio.wait_for` of Python before 3.12 forgets a cancellation that comes together with the result: who
    loops then goes on for ever, and who cancelled it waits for ever.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        # Its end is nobody's any more, and no error of it is left to be complained of.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        task.cancel()
        raise
    if not task.done():
        await end([task])
        if task.cancelled():
            raise asyncio.TimeoutError
    return task.result()
