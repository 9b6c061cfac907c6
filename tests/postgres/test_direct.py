"""Short statements are sent by libpq itself; their answers and errors are those of the driver's cursor."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.driver import direct, running, sessions
from airflow_pgmq.db.driver.values import FIRST, LAST
from airflow_pgmq.db.statements import Statement
from tests.fixtures.factories import execute
from tests.fixtures.patience import wait_until
from tests.fixtures.postgres import Database

pytestmark = pytest.mark.direct("behind a pooler nothing is prepared")


class Text(str):
    """As Airflow's templates make them."""


class Instant(datetime):
    """As pendulum makes them."""


def asking(cast: str, value: Any) -> Statement[list[dict[str, Any]]]:
    script = f"SELECT %(value)s::{cast} AS value, %(value)s::{cast} IS NULL AS nothing, '100 %%' AS percent"
    return Statement("ask", {"value": value}, script=script, decode=list, is_prepared=True)


def outcome(statement: Statement[Any], conn: Connection) -> Any:
    try:
        return running.execute(statement, conn)
    except Exception as exc:
        return type(exc)


def prepared(conn: Connection) -> list[str]:
    return [row[0] for row in conn.execute("SELECT name FROM pg_prepared_statements", prepare=False)]


NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)

VALUES: dict[str, tuple[str, Any]] = {
    "text": ("text", "100 % 'quoted' \\ \"twice\" $1 ü 😀"),
    "empty text": ("text", ""),
    "text of another type": ("text", Text("a")),
    "text with NUL": ("text", "a\0b"),
    "lone surrogate": ("text", "a\ud800"),
    "JSON": ("jsonb", '{"a":[1,2.50,null]}'),
    "no JSON": ("jsonb", "{"),
    "nothing": ("text", None),
    "no instant": ("timestamptz", None),
    "integer": ("bigint", -(2**63)),
    "too large integer": ("bigint", 2**63),
    "boolean": ("boolean", True),
    "fraction": ("float8", 0.1),
    "tiny fraction": ("float8", 5e-324),
    "infinite": ("float8", float("inf")),
    "no number": ("float8", float("nan")),
    "duration": ("interval", timedelta(days=7, microseconds=1)),
    "negative duration": ("interval", timedelta(microseconds=-1)),
    "long duration": ("interval", timedelta(days=40_000, hours=25, seconds=61)),
    "instant": ("timestamptz", NOW),
    "old instant": ("timestamptz", datetime(1, 2, 3, tzinfo=timezone.utc)),
    "instant without a zone": ("timestamptz", datetime(2026, 1, 2)),
    "instant elsewhere": ("timestamptz", NOW.astimezone(timezone(timedelta(hours=-5)))),
    "instant of another type": ("timestamptz", Instant(2026, 1, 2, tzinfo=timezone.utc)),
    "last instant": ("timestamptz", LAST),
    "first instant": ("timestamptz", FIRST),
    "list": ("text[]", ["a", "b"]),
    "relation": ("regclass", "pgmq.meta"),
    "no relation": ("regclass", "pgmq.nothing"),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_answer_is_that_of_the_cursor(conn: Connection, name: str) -> None:
    statement = asking(*VALUES[name])
    expected = outcome(replace(statement, is_prepared=False), conn)
    # The second time it is prepared.
    found = [outcome(statement, conn) for _ in range(2)]
    assert repr(found) == repr([expected, expected])


def test_it_is_prepared_once_under_a_name_of_ours(conn: Connection) -> None:
    for value in ("a", "b", None, "c"):
        running.execute(asking("text", value), conn)
    (name,) = prepared(conn)
    assert name.startswith("airflow_pgmq_")


@pytest.mark.parametrize("command", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_a_user_may_drop_what_is_prepared(conn: Connection, command: str) -> None:
    statement = asking("text", "a")
    before = running.execute(statement, conn)
    conn.execute(command, prepare=False)  # type: ignore[call-overload]
    assert [running.execute(statement, conn) for _ in range(3)] == [before] * 3


def test_a_user_may_drop_them_where_the_driver_does_not_see_it(conn: Connection) -> None:
    statement = asking("text", Text("by the cursor")), asking("text", "a")
    before = [running.execute(each, conn) for each in statement]
    conn.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$", prepare=False)
    assert running.execute(statement[1], conn) == before[1]


def test_a_user_may_drop_one_of_them(conn: Connection) -> None:
    statements = [asking("text", "a"), asking("bigint", 1)]
    before = [running.execute(each, conn) for each in statements]
    conn.execute(f"DEALLOCATE {prepared(conn)[0]}", prepare=False)  # type: ignore[call-overload]
    for _ in range(2):
        assert [running.execute(each, conn) for each in statements] == before


def test_a_user_may_drop_them_in_a_transaction(conn: Connection) -> None:
    statement = asking("text", "a")
    before = running.execute(statement, conn)
    with sessions.Transaction(conn):
        conn.execute("DEALLOCATE ALL", prepare=False)
        assert running.execute(statement, conn) == before
    assert running.execute(statement, conn) == before


def test_what_is_one_too_many_is_left_to_the_cursor(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "MOST", 1)
    assert running.execute(asking("text", "a"), conn)[0]["value"] == "a"
    assert running.execute(asking("bigint", 1), conn)[0]["value"] == 1
    assert sum(name.startswith("airflow_pgmq_") for name in prepared(conn)) == 1


def test_an_answer_without_rows(conn: Connection) -> None:
    script = "SELECT 1 AS one WHERE %(value)s::integer = 0"
    statement = Statement("ask", {"value": 1}, script=script, decode=list, is_prepared=True)
    assert [running.execute(statement, conn) for _ in range(2)] == [[], []]


def test_nothing_is_kept_of_what_was_read(conn: Connection) -> None:
    statement = Statement(
        "ask", {"value": 1}, script="SELECT %(value)s::int, clock_timestamp() AS at", is_prepared=True
    )
    running.execute(statement, conn)
    tracemalloc.start()
    try:
        for _ in range(100):
            running.execute(statement, conn)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(2000):
            running.execute(statement, conn)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 50_000


@contextmanager
def interrupted(when: Callable[[], bool]) -> Iterator[None]:
    """Ctrl-C, once it is time."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    main = threading.get_ident()

    def interrupt() -> None:
        wait_until(lambda: sys._current_frames()[main].f_code.co_name == "wait" and when(), "it waits")
        signal.pthread_kill(main, signal.SIGALRM)

    try:
        with ThreadPoolExecutor() as pool:
            interrupting = pool.submit(interrupt)
            yield
            interrupting.result()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_interrupted_one_is_cancelled(conn: Connection, database: Database) -> None:
    sleep = Statement(
        "sleep",
        {"seconds": 300},
        script="SELECT pg_sleep(%(seconds)s::float8)::text AS slept",
        is_prepared=True,
    )
    asleep = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    running.execute(replace(sleep, params={"seconds": 0}), conn)
    with pytest.raises(KeyboardInterrupt), interrupted(lambda: bool(execute(database, asleep))):
        running.execute(sleep, conn)
    assert running.execute(asking("text", "a"), conn)[0]["value"] == "a"
    assert not execute(database, asleep)
