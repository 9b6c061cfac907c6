"""Many processes with one queue: senders with keys, and consumers, against bare ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from statistics import median

import psycopg

from benchmarks.consuming import BATCH, drain_bare, full_queue
from benchmarks.crew import Crew, Job
from benchmarks.findings import Bars, Figure, Finding
from benchmarks.measure import Way, ratio, take_turns
from benchmarks.stage import Database, Stage

SENDERS = 8
EACH = 500
CONSUMERS = 4
MESSAGES = 40_000

AT_MOST = 1.5
AT_LEAST = 0.85

MESSAGE = {"report": "daily_report", "customer": 4711, "date": "2026-01-01"}

_runs = count(1)


def run(stage: Stage) -> Iterator[Finding]:
    """All workers are there before the first round, and begin each round at the same instant."""
    database = stage.database("senders")
    stage.progress(f"{SENDERS} processes start")
    with Crew(SENDERS) as crew:
        sending = {
            name: sending_way(crew, database, job, SENDERS, EACH)
            for name, job in (("ours", with_key), ("plain", without_key), ("bare", bare))
        }
        consuming = {
            name: _draining_way(crew, database, job) for name, job in (("ours", _consume), ("bare", _drain))
        }
        for name, way in [*sending.items(), *consuming.items()]:
            stage.progress(f"warming up: {name}")
            way()
        sent = take_turns(stage.rounds, sending, stage.progress)
        drained = take_turns(stage.rounds, consuming, stage.progress)
    for name, what in (("ours", "`hook.send` with new keys"), ("plain", "`hook.send` without keys")):
        slower = ratio(sent[name], sent["bare"])
        yield Figure(
            f"{SENDERS} processes, each {EACH} times {what} into one queue, against as many with `pgmq.send`",
            f"at most {AT_MOST} times their time" if name == "ours" else "for comparison",
            f"{slower:.2f} times: {_rate(SENDERS * EACH, sent[name])} against"
            f" {_rate(SENDERS * EACH, sent['bare'])} messages/s",
            slower / AT_MOST if name == "ours" else None,
        )
    share = ratio(drained["bare"], drained["ours"])
    yield Figure(
        f"{CONSUMERS} consumers drain one queue of {MESSAGES:,} messages, lists of {BATCH}, against as many"
        " bare read-archive loops",
        f"at least {AT_LEAST} of their throughput",
        f"{share:.2f}: {_rate(MESSAGES, drained['ours'])} against {_rate(MESSAGES, drained['bare'])}"
        " messages/s",
        AT_LEAST / share,
    )
    yield Bars(
        "senders",
        f"{SENDERS} processes send one by one into one queue",
        "messages a second",
        {
            "pgmq.send": SENDERS * EACH / median(sent["bare"]),
            "hook.send": SENDERS * EACH / median(sent["plain"]),
            "hook.send with new keys": SENDERS * EACH / median(sent["ours"]),
        },
        ours=["hook.send", "hook.send with new keys"],
    )


def sending_way(crew: Crew, database: Database, job: Job, workers: int, each: int) -> Way:
    """Workers that send one by one, each on a connection of its own, which it keeps."""

    def work() -> float:
        # Alone, or autovacuum would work on the queues of earlier rounds.
        queue_name, name = database.new_queue(alone=True), next(_runs)
        whose = database.dsn if job is bare else database.hook.pgmq_conn_id
        arguments = [(whose, queue_name, f"{name}/{worker}", each) for worker in range(workers)]
        return crew.do(job, arguments).seconds

    return work


def _draining_way(crew: Crew, database: Database, job: Job) -> Way:
    def work() -> float:
        with database.connect() as connection:
            queue_name = full_queue(database, connection, MESSAGES)
        whose = database.dsn if job is _drain else database.hook.pgmq_conn_id
        done = crew.do(job, [(whose, queue_name)] * CONSUMERS)
        assert sum(done.results) == MESSAGES
        return done.seconds

    return work


@contextmanager
def with_key(conn_id: str, queue_name: str, prefix: str, each: int) -> Iterator[Callable[[], None]]:
    """Send with keys that nobody used."""
    from airflow_pgmq.hooks import PgmqHook

    hook = PgmqHook(conn_id)

    def work() -> None:
        for number in range(each):
            hook.send(queue_name, MESSAGE, dedup_key=f"{prefix}/{number}")

    # The first call imports and asks Airflow for the connection, which is not what many senders share.
    hook.send(queue_name, MESSAGE, dedup_key=f"{prefix}/first")
    yield work


@contextmanager
def without_key(conn_id: str, queue_name: str, prefix: str, each: int) -> Iterator[Callable[[], None]]:
    """Send by the hook, without a key."""
    from airflow_pgmq.hooks import PgmqHook

    hook = PgmqHook(conn_id)

    def work() -> None:
        for _ in range(each):
            hook.send(queue_name, MESSAGE)

    hook.send(queue_name, MESSAGE)
    yield work


@contextmanager
def bare(dsn: str, queue_name: str, prefix: str, each: int) -> Iterator[Callable[[], None]]:
    """`pgmq.send` on a connection in autocommit mode."""
    with psycopg.connect(dsn, autocommit=True) as connection:

        def send() -> None:
            connection.execute(
                "SELECT pgmq.send(%s, %s::jsonb)", (queue_name, json.dumps(MESSAGE))
            ).fetchone()

        def work() -> None:
            for _ in range(each):
                send()

        send()
        yield work


@contextmanager
def _consume(conn_id: str, queue_name: str) -> Iterator[Callable[[], int]]:
    from airflow_pgmq.core.consumer_policy import Policy
    from airflow_pgmq.hooks import PgmqHook
    from airflow_pgmq.services.consuming import Consumer

    client = PgmqHook(conn_id).client
    with client.connection():
        pass

    def work() -> int:
        policy = Policy(queue_name=queue_name, batch_size=BATCH)
        return Consumer(client, policy, together=True).drain(lambda messages, conn: None).acked

    yield work


@contextmanager
def _drain(dsn: str, queue_name: str) -> Iterator[Callable[[], int]]:
    with psycopg.connect(dsn, autocommit=True) as connection:

        def work() -> int:
            return drain_bare(connection, queue_name)

        yield work


def _rate(messages: int, seconds: list[float]) -> str:
    return f"{messages / median(seconds):,.0f}"
