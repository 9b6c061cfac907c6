"""The same tasks by our hook, and by PGMQ's own functions without it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import count
from statistics import median
from typing import Any

from benchmarks.consuming import BATCH, drain_bare, full_queue
from benchmarks.measure import Stopwatch
from benchmarks.peers.task import WARM_UP, message
from benchmarks.stage import Database

_runs = count(1)


def hook_single(database: Database, messages: int) -> float:
    """`hook.send` with new keys; the p50 of its calls."""
    queue_name, prefix = database.new_queue(alone=True), next(_runs)
    return _p50(
        messages,
        lambda number: database.hook.send(queue_name, message(number), dedup_key=f"{prefix}/{number}"),
    )


def hook_bulk(database: Database, messages: int) -> float:
    """`hook.send_batch` with new keys."""
    queue_name, prefix = database.new_queue(alone=True), next(_runs)
    with Stopwatch() as watch:
        database.hook.send_batch(
            queue_name,
            [message(number) for number in range(messages)],
            dedup_keys=[f"{prefix}/{number}" for number in range(messages)],
        )
    return watch.seconds


def hook_work(database: Database, messages: int, *, together: bool) -> float:
    """The consumer of `@task.pgmq`."""
    from airflow_pgmq.core.consumer_policy import Policy
    from airflow_pgmq.services.consuming import Consumer

    with database.connect() as connection:
        database.new_queue(alone=True)
        queue_name = full_queue(database, connection, messages)
    policy = Policy(queue_name=queue_name, batch_size=BATCH)
    with Stopwatch() as watch:
        consumer = Consumer(database.hook.client, policy, together=together)
        summary = consumer.drain(lambda messages, conn: None)
    assert summary.acked == messages
    return watch.seconds


def bare_single(database: Database, messages: int) -> float:
    """`pgmq.send`; the p50 of its calls."""
    queue_name = database.new_queue(alone=True)
    with database.connect() as connection:
        send = "SELECT pgmq.send(%s, %s::jsonb)"
        return _p50(
            messages,
            lambda number: connection.execute(send, (queue_name, json.dumps(message(number)))).fetchone(),
        )


def bare_bulk(database: Database, messages: int) -> float:
    """`pgmq.send_batch` of a binary array, its fastest form."""
    queue_name = database.new_queue(alone=True)
    with database.connect() as connection, Stopwatch() as watch:
        texts = [json.dumps(message(number)) for number in range(messages)]
        connection.execute("SELECT pgmq.send_batch(%s, %b::text[]::jsonb[])", (queue_name, texts)).fetchall()
    return watch.seconds


def bare_work(database: Database, messages: int) -> float:
    """A loop that reads lists and archives each message by itself."""
    with database.connect() as connection:
        database.new_queue(alone=True)
        queue_name = full_queue(database, connection, messages)
        with Stopwatch() as watch:
            drained = drain_bare(connection, queue_name, acked=1)
    assert drained == messages
    return watch.seconds


def copy_bulk(database: Database, messages: int) -> float:
    """COPY into the queue's table."""
    queue_name = database.new_queue(alone=True)
    copy = f"COPY pgmq.q_{queue_name} (vt, message) FROM STDIN"
    with (
        database.connect() as connection,
        Stopwatch() as watch,
        connection.cursor() as cursor,
        cursor.copy(copy) as rows,
    ):
        for number in range(messages):
            rows.write_row(("now", json.dumps(message(number))))
    return watch.seconds


def _p50(messages: int, call: Callable[[int], Any]) -> float:
    seconds = []
    for number in range(messages + WARM_UP):
        started = time.perf_counter()
        call(number)
        seconds.append(time.perf_counter() - started)
    return median(seconds[WARM_UP:])
