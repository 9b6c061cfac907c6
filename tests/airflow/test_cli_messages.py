"""`airflow pgmq read`, `archive`, `delete`, and what routes messages to queues."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_pgmq.command_line import command
from airflow_pgmq.hooks import PgmqHook
from tests.fixtures.cli import CONN_ID, Run, connection_of, type_in
from tests.fixtures.factories import execute
from tests.fixtures.postgres import Database


@pytest.fixture(autouse=True)
def queue(run: Run) -> None:
    run("create", "orders", "mail")


@pytest.fixture
def hook(database: Database) -> PgmqHook:
    return PgmqHook(connection=connection_of(database))


def table(database: Database, prefix: str = "q") -> list[Any]:
    """The payloads in the queue or its archive."""
    query = {"q": "SELECT message FROM pgmq.q_orders", "a": "SELECT message FROM pgmq.a_orders"}[prefix]
    return [row["message"] for row in execute(database, f"{query} ORDER BY msg_id")]


def test_messages_are_read_and_acked_as_it_says(
    run: Run, run_with_notes: Callable[..., str], hook: PgmqHook, database: Database
) -> None:
    hook.send_batch("orders", [1, 2, 3])
    (first,) = run("read", "orders", "-o", "json")
    assert (first["msg_id"], first["message"], first["read_ct"], first["headers"]) == (1, 1, 1, {})
    said = run_with_notes("read", "orders", "--max-messages", "5", "--visibility-timeout", "600")
    (way,) = re.findall("^Hidden from other readers for 600 s. When the work is done: (.+)$", said, re.M)
    assert way == command(f"archive --conn-id {CONN_ID} orders --msg-ids 2 3")
    words = shlex.split(way.removeprefix(command("")).replace(f"--conn-id {CONN_ID} ", ""))
    assert run(*words) == "Queue orders: 2 messages archived.\n"
    assert (table(database), table(database, "a")) == ([1], [2, 3])
    assert "No message is visible.\n" in run_with_notes("read", "orders")
    hook.send("orders", {"n": 4})
    assert "none matches the condition." in run_with_notes("read", "orders", "--condition", '{"n": 5}')
    hook.pause_queue("orders", reason="vendor is down")
    assert "vendor is down: nothing is read" in run_with_notes("read", "orders")


def test_a_read_hides_for_as_long_as_it_is_told(run: Run, hook: PgmqHook) -> None:
    hook.send("orders", 1)
    for timeout in (0, 300):
        (found,) = run("read", "orders", "--visibility-timeout", str(timeout), "-o", "json")
        (seen,) = hook.peek("orders")
        assert found["vt"] == seen.vt.isoformat()
    assert seen.vt - seen.enqueued_at > timedelta(seconds=299)
    assert datetime.fromisoformat(found["enqueued_at"]) == seen.enqueued_at


def test_only_what_matches_is_read_and_in_order_if_asked(run: Run, hook: PgmqHook) -> None:
    hook.send_batch("orders", [{"n": 1}, {"n": 2}], headers=[{"team": "x"}, {"team": "y"}])
    (found,) = run("read", "orders", "--condition", '{"n": 2}', "-o", "json")
    assert found["message"] == {"n": 2}
    wanted = ("--headers-condition", '{"team": "y"}')
    assert run("read", "orders", *wanted, "-o", "json") == []
    assert [each["message"] for each in run("read", "orders", "-o", "json")] == [{"n": 1}]
    hook.send_batch("mail", ["a", "b"], group="g")
    ordered = ("read", "mail", "--ordered", "--max-messages", "5", "-o", "json")
    (first,) = run(*ordered)
    assert (first["message"], first["group"]) == ("a", "g")
    assert run(*ordered) == []


def test_what_is_read_is_shown_as_peek_shows_it(run: Run, hook: PgmqHook) -> None:
    hook.send("orders", {"a": "[red]x", "Password": "hunter2"}, headers={"token": "t0ken"})
    again = ("read", "orders", "--visibility-timeout", "0")
    for output in ("json", "table"):
        said = str(run(*again, "-o", output))
        assert "hunter2" not in said
        assert "t0ken" not in said
        assert "[red]x" in said
        assert "hunter2" in str(run(*again, "--unredacted", "-o", output))


def test_ids_that_are_not_there_are_named(
    run: Run, run_with_notes: Callable[..., str], hook: PgmqHook, database: Database
) -> None:
    hook.send_batch("orders", [1, 2])
    assert run_with_notes("archive", "orders", "--msg-ids", "1", "7", "8", "7") == "Not in the queue: 7, 8.\n"
    assert run("archive", "orders", "--msg-ids", "1") == "Queue orders: 0 messages archived.\n"
    assert (table(database), table(database, "a")) == ([2], [1])


def test_deleting_asks(
    run: Run,
    failing: Callable[..., str],
    hook: PgmqHook,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook.send_batch("orders", [1, 2, 3])
    type_in(monkeypatch, "n\n")
    assert "Nothing was changed" in failing("delete", "orders", "--msg-ids", "1")
    assert table(database) == [1, 2, 3]
    type_in(monkeypatch, "y\n")
    assert "Queue orders: 2 messages deleted." in run("delete", "orders", "--msg-ids", "1", "2")
    assert "1 message deleted" in run("delete", "orders", "--msg-ids", "3", "--yes")
    assert (table(database), table(database, "a")) == ([], [])


def test_patterns_are_bound_listed_and_unbound(
    run: Run, run_with_notes: Callable[..., str], hook: PgmqHook, database: Database
) -> None:
    assert "No pattern is bound" in run_with_notes("topics")
    assert run("bind", "order.*", "orders") == "Queue orders gets what is sent to order.*.\n"
    run("bind", "#", "mail")
    run("bind", "#", "mail")
    assert len(hook.send_topic("order.paid", 1)) == 2
    assert table(database) == [1]
    found = run("topics", "-o", "json")
    assert [(each["pattern"], each["queue_name"]) for each in found] == [("#", "mail"), ("order.*", "orders")]
    (own,) = run("topics", "orders", "-o", "json")
    assert own["pattern"] == "order.*"
    assert datetime.fromisoformat(own["bound_at"]).tzinfo is not None
    assert run("unbind", "order.*", "orders") == "Queue orders no longer gets what is sent to order.*.\n"
    assert run("unbind", "order.*", "orders") == "Queue orders was not bound to order.*.\n"
    assert run("topics", "orders", "-o", "json") == []


def test_changes_are_in_the_audit_log(run: Run, hook: PgmqHook) -> None:
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    hook.send_batch("orders", [1, 2])
    run("read", "orders", "--max-messages", "2")
    run("archive", "orders", "--msg-ids", "1")
    run("delete", "orders", "--msg-ids", "2", "--yes")
    run("bind", "a", "orders")
    run("unbind", "a", "orders")
    with create_session() as session:
        events = set(session.scalars(select(Log.event)))
    assert {f"cli_{name}" for name in ("read", "archive", "delete", "bind", "unbind")} <= events
