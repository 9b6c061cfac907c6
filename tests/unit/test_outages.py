"""How long the pauses after failures in a row are, and what is logged of the failures."""

from __future__ import annotations

import asyncio
import logging

import pytest

from airflow_pgmq.triggers import outages
from airflow_pgmq.triggers.outages import RetryForever


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which take no time."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(outages.asyncio, "sleep", sleep)
    return pauses


def log_and_wait(retry: RetryForever, *errors: Exception) -> None:
    async def all_of_them() -> None:
        for error in errors:
            await retry.log_and_wait(error)

    asyncio.run(all_of_them())


def test_pauses_grow_to_a_limit_and_start_again_after_success(slept):
    retry = RetryForever(logging.getLogger("test"), "Queue q")
    log_and_wait(retry, *[ValueError("no")] * 9)
    assert slept == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    retry.succeeded()
    log_and_wait(retry, ValueError("no"))
    assert slept[-1] == 1


def test_a_reason_is_logged_once_and_its_end_once(slept, caplog):
    caplog.set_level(logging.INFO)
    retry = RetryForever(logging.getLogger("test"), "Queue q")
    log_and_wait(retry, ValueError("no"), ValueError("no"), ValueError("other"))
    retry.succeeded()
    retry.succeeded()
    assert [record.message for record in caplog.records] == [
        "Queue q: trying again until it works: ValueError: no",
        "Queue q: trying again until it works: ValueError: other",
        "Queue q: works again",
    ]
