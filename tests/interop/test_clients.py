"""Other clients of PGMQ and this package on one queue, in both directions; and what they cannot do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_pgmq.hooks import PgmqHook
from tests.fixtures.cli import connection_of
from tests.fixtures.factories import QUEUE, client_of, execute, job, tick
from tests.fixtures.postgres import Database
from tests.interop import clients
from tests.interop.clients import Official

NAMES = ("pgmq", "pgmq-js", "pgmq-sqlalchemy")

VALUES = [
    {"a": {"ü": ["里", "\U0001f600"]}, "quote": "'\"\\"},
    [1, [2]],
    {},
    [],
    7,
    -1.5,
    "text",
    "",
    True,
    False,
    None,
]

#: JavaScript has no whole number above 2**53 that it can tell from its neighbours.
LARGE = 2**53 + 1


@pytest.fixture
def hook(database: Database) -> Iterator[PgmqHook]:
    with PgmqHook(connection=connection_of(database)) as hook:
        hook.create_queue(QUEUE)
        yield hook


@pytest.fixture(params=NAMES)
def client(request: pytest.FixtureRequest, database: Database, hook: PgmqHook) -> Iterator[Any]:
    found = clients.make(request.param, database)
    yield found
    found.close()


@pytest.fixture
def official(database: Database, hook: PgmqHook) -> Iterator[Official]:
    found = Official(database)
    yield found
    found.close()


def payloads(hook: PgmqHook, **options: Any) -> list[Any]:
    return [each.message for each in hook.read(QUEUE, max_messages=100, **options)]


# Payloads.


@pytest.mark.parametrize("call", ["send", "send_batch"])
def test_what_they_send_is_read_here(client: Any, hook: PgmqHook, call: str) -> None:
    ids = getattr(client, call)(QUEUE, VALUES)
    found = hook.read(QUEUE, max_messages=100)
    assert [each.msg_id for each in found] == ids
    assert repr([each.message for each in found]) == repr(VALUES)
    assert {each.read_ct for each in found} == {1}


def test_what_is_sent_here_is_read_by_them(official: Official, hook: PgmqHook, database: Database) -> None:
    for client in (official, clients.make("pgmq-js", database)):
        ids = [each.msg_id for each in hook.send_batch(QUEUE, VALUES, headers={"team": "x"}, group="g")]
        found = client.read(QUEUE, 100, timeout=600)
        assert [each["msg_id"] for each in found] == ids
        assert repr([each["message"] for each in found]) == repr(VALUES)
        assert {each["read_ct"] for each in found} == {1}


def test_numbers_that_javascript_rounds(hook: PgmqHook, database: Database) -> None:
    client = clients.make("pgmq-js", database)
    hook.send(QUEUE, LARGE)
    (found,) = client.read(QUEUE, 1)
    assert found["message"] == LARGE - 1
    client = clients.make("pgmq-sqlalchemy", database)
    client.send(QUEUE, [LARGE])
    assert payloads(hook) == [LARGE]


def test_pgmq_sqlalchemy_takes_another_column_for_the_payload(hook: PgmqHook, database: Database) -> None:
    """It takes columns by their places, and PGMQ has added one before `vt`. Ids and reads are right."""
    client = clients.make("pgmq-sqlalchemy", database)
    sent = [each.msg_id for each in hook.send_batch(QUEUE, ["a", "b"])]
    found = client.read(QUEUE, 100, timeout=600)
    assert [(each["msg_id"], each["read_ct"]) for each in found] == [(msg_id, 1) for msg_id in sent]
    assert [each["message"] for each in found] == [str(each.vt) for each in hook.peek(QUEUE)]


# Headers and groups.


def test_headers_come_from_the_official_client(official: Official, hook: PgmqHook) -> None:
    headers = {"team": "ü", "x-pgmq-group": "g", "n": [None]}
    official.client.send(QUEUE, {"n": 1}, headers=headers)
    official.client.send_batch(QUEUE, [{"n": 2}, {"n": 3}], headers=[headers, {}])
    assert [each.headers for each in hook.peek(QUEUE)] == [headers, headers, {}]
    assert payloads(hook, headers_condition={"team": "ü"}) == [{"n": 1}, {"n": 2}]


def test_headers_go_to_the_official_client(official: Official, hook: PgmqHook) -> None:
    hook.send(QUEUE, 1, headers={"team": "ü"}, group="g")
    hook.send(QUEUE, 2)
    assert [each["headers"] for each in official.read(QUEUE, 9)] == [{"team": "ü", "x-pgmq-group": "g"}, None]


def test_the_others_know_no_headers(hook: PgmqHook, database: Database) -> None:
    """They cannot send any; what they read has none, and is the same message otherwise."""
    for name in ("pgmq-js", "pgmq-sqlalchemy"):
        client = clients.make(name, database)
        client.send(QUEUE, ["theirs"])
        assert hook.read(QUEUE)[0].headers == {}
        hook.send(QUEUE, "ours", headers={"team": "x"}, group="g")
        (found,) = client.read(QUEUE, 9)
        assert found["read_ct"] == 1
        assert "headers" not in found


def test_groups_of_the_official_client_are_read_in_order(official: Official, hook: PgmqHook) -> None:
    groups = [{"x-pgmq-group": group} for group in ("a", "a", "b")]
    official.client.send_batch(QUEUE, ["a1", "a2", "b1"], headers=groups)
    assert payloads(hook, ordered=True) == ["a1", "b1"]
    assert payloads(hook, ordered=True) == []
    hook.archive(QUEUE, [1])
    assert payloads(hook, ordered=True) == ["a2"]


def test_groups_are_read_in_order_by_the_official_client(official: Official, hook: PgmqHook) -> None:
    hook.send_batch(QUEUE, ["a1", "a2"], group="a")
    hook.send_batch(QUEUE, ["b1", "b2"], group="b")
    (first,) = official.client.read_grouped(QUEUE, vt=600, qty=1)
    assert first.message == "a1"
    # Each waits for the message that the other one holds.
    assert payloads(hook, ordered=True) == ["b1"]
    assert official.client.read_grouped(QUEUE, vt=600, qty=9) == []
    official.archive(QUEUE, [first.msg_id])
    assert payloads(hook, ordered=True) == ["a2"]


# Delays, visibility timeouts and acks.


def test_what_one_holds_the_other_does_not_get(client: Any, hook: PgmqHook) -> None:
    client.send(QUEUE, ["a"])
    hook.send(QUEUE, "b")
    assert len(client.read(QUEUE, 1, timeout=600)) == 1
    assert payloads(hook, visibility_timeout=600) == ["b"]
    assert client.read(QUEUE, 9) == []


def test_a_delay_is_one_for_both(client: Any, hook: PgmqHook) -> None:
    client.send(QUEUE, ["theirs"], delay=3600)
    hook.send(QUEUE, "ours", delay=3600)
    assert payloads(hook) == []
    assert client.read(QUEUE, 9) == []
    assert [each.vt - each.enqueued_at > timedelta(minutes=59) for each in hook.peek(QUEUE)] == [True, True]


def test_each_acks_what_the_other_has_sent(client: Any, hook: PgmqHook) -> None:
    client.send(QUEUE, ["a", "b"])
    hook.send_batch(QUEUE, ["c", "d"])
    read = hook.read(QUEUE, max_messages=2)
    assert hook.archive(QUEUE, read[0]) == [1]
    assert hook.delete(QUEUE, read[1]) == [2]
    client.read(QUEUE, 2)
    assert client.archive(QUEUE, [3]) == [3]
    assert client.delete(QUEUE, [4]) == [4]
    assert hook.peek(QUEUE) == []
    assert [each.message for each in hook.peek(QUEUE, source="archive")] == ["c", "a"]


# What ours adds.


def test_the_headers_that_others_see_are_in_the_table(
    official: Official, hook: PgmqHook, database: Database
) -> None:
    hook.send(QUEUE, 1, dedup_key="k", ttl=3600, group="g")
    tick(job(expect_within=timedelta(hours=1)), look_ahead=2).run(client_of(database.dsn))
    execute(database, f"UPDATE pgmq.q_{QUEUE} SET vt = now()")
    seen: set[str] = set()
    for _ in range(2):
        for each in official.read(QUEUE, 9, timeout=600):
            seen |= each["headers"].keys()
        hook.release(QUEUE, hook.get_messages(QUEUE, [1, 2]), untried=True)
    hook.create_queue(f"{QUEUE}_dlq")
    hook.dead_letter(QUEUE, hook.get_messages(QUEUE, [1]), "broken")
    seen |= official.read(f"{QUEUE}_dlq", 1)[0]["headers"].keys()
    assert {"dedup_key", "expires_at", "x-pgmq-group", "slot", "untried", "dead_letter"} <= seen
    page = (Path(__file__).parents[2] / "docs" / "guides" / "consuming.md").read_text()
    table = page.split("## Headers that this package writes")[1].split("\n## ")[0]
    assert seen <= set(re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| ([^|]+) \|", table, re.M))))
