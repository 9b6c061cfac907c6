"""Waiting with a limit, cancelled at the worst moment."""

from __future__ import annotations

import asyncio

import pytest

from airflow_pgmq.services.waiting.timing import within


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
    """Python before 3.12 returns the result then, and whoever loops goes on."""

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
