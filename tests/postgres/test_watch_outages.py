"""Postgres is lost in every way: no waiter waits for ever, nothing is missed, and the log says it once."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.db.local import LocalPostgres
from airflow_pgmq.services.waiting import Watcher, listener, waiters
from tests.fixtures.factories import QUEUE, client_of, execute
from tests.fixtures.postgres import SETTINGS, Database, prepare_template
from tests.fixtures.services import free_ports
from tests.postgres.watching import (
    arguments,
    connections,
    listening,
    make_queue,
    put,
    soon,
    until,
    waiting,
    watcher_of,
)

if TYPE_CHECKING:
    from airflow_pgmq.db.local import StopMode

pytestmark = pytest.mark.direct("it ends the backends of the watcher, which a pooler would have")

LOST = "lost Postgres"
BACK = "Postgres is back"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Limits under which polls wake no waiter, and a server is given up sooner."""
    monkeypatch.setattr(waiters, "SLOW_POLL", 10_000.0)
    monkeypatch.setattr(waiters, "FAST_POLL", 10_000.0)
    monkeypatch.setattr(listener, "HEALTH_INTERVAL", 0.3)
    monkeypatch.setattr(listener, "HEALTH_TIMEOUT", 0.5)
    caplog.set_level(logging.INFO, "airflow_pgmq")


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    """How often the log says it."""
    return sum(text in record.getMessage() for record in caplog.records)


def is_told_briefly(caplog: pytest.LogCaptureFixture) -> bool:
    """The loss and the end of it are said, and not once for each attempt or waiter.

    On a busy machine a connection that is new may be lost as well.
    """
    return 1 <= said(caplog, LOST) == said(caplog, BACK) <= 3


def kill(database: Database, *pids: int) -> None:
    """Terminate backends."""
    execute(database, "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [list(pids)])


def test_the_listening_backend_is_terminated(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    make_queue(client_of(database.dsn), QUEUE)

    async def scenario() -> None:
        async with watcher_of(database) as watcher:
            for _ in range(3):
                task = await waiting(watcher, QUEUE)
                await listening(watcher, database, QUEUE)
                kill(database, *connections(database))
                put(database, QUEUE)
                await soon(task)
                execute(database, "TRUNCATE pgmq.q_mail")
                await until(lambda: said(caplog, BACK) == said(caplog, LOST), "the listener is back")

    asyncio.run(scenario())
    assert 1 <= said(caplog, LOST) <= 3


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_the_server_is_restarted_while_many_wait(
    own_database: Database, caplog: pytest.LogCaptureFixture, how: StopMode
) -> None:
    database = own_database
    for number in range(5):
        make_queue(client_of(database.dsn), f"queue_{number}")

    async def scenario() -> None:
        async with watcher_of(database) as watcher:
            tasks = [
                asyncio.create_task(watcher.wait(f"queue_{number % 5}", condition={"n": number}))
                for number in range(1000)
            ]
            await listening(watcher, database, *(f"queue_{number}" for number in range(5)))
            await asyncio.to_thread(database.server.stop, how)
            await until(lambda: said(caplog, LOST), "the loss")
            # A few attempts fail meanwhile.
            await asyncio.sleep(1)
            await asyncio.to_thread(database.server.start)
            for number in range(1000):
                put(database, f"queue_{number % 5}", f'{{"n": {number}}}')
            await soon(asyncio.gather(*tasks))
            await until(lambda: said(caplog, BACK), "all are back")
            assert len(connections(database)) <= 3

    asyncio.run(scenario())
    assert is_told_briefly(caplog)
    assert len(caplog.records) == 2 * said(caplog, LOST)


def test_what_was_sent_before_the_listener_was_back_is_found(
    own_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database = own_database
    make_queue(client_of(database.dsn), QUEUE)

    async def scenario() -> None:
        async with watcher_of(database) as watcher:
            task = await waiting(watcher, QUEUE)
            await listening(watcher, database, QUEUE)
            await asyncio.to_thread(database.server.stop)
            await until(lambda: said(caplog, LOST), "the loss")
            await asyncio.to_thread(database.server.start)
            put(database, QUEUE)
            await soon(task)

    asyncio.run(scenario())


def test_a_connection_lost_while_idle_is_nothing_to_report(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    make_queue(client_of(database.dsn), QUEUE)

    async def scenario() -> None:
        async with watcher_of(database) as watcher:
            await waiting(watcher, QUEUE)
            await listening(watcher, database, QUEUE)
            rows = execute(
                database,
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'watcher' AND query ~ 'unnest'",
            )
            kill(database, *(row["pid"] for row in rows))
            put(database, QUEUE)
            await soon(watcher.wait(QUEUE))

    asyncio.run(scenario())
    assert said(caplog, LOST) == 0


@contextmanager
def frozen(server: LocalPostgres, pids: list[int]) -> Iterator[None]:
    """The postmaster and the backends stop: their connections stay open, and nothing answers."""
    postmaster = int((Path(server.directory) / "data" / "postmaster.pid").read_text().split()[0])
    for pid in (postmaster, *pids):
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (*pids, postmaster):
            os.kill(pid, signal.SIGCONT)


def test_a_server_that_is_frozen(own_database: Database, caplog: pytest.LogCaptureFixture) -> None:
    database = own_database
    make_queue(client_of(database.dsn), QUEUE)

    async def scenario() -> None:
        # libpq knows no shorter time than two seconds.
        watcher = Watcher(arguments(database, connect_timeout=2))
        task = await waiting(watcher, QUEUE)
        await listening(watcher, database, QUEUE)
        with frozen(database.server, connections(database)):
            await until(lambda: said(caplog, "no answer within"), "the loss")
            # It can be left at any time.
            other = asyncio.create_task(watcher.wait(QUEUE))
            # It is in the middle of connecting by then.
            await asyncio.sleep(0.5)
            other.cancel()
            await asyncio.wait([other], timeout=1)
            assert other.cancelled()
        put(database, QUEUE)
        await soon(task)
        await until(lambda: said(caplog, BACK), "it is back")
        await watcher.close()

    asyncio.run(scenario())
    assert is_told_briefly(caplog)


class Proxy:
    """Forwards TCP connections until it is told to drop their data silently; new connections work again."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._writers: list[asyncio.StreamWriter] = []
        self._swallows = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def running(cls, port: int, target: int) -> AsyncIterator[Proxy]:
        proxy = cls(target)
        server = await asyncio.start_server(proxy._connect, "127.0.0.1", port)
        try:
            yield proxy
        finally:
            server.close()
            for writer in proxy._writers:
                writer.close()

    def swallow(self) -> None:
        """From now on current connections get no more data, not even their end."""
        self._swallows.set()
        self._swallows = asyncio.Event()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, far_writer]
        swallows = self._swallows
        await asyncio.gather(
            self._forward(reader, far_writer, swallows), self._forward(far_reader, writer, swallows)
        )

    @staticmethod
    async def _forward(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallows: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if not swallows.is_set():
                writer.write(data)
        if not swallows.is_set():
            writer.close()


def test_a_connection_whose_other_end_is_gone_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """As behind a firewall that has dropped the connection: TCP itself would wait for two hours."""
    port, proxy_port = free_ports(2)

    async def scenario(database: Database) -> None:
        async with Proxy.running(proxy_port, port) as proxy:
            far: dict[str, Any] = {"host": "127.0.0.1", "port": proxy_port, "user": "far", "password": "x"}
            watcher = Watcher({**arguments(database), **far})
            task = await waiting(watcher, QUEUE)
            await listening(watcher, database, QUEUE)
            proxy.swallow()
            put(database, QUEUE)
            await soon(task)
            await until(lambda: said(caplog, BACK), "it is back")
            await watcher.close()

    with LocalPostgres(settings=SETTINGS, port=port) as server:
        prepare_template(server.dsn())
        database = Database(server, "postgres")
        execute(database, "CREATE ROLE far LOGIN SUPERUSER PASSWORD 'x'")
        make_queue(client_of(database.dsn), QUEUE)
        asyncio.run(scenario(database))
    assert is_told_briefly(caplog)


def test_a_lookup_that_changed_is_used_for_the_next_connection(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    make_queue(client_of(database.dsn), QUEUE)

    async def refresh() -> dict[str, Any]:
        return arguments(database)

    async def scenario() -> None:
        watcher = Watcher(arguments(database, user="nobody_any_more"), refresh=refresh)
        put(database, QUEUE)
        await soon(watcher.wait(QUEUE))
        await watcher.close()

    asyncio.run(scenario())
    # It needs no log line.
    assert not caplog.records
