"""A thousand waiters cost as much as one."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from airflow_pgmq.services.waiting import waiters
from tests.fixtures.factories import client_of, execute
from tests.postgres.watching import connections, listening, make_queue, put, soon, until, watcher_of

if TYPE_CHECKING:
    from tests.fixtures.postgres import Database

pytestmark = pytest.mark.direct("a watcher that hears nothing looks by the clock: test_watch_pooler.py")

QUEUES = [f"queue_{number}" for number in range(20)]
IDLE = 10


def statements(database: Database) -> int:
    """How many the server was sent since they are logged; its own statistics come up to ten seconds late."""
    log = database.server.log.read_text(errors="replace")
    return log.count("LOG:  statement: ") + log.count("LOG:  execute ")


@pytest.fixture
def queues(database: Database) -> list[str]:
    for queue_name in QUEUES:
        make_queue(client_of(database.dsn), queue_name)
    with database.connect(autocommit=True) as connection:
        name = sql.Identifier(database.name)
        connection.execute(sql.SQL("ALTER DATABASE {} SET log_statement = 'all'").format(name))
    return QUEUES


def test_a_thousand_waiters_on_twenty_queues(database: Database, queues: list[str]) -> None:
    async def scenario() -> None:
        async with watcher_of(database) as watcher:
            threads = threading.active_count()
            tasks = [
                asyncio.create_task(
                    watcher.wait(queues[number % 20], condition={"n": number % 50} if number % 2 else None)
                )
                for number in range(1000)
            ]
            await listening(watcher, database, *queues)
            # The queues are looked at once more when their channels are heard.
            await asyncio.sleep(1)
            before = statements(database)
            # What a watcher costs that has nothing to do.
            await asyncio.sleep(IDLE)
            assert statements(database) - before < IDLE / 2
            assert len(connections(database)) <= 3
            assert threading.active_count() == threads
            assert not any(task.done() for task in tasks)
            for queue_name in queues:
                put(database, queue_name)
            await until(lambda: sum(task.done() for task in tasks) >= len(queues), "a waiter of each queue")
            assert sum(task.done() for task in tasks) == len(queues)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    asyncio.run(scenario())


def test_a_wake_up_is_one_look_for_all(
    database: Database, queues: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of waiters, and whether they get a message at once or not."""
    monkeypatch.setattr(waiters, "AGAIN", 0.01)

    async def scenario() -> None:
        async with watcher_of(database) as watcher:
            tasks = [asyncio.create_task(watcher.wait(queues[0])) for _ in range(1000)]
            await listening(watcher, database, queues[0])
            before = statements(database)
            execute(database, "SELECT pgmq.send_batch('queue_0', array_fill('{}'::jsonb, ARRAY[1000]))")
            await soon(asyncio.gather(*tasks))
            assert statements(database) - before < 20

    asyncio.run(scenario())
