"""`airflow pgmq tail`: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_pgmq.hooks import PgmqHook
from tests.fixtures.airflow import connection_to
from tests.fixtures.cli import Run, connection_of
from tests.fixtures.patience import patience
from tests.fixtures.postgres import Database


@pytest.fixture(autouse=True)
def hook(run: Run, database: Database) -> PgmqHook:
    run("create", "orders")
    return PgmqHook(connection=connection_of(database))


def test_a_line_has_what_peek_has(run: Run, hook: PgmqHook) -> None:
    hook.send("orders", {"a": 1}, group="g")
    hook.send("orders", "zwei", delay=3600)
    hook.send("orders", ["x" * 20_000])
    rows = hook.peek("orders")
    first, second, third = run("tail", "orders", "--from-start", "--limit", "3").splitlines()
    at = [row.enqueued_at.isoformat() for row in rows]
    assert first == f'{at[0]} 1 visible {{"a": 1}} {{"x-pgmq-group": "g"}}'
    assert second == f'{at[1]} 2 delayed until {rows[1].vt.isoformat()} "zwei"'
    assert third == f"{at[2]} 3 visible (large: peek --msg-id 3)"
    assert run("tail", "orders", "--last", "2", "--limit", "1").startswith(f"{at[1]} 2 ")


def test_as_json_it_is_a_row_of_peek(run: Run, hook: PgmqHook) -> None:
    hook.send_batch("orders", [{"ü": "里"}, None], headers={"job": "j"})
    shown = run("tail", "orders", "--from-start", "--limit", "2", "--json").splitlines()
    assert list(map(json.loads, shown)) == run("peek", "orders", "-o", "json")
    assert "里" in shown[0]


def test_it_hides_what_peek_hides(run: Run, hook: PgmqHook) -> None:
    hook.send("orders", {"Password": "hunter2"}, headers={"token": "t0ken"})
    words = ("tail", "orders", "--from-start", "--limit", "1")
    for more in ((), ("--json",)):
        said = run(*words, *more)
        assert "hunter2" not in said
        assert "t0ken" not in said
        assert "hunter2" in run(*words, *more, "--unredacted")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_message_cannot_move_the_cursor(run: Run, hook: PgmqHook, more: tuple[str, ...]) -> None:
    text = "a\x1b[2J\x9b2J\u202e\u2028\U000e0001é"
    hook.send("orders", text)
    said = run("tail", "orders", "--from-start", "--limit", "1", *more).rstrip("\n")
    assert said.isprintable()
    assert "é" in said
    assert (json.loads(said)["message"] if more else json.loads(said[said.index('"') :])) == text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["oders"], "Did you mean 'orders'?"),
        (["orders", "--limit", "0"], "--limit must be at least 1"),
        (["orders", "--last", "0"], "--last must be at least 1"),
        (["orders", "--last", "1", "--from-start"], "not both"),
    ],
)
def test_mistakes_are_one_line(failing: Callable[..., str], words: list[str], says: str) -> None:
    said = failing("tail", *words)
    assert says in said
    assert len(said.splitlines()) == 1


@contextmanager
def tailing(database: Database, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "airflow_pgmq", "tail", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AIRFLOW_CONN_PGMQ_DEFAULT": json.dumps(connection_to(database))},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())["message"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it(database: Database, hook: PgmqHook, number: signal.Signals, code: int) -> None:
    hook.send("orders", "old")
    with tailing(database, "orders", "--last", "1", "--json") as process:
        assert line_of(process) == "old"
        for message in ("live", None, [1]):
            hook.send("orders", message)
            assert line_of(process) == message
        process.send_signal(number)
        _, said = process.communicate(timeout=patience(60))
    assert (process.returncode, said) == (code, "")


def test_a_closed_pipe_ends_it_at_once(database: Database, hook: PgmqHook) -> None:
    hook.send("orders", "old")
    with tailing(database, "orders", "--last", "1", "--json") as process:
        assert line_of(process) == "old"
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=patience(60)) == 0
        assert process.stderr.read() == ""


def test_a_pipe_that_closes_while_it_writes_ends_it_quietly(database: Database, hook: PgmqHook) -> None:
    hook.send_batch("orders", ["x" * 10_000] * 100)
    with tailing(database, "orders", "--from-start", "--json") as process:
        line_of(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=patience(60)) == 0
        assert process.stderr.read() == ""
