"""Waiting with a limit, and cancelled at the same moment."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from airflow_pgmq.services.waiting import timing
from airflow_pgmq.services.waiting.timing import end, within


def test_the_result_in_time():
    assert asyncio.run(within(asyncio.sleep(0, "done"), 5)) == "done"
    assert asyncio.run(within(asyncio.sleep(0, "done"), None)) == "done"


def test_too_late():
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(within(asyncio.sleep(60), 0.01))


def test_an_error_passes():
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(within(fail(), 5))


@pytest.mark.parametrize("fails", [False, True])
def test_a_cancellation_together_with_the_result_is_not_forgotten(fails):
    """Python before 3.12 returns the result then, so that a loop would go on."""

    async def scenario() -> bool:
        result = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(within(result, 60))
        await asyncio.sleep(0)
        if fails:
            result.set_exception(ValueError("no"))
        else:
            result.set_result("done")
        waiting.cancel()
        await asyncio.wait([waiting])
        return waiting.cancelled()

    assert asyncio.run(scenario())


def test_a_cancellation_that_was_lost_is_sent_again(monkeypatch):
    monkeypatch.setattr(timing, "AGAIN", 0.01)

    async def forgetful() -> None:
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)  # work that takes long
        await asyncio.sleep(60)  # work that takes long

    async def scenario() -> bool:
        task = asyncio.create_task(forgetful())
        await asyncio.sleep(0)
        await asyncio.wait_for(end([task]), 30)
        await end([])
        return task.cancelled()

    assert asyncio.run(scenario())


def test_what_is_late_and_does_not_listen_ends_too(monkeypatch):
    monkeypatch.setattr(timing, "AGAIN", 0.01)

    async def deaf() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)  # work that takes long
        await asyncio.sleep(60)  # work that takes long

    async def scenario() -> BaseException | None:
        waiting = asyncio.create_task(within(deaf(), 0.01))
        await asyncio.wait([waiting], timeout=30)
        return waiting.exception()

    assert isinstance(asyncio.run(scenario()), asyncio.TimeoutError)
