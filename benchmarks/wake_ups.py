"""How soon a visible message is noticed and read: by our trigger, by a simple listener, and by polls."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from statistics import median
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.findings import Bars, Figure, Finding
from benchmarks.measure import percentile_99, spread
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

#: Waits until the queue has a message, and says at each step which one it has done, as `woken` or `read`.
Waiter = Callable[[str], AsyncIterator[str]]


def run(stage: Stage) -> Iterator[Finding]:
    """Our trigger and a simple listener run in turn; the polls are so much slower that one run is enough."""
    database = stage.database("wake_ups")
    seconds = asyncio.run(_listeners(stage, database))
    for kind in KINDS:
        ours, bare = seconds["trigger", kind, "woken"], seconds["bare listener", kind, "read"]
        read = seconds["trigger", kind, "read"]
        yield Figure(
            f"a message is visible until its trigger fires; {kind}",
            f"p50 at most {P50 * 1000:.0f} ms, p99 at most {P99 * 1000:.0f} ms",
            spread(ours),
            max(median(ours) / P50, percentile_99(ours) / P99),
        )
        yield Figure(
            f"the same, against a bare LISTEN-and-read loop, whose time includes the read; {kind}",
            f"p50 at most {AGAINST_BARE} times its p50",
            f"{median(ours) / median(bare):.2f} times; the loop: {spread(bare)}",
            median(ours) / median(bare) / AGAINST_BARE,
        )
        yield Figure(
            f"visible until its trigger fires and `hook.read` has read it, against that loop; {kind}",
            "for comparison",
            f"{median(read) / median(bare):.2f} times: {spread(read)}",
            None,
        )
    known = {
        "the trigger fires": median(seconds["trigger", "immediate", "woken"]),
        "the trigger fires, and hook.read has read it": median(seconds["trigger", "immediate", "read"]),
        "a loop of LISTEN and pgmq.read": median(seconds["bare listener", "immediate", "read"]),
    }
    ours = list(known)[:2]
    polls = {"pgmq.read_with_poll, 100 ms": 0.1, "a poll every 5 s": 5.0, "a poll every 60 s": 60.0}
    for name, interval in list(polls.items())[: 3 if stage.rounds >= 9 else 2]:
        stage.progress(name)
        waits = asyncio.run(_polls(database, interval))
        known[name] = median(waits)
        yield Figure(f"the same by {name}", "for comparison", spread(waits), None)
    yield Bars(
        "wake_ups",
        "A new message is known; median",
        "milliseconds, logarithmic",
        {name: 1000 * seconds for name, seconds in known.items()},
        ours=ours,
        limits={ours[0]: 1000 * P50},
        is_log=True,
    )


async def _listeners(stage: Stage, database: Database) -> dict[tuple[str, str, str], list[float]]:
    """Seconds of each way, kind of message and step."""
    queue_name = database.new_queue()
    async with await psycopg.AsyncConnection.connect(database.dsn, autocommit=True) as connection:
        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(f"pgmq.q_{queue_name}.INSERT")))
        ways = {"trigger": _trigger(database), "bare listener": _bare_listener(connection)}
        seconds: dict[tuple[str, str, str], list[float]] = {}
        for number in range(stage.rounds):
            for kind in KINDS:
                for name in list(ways) if number % 2 else reversed(ways):
                    stage.progress(f"round {number + 1} of {stage.rounds}: {name}, {kind}")
                    for _ in range(SAMPLES):
                        for step, took in (await _once(database, queue_name, ways[name], kind)).items():
                            seconds.setdefault((name, kind, step), []).append(took)
    return seconds


async def _once(database: Database, queue_name: str, waiter: Waiter, kind: str) -> dict[str, float]:
    """Send one message; returns the seconds from its commit or its `vt` until each step."""
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
        return {step: at - visible_at for step, at in known_at.items()}


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


async def _clocked(steps: AsyncIterator[str]) -> dict[str, float]:
    return {step: time.time() async for step in steps}


def _trigger(database: Database) -> Waiter:
    from airflow_pgmq.hooks import PgmqHook
    from airflow_pgmq.triggers import PgmqMessageTrigger

    hook = PgmqHook(database.hook.pgmq_conn_id)

    async def fired(queue_name: str) -> AsyncIterator[str]:
        trigger = PgmqMessageTrigger(queue_name=queue_name, pgmq_conn_id=hook.pgmq_conn_id)
        async for _ in trigger.run():
            yield "woken"
            break
        # What a task does that the trigger wakes. Nothing else runs in this loop, so it may block.
        assert hook.read(queue_name)
        yield "read"

    return fired


def _bare_listener(connection: psycopg.AsyncConnection[Any]) -> Waiter:
    """The simplest listener: read, else wait for a notification or the next `vt`, and read again."""

    async def read(queue_name: str) -> AsyncIterator[str]:
        table = sql.Identifier("pgmq", f"q_{queue_name}")
        upcoming = sql.SQL("SELECT extract(epoch FROM min(vt) - clock_timestamp())::float8 FROM {}")
        while True:
            cursor = await connection.execute("SELECT msg_id FROM pgmq.read(%s, 60, 1)", [queue_name])
            if await cursor.fetchone():
                yield "read"
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

        async def found() -> float:
            if interval < 1:
                poll = "SELECT msg_id FROM pgmq.read_with_poll(%s, 60, 1, 60, %s)"
                await connection.execute(poll, [queue_name, round(interval * 1000)])
                return time.time()
            read = "SELECT msg_id FROM pgmq.read(%s, 60, 1)"
            while not await (await connection.execute(read, [queue_name])).fetchone():
                await asyncio.sleep(interval)
            return time.time()

        known = asyncio.ensure_future(found())
        await asyncio.sleep(1 + random.uniform(0, interval))
        with database.connect() as sender:
            sent_at = time.time()
            await asyncio.to_thread(sender.execute, "SELECT pgmq.send(%s, '{}')", [queue_name])
        return await known - sent_at
