"""10,000 duplicates: how long they take, and what they leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from airflow_pgmq.db.local import LocalPostgres
from benchmarks import ways
from benchmarks.findings import Figure, as_used
from benchmarks.measure import Stopwatch, milliseconds, ratio
from benchmarks.stage import Database, Stage

LEDGER = "airflow_pgmq.dedup_ledger"


@dataclass(frozen=True)
class Traces:
    """What a send can leave in the database."""

    bytes: int
    dead_rows: int
    ids: int
    log_lines: int

    def __sub__(self, before: Traces) -> Traces:
        return Traces(
            self.bytes - before.bytes,
            self.dead_rows - before.dead_rows,
            self.ids - before.ids,
            self.log_lines - before.log_lines,
        )

    def __str__(self) -> str:
        return (
            f"{self.bytes:,} bytes, {self.dead_rows:,} dead rows, {self.ids:,} ids burnt, "
            f"{self.log_lines:,} lines in the server's log"
        )


def run(stage: Stage) -> Iterator[Figure]:
    """Send everything twice."""
    database = stage.database("duplicates")
    new: list[float] = []
    again: list[float] = []
    left = Traces(0, 0, 0, 0)
    with database.connect() as connection:
        connection.execute("CREATE EXTENSION pgstattuple")
        for number in range(stage.rounds + 1):
            stage.progress(f"round {number} of {stage.rounds}")
            queue_name, keys = database.new_queue(alone=True), ways.new_keys()
            first = _send(database, queue_name, keys, "sent")
            before = _traces(connection, stage.server, queue_name)
            second = _send(database, queue_name, keys, "duplicate")
            left = max(left, _traces(connection, stage.server, queue_name) - before, key=_size)
            if number:  # the first round warms up
                new.append(first)
                again.append(second)
        stage.progress("the article's way")
        article = _article(connection, stage.server, database)
    share = ratio(again, new)
    yield Figure(
        "10,000 duplicates against 10,000 new ones",
        "faster",
        f"{share:.2f} times the time: {milliseconds(again)} against {milliseconds(new)}",
        share,
    )
    yield Figure(
        "10,000 duplicates leave behind, in queue and ledger",
        "no bloat, no gap in the ids, no line in the server's log",
        str(left),
        as_used(left == Traces(0, 0, 0, 0)),
    )
    yield Figure(
        "the same, one `pgmq.send` each with the violation caught", "for comparison", str(article), None
    )


def _send(database: Database, queue_name: str, keys: list[str], expected: str) -> float:
    with Stopwatch() as watch:
        results = database.hook.send_batch(queue_name, ways.MESSAGES, dedup_keys=keys)
    assert all(result.status == expected for result in results)
    return watch.seconds


def _article(connection: psycopg.Connection[Any], server: LocalPostgres, database: Database) -> Traces:
    queue_name, keys = ways.article_queue(database), ways.new_keys()
    ways.send_as_article(database, queue_name, keys)
    before = _traces(connection, server, queue_name)
    ways.send_as_article(database, queue_name, keys)
    return _traces(connection, server, queue_name) - before


def _traces(connection: psycopg.Connection[Any], server: LocalPostgres, queue_name: str) -> Traces:
    # pgstattuple counts the rows itself; the server's statistics are late.
    row = connection.execute(
        "SELECT sum(pg_total_relation_size(name)), sum((pgstattuple(name)).dead_tuple_count),"
        f" (SELECT last_value FROM pgmq.q_{queue_name}_msg_id_seq)"
        " FROM unnest(%s::regclass[]) AS name",
        ([f"pgmq.q_{queue_name}", LEDGER],),
    ).fetchone()
    assert row is not None
    # Checkpoints also write lines to the log, at any time.
    lines = sum("checkpoint" not in line for line in server.log.read_text().splitlines())
    return Traces(int(row[0]), int(row[1]), row[2], lines)


def _size(traces: Traces) -> int:
    return traces.bytes + traces.dead_rows + traces.ids + traces.log_lines
