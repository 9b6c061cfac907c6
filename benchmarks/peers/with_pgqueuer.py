"""pgqueuer: `dedupe_key`, lists, `QueueManager.run`."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-not-found, import-untyped, unused-ignore]
from pgqueuer.core.applications import PgQueuer  # type: ignore[import-not-found]
from pgqueuer.domain.types import QueueExecutionMode  # type: ignore[import-not-found]
from pgqueuer.queries import Queries  # type: ignore[import-not-found]

from benchmarks.peers.task import each, keys, main, message

#: As many as our own consumer reads at once; its default is 10.
BATCH = 100


@asynccontextmanager
async def _opened(arguments: dict[str, str]) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(**arguments)
    try:
        await Queries.from_asyncpg_connection(connection).install()
        yield connection
    finally:
        await connection.close()


async def single(arguments: dict[str, str], count: int) -> list[float]:
    """One `enqueue` for each message."""
    async with _opened(arguments) as connection:
        queries = Queries.from_asyncpg_connection(connection)

        async def send(number: int, key: str) -> None:
            payload = json.dumps(message(number)).encode()
            await queries.enqueue("noop", payload, dedupe_key=key, on_conflict="skip")

        return await each(send, count)


async def bulk(arguments: dict[str, str], count: int) -> float:
    """One `enqueue` of lists."""
    async with _opened(arguments) as connection:
        return await _fill(Queries.from_asyncpg_connection(connection), count)


async def _fill(queries: Any, count: int) -> float:
    started = time.perf_counter()
    payloads = [json.dumps(message(number)).encode() for number in range(count)]
    await queries.enqueue(
        ["noop"] * count, payloads, [0] * count, dedupe_key=list(keys(count)), on_conflict="skip"
    )
    return time.perf_counter() - started


async def work(arguments: dict[str, str], count: int) -> float:
    """Its worker until the queue is empty; it runs the jobs of a batch as tasks at the same time."""
    async with _opened(arguments) as connection:
        await _fill(Queries.from_asyncpg_connection(connection), count)
        done = 0
        application = PgQueuer.from_asyncpg_connection(connection)

        @application.entrypoint("noop")  # type: ignore[untyped-decorator, unused-ignore]
        async def noop(job: Any) -> None:
            nonlocal done
            done += 1

        started = time.perf_counter()
        await application.qm.run(mode=QueueExecutionMode.drain, batch_size=BATCH)
        seconds = time.perf_counter() - started
        assert done == count
        return seconds


if __name__ == "__main__":
    main({"single": single, "bulk": bulk, "work": work})
