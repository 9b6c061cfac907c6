"""A limit for waiting that lets a cancellation through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


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
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            raise asyncio.TimeoutError
    return task.result()
