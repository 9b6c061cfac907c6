"""Send rows to a queue: inside the database, compared with fetching and sending them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from benchmarks.findings import Figure
from benchmarks.measure import Stopwatch, Way, milliseconds, ratio, take_turns
from benchmarks.stage import Database, Stage

ROWS = 20_000
AT_LEAST = 5

SOURCE = "SELECT id, customer, total, 'reminder/{}/' || id AS dedup_key FROM orders"
#: One `pgmq.send` each is so slow that a part of the rows is enough.
PART = 10


def run(stage: Stage) -> Iterator[Figure]:
    """Send the same rows with the same keys in each way."""
    database = stage.database("transfers")
    with database.connect() as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT n AS id, 'customer ' || n AS customer, n * 1.5 AS total"
            f" FROM generate_series(1, {ROWS}) AS n"
        )
        connection.execute("VACUUM ANALYZE orders")
        ways = {
            "inside": _inside(database),
            "batch": _fetched(database, connection, _as_batch),
            "each": _fetched(database, connection, _one_by_one, rows=ROWS // PART),
        }
        for name, way in ways.items():
            stage.progress(f"warming up: {name}")
            way()
        seconds = take_turns(stage.rounds, ways, stage.progress)
    each = [PART * time for time in seconds["each"]]
    faster = ratio(each, seconds["inside"])
    yield Figure(
        f"{ROWS:,} rows with keys by `SqlToPgmqOperator`, against fetching them and one `send` each",
        f"at least {AT_LEAST} times as fast",
        f"{faster:.0f} times: {milliseconds(seconds['inside'])} against {milliseconds(each)}",
        AT_LEAST / faster,
    )
    yield Figure(
        "the same, against fetching them and one `send_batch`",
        "for comparison: the inserts, which both do, are most of it",
        f"{ratio(seconds['batch'], seconds['inside']):.1f} times: {milliseconds(seconds['batch'])}",
        None,
    )


def _inside(database: Database) -> Way:
    def work() -> float:
        queue_name = database.new_queue()
        with Stopwatch() as watch:
            counts = database.hook.send_from_query(queue_name, SOURCE.format(queue_name))
        assert counts["sent"] == ROWS
        return watch.seconds

    return work


def _fetched(
    database: Database,
    connection: psycopg.Connection[Any],
    send: Callable[[Database, str, list[tuple[Any, ...]]], None],
    rows: int = ROWS,
) -> Way:
    def work() -> float:
        queue_name = database.new_queue()
        with Stopwatch() as watch:
            query = f"{SOURCE.format(queue_name)} LIMIT {rows}"
            send(database, queue_name, connection.execute(query).fetchall())
        return watch.seconds

    return work


def _as_batch(database: Database, queue_name: str, rows: list[tuple[Any, ...]]) -> None:
    messages = [_message(row) for row in rows]
    database.hook.send_batch(queue_name, messages, dedup_keys=[row[3] for row in rows])


def _one_by_one(database: Database, queue_name: str, rows: list[tuple[Any, ...]]) -> None:
    # One connection for all of them: the fastest form of this way.
    with database.hook.get_conn() as conn:
        conn.autocommit = True
        for row in rows:
            database.hook.send(queue_name, _message(row), dedup_key=row[3], conn=conn)


def _message(row: tuple[Any, ...]) -> dict[str, Any]:
    return {"id": row[0], "customer": row[1], "total": float(row[2])}
