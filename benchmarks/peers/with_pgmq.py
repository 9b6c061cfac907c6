"""The official client of PGMQ: no keys, and no worker, so that the loop is ours."""

from __future__ import annotations

import time
from typing import Any

from pgmq import PGMQueue
from pgmq.install import get_embedded_install_sql

from benchmarks.peers.task import each, libpq, main, message

QUEUE = "noop"
BATCH = 100


def _opened(arguments: dict[str, str]) -> Any:
    client = PGMQueue(conn_string=libpq(arguments), pool_size=1, init_extension=False)
    assert client.pool is not None
    with client.pool.connection() as connection:
        connection.execute(get_embedded_install_sql().encode())
    client.create_queue(QUEUE)
    return client


async def single(arguments: dict[str, str], count: int) -> list[float]:
    """One `send` for each message; the client is not asynchronous."""
    client = _opened(arguments)

    async def send(number: int, key: str) -> None:
        client.send(QUEUE, message(number))

    return await each(send, count)


async def bulk(arguments: dict[str, str], count: int) -> float:
    """One `send_batch`."""
    return _fill(_opened(arguments), count)


def _fill(client: Any, count: int) -> float:
    started = time.perf_counter()
    client.send_batch(QUEUE, [message(number) for number in range(count)])
    return time.perf_counter() - started


async def work(arguments: dict[str, str], count: int) -> float:
    """Read 100 and archive each by itself."""
    client, done = _opened(arguments), 0
    _fill(client, count)
    started = time.perf_counter()
    while messages := client.read_batch(QUEUE, vt=60, batch_size=BATCH):
        for each_message in messages:
            client.archive(QUEUE, each_message.msg_id)
            done += 1
    seconds = time.perf_counter() - started
    assert done == count
    return seconds


if __name__ == "__main__":
    main({"single": single, "bulk": bulk, "work": work})
