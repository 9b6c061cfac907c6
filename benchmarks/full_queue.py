"""Send new messages to a queue that already has a million, with a million keys in the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import count

from benchmarks import ways
from benchmarks.findings import Figure
from benchmarks.measure import Stopwatch, Way, milliseconds, ratio, take_turns
from benchmarks.stage import Database, Stage

AT_MOST = {"ordered": 1.3, "spread": 1.25}

FILL_QUEUE = """
INSERT INTO pgmq.q_{queue_name} (vt, message, headers)
SELECT now(), jsonb_build_object('report', 'daily_report', 'customer', number, 'date', '2026-01-01'),
       jsonb_build_object('dedup_key', {key})
FROM generate_series(1, {rows}) AS number
"""
FILL_LEDGER = """
INSERT INTO airflow_pgmq.dedup_ledger (queue_name, dedup_key, msg_id, first_at, expires_at, incarnation)
SELECT '{queue_name}', headers ->> 'dedup_key', msg_id, now(), now() + interval '7 days', 0
FROM pgmq.q_{queue_name}
"""

_batches = count(1)


def ordered_keys() -> list[str]:
    """Keys in ascending order, as of dates and counters."""
    batch = next(_batches)
    return [f"daily_report/2026-01-02/{batch:06}-{number:06}" for number in range(ways.COUNT)]


def spread_keys() -> list[str]:
    """Keys that are spread over the whole index, as of hashes."""
    batch = next(_batches)
    return [hashlib.md5(f"{batch}-{number}".encode()).hexdigest() for number in range(ways.COUNT)]


def run(stage: Stage) -> Iterator[Figure]:
    """Compare a full queue with an empty one, for both kinds of keys."""
    kinds = {
        "ordered": (ordered_keys, "'daily_report/2026-01-01/' || lpad(number::text, 8, '0')"),
        "spread": (spread_keys, "md5(number::text)"),
    }
    for kind, (keys, key_sql) in kinds.items():
        empty, full = stage.database(f"empty_{kind}"), stage.database(f"full_{kind}")
        stage.progress(f"filling a queue with {stage.queued:,} messages")
        queue_name = _fill(full, stage.queued, key_sql)
        compared = {
            "empty queue": _into_empty(empty, keys),
            "full queue": _into(full, queue_name, keys),
        }
        for way in compared.values():
            way()
        times = take_turns(stage.rounds, compared, stage.progress)
        more = ratio(times["full queue"], times["empty queue"])
        yield Figure(
            f"a new message with {stage.queued:,} messages queued and as many ledger rows, {kind} keys",
            f"at most {AT_MOST[kind]} times the cost of an empty queue",
            f"{more:.2f} times: {milliseconds(times['full queue'])} against "
            f"{milliseconds(times['empty queue'])} for 10,000",
            more / AT_MOST[kind],
        )


def _fill(database: Database, rows: int, key_sql: str) -> str:
    queue_name = database.new_queue()
    with database.connect() as connection:
        for text in (FILL_QUEUE, FILL_LEDGER):
            connection.execute(text.format(queue_name=queue_name, rows=rows, key=key_sql))
        # The state after autovacuum.
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return queue_name


def _into(database: Database, queue_name: str, keys: Callable[[], list[str]]) -> Way:
    def run() -> float:
        new = keys()
        with Stopwatch() as watch:
            database.hook.send_batch(queue_name, ways.MESSAGES, dedup_keys=new)
        return watch.seconds

    return run


def _into_empty(database: Database, keys: Callable[[], list[str]]) -> Way:
    def run() -> float:
        with database.connect() as connection:
            connection.execute("TRUNCATE airflow_pgmq.dedup_ledger")
        return _into(database, database.new_queue(alone=True), keys)()

    return run
