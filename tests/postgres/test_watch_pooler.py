"""Behind PgBouncer in transaction mode LISTEN succeeds, but no notification arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.db.statements import reading
from airflow_pgmq.services.waiting import Watcher, listener, waiters
from tests.fixtures.factories import QUEUE, client_of
from tests.fixtures.pooler import running_pooler
from tests.postgres.watching import arguments, make_queue, put, soon, until, waiting

if TYPE_CHECKING:
    from tests.fixtures.postgres import Database

DEAF = "notifications do not pass"


@pytest.fixture
def pooled(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Arguments that lead to the database through a pooler of the mode that the test asks for."""
    with running_pooler(database.server, tmp_path, request.param) as port:
        yield arguments(database, host="127.0.0.1", port=port)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "TEST_TIMEOUT", 0.5)
    monkeypatch.setattr(listener, "TEST_INTERVAL", 0.2)
    monkeypatch.setattr(waiters, "SLOW_POLL", 10_000.0)
    monkeypatch.setattr(waiters, "FAST_POLL", 0.5)


@pytest.mark.parametrize("pooled", ["transaction"], indirect=True)
def test_messages_are_found_without_notifications(
    database: Database, pooled: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    make_queue(client_of(database.dsn), QUEUE)

    async def scenario() -> None:
        watcher = Watcher(pooled, name="shop")
        task = await waiting(watcher, QUEUE)
        await until(lambda: DEAF in caplog.text, "the warning")
        put(database, QUEUE)
        await soon(task)
        # A test or two more, and still one line.
        await asyncio.sleep(1.5)
        (message,) = await watcher.run(reading.read(QUEUE, max_messages=1, visibility_timeout=1))
        assert message.read_ct == 1
        await soon(watcher.wait(QUEUE))
        await watcher.close()

    asyncio.run(scenario())
    assert caplog.text.count(DEAF) == 1
    assert "shop" in caplog.text


@pytest.mark.parametrize("pooled", ["transaction"], indirect=True)
def test_timers_work_there_too(
    database: Database, pooled: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters, "FAST_POLL", 10_000.0)
    make_queue(client_of(database.dsn), QUEUE)

    async def scenario() -> None:
        watcher = Watcher(pooled)
        put(database, QUEUE, delay=1)
        await soon(watcher.wait(QUEUE))
        await watcher.close()

    asyncio.run(scenario())


def test_notifications_pass_in_session_mode(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters, "FAST_POLL", 10_000.0)
    make_queue(client_of(database.dsn), QUEUE)

    async def scenario(port: int) -> None:
        watcher = Watcher(arguments(database, host="127.0.0.1", port=port), name="shop")
        task = await waiting(watcher, QUEUE)
        await until(lambda: watcher._listener.notifications_pass, "the test of notifications")
        put(database, QUEUE)
        await soon(task)
        await watcher.close()

    # One session listens, two look.
    with running_pooler(database.server, tmp_path, "session", 3) as port:
        asyncio.run(scenario(port))
