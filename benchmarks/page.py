"""How long the database works for a refresh of the page, by its own log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from psycopg import sql

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.services import overview
from benchmarks.findings import Figure
from benchmarks.stage import Database, Stage

QUEUES = 200
EACH = 100
MINUTES = 24 * 60
AT_MOST = 50

FILL = """
INSERT INTO pgmq.q_queue_{number} (vt, read_ct, message, headers)
SELECT now() + CASE WHEN n % 3 = 0 THEN interval '1 hour' ELSE interval '-1 s' END, (n % 6 = 0)::int,
       jsonb_build_object('report', 'daily_report', 'customer', n, 'date', '2026-01-01'),
       jsonb_build_object('source', 'nightly')
FROM generate_series(1, {rows}) AS n
"""
SAMPLES = """
INSERT INTO airflow_pgmq.queue_samples
SELECT queue_name, date_trunc('minute', now()) - make_interval(mins => ago),
       100000 - 7 * ago, 100000 - 7 * ago, 100, 60, 20, 30
FROM generate_series({minutes}, 0, -1) AS ago, pgmq.meta
"""
ARCHIVE = """
INSERT INTO pgmq.a_queue_2 (msg_id, vt, message, enqueued_at)
SELECT n, now(), '{{}}', now() FROM generate_series(1, {rows}) AS n
"""

_DURATION = re.compile(r"duration: ([\d.]+) ms")


def run(stage: Stage) -> Iterator[Figure]:
    """Measure with full queues, then also with dead rows and a full archive."""
    database = stage.database("page")
    fill(stage, database, QUEUES, stage.queued)
    queues = f"{QUEUES} queues, one with {stage.queued:,} messages, the others with {EACH}"
    with database.connect() as kept:
        what = f"a refresh of the page, {queues}, a day of samples; the database's time"
        yield _figure(stage, database, what, kept)
    took = median(refresh(stage, database, QUEUES)[0] for _ in range(stage.rounds + 1))
    yield Figure("the same on a new connection each time", "for comparison", f"{took:.0f} ms", None)
    stage.progress("making dead rows")
    with database.connect() as holding, database.connect() as connection, database.connect() as kept:
        holding.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holding.execute("SELECT 1")
        connection.execute(FILL.format(number=2, rows=stage.queued))
        connection.execute("DELETE FROM pgmq.q_queue_2")
        connection.execute(ARCHIVE.format(rows=stage.queued))
        connection.execute("CHECKPOINT")
        more = f"the same with {stage.queued:,} dead rows and as many archived messages in another queue"
        yield _figure(stage, database, more, kept)


def fill(stage: Stage, database: Database, queues: int, first: int) -> None:
    """Make the queues with messages and samples, and have the server log how long each statement takes.

    :param first: how many messages the first queue has; the others have 100
    """
    with database.connect() as connection:
        for number in range(1, queues + 1):
            stage.progress(f"filling queue {number} of {queues:,}")
            connection.execute("SELECT pgmq.create(%s)", [f"queue_{number}"])
            connection.execute(FILL.format(number=number, rows=first if number == 1 else EACH))
        stage.progress("filling samples")
        connection.execute(SAMPLES.format(minutes=MINUTES))
        connection.execute("VACUUM ANALYZE")
        name = sql.Identifier(database.name)
        connection.execute(sql.SQL("ALTER DATABASE {} SET log_min_duration_statement = 0").format(name))
        connection.execute("CHECKPOINT")


def _figure(stage: Stage, database: Database, what: str, kept: Connection) -> Figure:
    """Run it on a connection that stays open, as the page does."""
    measured = [refresh(stage, database, QUEUES, kept) for _ in range(stage.rounds + 1)][1:]
    took = median(each for each, _ in measured)
    estimated = ", ".join(sorted(set().union(*(names for _, names in measured))))
    return Figure(
        what,
        f"less than {AT_MOST} ms",
        f"{took:.0f} ms; estimated: {estimated}",
        took / AT_MOST,
    )


def refresh(
    stage: Stage, database: Database, queues: int, conn: Connection | None = None
) -> tuple[float, frozenset[str]]:
    """Milliseconds by the server's log, for parsing, planning and running each statement of the page."""
    log = Path(stage.server.log)
    before = log.stat().st_size
    found = overview.queues(Client(database.connect, Limits(transaction=5)), conn)
    with log.open("rb") as file:
        file.seek(before)
        took = sum(float(each) for each in _DURATION.findall(file.read().decode(errors="replace")))
    estimated = frozenset(each["queue_name"] for each in found["queues"] if each["estimated"])
    if len(found["queues"]) != queues or not took:
        raise RuntimeError("The page did not show what was to be measured.")
    return took, estimated
