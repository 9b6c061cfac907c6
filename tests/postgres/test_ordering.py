"""Reading in order: of each group one message at a time, whoever reads and whatever happens."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.delays import AT_ONCE
from airflow_pgmq.core.groups import GroupCursor
from airflow_pgmq.core.messages import Message
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.driver import composing
from airflow_pgmq.db.statements import Statement, groups, reading
from airflow_pgmq.errors import GroupIndexMissing, InvalidArgument
from airflow_pgmq.messages import Outcome
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, client_of, execute, read_committed
from tests.fixtures.postgres import Database
from tests.fixtures.roles import drop_role

SEND_TO_A = "SELECT pgmq.send('mail', '1'::jsonb, '{\"x-pgmq-group\": \"a\"}'::jsonb)"


def put(database: Database, *names: str | None) -> list[int]:
    """One message for each name of a group; its payload is the name and how many of it were before."""
    return [_put(database, name) for name in names]


def _put(database: Database, name: str | None) -> int:
    headers = "{}" if name is None else f'{{"x-pgmq-group": "{name}"}}'
    (row,) = execute(
        database,
        "SELECT pgmq.send(%s, to_jsonb(%s::text), %s::jsonb) AS msg_id",
        [QUEUE, name or "-", headers],
    )
    msg_id: int = row["msg_id"]
    return msg_id


def take(client: Client, most: int = 10, cursor: GroupCursor | None = None, **options: Any) -> list[Message]:
    options = {"visibility_timeout": 30, **options}
    place = cursor or GroupCursor("")
    return client.run(lambda: groups.read(QUEUE, place, max_messages=most, **options))


def ids(messages: list[Message]) -> list[int]:
    return [each.msg_id for each in messages]


@pytest.fixture
def indexed(client: Client) -> Client:
    assert client.run(lambda: groups.make_index(QUEUE))
    assert not client.run(lambda: groups.make_index(QUEUE))
    return client


def test_one_message_of_each_group_is_out_at_a_time(indexed: Client, database: Database) -> None:
    put(database, "a", "a", "b", "a", "c")
    first = take(indexed)
    assert ids(first) == [1, 3, 5]
    assert take(indexed) == []
    indexed.run(lambda: reading.archive(QUEUE, first[:1]))
    assert ids(take(indexed)) == [2]


def test_a_message_that_is_hidden_holds_its_group_back(indexed: Client, database: Database) -> None:
    put(database, "late", "late", "tried", "tried")
    execute(database, "UPDATE pgmq.q_mail SET vt = now() + interval '1 h' WHERE msg_id IN (1, 3)")
    execute(database, "UPDATE pgmq.q_mail SET read_ct = 1 WHERE msg_id = 3")
    assert take(indexed) == []
    execute(database, "UPDATE pgmq.q_mail SET vt = now()")
    # One that was tried is read alone.
    assert [ids(take(indexed)), ids(take(indexed))] == [[1], [3]]


def test_an_earlier_message_that_is_committed_later_waits(indexed: Client, database: Database) -> None:
    with read_committed(database) as sender:
        sender.execute(SEND_TO_A)
        put(database, "a")
        second = take(indexed)
        assert ids(second) == [2]
        sender.commit()
    # One of the group is out.
    assert take(indexed) == []
    indexed.run(lambda: reading.set_vt(QUEUE, second, AT_ONCE))
    # And what was begun goes on.
    assert ids(take(indexed)) == [2]


def test_a_reader_looks_again_before_it_takes(indexed: Client, database: Database) -> None:
    """Between its two statements, an earlier message is committed, and read and done by nobody."""
    with read_committed(database) as sender:
        sender.execute(SEND_TO_A)
        put(database, "a", "b")
        with read_committed(database) as conn:
            flow = groups.read(QUEUE, GroupCursor(""), max_messages=10, visibility_timeout=30)
            found = indexed.run(lambda: next(flow), conn)
            assert [each.msg_id for each in found] == [2, 3]
            sender.commit()
            claim = flow.send(found)
            assert isinstance(claim, Statement)
            assert ids(indexed.run(lambda: claim, conn)) == [3]
            # Meanwhile nobody else looks at the two groups.
            assert take(indexed) == []


def test_groups_in_a_callers_transaction_are_left_alone(indexed: Client, database: Database) -> None:
    put(database, "a", "a", "b", "b")
    with read_committed(database) as conn:
        mine = indexed.run(
            lambda: groups.read(QUEUE, GroupCursor(""), max_messages=1, visibility_timeout=0), conn
        )
        assert ids(mine) == [1]
        assert ids(take(indexed)) == [3]
        conn.rollback()
    assert ids(take(indexed)) == [1]


def test_groups_take_turns(indexed: Client, database: Database) -> None:
    put(database, *["big"] * 20, "small", "small", "tiny")
    cursor, seen = GroupCursor(""), []
    for _ in range(6):
        (message,) = take(indexed, 1, cursor)
        seen.append(message.message)
        indexed.run(lambda message=message: reading.delete(QUEUE, [message]))
    assert seen == ["big", "small", "tiny", "big", "small", "big"]


def test_a_reader_without_a_place_begins_anywhere(indexed: Client, database: Database) -> None:
    put(database, *[f"group{n}" for n in range(50)])
    first = {take(indexed, 1, GroupCursor(None), visibility_timeout=0)[0].message for _ in range(20)}
    assert len(first) > 1


def test_messages_without_a_group_are_each_their_own(indexed: Client, database: Database) -> None:
    put(database, None, "a", None, "a", None, "")
    assert ids(take(indexed)) == [1, 2, 3, 5, 6]


def test_those_have_their_share_of_a_batch(indexed: Client, database: Database) -> None:
    put(database, *[None] * 10, *[f"group{n}" for n in range(10)])
    assert ids(take(indexed, 4)) == [1, 2, 11, 12]
    # Another reader that comes at the same time gets others.
    with read_committed(database) as conn:
        indexed.run(lambda: groups.read(QUEUE, GroupCursor(""), max_messages=2, visibility_timeout=30), conn)
        assert len(take(indexed, 2)) == 2


def order_of(indexed: Client, most: int, **options: Any) -> list[int]:
    """The ids as they are read, and archived before the next read."""
    cursor, order = GroupCursor(), list[int]()
    while found := take(indexed, most, cursor, **options):
        order += ids(found)
        indexed.run(lambda found=found: reading.archive(QUEUE, found))
    return order


@pytest.mark.parametrize("most", [1, 10])
@pytest.mark.parametrize("read_ct", [0, 1])
def test_one_without_a_group_does_not_wait_for_the_end_of_groups(
    indexed: Client, database: Database, most: int, read_ct: int
) -> None:
    put(database, None, *["a"] * 40, *["b"] * 40)
    # One that comes back after a failure is not the oldest by its time.
    execute(database, "UPDATE pgmq.q_mail SET read_ct = %s, vt = now() WHERE msg_id = 1", [read_ct])
    assert order_of(indexed, most).index(1) < 4


def test_nor_do_readers_wait_that_each_read_once(indexed: Client, database: Database) -> None:
    put(database, None, *["a"] * 40)
    for _ in range(3):
        (message,) = take(indexed, 1, GroupCursor())
        indexed.run(lambda message=message: reading.archive(QUEUE, [message]))
        if message.msg_id == 1:
            return
    raise AssertionError("the oldest message was not read")


def test_of_messages_that_were_tried_one_is_read_alone(indexed: Client, database: Database) -> None:
    put(database, "a", "b", "c", "d")
    execute(database, "UPDATE pgmq.q_mail SET read_ct = 1 WHERE msg_id IN (2, 3)")
    cursor = GroupCursor("")
    taken = [ids(take(indexed, 10, cursor)) for _ in range(4)]
    assert taken == [[1, 4], [2], [3], []]


def test_conditions_are_about_the_next_message(indexed: Client, database: Database) -> None:
    put(database, "a", "a", "b")
    execute(database, 'UPDATE pgmq.q_mail SET message = \'{"kind": "x"}\' WHERE msg_id IN (2, 3)')
    assert ids(take(indexed, condition={"kind": "x"})) == [3]
    assert ids(take(indexed, headers_condition={"x-pgmq-group": "a"})) == [1]


def test_only_unread_ones(indexed: Client, database: Database) -> None:
    put(database, "a", "b", None, None)
    execute(database, "UPDATE pgmq.q_mail SET read_ct = 1 WHERE msg_id IN (1, 3)")
    assert ids(take(indexed, unread=True)) == [2, 4]


@pytest.mark.parametrize(
    "header", ["null", "[1]", '"text"', '{"x-pgmq-group": null}', '{"x-pgmq-group": ""}']
)
def test_headers_of_any_kind(indexed: Client, database: Database, header: str | None) -> None:
    put(database, "a")
    execute(
        database,
        "INSERT INTO pgmq.q_mail (vt, message, headers)"
        " SELECT now(), '1', %s::jsonb FROM generate_series(1, 2)",
        [header],
    )
    assert ids(take(indexed)) == [1, 2, 3]


@pytest.mark.parametrize("name", ["x" * 10_000, "\\", "'; --", "Ü{}%s", "-1", "\U0001f600"])
def test_names_of_any_kind(indexed: Client, database: Database, name: str) -> None:
    for _ in range(2):
        execute(
            database,
            "INSERT INTO pgmq.q_mail (vt, message, headers)"
            " VALUES (now(), '1', jsonb_build_object('x-pgmq-group', %s::text))",
            [name],
        )
    put(database, "a")
    assert ids(take(indexed)) == [1, 3]


def test_how_many_is_checked(indexed: Client) -> None:
    assert take(indexed, 0) == []
    with pytest.raises(InvalidArgument, match="must not be negative"):
        take(indexed, -1)


def test_as_pgmqs_own_function_reads_the_heads(indexed: Client, database: Database) -> None:
    """`read_grouped_head` is right for one reader, and looks at the whole queue."""
    choice = random.Random(7)
    execute(database, "SELECT pgmq.create('theirs')")
    held: dict[str, list[Message]] = {"mail": [], "theirs": []}
    for _ in range(120):
        name = f"group{choice.randrange(6)}"
        step = choice.choice(["send", "send", "read", "read", "ack", "release"])
        if step == "send":
            for queue in held:
                execute(
                    database,
                    "SELECT pgmq.send(%s, to_jsonb(%s::text), jsonb_build_object('x-pgmq-group', %s::text))",
                    [queue, name, name],
                )
        elif step == "read":
            # One that was tried comes alone from ours, so all of them are asked for.
            ours: list[Message] = []
            while more := take(indexed):
                ours += more
            rows = execute(database, "SELECT msg_id FROM pgmq.read_grouped_head('theirs', 30, 10)")
            assert sorted(ids(ours)) == sorted(row["msg_id"] for row in rows)
            held["mail"] += ours
        elif held["mail"]:
            message = held["mail"].pop(choice.randrange(len(held["mail"])))
            for queue in held:
                if step == "ack":
                    execute(database, "SELECT pgmq.delete(%s, %s::bigint)", [queue, message.msg_id])
                else:
                    execute(database, "SELECT pgmq.set_vt(%s, %s::bigint, 0)", [queue, message.msg_id])
    assert held["mail"]


def rows_touched(database: Database, statement: Statement[Any]) -> int:
    """How many rows all scans of the queue give and drop."""
    with database.connect() as connection:
        text = composing.text(statement).decode()
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {text}"
        (found,) = connection.execute(explain, statement.params, prepare=False).fetchone() or ([],)
        connection.rollback()
    todo, touched = [found[0]["Plan"]], 0
    while todo:
        node = todo.pop()
        todo += node.get("Plans", [])
        if node.get("Relation Name") == "q_mail":
            assert node["Node Type"] != "Seq Scan", node
            rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            touched += rows * node["Actual Loops"]
    return round(touched)


@pytest.mark.parametrize("analyzed", [True, False])
@pytest.mark.parametrize("filled", ["with groups", "without", "both"])
def test_a_read_looks_at_few_rows(indexed: Client, database: Database, filled: str, analyzed: bool) -> None:
    name = {"with groups": "n % 1000", "without": "NULL", "both": "CASE WHEN n % 2 = 0 THEN n % 1000 END"}
    execute(
        database,
        "INSERT INTO pgmq.q_mail (vt, message, headers) SELECT now(), '1',"
        f" jsonb_build_object('x-pgmq-group', 'group' || {name[filled]}) FROM generate_series(1, 20000) AS n",
    )
    if analyzed:
        execute(database, "ANALYZE pgmq.q_mail")
    flow = groups.read(QUEUE, GroupCursor("group5"), max_messages=50, visibility_timeout=30)
    first = next(flow)
    assert rows_touched(database, first) <= 500
    second = flow.send(indexed.run(lambda: first))
    assert isinstance(second, Statement)
    assert rows_touched(database, second) <= 500


def drain(client: Client, work: Any, **fields: Any) -> Any:
    policy = Policy(**{"queue_name": QUEUE, "groups": GroupCursor(""), **fields})
    return Consumer(client, policy, together=False).drain(work)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ack": "delete"},
        {"transactional": True},
        {"read_ahead": True, "batch_size": 5},
        {"adapts_batch_size": True},
        {"ack_group": 1, "batch_size": 3},
        {"transactional": True, "batch_size": 4},
    ],
    ids=str,
)
def test_a_drain_works_off_whole_groups(client: Client, database: Database, fields: dict[str, Any]) -> None:
    put(database, *["a"] * 12, *["b"] * 3, None)
    seen: list[Message] = []

    summary = drain(client, lambda messages, conn: seen.extend(messages), **fields)

    assert (summary.acked, execute(database, "SELECT FROM pgmq.q_mail")) == (16, [])
    for name in "ab":
        own = [each.msg_id for each in seen if each.message == name]
        assert own == sorted(own)


def test_a_failure_holds_the_group_back_and_the_others_go_on(client: Client, database: Database) -> None:
    put(database, "a", "a", "b", "b")
    seen: list[int] = []

    def work(messages: list[Message], conn: Any) -> Any:
        seen.extend(each.msg_id for each in messages)
        if messages[0].msg_id == 1 and messages[0].read_ct == 1:
            raise ValueError("not now")

    drain(client, work, backoff=3600)
    assert seen == [1, 3, 4]
    execute(database, "UPDATE pgmq.q_mail SET vt = now() WHERE msg_id = 1")
    drain(client, work)
    assert seen == [1, 3, 4, 1, 2]


def test_a_dead_letter_lets_its_group_go_on(client: Client, database: Database) -> None:
    put(database, "a", "a")
    seen: list[int] = []

    def work(messages: list[Message], conn: Any) -> Any:
        seen.extend(each.msg_id for each in messages)
        return Outcome.dead("wrong") if messages[0].msg_id == 1 else None

    summary = drain(client, work)
    assert (seen, summary.dead, summary.acked) == ([1, 2], 1, 1)


def test_many_workers_keep_each_group_in_order(database: Database, client: Client) -> None:
    choice = random.Random(1)
    names = [f"group{choice.randrange(30)}" for _ in range(600)]
    put(database, *names)
    client.run(lambda: groups.make_index(QUEUE))
    guard, done, at_work, together = threading.Lock(), [], set(), []

    def work(messages: list[Message], conn: Any) -> Any:
        (message,) = messages
        with guard:
            if message.message in at_work:
                together.append(message)
            at_work.add(message.message)
        with guard:
            at_work.discard(message.message)
            done.append(message)

    def worker(number: int) -> None:
        own = client_of(database.dsn)
        policy = Policy(
            queue_name=QUEUE, groups=GroupCursor(), batch_size=1 + number % 5, read_ahead=number % 2 == 0
        )
        while execute(database, "SELECT FROM pgmq.q_mail LIMIT 1"):
            Consumer(own, policy, together=False).drain(work)
        own.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(worker, range(6)))

    assert together == []
    assert len(done) == 600
    for name in set(names):
        own = [each.msg_id for each in done if each.message == name]
        assert own == sorted(own)


def test_a_role_that_does_not_own_the_queue_is_told(database: Database, client: Client) -> None:
    execute(database, "CREATE ROLE reader_in_order LOGIN")
    try:
        execute(database, "GRANT USAGE ON SCHEMA pgmq TO reader_in_order")
        execute(database, "GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgmq TO reader_in_order")
        execute(database, "GRANT INSERT ON pgmq.a_mail TO reader_in_order")
        own = client_of(f"{database.dsn} user=reader_in_order")
        put(database, "a", "a")
        with pytest.raises(GroupIndexMissing, match=r"CREATE INDEX q_mail_groups_idx ON pgmq\.q_mail"):
            drain(own, lambda messages, conn: None, max_reads=None)
        client.run(lambda: groups.make_index(QUEUE))
        assert drain(own, lambda messages, conn: None, max_reads=None).acked == 2
        own.close()
    finally:
        drop_role(database, "reader_in_order")


def test_an_index_that_a_failed_build_left_is_made_again(indexed: Client, database: Database) -> None:
    execute(
        database,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pgmq.q_mail_groups_idx'::regclass",
    )
    assert indexed.run(lambda: groups.make_index(QUEUE))
    put(database, "a")
    assert ids(take(indexed)) == [1]
