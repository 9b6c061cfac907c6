"""Read 100 messages of 10,000 groups in order, from a million messages; against reads without order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import psycopg
from psycopg.rows import dict_row

from benchmarks.findings import Bars, Figure, Finding
from benchmarks.measure import Stopwatch, Way, ratio, take_turns
from benchmarks.stage import Database, Stage

GROUPS = 10_000
BATCH = 100
#: Reads of a way in each round.
READS = 20
#: PGMQ's own read of groups looks at the whole queue, so a round has one.
SHARE = 0.5

FILL = """
INSERT INTO pgmq.q_{queue_name} (vt, message, headers)
SELECT now(), jsonb_build_object('number', number),
       jsonb_build_object('x-pgmq-group', 'customer-' || number % {groups})
FROM generate_series(1, {rows}) AS number
"""
BARE = "SELECT * FROM pgmq.read(%s, 60, %s)"
GROUPED = "SELECT * FROM pgmq.read_grouped_rr(%s, 60, %s)"

#: Reads a batch; returns the ids.
Read = Callable[[str], Sequence[int]]


def run(stage: Stage) -> Iterator[Finding]:
    """Each way reads, and deletes untimed, from a queue of its own."""
    database = stage.database("in_order")
    with database.connect() as connection, database.connect() as bare:
        bare.row_factory = dict_row
        hook = database.hook
        ways: dict[str, tuple[Read, int]] = {
            "in order": (lambda queue: _ids(hook.read(queue, max_messages=BATCH, ordered=True)), READS),
            "bare": (lambda queue: _read(bare, BARE, queue), READS),
            "grouped": (lambda queue: _read(bare, GROUPED, queue), 1),
        }
        compared = {}
        for name, (read, reads) in ways.items():
            stage.progress(f"filling a queue with {stage.queued:,} messages: {name}")
            queue_name = _fill(database, connection, stage.queued)
            if name == "in order":
                hook.index_groups(queue_name)
            connection.execute(f"VACUUM ANALYZE pgmq.q_{queue_name}")  # type: ignore[call-overload]
            compared[name] = _way(connection, queue_name, read, reads)
            compared[name]()
        times = take_turns(stage.rounds, compared, stage.progress)
    share = 1 / ratio(times["in order"], times["bare"])
    yield Figure(
        f"{BATCH} of {stage.queued:,} messages in {GROUPS:,} groups, read in order, against pgmq.read",
        f"at least {SHARE} of its messages a second",
        f"{share:.2f}: {_time(times['in order'])} against {_time(times['bare'])} for a read",
        SHARE / share,
    )
    against = ratio(times["in order"], times["grouped"])
    yield Figure(
        "the same, against pgmq.read_grouped_rr",
        "at least as fast",
        f"{1 / against:,.0f} times as fast: {_time(times['grouped'])} for a read of PGMQ's",
        against,
    )
    yield Bars(
        "in_order",
        f"A read of {BATCH} messages, of {stage.queued:,} in {GROUPS:,} groups",
        "milliseconds, logarithmic",
        {
            "pgmq.read, without order": 1000 * median(times["bare"]),
            "hook.read(ordered=True)": 1000 * median(times["in order"]),
            "pgmq.read_grouped_rr": 1000 * median(times["grouped"]),
        },
        ours=["hook.read(ordered=True)"],
        is_log=True,
    )


def _fill(database: Database, connection: psycopg.Connection[Any], rows: int) -> str:
    queue_name = database.new_queue()
    text = FILL.format(queue_name=queue_name, rows=rows, groups=GROUPS)
    connection.execute(text)  # type: ignore[call-overload]
    return queue_name


def _way(connection: psycopg.Connection[Any], queue_name: str, read: Read, reads: int) -> Way:
    """Seconds of one read."""

    def run() -> float:
        seconds = 0.0
        for _ in range(reads):
            with Stopwatch() as watch:
                found = read(queue_name)
            assert len(found) == BATCH
            seconds += watch.seconds
            connection.execute("SELECT pgmq.delete(%s, %s::bigint[])", [queue_name, list(found)])
        return seconds / reads

    return run


def _time(seconds: Sequence[float]) -> str:
    return f"{median(seconds) * 1000:,.1f} ms"


def _ids(messages: Sequence[Any]) -> list[int]:
    return [each.msg_id for each in messages]


def _read(connection: psycopg.Connection[Any], text: Any, queue_name: str) -> list[int]:
    return [row["msg_id"] for row in connection.execute(text, [queue_name, BATCH], prepare=True)]
