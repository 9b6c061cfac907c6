"""Databases that are not in UTF-8: text is still text, and what they cannot store affects nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.core import names
from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.payload import Unreadable
from airflow_pgmq.db.statements.inspection import Search
from airflow_pgmq.errors import InvalidMessage
from airflow_pgmq.services import maintenance, overview
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, execute, job, keys_in, queued, slots_in, statuses, tick
from tests.fixtures.patience import within
from tests.fixtures.postgres import narrow_database
from tests.postgres.watching import waiting, watcher_of

if TYPE_CHECKING:
    from airflow_pgmq.db.local import LocalPostgres
    from airflow_pgmq.hooks import PgmqHook
    from airflow_pgmq.messages import Message
    from tests.fixtures.postgres import Database
    from tests.fixtures.profiles import Profile

#: In LATIN1, and not in ASCII.
TEXT = "Größe ½ Zoë"
#: Not in LATIN1. SQL_ASCII takes any bytes.
FOREIGN = "5 €"


@pytest.fixture
def database(
    request: pytest.FixtureRequest, postgres_server: LocalPostgres, profile: Profile, pooler: int | None
) -> Iterator[Database]:
    """A database in the encoding of the test."""
    with narrow_database(postgres_server, request.param, profile, pooler) as database:
        yield database


@pytest.fixture
def hook(database: Database, pgmq_connection: str) -> PgmqHook:
    from airflow_pgmq.hooks import PgmqHook

    hook = PgmqHook(pgmq_connection)
    hook.create_queue(QUEUE)
    return hook


each_encoding = pytest.mark.parametrize("database", ["LATIN1", "SQL_ASCII"], indirect=True)
in_latin1 = pytest.mark.parametrize("database", ["LATIN1"], indirect=True)
in_any_bytes = pytest.mark.parametrize("database", ["SQL_ASCII"], indirect=True)


def spoil(database: Database, *, headers: bool = False) -> None:
    """Send, as any client may, a byte that is no UTF-8, between two good messages."""
    text = "('\"' || chr(252) || '\"')"
    odd = f"'2', ('{{\"wer\": ' || {text} || '}}')::jsonb" if headers else f"{text}::jsonb"
    for value in ("'1'", odd, "'3'"):
        execute(database, f"SELECT pgmq.send('mail', {value})")


def consume(hook: PgmqHook, **fields: Any) -> list[Any]:
    """Drain the queue; returns the messages that the consumer got."""
    seen: list[Any] = []
    policy = Policy(queue_name=QUEUE, batch_size=10, max_reads=2, backoff=0, **fields)
    Consumer(hook.client, policy, together=True).drain(
        lambda messages, conn: seen.extend(message.message for message in messages)
    )
    return seen


@each_encoding
def test_text_goes_there_and_back(hook: PgmqHook) -> None:
    sent = hook.send(QUEUE, {TEXT: TEXT}, headers={TEXT: TEXT}, group=TEXT, dedup_key=TEXT)
    assert (sent.status, sent.dedup_key) == ("sent", TEXT)
    [message] = hook.read(QUEUE, headers_condition={TEXT: TEXT})
    assert message.message == {TEXT: TEXT}
    assert message.headers == {TEXT: TEXT, "x-pgmq-group": TEXT, "dedup_key": TEXT}
    assert hook.get_messages(QUEUE, [sent.msg_id])[0].message == message.message
    hook.send(QUEUE, {TEXT: 2})
    assert [each.message for each in hook.read(QUEUE, condition={TEXT: 2})] == [{TEXT: 2}]


@each_encoding
@pytest.mark.parametrize("scope", ["once", "queued"])
def test_keys_are_found_again(hook: PgmqHook, database: Database, scope: Any) -> None:
    keys = [TEXT, "a", f"{TEXT}/2", "ÿ", "z"]
    first = hook.send_batch(QUEUE, keys, dedup_keys=keys, dedup_scope=scope)
    again = hook.send_batch(QUEUE, keys, dedup_keys=keys, dedup_scope=scope)
    replaced = hook.send(QUEUE, 1, dedup_key=TEXT, dedup_scope=scope, on_duplicate="replace")
    assert statuses(first) == ["sent"] * 5
    assert [(each.status, each.msg_id) for each in again] == [("duplicate", each.msg_id) for each in first]
    assert replaced.status == "replaced"
    assert keys_in(database) == keys
    assert hook.cancel(QUEUE, [TEXT]) == [first[0].msg_id]


@each_encoding
def test_many_keys_at_once(hook: PgmqHook, database: Database) -> None:
    keys = [f"{TEXT}{number}" for number in range(3000)]
    assert set(statuses(hook.send_batch(QUEUE, keys, dedup_keys=keys))) == {"sent"}
    assert set(statuses(hook.send_batch(QUEUE, keys, dedup_keys=keys))) == {"duplicate"}
    assert keys_in(database) == keys


@in_latin1
@pytest.mark.parametrize("options", [{}, {"dedup_scope": "once"}, {"dedup_scope": "queued"}], ids=str)
def test_what_the_database_cannot_store_is_refused_before_anything_is_sent(
    hook: PgmqHook, database: Database, options: dict[str, Any]
) -> None:
    hook.send(QUEUE, 0, dedup_key="z", dedup_scope=options.get("dedup_scope", "once"))
    keys = {"dedup_keys": ["a", "b", "c"], **options} if options else {}
    with pytest.raises(InvalidMessage, match="cannot store"):
        hook.send_batch(QUEUE, [1, FOREIGN, 3], **keys)
    with pytest.raises(InvalidMessage, match="cannot store"):
        hook.send_batch(QUEUE, [1, 2], headers=[None, {"h": FOREIGN}])
    with pytest.raises(InvalidMessage, match="cannot store"):
        hook.send_batch(QUEUE, [1, 2], dedup_keys=["d", FOREIGN], **options)
    with pytest.raises(InvalidMessage, match="cannot store"):
        hook.send(QUEUE, FOREIGN, dedup_key="z", on_duplicate="replace", **options)
    assert [row["message"] for row in queued(database)] == [0]
    assert keys_in(database) == ["z"]
    # All their keys are free.
    assert set(statuses(hook.send_batch(QUEUE, [1] * 4, dedup_keys=[*"abcd"], **options))) == {"sent"}


@in_latin1
def test_nor_is_it_in_a_callers_transaction(hook: PgmqHook, database: Database) -> None:
    with database.connect() as connection:
        hook.send(QUEUE, 1, conn=connection)
        with pytest.raises(InvalidMessage, match="cannot store"):
            hook.send(QUEUE, FOREIGN, conn=connection)
        hook.send(QUEUE, 2, conn=connection)
    assert [row["message"] for row in queued(database)] == [1, 2]


@in_latin1
def test_a_topic_that_cannot_be_stored(hook: PgmqHook, database: Database) -> None:
    hook.bind_topic("a", QUEUE)
    with pytest.raises(InvalidMessage, match="cannot store"):
        hook.send_topic("a", FOREIGN)
    assert queued(database) == []


@in_latin1
def test_a_reason_is_stored_as_far_as_it_can_be(hook: PgmqHook, database: Database) -> None:
    def work(messages: list[Message], conn: Any) -> None:
        raise ValueError(f"{TEXT} costs {FOREIGN}")

    hook.send(QUEUE, TEXT)
    policy = Policy(queue_name=QUEUE, max_reads=1, batch_size=1)
    summary = Consumer(hook.client, policy, together=True).drain(work)
    assert summary.dead == 1
    [letter] = queued(database, "mail_dlq")
    assert letter["message"] == TEXT
    assert letter["headers"]["dead_letter"]["reason"] == f"ValueError: {TEXT} costs 5 \\u20ac"


@each_encoding
def test_dead_letters_and_back(hook: PgmqHook, database: Database) -> None:
    hook.send(QUEUE, {TEXT: 1}, headers={TEXT: TEXT})
    hook.create_queue("mail_dlq")
    assert hook.dead_letter(QUEUE, [1], TEXT) == [1]
    assert queued(database, "mail_dlq")[0]["headers"]["dead_letter"]["reason"] == TEXT
    assert hook.requeue(QUEUE, headers_condition={TEXT: TEXT}) == {1: 2}
    assert queued(database)[0]["headers"] == {TEXT: TEXT}


@each_encoding
def test_consumers(hook: PgmqHook, database: Database) -> None:
    hook.send_batch(QUEUE, [TEXT, {TEXT: 1}])
    assert consume(hook) == [TEXT, {TEXT: 1}]
    assert queued(database) == []


@each_encoding
def test_ticks(hook: PgmqHook, database: Database) -> None:
    jobs = job(message={TEXT: TEXT}, headers={TEXT: TEXT})
    first = tick(jobs).run(hook.client)
    assert first.sent == len(slots_in(database)) >= 10
    assert tick(jobs).run(hook.client).sent == 0
    assert queued(database)[0]["message"] == {TEXT: TEXT}
    assert hook.run_job_now("shop", "job").status == "sent"
    assert hook.pause_job("shop", "job") >= 9
    hook.resume_job("shop", "job")
    assert hook.list_jobs()[0]["definition"]["message"] == {TEXT: TEXT}


@in_latin1
def test_a_job_whose_message_cannot_be_stored_says_so(hook: PgmqHook, database: Database) -> None:
    with pytest.raises(InvalidMessage, match="cannot store"):
        tick(job("one"), job("two", message=FOREIGN)).run(hook.client)
    assert queued(database) == []


@each_encoding
def test_what_the_page_shows(hook: PgmqHook, database: Database) -> None:
    hook.send(QUEUE, {TEXT: TEXT}, headers={"job": TEXT, "source": {"dag_id": TEXT}}, dedup_key=TEXT)
    for search in ({"dedup_key": TEXT}, {"job": TEXT}, {"msg_id": 1}):
        [found] = overview.messages(hook.client, Search(queue_name=QUEUE, peek=True, **search))["messages"]
        assert json.loads(json.dumps(found, default=str))["message"] == {TEXT: TEXT}
    assert [row["msg_id"] for row in overview.sent(hook.client, {"dag_id": TEXT})["messages"]] == [1]
    assert [row["queue_name"] for row in overview.queues(hook.client)["queues"]] == [QUEUE]


@in_any_bytes
def test_a_byte_that_is_no_text_spoils_its_own_message_only(hook: PgmqHook, database: Database) -> None:
    spoil(database)
    messages = hook.read(QUEUE, max_messages=10, visibility_timeout=0)
    assert [messages[0].message, messages[2].message] == [1, 3]
    assert isinstance(messages[1].message, Unreadable)
    assert consume(hook) == [1, 3]
    assert len(queued_ids(database, "mail_dlq")) == 1


@in_any_bytes
def test_neither_in_headers(hook: PgmqHook, database: Database) -> None:
    spoil(database, headers=True)
    messages = hook.read(QUEUE, max_messages=10, visibility_timeout=0)
    assert [message.msg_id for message in messages] == [1, 2, 3]
    assert {1, 3} <= set(consume(hook))
    assert queued_ids(database, QUEUE) == []


@in_any_bytes
def test_page_and_maintenance_bear_it(hook: PgmqHook, database: Database) -> None:
    spoil(database)
    spoil(database, headers=True)
    found = overview.messages(hook.client, Search(queue_name=QUEUE, peek=True))["messages"]
    assert len(json.loads(json.dumps(found, default=str))) == 6
    assert overview.queues(hook.client)["queues"][0]["length"] == 6
    assert not maintenance.maintain(hook.client, archive_retention=timedelta(0)).skipped
    assert hook.send(QUEUE, TEXT, dedup_key=TEXT).status == "sent"


def queued_ids(database: Database, queue_name: str) -> list[int]:
    return [row["msg_id"] for row in execute(database, f"SELECT msg_id FROM pgmq.q_{queue_name} ORDER BY 1")]


@pytest.mark.direct("notifications do not pass a pooler")
@in_any_bytes
def test_a_notification_that_is_no_text_disturbs_no_waiter(hook: PgmqHook, database: Database) -> None:
    async def run() -> list[Any]:
        async with watcher_of(database) as watcher:
            task = await waiting(watcher, QUEUE)
            for _ in range(3):
                execute(database, "SELECT pg_notify(%s, chr(233))", [names.channel(QUEUE)])
                execute(database, "SELECT pg_notify(chr(233), '')")
            hook.send(QUEUE, 1)
            return await within(task, 20)

    assert asyncio.run(run())
