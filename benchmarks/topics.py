"""Send to the queues that are bound to a routing key: the hook against PGMQ's own functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median

import psycopg

from benchmarks.findings import Bars, Figure, Finding
from benchmarks.measure import Stopwatch, Way, milliseconds, ratio, take_turns
from benchmarks.stage import Stage

QUEUES = 3
CALLS = 200
BATCH = 3_000

MESSAGE = {"report": "daily_report", "customer": 4711, "date": "2026-01-01"}
ONE = "SELECT pgmq.send_topic(%s, %s::jsonb)"
MANY = "SELECT pgmq.send_batch_topic(%s, %b::text[]::jsonb[])"

_numbers = count(1)


def run(stage: Stage) -> Iterator[Finding]:
    """Three queues are bound; one message per call, and a batch, without keys and with new ones."""
    database = stage.database("topics")
    hook = database.hook
    for _ in range(QUEUES):
        hook.bind_topic("orders.*", database.new_queue())
    with database.connect() as bare:
        bare.prepare_threshold = 0
        ways = {
            "bare": _calls(lambda: bare.execute(ONE, ("orders.new", json.dumps(MESSAGE)))),
            "hook": _calls(lambda: hook.send_topic("orders.new", MESSAGE)),
            "keyed": _calls(lambda: hook.send_topic("orders.new", MESSAGE, dedup_key=_key())),
            "bare batch": _batch(bare),
            "hook batch": _timed(lambda: hook.send_batch_topic("orders.new", [MESSAGE] * BATCH)),
            "keyed batch": _timed(
                lambda: hook.send_batch_topic(
                    "orders.new", [MESSAGE] * BATCH, dedup_keys=[_key() for _ in range(BATCH)]
                )
            ),
        }
        for way in ways.values():
            way()
        seconds = take_turns(stage.rounds, ways, stage.progress)
    for name, baseline, what in (
        ("hook", "bare", "`hook.send_topic`, against `pgmq.send_topic`"),
        ("keyed", "bare", "the same with a new key for each call"),
        ("hook batch", "bare batch", f"`hook.send_batch_topic` of {BATCH:,}, against PGMQ's own"),
        ("keyed batch", "bare batch", "the same with new keys"),
    ):
        yield Figure(
            f"{what}; {QUEUES} queues are bound",
            "for comparison",
            f"{ratio(seconds[name], seconds[baseline]):.2f} times:"
            f" {_each(seconds[name], name)} against {_each(seconds[baseline], baseline)}",
            None,
        )
    yield Bars(
        "topics",
        f"{BATCH:,} messages to each of {QUEUES} queues by a topic",
        "milliseconds",
        {
            "pgmq.send_batch_topic": 1000 * median(seconds["bare batch"]),
            "hook.send_batch_topic": 1000 * median(seconds["hook batch"]),
            "hook.send_batch_topic with new keys": 1000 * median(seconds["keyed batch"]),
        },
        ours=["hook.send_batch_topic", "hook.send_batch_topic with new keys"],
    )


def _each(seconds: list[float], name: str) -> str:
    return milliseconds(seconds) if "batch" in name else f"{median(seconds) * 1000:.2f} ms"


def _calls(call: Callable[[], object]) -> Way:
    """Seconds of one call."""

    def work() -> float:
        with Stopwatch() as watch:
            for _ in range(CALLS):
                call()
        return watch.seconds / CALLS

    return work


def _timed(call: Callable[[], object]) -> Way:
    def work() -> float:
        with Stopwatch() as watch:
            call()
        return watch.seconds

    return work


def _batch(connection: psycopg.Connection[object]) -> Way:
    def work() -> float:
        with Stopwatch() as watch:
            texts = [json.dumps(MESSAGE) for _ in range(BATCH)]
            connection.execute(MANY, ("orders.new", texts)).fetchall()
        return watch.seconds

    return work


def _key() -> str:
    return f"daily_report/{next(_numbers)}"
