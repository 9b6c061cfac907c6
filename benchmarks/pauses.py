"""What it costs that a read asks whether its queue is paused: roles that see it, and that do not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from benchmarks.findings import Figure
from benchmarks.measure import Stopwatch, Way, ratio, take_turns
from benchmarks.stage import Database, Stage

if TYPE_CHECKING:
    from airflow_pgmq.hooks import PgmqHook

READS = 200
BATCHES = (1, 100)
MOST = 1.03
BLIND = "benchmark_blind"


def run(stage: Stage) -> Iterator[Figure]:
    """Each way reads the same messages, which are visible again at once."""
    database = stage.database("pauses")
    for batch in BATCHES:
        queue_name = database.new_queue(alone=True)
        database.hook.send_batch(queue_name, [{"number": number} for number in range(batch)])
        hooks = {"sees": database.hook, "blind": _blind(database)}
        ways = {name: _way(hook, queue_name, batch) for name, hook in hooks.items()}
        for way in ways.values():
            way()
        times = take_turns(stage.rounds, ways, stage.progress)
        found = ratio(times["sees"], times["blind"])
        yield Figure(
            f"a read of {number_of(batch)} that asks whether the queue is paused, against one that does not",
            f"at most {MOST} times as long",
            f"{found:.2f}: {median(times['sees']) * 1000:.2f} ms",
            found / MOST,
        )


def number_of(batch: int) -> str:
    """In words."""
    return "one message" if batch == 1 else f"{batch} messages"


def _way(hook: PgmqHook, queue_name: str, batch: int) -> Way:
    """Seconds of one read."""

    def run() -> float:
        with Stopwatch() as watch:
            for _ in range(READS):
                assert len(hook.read(queue_name, max_messages=batch, visibility_timeout=0)) == batch
        return watch.seconds / READS

    return run


def _blind(database: Database) -> PgmqHook:
    """The hook of a role that may read queues, and not see our schema."""
    from airflow_pgmq.hooks import PgmqHook

    with psycopg.connect(database.dsn, autocommit=True) as admin:
        if not admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [BLIND]).fetchall():
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(BLIND)))
        for rights in (
            "USAGE ON SCHEMA pgmq",
            "SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgmq",
        ):
            admin.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(rights), sql.Identifier(BLIND)))
        (host,) = admin.execute("SELECT current_setting('unix_socket_directories')").fetchone() or ("",)
    connection = {"conn_type": "pgmq", "host": host, "login": BLIND, "schema": database.name}
    os.environ["AIRFLOW_CONN_BENCHMARK_BLIND"] = json.dumps(connection)
    return PgmqHook("benchmark_blind")
