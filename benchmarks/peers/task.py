"""What each Python script of a peer does: one task in an empty database, then JSON of its seconds.

It imports nothing but the standard library: it runs in the environment of the peers, where Airflow is not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

#: Gets the arguments of a connection and a number of messages; returns a list of seconds or their sum.
Task = Callable[[dict[str, str], int], Awaitable[Any]]

#: Calls before those that are measured.
WARM_UP = 20


def main(tasks: Mapping[str, Task]) -> None:
    """Called with the server's socket directory, the database, the task and the number of messages."""
    host, database, task, count = sys.argv[1:]
    connection = {"host": host, "port": "5432", "user": "postgres", "database": database}
    print(json.dumps(asyncio.run(_run(tasks[task], connection, int(count)))))


async def _run(task: Task, connection: dict[str, str], count: int) -> Any:
    return await task(connection, count)


def message(number: int) -> dict[str, Any]:
    """The same message in every queue."""
    return {"report": "daily_report", "customer": number, "date": "2026-01-01"}


def keys(count: int) -> list[str]:
    """Keys that nobody used: the database is new."""
    return [f"daily_report/2026-01-01/{number}" for number in range(count)]


def libpq(connection: Mapping[str, str]) -> str:
    """The same arguments as libpq's connection string."""
    names = {"database": "dbname"}
    return " ".join(f"{names.get(name, name)}='{value}'" for name, value in connection.items())


async def each(calls: Callable[[int, str], Awaitable[object]], count: int) -> list[float]:
    """Seconds of each call, one after the other, with a message's number and its key."""
    seconds = []
    for number, key in enumerate(keys(count + WARM_UP)):
        started = time.perf_counter()
        await calls(number, key)
        seconds.append(time.perf_counter() - started)
    return seconds[WARM_UP:]
