"""What a thousand waiters cost, compared with a connection for each."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.findings import Figure
from benchmarks.stage import Database, Stage

SENSORS = 1000
WATCHERS = 100
QUEUES = 20

CONNECTIONS = 4
QUERIES = 1.0
BLOCKED = 0.050

#: Postgres refuses more connections than these by default.
ONE_EACH = 90


def run(stage: Stage) -> Iterator[Figure]:
    """Measure begin, wait and wake-up; then idle waiters with a connection each."""
    database = stage.database("waiters")
    names = [database.new_queue() for _ in range(QUEUES)]
    with database.connect() as connection:
        # The server's counts include autovacuum's transactions, and come late.
        name = sql.Identifier(database.name)
        connection.execute(sql.SQL("ALTER DATABASE {} SET log_statement = 'all'").format(name))
    idle_for = 60 if stage.rounds >= 9 else 15
    who = f"{SENSORS:,} deferred sensors and {WATCHERS} event watchers on {QUEUES} queues in one process"
    # A full garbage collection of what Airflow has imported blocks for 80 ms, independent of the waiters.
    gc.collect()
    gc.freeze()
    measured = asyncio.run(_shared(stage, database, names, idle_for))
    gc.unfreeze()
    yield Figure(
        who,
        f"at most {CONNECTIONS} connections",
        f"{measured['connections']}, {measured['megabytes']:.0f} MB of the server",
        measured["connections"] / CONNECTIONS,
    )
    yield Figure(
        f"the same, idle for {idle_for} s",
        f"under {QUERIES:.0f} query a second",
        f"{measured['queries']:.2f}",
        measured["queries"] / QUERIES,
    )
    yield Figure(
        "the same: beginning to wait, waiting, and a message in each queue",
        f"event loop never blocked for {BLOCKED * 1000:.0f} ms",
        f"{measured['blocked'] * 1000:.0f} ms at most",
        measured["blocked"] / BLOCKED,
    )
    stage.progress(f"{ONE_EACH} with a connection each")
    each = asyncio.run(_one_each(database, names))
    yield Figure(
        f"a LISTEN connection each, {ONE_EACH} of them",
        "for comparison",
        f"{ONE_EACH} connections, {each:.0f} MB of the server; {SENSORS:,} would take"
        f" {each * SENSORS / ONE_EACH:,.0f} MB, and Postgres takes 100",
        None,
    )


async def _shared(stage: Stage, database: Database, names: list[str], idle_for: int) -> dict[str, float]:
    stage.progress("beginning to wait")
    loop_watch = _LoopWatch()
    before = _backends(database)
    tasks = [asyncio.create_task(_fired(trigger)) for trigger in _triggers(database, names)]
    await asyncio.sleep(15)
    backends = _backends(database) - before
    megabytes = sum(map(_megabytes, backends))
    stage.progress("idle")
    statements = _statements(stage, backends)
    await asyncio.sleep(idle_for)
    queries = (_statements(stage, backends) - statements) / idle_for
    stage.progress("waking up")
    await asyncio.to_thread(_send_to_all, database, names)
    await asyncio.sleep(3)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return {
        "connections": len(backends),
        "megabytes": megabytes,
        "queries": queries,
        "blocked": await loop_watch.end(),
    }


def _triggers(database: Database, names: list[str]) -> Iterator[Any]:
    from airflow_pgmq.triggers import PgmqEventTrigger, PgmqMessageTrigger

    conn_id = database.hook.pgmq_conn_id
    for number in range(SENSORS):
        condition = {"number": number % 50} if number % 2 else None
        yield PgmqMessageTrigger(queue_name=names[number % QUEUES], condition=condition, pgmq_conn_id=conn_id)
    for number in range(WATCHERS):
        yield PgmqEventTrigger(queue_name=names[number % QUEUES], pgmq_conn_id=conn_id)


async def _fired(trigger: Any) -> None:
    async for _ in trigger.run():
        return


def _send_to_all(database: Database, names: list[str]) -> None:
    with database.connect() as sender:
        for queue_name in names:
            sender.execute("SELECT pgmq.send(%s, '{}')", [queue_name])


async def _one_each(database: Database, names: list[str]) -> float:
    """Each listens, and reads once."""
    before = _backends(database)
    async with AsyncExitStack() as stack:
        for number in range(ONE_EACH):
            connection = await psycopg.AsyncConnection.connect(database.dsn, autocommit=True)
            await stack.enter_async_context(connection)
            name = names[number % QUEUES]
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(f"pgmq.q_{name}.INSERT")))
            await connection.execute("SELECT msg_id FROM pgmq.read(%s, 60, 1)", [name])
        return sum(map(_megabytes, _backends(database) - before))


def _backends(database: Database) -> set[int]:
    with database.connect() as connection:
        query = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return {pid for (pid,) in connection.execute(query)}


def _statements(stage: Stage, backends: set[int]) -> int:
    """How many queries the backends have received."""
    lines = stage.server.log.read_text(errors="replace").splitlines()
    logged = (line for line in lines if "LOG:  statement: " in line or "LOG:  execute " in line)
    return sum(any(f"[{pid}]" in line for pid in backends) for line in logged)


def _megabytes(pid: int) -> float:
    """The process's private memory, and its share of memory that it has in common with others (Linux)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


class _LoopWatch:
    """The longest delay of the event loop."""

    def __init__(self) -> None:
        self._latest = 0.0
        self._task = asyncio.create_task(self._watch())

    async def end(self) -> float:
        """The longest time for which nothing else could run."""
        self._task.cancel()
        await asyncio.wait([self._task])
        return self._latest

    async def _watch(self) -> None:
        while True:
            at = time.perf_counter()
            await asyncio.sleep(0.005)
            self._latest = max(self._latest, time.perf_counter() - at - 0.005)
