"""What the consumer of `@task.pgmq` costs, against loops that only read and archive."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import psycopg

from benchmarks.findings import Bars, Figure, Finding
from benchmarks.measure import Stopwatch, Way, ratio, take_turns
from benchmarks.stage import Database, Stage

MESSAGES = 20_000
#: An ack for each message is a commit for each, so that fewer are enough.
SINGLE = 2_000
BATCH = 100

AT_LEAST = 0.85
AIM = 0.95
TRANSACTIONAL_AT_LEAST = 0.8

FILL = (
    "INSERT INTO pgmq.q_{} (vt, message)"
    " SELECT now(), jsonb_build_object('order', n, 'customer', 'customer ' || n)"
    " FROM generate_series(1, %s) AS n"
)
READ = "SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM pgmq.read(%s, 60, %s)"
ARCHIVE = "SELECT pgmq.archive(%s, %s::bigint[])"


def run(stage: Stage) -> Iterator[Finding]:
    """Drain the same queues in each way."""
    database = stage.database("consuming")
    with database.connect() as connection:
        task = partial(_task, database)
        ways = {
            "task": task(MESSAGES),
            "transactional": task(MESSAGES, transactional=True),
            "loop": _loop(database, connection, MESSAGES, acked=BATCH),
            "one at a time": task(SINGLE, together=False),
            "read alone": task(SINGLE, together=False, batch_size=1),
            "loop that acks each": _loop(database, connection, SINGLE, acked=1),
        }
        for name, way in ways.items():
            stage.progress(f"warming up: {name}")
            way()
        seconds = take_turns(stage.rounds, ways, stage.progress)
    yield from _lists(seconds)
    for name, read in (("one at a time", f"{BATCH} read at once"), ("read alone", "each read by itself")):
        share = ratio(seconds["loop that acks each"], seconds[name])
        each = _rate(SINGLE, seconds["loop that acks each"])
        yield Figure(
            f"one message at a time, {read}, against a loop that reads {BATCH} and archives each by itself",
            "for comparison",
            f"{share:.2f}: {_rate(SINGLE, seconds[name])} against {each} messages/s",
            None,
        )
    yield Bars(
        "consuming",
        "One process consumes",
        "messages a second",
        {
            f"a loop: pgmq.read of {BATCH}, pgmq.archive of {BATCH}": MESSAGES / median(seconds["loop"]),
            f"@task.pgmq, lists of {BATCH}": MESSAGES / median(seconds["task"]),
            "@task.pgmq, lists, transactional": MESSAGES / median(seconds["transactional"]),
            f"a loop: pgmq.read of {BATCH}, pgmq.archive of each": SINGLE
            / median(seconds["loop that acks each"]),
            "@task.pgmq, one message at a time": SINGLE / median(seconds["one at a time"]),
        },
        ours=[
            f"@task.pgmq, lists of {BATCH}",
            "@task.pgmq, lists, transactional",
            "@task.pgmq, one message at a time",
        ],
    )


def _lists(seconds: dict[str, list[float]]) -> Iterator[Figure]:
    for name, what, at_least, aim in (
        ("task", "`@task.pgmq`", AT_LEAST, f"; {AIM} is the aim"),
        ("transactional", "the same with `transactional=True`", TRANSACTIONAL_AT_LEAST, ""),
    ):
        share = ratio(seconds["loop"], seconds[name])
        yield Figure(
            f"{what}, lists of {BATCH}, against a bare read-archive loop",
            f"at least {at_least} of its throughput{aim}",
            f"{share:.2f}: {_rate(MESSAGES, seconds[name])} against {_rate(MESSAGES, seconds['loop'])}"
            " messages/s",
            at_least / share,
        )


def _task(
    database: Database,
    messages: int,
    *,
    together: bool = True,
    batch_size: int = BATCH,
    transactional: bool = False,
) -> Way:
    from airflow_pgmq.core.consumer_policy import Policy
    from airflow_pgmq.services.consuming import Consumer

    def work() -> float:
        with database.connect() as connection:
            queue_name = full_queue(database, connection, messages)
        policy = Policy(queue_name=queue_name, batch_size=batch_size, transactional=transactional)
        with Stopwatch() as watch:
            # No work, so that only the consumer is measured; its connections and dead letter queue included.
            consumer = Consumer(database.hook.client, policy, together=together)
            summary = consumer.drain(lambda messages, conn: None)
        assert summary.acked == messages
        return watch.seconds

    return work


def _loop(database: Database, connection: psycopg.Connection[Any], messages: int, *, acked: int) -> Way:
    """A loop that knows nothing of failures.

    :param acked: how many messages it archives at once
    """

    def work() -> float:
        queue_name = full_queue(database, connection, messages)
        with Stopwatch() as watch:
            drained = drain_bare(connection, queue_name, acked)
        assert drained == messages
        return watch.seconds

    return work


def drain_bare(connection: psycopg.Connection[Any], queue_name: str, acked: int = BATCH) -> int:
    """Read lists and archive them until nothing is visible; the number of messages."""
    drained = 0
    while rows := connection.execute(READ, (queue_name, BATCH)).fetchall():
        msg_ids = [row[0] for row in rows]
        for at in range(0, len(msg_ids), acked):
            connection.execute(ARCHIVE, (queue_name, msg_ids[at : at + acked])).fetchall()
        drained += len(rows)
    return drained


def full_queue(database: Database, connection: psycopg.Connection[Any], messages: int) -> str:
    """A queue with as many messages."""
    queue_name = database.new_queue()
    connection.execute(FILL.format(queue_name), (messages,))
    return queue_name


def _rate(messages: int, seconds: list[float]) -> str:
    return f"{messages / median(seconds):,.0f}"
