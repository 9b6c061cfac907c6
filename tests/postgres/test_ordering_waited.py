"""Who waits for messages in order is woken for those that a read in order returns, and for no other."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from airflow_pgmq.core.delays import AT_ONCE, ParsedDelay
from airflow_pgmq.core.groups import GroupCursor
from airflow_pgmq.core.messages import Message
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import consuming, groups, reading, watching
from airflow_pgmq.db.statements.watching import Ask, Seen
from airflow_pgmq.errors import GroupIndexMissing
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services.waiting import Watcher
from airflow_pgmq.services.waiting.waiters import FAST_POLL, Waiter, Waiters
from tests.fixtures.factories import QUEUE, execute
from tests.fixtures.postgres import Database
from tests.fixtures.roles import drop_role
from tests.postgres.watching import arguments, make_queue, soon, watcher_of

#: Longer than any test: what is found before was announced, or was due.
NEVER = 600.0

ANNOUNCED = pytest.mark.direct("notifications do not pass a pooler")


def put(database: Database, *names: str | None) -> None:
    for name in names:
        execute(
            database,
            "SELECT pgmq.send('mail', '1', CASE WHEN %(name)s::text IS NULL THEN '{}'::jsonb"
            " ELSE jsonb_build_object('x-pgmq-group', %(name)s::text) END)",
            {"name": name},
        )


def take(client: Client, most: int = 10, **options: Any) -> list[Message]:
    options = {"visibility_timeout": 30, **options}
    return client.run(lambda: groups.read(QUEUE, GroupCursor(""), max_messages=most, **options))


def look(client: Client, limit: int = 100, **conditions: Any) -> Seen:
    ask = Ask.of(QUEUE, ordered=True, **conditions)
    return client.run(lambda: watching.look({ask: limit}))[ask]


@pytest.fixture
def announced(client: Client) -> Client:
    """A queue that announces what is sent and what is acked."""
    make_queue(client, QUEUE)
    client.run(lambda: groups.make_index(QUEUE))
    return client


def test_a_look_counts_what_a_read_would_return(announced: Client, database: Database) -> None:
    put(database, "a", "a", "b", None, None, "b")
    assert look(announced).count == 4
    assert look(announced, 3).count == 3
    first = take(announced)
    assert (len(first), look(announced).count) == (4, 0)
    announced.run(lambda: reading.archive(QUEUE, first[:1]))
    assert look(announced).count == 1


def test_a_look_says_when_a_held_group_may_be_read(announced: Client, database: Database) -> None:
    put(database, "a", "a", "b", "b")
    # What is behind the hidden head will not be ready before it.
    execute(database, "UPDATE pgmq.q_mail SET vt = now() + interval '500 s', read_ct = 1 WHERE msg_id = 1")
    execute(database, "UPDATE pgmq.q_mail SET vt = now() + interval '300 s' WHERE msg_id = 2")
    seen = look(announced)
    assert (seen.count, seen.announced) == (1, True)
    assert 490 < seen.next_in <= 500
    # Nothing at all is visible.
    execute(database, "UPDATE pgmq.q_mail SET vt = now() + interval '400 s' WHERE msg_id > 2")
    assert 290 < look(announced).next_in <= 300
    # One without a group.
    put(database, "c", None)
    execute(database, "UPDATE pgmq.q_mail SET vt = now() + interval '100 s' WHERE msg_id = 6")
    seen = look(announced)
    assert seen.count == 1
    assert 90 < seen.next_in <= 100


def test_as_a_read_in_order_finds_them(announced: Client, database: Database) -> None:
    """Whatever readers do meanwhile."""
    choice = random.Random(3)
    held: list[Message] = []
    for _ in range(150):
        step = choice.choice(["send", "send", "read", "ack", "release", "fail"])
        if step == "send":
            put(database, choice.choice(["a", "b", "c", None]))
        elif step == "read":
            held += take(announced, choice.randint(1, 3))
        elif held:
            message = held.pop(choice.randrange(len(held)))
            if step == "ack":
                announced.run(lambda message=message: reading.delete(QUEUE, [message]))
            else:
                delay = AT_ONCE if step == "release" else ParsedDelay(3600)
                announced.run(
                    lambda message=message, delay=delay: consuming.release_each(QUEUE, [message], [delay])
                )
        count = look(announced).count
        sight = announced.run(lambda: watching.sight(Ask.of(QUEUE, ordered=True)))
        assert sight.visible == count
        assert announced.run(lambda: groups.count(QUEUE, limit=100)) == count
        assert len(_all(announced, database)) == count


def _all(client: Client, database: Database) -> list[Message]:
    """What a read in order returns, one after the other where they were tried; undone."""
    found: list[Message] = []
    with database.connect() as connection:
        while more := client.run(
            lambda: groups.read(QUEUE, GroupCursor(""), max_messages=100, visibility_timeout=30), connection
        ):
            found += more
        connection.rollback()
    return found


def test_conditions_are_about_the_next_message(announced: Client, database: Database) -> None:
    put(database, "a", "a", "b")
    execute(database, 'UPDATE pgmq.q_mail SET message = \'{"kind": "x"}\' WHERE msg_id IN (2, 3)')
    assert look(announced, condition={"kind": "x"}).count == 1
    assert look(announced, headers_condition={"x-pgmq-group": "a"}).count == 1


def test_a_ring_names_the_slots_of_next_messages(announced: Client, database: Database) -> None:
    for minute in range(3):
        execute(
            database,
            "SELECT pgmq.send('mail', '1', jsonb_build_object('x-pgmq-group', 'a', 'slot', %s::text))",
            [f"2026-01-01T00:0{minute}:00Z"],
        )
    slots = announced.run(lambda: watching.visible_slots(Ask.of(QUEUE, ordered=True)))
    assert slots == ["2026-01-01T00:00:00Z"]


@ANNOUNCED
def test_nobody_is_woken_for_a_message_behind_a_held_one(announced: Client, database: Database) -> None:
    async def main() -> None:
        async with watcher_of(database) as watcher:
            waiting = await begun(watcher)
            put(database, "a")
            await soon(asyncio.gather(*waiting))
            head = take(announced)
            waiting = await begun(watcher, 2)
            plain = asyncio.create_task(watcher.wait(QUEUE, poll_interval=NEVER))
            put(database, "a", "a")
            # It sees any message, so the notification has come.
            await soon(plain)
            put(database, "b")
            done, rest = await soon(asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED))
            assert len(done) == 1
            assert [each.msg_id for each in take(announced)] == [4]
            # The ack of the head wakes the next one at once.
            announced.run(lambda: reading.archive(QUEUE, head))
            await soon(asyncio.gather(*rest))
            assert [each.msg_id for each in take(announced)] == [2]

    asyncio.run(main())


async def begun(watcher: Watcher, count: int = 1) -> list[asyncio.Task[Any]]:
    """Waiters that have looked once."""
    waiting = [
        asyncio.create_task(watcher.wait(QUEUE, ordered=True, poll_interval=NEVER)) for _ in range(count)
    ]
    # A waiter that is satisfied at once is behind them.
    await soon(watcher.run(lambda: groups.count(QUEUE, limit=1)))
    return waiting


SETTLED = {
    "archive": lambda client, held: client.run(lambda: reading.archive(QUEUE, held)),
    "delete": lambda client, held: client.run(lambda: reading.delete(QUEUE, held)),
    "dead letter": lambda client, held: client.run(
        lambda: consuming.dead_letter(QUEUE, "mail_dlq", held, "no")
    ),
    "release": lambda client, held: client.run(lambda: consuming.release_each(QUEUE, held, [AT_ONCE])),
}


@ANNOUNCED
@pytest.mark.parametrize("how", [*SETTLED, "another client", "timeout"])
def test_what_lets_a_group_go_on_wakes_its_waiter(announced: Client, database: Database, how: str) -> None:
    execute(database, "SELECT pgmq.create('mail_dlq')")
    put(database, "a", "a")
    held = take(announced, visibility_timeout=3 if how == "timeout" else 3000)

    async def main() -> None:
        async with watcher_of(database) as watcher:
            waiting = await begun(watcher)
            if how == "another client":
                execute(database, "SELECT pgmq.archive('mail', 1)")
            elif how != "timeout":
                SETTLED[how](announced, held)
            await soon(asyncio.gather(*waiting))

    asyncio.run(main())
    assert look(announced).count == 1


def test_without_the_trigger_a_waiter_looks_often(announced: Client, database: Database) -> None:
    assert look(announced).announced
    execute(database, "DROP TRIGGER airflow_pgmq_settled ON pgmq.q_mail")
    assert not look(announced).announced
    assert not announced.run(lambda: groups.make_index(QUEUE))
    assert look(announced).announced


def test_the_index_is_made_for_a_waiter_also_of_a_queue_that_is_made_again(
    client: Client, database: Database
) -> None:
    async def main() -> None:
        async with watcher_of(database) as watcher:
            await soon(watcher.wait(QUEUE, ordered=True))

    for _ in range(2):
        assert not look(client).indexed
        put(database, "a")
        asyncio.run(main())
        assert look(client).indexed
        execute(database, "SELECT pgmq.drop_queue('mail'), pgmq.create('mail')")


def test_a_role_that_may_not_make_the_index_is_told(client: Client, database: Database) -> None:
    execute(database, "CREATE ROLE waiter_in_order LOGIN")
    try:
        execute(database, "GRANT USAGE ON SCHEMA pgmq TO waiter_in_order")
        execute(database, "GRANT SELECT ON ALL TABLES IN SCHEMA pgmq TO waiter_in_order")

        async def main() -> None:
            watcher = Watcher(arguments(database, user="waiter_in_order"))
            try:
                await soon(watcher.wait(QUEUE, ordered=True))
            finally:
                await watcher.close()

        with pytest.raises(GroupIndexMissing, match="CREATE INDEX q_mail_groups_idx"):
            asyncio.run(main())
    finally:
        drop_role(database, "waiter_in_order")


def test_the_hook_waits_in_order(pgmq_connection: str) -> None:
    hook = PgmqHook(pgmq_connection)
    hook.create_queue("orders")
    hook.send_batch("orders", [1, 2], group="customer-7")
    [head] = hook.read("orders", max_messages=5, ordered=True)
    with pytest.raises(TimeoutError):
        hook.wait("orders", ordered=True, timeout=0.5)
    hook.archive("orders", head)
    assert hook.wait("orders", ordered=True, timeout=20).count == 1


def test_beside_a_plain_waiter_it_looks_often_all_the_same(announced: Client, database: Database) -> None:
    asks = {Ask.of(QUEUE, ordered=True): 9, Ask.of(QUEUE): 9}
    execute(database, "DROP TRIGGER airflow_pgmq_settled ON pgmq.q_mail")
    execute(database, "SELECT pgmq.enable_notify_insert('mail')")
    seen = announced.run(lambda: watching.look(asks))
    # Two triggers of inserts say nothing of acks.
    assert {ask.ordered: each.announced for ask, each in seen.items()} == {True: False, False: True}
    waiters = Waiters()
    loop = asyncio.new_event_loop()
    for ask in asks:
        waiters.add(Waiter(ask, 1, None, loop.create_future()))
    waiters.on_look(seen, 0, 0, notified=True)
    assert waiters.queues[QUEUE].poll_at == FAST_POLL
    loop.close()
