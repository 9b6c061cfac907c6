"""What the consumer of `@task.pgmq` costs, against a loop that only reads and archives."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

import psycopg

from benchmarks.measure import Stopwatch, Way, ratio, take_turns
from benchmarks.report import Figure
from benchmarks.stage import Database, Stage

MESSAGES = 20_000
BATCH = 100
AT_LEAST = 0.7

FILL = (
    "INSERT INTO pgmq.q_{} (vt, message)"
    " SELECT now(), jsonb_build_object('order', n, 'customer', 'customer ' || n)"
    " FROM generate_series(1, %s) AS n"
)


def run(stage: Stage) -> Iterator[Figure]:
    """Drain the same queues in each way."""
    database = stage.database("consuming")
    with database.connect() as connection:
        ways = {
            "task": _task(database),
            "transactional": _task(database, transactional=True),
            "loop": _loop(database, connection),
        }
        for name, way in ways.items():
            stage.progress(f"warming up: {name}")
            way()
        seconds = take_turns(stage.rounds, ways, stage.progress)
    for name, what in (("task", "`@task.pgmq`"), ("transactional", "the same with `transactional=True`")):
        share = ratio(seconds["loop"], seconds[name])
        yield Figure(
            f"{what}, lists of {BATCH}, against a bare read-archive loop",
            f"at least {AT_LEAST} of its throughput" if name == "task" else "for comparison",
            f"{share:.2f}: {_rate(seconds[name])} against {_rate(seconds['loop'])} messages/s",
            share >= AT_LEAST if name == "task" else None,
        )


def _task(database: Database, *, transactional: bool = False) -> Way:
    from airflow_pgmq.core.consumer_policy import Policy
    from airflow_pgmq.services.consuming import Consumer

    def work() -> float:
        with database.connect() as connection:
            queue_name = _full_queue(database, connection)
        policy = Policy(queue_name=queue_name, batch_size=BATCH, transactional=transactional)
        with Stopwatch() as watch:
            # No work, so that only the consumer is measured; its connections and dead letter queue included.
            summary = Consumer(database.hook.client, policy, together=True).drain(lambda messages, conn: None)
        assert summary.acked == MESSAGES
        return watch.seconds

    return work


def _loop(database: Database, connection: psycopg.Connection[Any]) -> Way:
    read = "SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM pgmq.read(%s, 60, %s)"

    def work() -> float:
        queue_name = _full_queue(database, connection)
        with Stopwatch() as watch:
            while rows := connection.execute(read, (queue_name, BATCH)).fetchall():
                msg_ids = [row[0] for row in rows]
                connection.execute("SELECT pgmq.archive(%s, %s::bigint[])", (queue_name, msg_ids)).fetchall()
        return watch.seconds

    return work


def _full_queue(database: Database, connection: psycopg.Connection[Any]) -> str:
    queue_name = database.new_queue()
    connection.execute(FILL.format(queue_name), (MESSAGES,))
    return queue_name


def _rate(seconds: list[float]) -> str:
    return f"{MESSAGES / median(seconds):,.0f}"
