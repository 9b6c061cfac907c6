"""Ways to send the same messages: ours, that of the article, and plain PGMQ without dedup.

Each opens a connection of its own, as a task does, and makes JSON of the messages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg

from benchmarks.measure import Stopwatch, Way
from benchmarks.stage import Database

COUNT = 10_000
#: The same number of messages per statement as in our own API.
CHUNK = 5000

MESSAGES: list[dict[str, Any]] = [
    {"report": "daily_report", "customer": number, "date": "2026-01-01"} for number in range(COUNT)
]

_batches = count(1)


def new_keys() -> list[str]:
    """Keys with a business meaning, never used before."""
    batch = next(_batches)
    return [f"daily_report/2026-01-01/{batch}-{number}" for number in range(COUNT)]


def ours(database: Database) -> Way:
    """The hook's batch API with the scope `once`."""

    def run() -> float:
        queue_name, keys = database.new_queue(alone=True), new_keys()
        with Stopwatch() as watch:
            database.hook.send_batch(queue_name, MESSAGES, dedup_keys=keys)
        return watch.seconds

    return run


def article(database: Database) -> Way:
    """One `pgmq.send` each in autocommit mode, a unique index on the header, the violation caught."""

    def run() -> float:
        queue_name, keys = article_queue(database), new_keys()
        with Stopwatch() as watch:
            send_as_article(database, queue_name, keys)
        return watch.seconds

    return run


def article_queue(database: Database) -> str:
    """A queue with the article's index."""
    queue_name = database.new_queue(alone=True)
    with database.connect() as connection:
        connection.execute(f"CREATE UNIQUE INDEX ON pgmq.q_{queue_name} ((headers ->> 'job_key'))")
    return queue_name


def send_as_article(database: Database, queue_name: str, keys: Sequence[str]) -> int:
    """Send every message by itself; the number of duplicates."""
    duplicates = 0
    with database.connect() as connection:
        for message, key in zip(MESSAGES, keys, strict=True):
            values = (queue_name, json.dumps(message), json.dumps({"job_key": key}))
            try:
                connection.execute("SELECT pgmq.send(%s, %s::jsonb, %s::jsonb)", values).fetchone()
            except psycopg.errors.UniqueViolation:
                duplicates += 1
    return duplicates


def plain(database: Database, *, chunk: int = COUNT, headers: bool = True, binary: bool = True) -> Way:
    """`pgmq.send_batch`; the keys are in the headers, and are not checked.

    :param binary: binary arrays; what psycopg sends for a list by itself is text and takes longer
    """
    array = "%b::text[]::jsonb[]" if binary else "%s::jsonb[]"
    call = f"SELECT pgmq.send_batch(%s, {', '.join([array] * (1 + headers))})"

    def run() -> float:
        queue_name, keys = database.new_queue(alone=True), new_keys()
        with Stopwatch() as watch, database.connect() as connection:
            columns = [[json.dumps(message) for message in MESSAGES]]
            if headers:
                columns.append([json.dumps({"dedup_key": key}) for key in keys])
            for at in range(0, COUNT, chunk):
                values = [queue_name, *(column[at : at + chunk] for column in columns)]
                connection.execute(call, values).fetchall()
        return watch.seconds

    return run


def copied(database: Database) -> Way:
    """COPY into the queue's table, the fastest that Postgres has; no functions and no dedup."""

    def run() -> float:
        queue_name, keys = database.new_queue(alone=True), new_keys()
        copy = f"COPY pgmq.q_{queue_name} (vt, message, headers) FROM STDIN"
        with (
            Stopwatch() as watch,
            database.connect() as connection,
            connection.cursor() as cursor,
            cursor.copy(copy) as rows,
        ):
            for message, key in zip(MESSAGES, keys, strict=True):
                rows.write_row(("now", json.dumps(message), json.dumps({"dedup_key": key})))
        return watch.seconds

    return run
