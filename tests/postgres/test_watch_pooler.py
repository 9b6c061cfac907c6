"""Behind PgBouncer in transaction mode: LISTEN succeeds there, and nothing is ever heard."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.local import SYSTEM_USER
from airflow_pgmq.statements import reading
from airflow_pgmq.watch import Watcher, demand, listener
from tests.fixtures.factories import QUEUE, client_of
from tests.fixtures.services import answers, free_ports, require_program, running_services
from tests.postgres.watching import arguments, make_queue, put, soon, until, waiting

if TYPE_CHECKING:
    from tests.fixtures.postgres import Database

DEAF = "notifications do not pass"


def configuration(database: Database, port: int, mode: str) -> str:
    """Of a PgBouncer that lends one connection of its own."""
    # As root it refuses to run.
    user = f"user = {SYSTEM_USER}" if os.geteuid() == 0 else ""
    return f"""
[databases]
{database.name} = host={database.server.directory} port=5432 user=postgres pool_size=1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
{user}
"""


@pytest.fixture
def pooled(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Arguments that lead to the database through a pooler of the mode that the test asks for."""
    program = require_program("pgbouncer", "pgbouncer")
    (port,) = free_ports(1)
    file = tmp_path / "pgbouncer.ini"
    file.write_text(configuration(database, port, request.param))
    for parent in (file, *file.parents):
        if parent.owner() != "root" or not parent.stat().st_mode & 0o005:
            parent.chmod(parent.stat().st_mode | 0o005)
    with running_services(tmp_path, tmp_path) as services:
        services.start("pgbouncer", [program, str(file)], dict(os.environ))
        services.wait_until(lambda: answers(port), "PgBouncer answers", 20)
        yield arguments(database, host="127.0.0.1", port=port)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "TEST_TIMEOUT", 0.5)
    monkeypatch.setattr(listener, "TEST_INTERVAL", 0.2)
    monkeypatch.setattr(demand, "SLOW_POLL", 10_000.0)
    monkeypatch.setattr(demand, "FAST_POLL", 0.5)


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
def test_timers_are_as_good_there(
    database: Database, pooled: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "FAST_POLL", 10_000.0)
    make_queue(client_of(database.dsn), QUEUE)

    async def scenario() -> None:
        watcher = Watcher(pooled)
        put(database, QUEUE, delay=1)
        await soon(watcher.wait(QUEUE))
        await watcher.close()

    asyncio.run(scenario())
