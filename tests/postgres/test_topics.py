"""Topics: which queues a routing key reaches, and what is sent to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements import queues, topics
from airflow_pgmq.errors import BrokenOff, DuplicateMessage, FeatureMissing, InvalidArgument, InvalidName
from airflow_pgmq.services.topics import send
from tests.fixtures.factories import client_of, execute, keys_in, queued
from tests.fixtures.factories import send as send_to_queue

if TYPE_CHECKING:
    from airflow_pgmq.core.send_results import SendResult
    from airflow_pgmq.db.client import Client
    from tests.fixtures.postgres import Database
    from tests.fixtures.proxy import Proxy

NOON = datetime(2099, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def bound(client: Client) -> Client:
    """Queue `mail` has the orders of everywhere, queue `audit` all of everything, queue `other` nothing."""
    for queue_name in ("audit", "other"):
        client.run(lambda queue_name=queue_name: queues.create(queue_name))
    for pattern, queue_name in [("#", "audit"), ("orders.#", "audit"), ("orders.*", "mail")]:
        client.run(lambda pattern=pattern, queue_name=queue_name: topics.bind(pattern, queue_name))
    return client


def statuses(found: dict[str, list[SendResult]]) -> dict[str, list[str]]:
    return {queue_name: [each.status for each in results] for queue_name, results in found.items()}


def test_bindings_are_listed_of_all_queues_or_of_one(bound: Client) -> None:
    everything = bound.run(topics.bindings)
    of_one = bound.run(lambda: topics.bindings("mail"))

    assert [(each.pattern, each.queue_name) for each in everything] == [
        ("#", "audit"),
        ("orders.#", "audit"),
        ("orders.*", "mail"),
    ]
    assert [(each.pattern, each.compiled_regex) for each in of_one] == [("orders.*", r"^orders\.[^.]+$")]
    assert bound.run(lambda: topics.bindings("other")) == []


def test_a_binding_is_undone_once(bound: Client) -> None:
    assert bound.run(lambda: topics.unbind("orders.*", "mail")) is True
    assert bound.run(lambda: topics.unbind("orders.*", "mail")) is False
    assert bound.run(lambda: topics.bindings("mail")) == []


def test_a_routing_key_is_tried_without_sending(bound: Client, database: Database) -> None:
    found = bound.run(lambda: topics.routes("orders.new"))

    assert [(each.queue_name, each.pattern) for each in found] == [
        ("audit", "#"),
        ("audit", "orders.#"),
        ("mail", "orders.*"),
    ]
    assert queued(database) == []


@pytest.mark.parametrize("key", ["", "a b", "a..b", "a.*"])
def test_no_routing_key(bound: Client, key: str) -> None:
    for work in (topics.validate_routing_key, topics.routes):
        with pytest.raises(InvalidName, match="PGMQ refuses: routing_key"):
            bound.run(lambda work=work: work(key))
    with pytest.raises(InvalidName):
        send(bound, key, prepare([1]))


@pytest.mark.parametrize("pattern", ["", "a b", "a..b", "a.**"])
def test_no_pattern(bound: Client, pattern: str) -> None:
    with pytest.raises(InvalidName, match="PGMQ refuses: pattern"):
        bound.run(lambda: topics.validate_pattern(pattern))


def test_valid_ones_pass(bound: Client) -> None:
    assert bound.run(lambda: topics.validate_routing_key("a.b-c.d_1")) is None
    assert bound.run(lambda: topics.validate_pattern("a.*.#")) is None


def test_each_bound_queue_gets_each_message_once(bound: Client, database: Database) -> None:
    """The queue `audit` is bound twice."""
    found = send(bound, "orders.new", prepare([{"n": 1}, {"n": 2}], headers=[{"h": 1}, None]))

    assert statuses(found) == {"audit": ["sent", "sent"], "mail": ["sent", "sent"]}
    for queue_name, results in found.items():
        rows = queued(database, queue_name)
        assert [row["msg_id"] for row in rows] == [each.msg_id for each in results]
        assert [(row["message"], row["headers"]) for row in rows] == [({"n": 1}, {"h": 1}), ({"n": 2}, None)]
    assert queued(database, "other") == []


def test_a_key_without_a_queue_is_no_error(bound: Client) -> None:
    bound.run(lambda: topics.unbind("#", "audit"))
    assert send(bound, "invoices.new", prepare([1], dedup_keys=["k"])) == {}


def test_any_delay(bound: Client, database: Database) -> None:
    delays = [NOON, 0.5, timedelta(days=1), None]
    send(bound, "orders.new", prepare([1, 2, 3, 4], delays=delays, group="g", ttl=60))

    for queue_name in ("mail", "audit"):
        rows = execute(
            database, f"SELECT *, vt - enqueued_at AS hidden FROM pgmq.q_{queue_name} ORDER BY msg_id"
        )
        assert rows[0]["vt"] == NOON
        hidden = [row["hidden"].total_seconds() for row in rows[1:]]
        assert hidden == pytest.approx([0.5, 86400, 0], abs=0.2)
        assert {row["headers"]["x-pgmq-group"] for row in rows} == {"g"}
        assert rows[0]["headers"]["expires_at"] == "2099-01-01T12:01:00.000000+00:00"


@pytest.mark.parametrize("scope", ["once", "queued"])
def test_a_key_is_claimed_in_each_queue(bound: Client, database: Database, scope: Any) -> None:
    send_to_queue(bound, "a", scope=scope)

    found = send(bound, "orders.new", prepare([1, 2, 3], dedup_keys=["a", "b", "b"]), scope=scope)

    assert statuses(found) == {
        "audit": ["sent", "sent", "duplicate"],
        "mail": ["duplicate", "sent", "duplicate"],
    }
    assert keys_in(database, "audit") == ["a", "b"]
    assert keys_in(database) == ["a", "b"]


def test_a_queue_that_is_bound_later_gets_what_is_sent_again(bound: Client, database: Database) -> None:
    batch = prepare([1], dedup_keys=["a"])
    send(bound, "orders.new", batch)
    bound.run(lambda: topics.bind("orders.#", "other"))

    found = send(bound, "orders.new", batch)

    assert statuses(found) == {"audit": ["duplicate"], "mail": ["duplicate"], "other": ["sent"]}


def test_replace_and_fail_are_for_all_queues(bound: Client, database: Database) -> None:
    send_to_queue(bound, "a")

    found = send(bound, "orders.new", prepare(["new"], dedup_keys=["a"]), on_duplicate="replace")
    assert statuses(found) == {"audit": ["sent"], "mail": ["replaced"]}
    assert [row["message"] for row in queued(database)] == ["new"]

    # The queue that is asked first has no such key, and gets nothing all the same.
    send_to_queue(bound, "b")
    with pytest.raises(DuplicateMessage, match="'mail'"):
        send(bound, "orders.new", prepare([1], dedup_keys=["b"]), on_duplicate="fail")
    assert keys_in(database, "audit") == ["a"]


def test_all_queues_or_none(bound: Client, database: Database) -> None:
    execute(database, "ALTER TABLE pgmq.q_mail ADD CHECK (message <> '13')")

    with pytest.raises(Exception, match="violates check"):
        send(bound, "orders.new", prepare([12, 13], dedup_keys=["a", "b"]))

    assert queued(database, "audit") == []
    assert statuses(send(bound, "orders.new", prepare([12], dedup_keys=["a"]))) == {
        "audit": ["sent"],
        "mail": ["sent"],
    }


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_without_an_answer_is_made_again(
    bound: Client, database: Database, proxy: Proxy, when: str
) -> None:
    behind = client_of(proxy.dsn)
    send(behind, "orders.new", prepare([1], dedup_keys=["a"]))
    getattr(proxy, f"cut_{when}")(b"COMMIT\x00")

    found = send(behind, "orders.new", prepare([2], dedup_keys=["b"]))

    said = "sent" if when == "before" else "duplicate"
    assert statuses(found) == {"audit": [said], "mail": [said]}
    for queue_name in ("audit", "mail"):
        assert keys_in(database, queue_name) == ["a", "b"]


def test_a_commit_without_an_answer_is_an_error_without_keys(
    bound: Client, database: Database, proxy: Proxy
) -> None:
    behind = client_of(proxy.dsn)
    send(behind, "orders.new", prepare([1]))
    proxy.cut_after(b"COMMIT\x00")

    with pytest.raises(BrokenOff):
        send(behind, "orders.new", prepare([2]))

    assert [row["message"] for row in queued(database)] == [1, 2]


def test_in_the_callers_transaction(bound: Client, database: Database) -> None:
    with database.connect() as conn:
        batch = prepare([1], dedup_keys=["a"])
        assert statuses(send(bound, "orders.new", batch, conn=conn))["mail"] == ["sent"]
        conn.rollback()
    assert queued(database) == []
    assert statuses(send(bound, "orders.new", batch))["mail"] == ["sent"]


def test_senders_of_the_same_keys_send_each_once(bound: Client, database: Database) -> None:
    keys = [f"k{n}" for n in range(200)]

    def work(number: int) -> dict[str, list[SendResult]]:
        mine = keys if number % 2 else keys[::-1]
        return send(client_of(database.dsn), "orders.new", prepare(mine, dedup_keys=mine))

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(work, range(4)))

    for queue_name in ("audit", "mail"):
        assert sorted(keys_in(database, queue_name)) == sorted(keys)
        sent = [each for answer in answers for each in answer[queue_name] if each.status == "sent"]
        assert len(sent) == len(keys)


def test_old_rows_of_the_ledger_are_removed(bound: Client, database: Database) -> None:
    send_to_queue(bound, "old")
    execute(database, "UPDATE airflow_pgmq.dedup_ledger SET expires_at = now() - interval '1 s'")
    keys = [f"k{n}" for n in range(100)]

    send(bound, "orders.new", prepare(keys, dedup_keys=keys))

    rows = execute(database, "SELECT dedup_key FROM airflow_pgmq.dedup_ledger WHERE dedup_key = 'old'")
    assert rows == []


def test_options_are_checked(bound: Client) -> None:
    with pytest.raises(InvalidArgument, match="dedup_scope must be"):
        send(bound, "orders.new", prepare([1]), scope="never")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "work"),
    [
        ("bind_topic(text, text)", lambda: topics.bind("a.*", "mail")),
        ("unbind_topic(text, text)", lambda: topics.unbind("a.*", "mail")),
        ("list_topic_bindings()", topics.bindings),
        ("test_routing(text)", lambda: topics.routes("a.b")),
        ("validate_routing_key(text)", lambda: topics.validate_routing_key("a.b")),
        ("validate_topic_pattern(text)", lambda: topics.validate_pattern("a.b")),
    ],
)
def test_a_pgmq_without_topics_says_which_one_has_them(
    database: Database, client: Client, function: str, work: Any
) -> None:
    execute(database, f"DROP FUNCTION pgmq.{function}")

    with pytest.raises(FeatureMissing, match=r"too old .*needs PGMQ 1\.11\.0"):
        client.run(work)
