"""One message per call, on connections that are kept: the hook against the bare statements."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain, count
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.findings import Bars, Figure, Finding
from benchmarks.measure import percentile_99, ratio, spread
from benchmarks.stage import Database, Stage

if TYPE_CHECKING:
    from airflow_pgmq.hooks import PgmqHook

CALLS = 1000
#: The ways change after this many calls: the disk's speed changes within seconds, and a p99 is ten calls.
BLOCK = 100
WARM_UP = 20

KEYED_P50, KEYED_P99 = 2.0, 2.5
PLAIN_P50 = 1.4
CONSUME_P50 = 1.8

MESSAGE = {"report": "daily_report", "customer": 4711, "date": "2026-01-01"}

SEND = "SELECT pgmq.send(%s, %s::jsonb)"
READ = "SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM pgmq.read(%s, 60, 1)"
ARCHIVE = "SELECT pgmq.archive(%s, %s::bigint)"

Call = Callable[[], object]
#: Seconds of each call, in a list for each round.
Latencies = dict[str, list[list[float]]]

_keys = count(1)


def run(stage: Stage) -> Iterator[Finding]:
    """Send, then consume, then count connections."""
    database = stage.database("single_calls")
    sent = _alternate(stage, lambda stack: _senders(stack, database))
    yield from _against(sent, "hook.send(dedup_key=new)", "bare", KEYED_P50, KEYED_P99)
    yield from _against(sent, "hook.send(dedup_key=duplicate)", "bare", KEYED_P50, KEYED_P99)
    yield from _against(sent, "hook.send", "bare", PLAIN_P50, None)
    yield from _against(sent, "hook.send(conn=) in autocommit", "bare", None, None)
    yield _chart("one_sent", "One message sent, on a connection that is kept; median", "pgmq.send", sent)
    taken = _alternate(stage, lambda stack: _readers(stack, database))
    yield from _against(taken, "hook.consume, one message", "bare", CONSUME_P50, None)
    yield from _against(taken, "hook.read and hook.archive", "bare", None, None)
    yield _chart("one_consumed", "One message read and archived; median", "pgmq.read and pgmq.archive", taken)
    yield from _connections(stage)


def _alternate(stage: Stage, prepare: Callable[[ExitStack], Mapping[str, Call]]) -> Latencies:
    """Call all ways in turn, a block of each at a time."""
    latencies: Latencies = {}
    for number in range(stage.rounds):
        with ExitStack() as stack:
            ways = prepare(stack)
            names = list(ways)
            for call in ways.values():
                for _ in range(WARM_UP):
                    call()
            for name in ways:
                latencies.setdefault(name, []).append([])
            for block in range(CALLS // BLOCK):
                stage.progress(f"round {number + 1} of {stage.rounds}, block {block + 1}")
                for name in reversed(names) if block % 2 else names:
                    latencies[name][-1] += _timed(ways[name])
    return latencies


def _timed(call: Call) -> Iterator[float]:
    for _ in range(BLOCK):
        started = time.perf_counter()
        call()
        yield time.perf_counter() - started


def _senders(stack: ExitStack, database: Database) -> Mapping[str, Call]:
    hook, queue_name = _new_hook(database), database.new_queue(alone=True)
    bare = stack.enter_context(database.connect())
    lent = stack.enter_context(hook.get_conn())
    lent.autocommit = True
    hook.send(queue_name, MESSAGE, dedup_key="taken")
    return {
        "bare": lambda: bare.execute(SEND, (queue_name, json.dumps(MESSAGE))).fetchone(),
        "hook.send": lambda: hook.send(queue_name, MESSAGE),
        "hook.send(dedup_key=new)": lambda: hook.send(queue_name, MESSAGE, dedup_key=_new_key()),
        "hook.send(dedup_key=duplicate)": lambda: hook.send(queue_name, MESSAGE, dedup_key="taken"),
        "hook.send(conn=) in autocommit": lambda: hook.send(queue_name, MESSAGE, conn=lent),
    }


def _readers(stack: ExitStack, database: Database) -> Mapping[str, Call]:
    """Each has a queue of its own, so that none passes the dead rows of another one."""
    hook = _new_hook(database)
    bare = stack.enter_context(database.connect())
    database.new_queue(alone=True)
    first, second, third = (_filled(database, hook) for _ in range(3))
    return {
        "bare": lambda: _read_and_archive(bare, first),
        "hook.consume, one message": lambda: _consume(hook, second),
        "hook.read and hook.archive": lambda: hook.archive(third, hook.read(third)),
    }


def _filled(database: Database, hook: PgmqHook) -> str:
    queue_name = database.new_queue()
    hook.send_batch(queue_name, [MESSAGE] * (CALLS + WARM_UP))
    return queue_name


def _read_and_archive(connection: psycopg.Connection[Any], queue_name: str) -> None:
    row = connection.execute(READ, (queue_name,)).fetchone()
    assert row is not None
    connection.execute(ARCHIVE, (queue_name, row[0])).fetchone()


def _consume(hook: PgmqHook, queue_name: str) -> None:
    with hook.consume(queue_name) as messages:
        assert messages


def _against(
    latencies: Latencies, name: str, baseline: str, at_most_p50: float | None, at_most_p99: float | None
) -> Iterator[Figure]:
    """The p99 has a figure of its own only where one is required."""
    ours, theirs = latencies[name], latencies[baseline]
    all_ours, all_theirs = chain.from_iterable(ours), chain.from_iterable(theirs)
    measured = f"{spread(list(all_ours))} against {spread(list(all_theirs))}"
    for what, value, at_most in (("p50", median, at_most_p50), ("p99", percentile_99, at_most_p99)):
        if what == "p99" and at_most is None:
            continue
        more = ratio([value(calls) for calls in ours], [value(calls) for calls in theirs])
        yield Figure(
            f"`{name}`, {CALLS:,} calls, against the bare statements on a kept connection; {what}",
            f"at most {at_most} times their {what}" if at_most else "for comparison",
            f"{more:.2f} times; {measured}",
            more / at_most if at_most else None,
        )


def _chart(name: str, title: str, bare: str, latencies: Latencies) -> Bars:
    times = {
        bare if way == "bare" else way: 1000 * median(chain.from_iterable(calls))
        for way, calls in latencies.items()
    }
    return Bars(name, title, "milliseconds", times, ours=[way for way in times if way != bare])


def _connections(stage: Stage) -> Iterator[Figure]:
    """Count the sessions that a hook begins, by a trigger on login: nothing that opens one can avoid it."""
    database = stage.database("single_call_connections")
    queue_name = database.new_queue()
    with database.connect() as connection:
        connection.execute(
            "CREATE SEQUENCE public.logins; CREATE FUNCTION public.count_login() RETURNS event_trigger"
            " LANGUAGE plpgsql AS $$BEGIN PERFORM nextval('public.logins'); END$$;"
            " CREATE EVENT TRIGGER count_login ON login EXECUTE FUNCTION public.count_login()"
        )
        database.hook.send_batch(queue_name, [MESSAGE] * 2 * CALLS)
        for name, at_most, make in (
            ("hook.send", 1, lambda hook: hook.send(queue_name, MESSAGE)),
            ("hook.read and hook.archive", 1, lambda hook: hook.archive(queue_name, hook.read(queue_name))),
            ("hook.consume", 2, lambda hook: _consume(hook, queue_name)),
        ):
            stage.progress(f"connections of {name}")
            hook, before = _new_hook(database), _logins(connection)
            for _ in range(CALLS):
                make(hook)
            opened = _logins(connection) - before
            yield Figure(
                f"connections that {CALLS:,} calls of `{name}` open",
                f"at most {at_most}",
                f"{opened:,}",
                opened / at_most,
            )


def _logins(connection: psycopg.Connection[Any]) -> int:
    ((number,),) = connection.execute(
        "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM public.logins"
    ).fetchall()
    return int(number)


def _new_hook(database: Database) -> PgmqHook:
    """A hook that has no connection yet."""
    from airflow_pgmq.hooks import PgmqHook

    return PgmqHook(database.hook.pgmq_conn_id)


def _new_key() -> str:
    return f"daily_report/2026-01-01/{next(_keys)}"
