"""Messages as the page shows them: found by id, key and job, and never hidden from their readers."""

from __future__ import annotations

import json

import pytest

from airflow_pgmq.core import visible
from airflow_pgmq.db.statements import consuming, inspection
from airflow_pgmq.errors import InvalidName, QueueNotFound
from airflow_pgmq.services import overview
from airflow_pgmq.services.overview import Search
from tests.fixtures.factories import client_of, execute, job, read, send, tick


def search(client, keys=(), **fields):
    return overview.messages(client, Search(**{"queue_name": "mail", "peek": True, **fields}), keys=keys)


def ids(found):
    return [each["msg_id"] for each in found["messages"]]


def send_raw(database, message, headers):
    execute(
        database,
        "SELECT pgmq.send('mail', %s::jsonb, %s::jsonb, 0)",
        [json.dumps(message), json.dumps(headers)],
    )


def archive(database, *msg_ids):
    execute(database, "SELECT pgmq.archive('mail', %s::bigint[])", [list(msg_ids)])


def test_oldest_first_and_page_by_page(client):
    send(client, *"abcde")
    first = search(client, limit=2)
    second = search(client, limit=2, after=first["next_after"])
    third = search(client, limit=2, after=second["next_after"])

    assert (ids(first), ids(second), ids(third)) == ([1, 2], [3, 4], [5])
    assert third["next_after"] is None


def test_the_archive_newest_first(client, database):
    send(client, *"abcde")
    archive(database, 1, 2, 3, 4, 5)
    first = search(client, source="archive", limit=3)
    second = search(client, source="archive", limit=3, after=first["next_after"])

    assert (ids(first), ids(second)) == ([5, 4, 3], [2, 1])
    assert {each["state"] for each in first["messages"]} == {"archived"}
    assert all(each["archived_at"] for each in first["messages"])


def test_states(client):
    send(client, "read", "waiting")
    send(client, "later", delays=[100])
    read(client, 1)

    assert [each["state"] for each in search(client)["messages"]] == ["in_flight", "visible", "delayed"]


@pytest.mark.parametrize("source", ["queue", "archive"])
def test_by_id(client, database, source):
    send(client, *"abc")
    if source == "archive":
        archive(database, 1, 2, 3)

    assert ids(search(client, source=source, msg_id=2)) == [2]
    assert ids(search(client, source=source, msg_id=9)) == []


@pytest.mark.parametrize("scope", ["once", "queued"])
def test_by_key(client, scope):
    send(client, *"abc", scope=scope)

    assert ids(search(client, dedup_key="b")) == [2]
    assert ids(search(client, dedup_key="z")) == []


def test_a_key_of_the_archive(client, database):
    send(client, *"abc")
    archive(database, 2)

    assert ids(search(client, dedup_key="b")) == []
    assert ids(search(client, dedup_key="b", source="archive")) == [2]


def test_by_job(client):
    tick(job("one"), job("two")).run(client)
    found = search(client, job="one")

    assert {each["job"] for each in found["messages"]} == {"one"}
    assert len(found["messages"]) == 10
    assert ids(search(client, job="shop/one")) == ids(found)
    assert ids(search(client, job="other/one")) == []


def test_a_search_goes_on_where_it_stopped_looking(client, database, monkeypatch):
    monkeypatch.setattr(inspection, "SCANNED", 4)
    for each in "abcdefghi":
        send_raw(database, each, {"job": "rare" if each in "bi" else "often"})
    pages = []
    after = None
    while True:
        found = search(client, job="rare", after=after)
        pages.append(ids(found))
        if (after := found["next_after"]) is None:
            break

    assert pages == [[2], [], [9]]


def test_large_payloads_are_shown_alone(client, database):
    execute(
        database,
        "SELECT pgmq.send('mail', (SELECT jsonb_agg(md5(n::text)) FROM generate_series(1, 2000) AS n))",
    )
    (listed,) = search(client)["messages"]
    (alone,) = search(client, msg_id=1)["messages"]

    assert (listed["message"], listed["too_large"]) == (None, True)
    assert (len(alone["message"]), alone["too_large"]) == (2000, False)


def test_what_is_small_only_while_compressed_is_large(client, database):
    execute(
        database,
        "SELECT pgmq.send('mail', to_jsonb(repeat('x', 100000)), '{}', 0),"
        " pgmq.send('mail', '1', jsonb_build_object('a', repeat('x', 100000)), 0)",
    )
    payload, headers = search(client)["messages"]
    (alone,) = search(client, msg_id=1)["messages"]

    assert (payload["message"], payload["too_large"], payload["headers"]) == (None, True, {})
    assert (headers["message"], headers["too_large"], headers["headers"]) == (1, True, None)
    assert len(alone["message"]) == 100_000


def test_without_the_right_to_peek_nothing_of_it_is_fetched(client, database):
    send_raw(database, {"body": "secret"}, {"dedup_key": "a", "note": "secret"})
    (found,) = search(client, peek=False)["messages"]

    assert "secret" not in str(found)
    assert not {"message", "headers"} & found.keys()
    assert found["dedup_key"] == "a"


def test_keys_are_redacted(client, database):
    send_raw(database, {"user": {"Password": "hunter2"}}, {"token": "t"})
    (found,) = search(client, keys={"password", "token"})["messages"]

    assert found["message"] == {"user": {"Password": "***"}}
    assert found["headers"]["token"] == "***"
    assert found["redacted"]


def test_a_dead_letter_says_where_it_comes_from_and_why(client, database):
    execute(database, "SELECT pgmq.create('mail_dlq')")
    send(client, "a")
    client.run(lambda: consuming.dead_letter("mail", "mail_dlq", read(client, 1), "no 'secret' here"))
    (found,) = search(client, queue_name="mail_dlq")["messages"]

    assert (found["dead_letter"]["reason"], found["dead_letter"]["queue"]) == ("no 'secret' here", "mail")
    assert (found["read_ct"], found["dead_letter"]["read_ct"], found["dead_letter"]["tries"]) == (0, 1, 1)
    # Others see none of it.
    assert "dead_letter" not in visible.public({"messages": [found]}, visible.MESSAGES)["messages"][0]


def test_headers_of_other_clients_may_be_anything(client, database):
    for headers in ("[1]", "null", '"text"', '{"dedup_key": {"a": 1}, "source": [], "expires_at": 7}'):
        execute(database, "SELECT pgmq.send('mail', '1', %s::jsonb, 0)", [headers])
    found = search(client)["messages"]

    assert [each["dedup_key"] for each in found] == [None] * 4
    assert [each["source"] for each in found] == [None] * 4


def test_header_fields_of_other_types_are_none(client, database):
    headers = {
        "slot": "soon",
        "dead_letter": {"queue": ["a"], "msg_id": 2**60, "read_ct": True, "tries": -1, "enqueued_at": "x"},
        "source": {"dag_id": "d", "run_id": {"a": 1}, "task_id": 7, "map_index": 9007199254740993},
    }
    send_raw(database, 1, headers)
    (found,) = search(client)["messages"]

    assert found["slot"] is None
    assert set(found["dead_letter"].values()) == {None}
    assert found["source"] == {"dag_id": "d", "run_id": None, "task_id": None, "map_index": None}


def test_ids_that_a_browser_would_round_are_texts(client, database):
    execute(
        database,
        "INSERT INTO pgmq.q_mail (msg_id, vt, message) OVERRIDING SYSTEM VALUE "
        "SELECT id, now(), '1' FROM unnest(ARRAY[9007199254740992, 9007199254740993]) AS id",
    )
    found = search(client, limit=2)

    assert ids(found) == [2**53, str(2**53 + 1)]
    assert found["next_after"] == str(2**53 + 1)


@pytest.mark.parametrize("source", ["queue", "archive"])
@pytest.mark.parametrize("at", ["infinity", "-infinity", "20000-01-01Z"])
def test_messages_for_a_time_beyond_the_calendar(client, database, source, at):
    execute(
        database,
        "SELECT pgmq.send('mail', '{}'::jsonb, %s::jsonb, %s::timestamptz)",
        [json.dumps({"source": {"dag_id": "d"}}), at],
    )
    if source == "archive":
        archive(database, 1)

    assert ids(search(client, source=source)) == [1]
    assert len(overview.sent(client, {"dag_id": "d"})["messages"]) == 1


def test_what_the_headers_hide_is_hidden_beside_them(client, database):
    headers = {"dedup_key": "k", "source": {"dag_id": "d", "run_id": "r"}, "dead_letter": {"reason": "why"}}
    send_raw(database, 1, headers)
    (found,) = search(client, keys={"dedup_key", "run_id", "reason"})["messages"]

    assert (found["dedup_key"], found["source"]["run_id"], found["dead_letter"]["reason"]) == ("***",) * 3


def test_numbers_beyond_floats_are_texts(client, database):
    execute(database, "SELECT pgmq.send('mail', %s::jsonb)", ['{"x": [1' + "0" * 309 + ".5]}"])

    assert search(client)["messages"][0]["message"] == {"x": ["inf"]}


def test_json_that_python_does_not_read(client, database):
    deep = "[" * 12_000 + "]" * 12_000
    execute(database, "SELECT pgmq.send('mail', %s::jsonb)", [deep])
    as_hooks_do = client_of(database.dsn)
    (found,) = search(as_hooks_do, msg_id=1)["messages"]

    assert "RecursionError" in str(found["message"])


def test_unknown_and_unsafe_queues(client):
    with pytest.raises(QueueNotFound):
        search(client, queue_name="none")
    with pytest.raises(InvalidName):
        search(client, dedup_key="\0")
    with pytest.raises(InvalidName):
        search(client, queue_name="mail'; DROP TABLE x; --")


def test_what_a_task_has_sent(client, database):
    execute(database, "SELECT pgmq.create('other')")
    run = {"dag_id": "shop", "run_id": "r1", "task_id": "send", "map_index": -1}
    tick(job(), source=run).run(client)
    tick(job(), source={**run, "run_id": "r2"}, namespace="b").run(client)
    archive(database, 1, 2)
    of_run = overview.sent(client, {"dag_id": "shop", "run_id": "r1"})["messages"]

    assert len(overview.sent(client, {"dag_id": "shop"})["messages"]) == 20
    assert len(of_run) == 10
    assert {each["queue_name"] for each in of_run} == {"mail"}
    assert of_run[0]["source"] == run
    assert [each["state"] for each in of_run].count("archived") == 2
    assert overview.sent(client, {"dag_id": "elsewhere"})["messages"] == []
