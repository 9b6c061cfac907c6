"""How soon a visible message is noticed: by our trigger, by a simple listener, and by polls."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from statistics import median, quantiles
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.report import Figure
from benchmarks.stage import Database, Stage

KINDS = ("immediate", "delayed", "returned")
SAMPLES = 30

P50 = 0.005
P99 = 0.050
AGAINST_BARE = 1.5

#: Delayed and returned messages become visible this many seconds later.
LATER = 0.2
#: Seconds before each message, so that its waiter is idle.
PAUSE = 0.05

#: Waits until the queue has a message.
Waiter = Callable[[str], Awaitable[object]]


def run(stage: Stage) -> Iterator[Figure]:
    """Our trigger and a simple listener run in turn; the polls are so much slower that one run is enough."""
    database = stage.database("wake_ups")
    seconds = asyncio.run(_listeners(stage, database))
    for kind in KINDS:
        ours, bare = seconds["trigger", kind], seconds["bare listener", kind]
        yield Figure(
            f"a message is visible until its trigger fires; {kind}",
            f"p50 at most {P50 * 1000:.0f} ms, p99 at most {P99 * 1000:.0f} ms",
            _spread(ours),
            median(ours) <= P50 and _p99(ours) <= P99,
        )
        yield Figure(
            f"the same, against a bare LISTEN-and-read loop; {kind}",
            f"p50 at most {AGAINST_BARE} times its p50",
            f"{median(ours) / median(bare):.2f} times; the loop: {_spread(bare)}",
            median(ours) <= AGAINST_BARE * median(bare),
        )
    polls = {"pgmq.read_with_poll, 100 ms": 0.1, "a poll every 5 s": 5.0, "a poll every 60 s": 60.0}
    for name, interval in list(polls.items())[: 3 if stage.rounds >= 9 else 2]:
        stage.progress(name)
        waits = asyncio.run(_polls(database, interval))
        yield Figure(f"the same by {name}", "for comparison", _spread(waits), None)


def _p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[98]


def _spread(seconds: list[float]) -> str:
    return f"p50 {median(seconds) * 1000:,.1f} ms, p99 {_p99(seconds) * 1000:,.1f} ms"


async def _listeners(stage: Stage, database: Database) -> dict[tuple[str, str], list[float]]:
    queue_name = database.new_queue()
    async with await psycopg.AsyncConnection.connect(database.dsn, autocommit=True) as connection:
        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(f"pgmq.q_{queue_name}.INSERT")))
        ways = {"trigger": _trigger(database), "bare listener": _bare_listener(connection)}
        seconds: dict[tuple[str, str], list[float]] = {(name, kind): [] for name in ways for kind in KINDS}
        for number in range(stage.rounds):
            for kind in KINDS:
                for name in list(ways) if number % 2 else reversed(ways):
                    stage.progress(f"round {number + 1} of {stage.rounds}: {name}, {kind}")
                    for _ in range(SAMPLES):
                        seconds[name, kind].append(await _once(database, queue_name, ways[name], kind))
    return seconds


async def _once(database: Database, queue_name: str, waiter: Waiter, kind: str) -> float:
    """Send one message; returns the seconds from its commit or its `vt` until it is noticed."""
    with database.connect() as sender:
        # A message whose visibility timeout ends was in the queue before the wait began.
        visible_at = _insert(sender, queue_name, 1, LATER) if kind == "returned" else 0.0
        known = asyncio.ensure_future(_clocked(waiter(queue_name)))
        await asyncio.sleep(PAUSE)
        if kind != "returned":
            later = LATER if kind == "delayed" else 0.0
            visible_at = await asyncio.to_thread(_insert, sender, queue_name, 0, later)
        known_at = await asyncio.wait_for(known, 30)
        sender.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("pgmq", f"q_{queue_name}")))
        return known_at - visible_at


def _insert(sender: psycopg.Connection[Any], queue_name: str, read_ct: int, later: float) -> float:
    """Commit a message; returns when it is visible, by the server's clock, which is also ours."""
    insert = sql.SQL(
        "INSERT INTO {} (read_ct, vt, message)"
        " VALUES (%s, clock_timestamp() + make_interval(secs => %s), '{{}}')"
        " RETURNING extract(epoch FROM vt)::float8"
    )
    with sender.pipeline() as pipeline:
        table = sql.Identifier("pgmq", f"q_{queue_name}")
        inserted = sender.execute(insert.format(table), [read_ct, later])
        # In one packet: the clock is read as soon as the message is committed.
        pipeline.sync()
        committed = sender.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
    (at,) = (inserted if later else committed).fetchone() or (0.0,)
    return at


async def _clocked(waiting: Awaitable[object]) -> float:
    await waiting
    return time.time()


def _trigger(database: Database) -> Waiter:
    from airflow_pgmq.triggers import PgmqMessageTrigger

    async def fired(queue_name: str) -> None:
        trigger = PgmqMessageTrigger(queue_name=queue_name, pgmq_conn_id=database.hook.pgmq_conn_id)
        async for _ in trigger.run():
            return

    return fired


def _bare_listener(connection: psycopg.AsyncConnection[Any]) -> Waiter:
    """The simplest listener: read, else wait for a notification or the next `vt`, and read again."""

    async def read(queue_name: str) -> None:
        table = sql.Identifier("pgmq", f"q_{queue_name}")
        upcoming = sql.SQL("SELECT extract(epoch FROM min(vt) - clock_timestamp())::float8 FROM {}")
        while True:
            cursor = await connection.execute("SELECT msg_id FROM pgmq.read(%s, 60, 1)", [queue_name])
            if await cursor.fetchone():
                return
            (left,) = await (await connection.execute(upcoming.format(table))).fetchone() or (None,)
            timeout = 60 if left is None else max(left, 0.0)
            async for _ in connection.notifies(timeout=timeout, stop_after=1):
                pass

    return read


async def _polls(database: Database, interval: float) -> list[float]:
    """Waiters that began at different times, each with a queue and a connection of its own."""
    return await asyncio.gather(*(_poll(database, interval) for _ in range(20)))


async def _poll(database: Database, interval: float) -> float:
    queue_name = database.new_queue()
    async with await psycopg.AsyncConnection.connect(database.dsn, autocommit=True) as connection:

        async def found() -> None:
            if interval < 1:
                poll = "SELECT msg_id FROM pgmq.read_with_poll(%s, 60, 1, 60, %s)"
                await connection.execute(poll, [queue_name, round(interval * 1000)])
                return
            read = "SELECT msg_id FROM pgmq.read(%s, 60, 1)"
            while not await (await connection.execute(read, [queue_name])).fetchone():
                await asyncio.sleep(interval)

        known = asyncio.ensure_future(_clocked(found()))
        await asyncio.sleep(1 + random.uniform(0, interval))
        with database.connect() as sender:
            sent_at = time.time()
            await asyncio.to_thread(sender.execute, "SELECT pgmq.send(%s, '{}')", [queue_name])
        return await known - sent_at
