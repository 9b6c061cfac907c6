"""What wakes a waiter, and what does not."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from airflow_pgmq.core.delays import AT_ONCE, ParsedDelay
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.statements import Statement, pausing, queues, reading, watching
from airflow_pgmq.errors import InvalidArgument, PermissionDenied, PgmqError, QueueNotFound
from airflow_pgmq.services.waiting import Watcher, shared, waiters
from airflow_pgmq.services.waiting.looking import Looker
from tests.fixtures.factories import QUEUE, execute
from tests.fixtures.roles import drop_role
from tests.postgres.watching import (
    arguments,
    connections,
    listening,
    make_queue,
    put,
    soon,
    until,
    waiting,
    watcher_of,
)

if TYPE_CHECKING:
    from airflow_pgmq.db.client import Client
    from tests.fixtures.postgres import Database

pytestmark = pytest.mark.direct("a watcher that hears nothing looks by the clock: test_watch_pooler.py")


@pytest.fixture
def announced(client: Client) -> Client:
    """A client of a database with the queue `mail`, which has our trigger."""
    client.run(lambda: queues.enable_notify(QUEUE))
    return client


@pytest.fixture
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch polling off, so that polls find nothing."""
    monkeypatch.setattr(waiters, "SLOW_POLL", 10_000.0)
    monkeypatch.setattr(waiters, "FAST_POLL", 10_000.0)


Scenario = Callable[[Watcher], Awaitable[Any]]


def watch(database: Database, scenario: Scenario, **options: Any) -> Any:
    """Run the scenario with a watcher; all that it started must have ended with it."""

    async def main() -> Any:
        async with watcher_of(database, **options) as watcher:
            result = await scenario(watcher)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    threads = threading.active_count()
    result = asyncio.run(main())
    assert threading.active_count() <= threads + 1  # the loop's own, for `to_thread`
    return result


def test_what_is_there_already(database: Database, client: Client) -> None:
    put(database, QUEUE)
    put(database, QUEUE)
    found = watch(database, lambda watcher: soon(watcher.wait(QUEUE)))
    assert found.count == 2
    assert found.oldest == execute(database, "SELECT min(enqueued_at) AS at FROM pgmq.q_mail")[0]["at"]
    assert {row["read_ct"] for row in execute(database, "SELECT read_ct FROM pgmq.q_mail")} == {0}


@pytest.mark.usefixtures("no_polls")
def test_a_new_message(database: Database, announced: Client) -> None:
    async def scenario(watcher: Watcher) -> int:
        task = await waiting(watcher, QUEUE)
        await listening(watcher, database, QUEUE)
        put(database, QUEUE)
        return (await soon(task)).count

    assert watch(database, scenario) == 1


@pytest.mark.usefixtures("no_polls")
def test_a_delayed_message_when_its_time_has_come(database: Database, client: Client) -> None:
    async def scenario(watcher: Watcher) -> bool:
        put(database, QUEUE, delay=1)
        await soon(watcher.wait(QUEUE))
        return execute(database, "SELECT vt <= clock_timestamp() AS come FROM pgmq.q_mail")[0]["come"]

    assert watch(database, scenario)


@pytest.mark.usefixtures("no_polls")
def test_a_delayed_message_that_is_sent_while_one_waits(database: Database, announced: Client) -> None:
    async def scenario(watcher: Watcher) -> None:
        put(database, QUEUE, delay=3600)
        task = await waiting(watcher, QUEUE)
        await listening(watcher, database, QUEUE)
        put(database, QUEUE, delay=1)
        await soon(task)

    watch(database, scenario)


@pytest.mark.usefixtures("no_polls")
def test_a_message_whose_visibility_timeout_ended(database: Database, client: Client) -> None:
    put(database, QUEUE)
    client.run(lambda: reading.read(QUEUE, max_messages=1, visibility_timeout=1))
    watch(database, lambda watcher: soon(watcher.wait(QUEUE)))


@pytest.mark.usefixtures("no_polls")
def test_a_message_that_is_given_back(database: Database, client: Client) -> None:
    """It is an UPDATE, which no trigger announces; our own statement announces it."""
    put(database, QUEUE)
    (message,) = client.run(lambda: reading.read(QUEUE, max_messages=1, visibility_timeout=3600))

    async def scenario(watcher: Watcher) -> None:
        task = await waiting(watcher, QUEUE)
        await listening(watcher, database, QUEUE)
        client.run(lambda: reading.set_vt(QUEUE, message, ParsedDelay(7200)))
        assert not task.done()
        client.run(lambda: reading.set_vt(QUEUE, message, AT_ONCE))
        await soon(task)

    watch(database, scenario)


def pause(client: Client) -> None:
    client.run(lambda: pausing.pause(QUEUE, "", "ada"))


def resume(client: Client) -> None:
    client.run(lambda: pausing.resume(QUEUE))


async def heard(watcher: Watcher, database: Database) -> None:
    """Return when the watcher has heard all that was announced before."""
    task = asyncio.create_task(watcher.wait("later"))
    await listening(watcher, database, "later")
    put(database, "later")
    await soon(task)
    execute(database, "DELETE FROM pgmq.q_later")


@pytest.mark.usefixtures("no_polls")
def test_a_paused_queue_when_it_is_resumed(database: Database, announced: Client) -> None:
    make_queue(announced, "later")
    put(database, QUEUE)
    pause(announced)

    async def scenario(watcher: Watcher) -> int:
        task = await waiting(watcher, QUEUE)
        await listening(watcher, database, QUEUE)
        put(database, QUEUE)
        await heard(watcher, database)
        assert not task.done()
        resume(announced)
        return (await soon(task)).count

    assert watch(database, scenario) == 2


@pytest.mark.usefixtures("no_polls")
def test_a_queue_that_is_paused_while_one_waits(
    database: Database, announced: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives then wakes nobody, and causes no look."""
    make_queue(announced, "later")
    looked: list[str] = []
    look = Looker.look

    def note(looker: Looker, limits: Any) -> Any:
        looked.extend(ask.queue_name for ask in limits)
        return look(looker, limits)

    monkeypatch.setattr(Looker, "look", note)

    async def scenario(watcher: Watcher) -> int:
        task = await waiting(watcher, QUEUE)
        conditional = await waiting(watcher, QUEUE, condition={"a": 1})
        await listening(watcher, database, QUEUE)
        pause(announced)
        await heard(watcher, database)
        queue, now = watcher._waiters.queues[QUEUE], asyncio.get_running_loop().time
        await until(
            lambda: queue.look_at > now() and queue.again_at == inf and queue.poll_at < inf, "the last look"
        )
        looks = looked.count(QUEUE)
        for _ in range(20):
            put(database, QUEUE, '{"a": 1}')
        await heard(watcher, database)
        assert looked.count(QUEUE) == looks
        assert not task.done()
        assert not conditional.done()
        resume(announced)
        return (await soon(task)).count + (await soon(conditional)).count

    assert watch(database, scenario) == 40


@pytest.mark.usefixtures("no_polls")
def test_a_message_that_comes_between_a_pause_and_the_look_after_it(
    database: Database, announced: Client
) -> None:
    make_queue(announced, "later")

    async def scenario(watcher: Watcher) -> None:
        task = await waiting(watcher, QUEUE)
        await listening(watcher, database, QUEUE)
        # One transaction after the other, while the loop does not run.
        pause(announced)
        put(database, QUEUE)
        await heard(watcher, database)
        assert not task.done()
        resume(announced)
        await soon(task)

    watch(database, scenario)


def test_only_enough_matching_messages(database: Database, announced: Client) -> None:
    async def scenario(watcher: Watcher) -> int:
        task = await waiting(
            watcher, QUEUE, condition={"a": 1}, headers_condition={"job": "j"}, min_messages=2
        )
        for message, headers in (
            ('{"a": 2}', '{"job": "j"}'),
            ('{"a": 1}', None),
            ('{"a": 1}', '{"job": "j"}'),
        ):
            execute(database, "SELECT pgmq.send('mail', %s::jsonb, %s::jsonb)", [message, headers])
        # A waiter for anything shows that those were looked at.
        await soon(watcher.wait(QUEUE, min_messages=3))
        assert not task.done()
        execute(database, """SELECT pgmq.send('mail', '{"a": 1, "b": 0}', '{"job": "j", "k": 1}'::jsonb)""")
        return (await soon(task)).count

    assert watch(database, scenario) == 2


def test_a_mistake_concerns_its_own_waiter_only(database: Database, announced: Client) -> None:
    make_queue(announced, "secret")
    execute(database, "CREATE ROLE clerk LOGIN")
    execute(database, "GRANT USAGE ON SCHEMA pgmq TO clerk")
    execute(database, "GRANT SELECT ON pgmq.q_mail TO clerk")

    async def scenario() -> list[Any]:
        watcher = Watcher(arguments(database, user="clerk"))
        names = [QUEUE, "nowhere", QUEUE, "secret"]
        tasks = [asyncio.create_task(watcher.wait(name)) for name in names]
        _, pending = await asyncio.wait(tasks[1::2], timeout=20)
        assert not pending
        put(database, QUEUE)
        put(database, QUEUE)
        results = await soon(asyncio.gather(*tasks, return_exceptions=True))
        await watcher.close()
        return results

    try:
        first, missing, second, forbidden = asyncio.run(scenario())
    finally:
        drop_role(database, "clerk")
    # One for each, or both at once, as they are announced.
    assert {first.count, second.count} <= {1, 2}
    assert isinstance(missing, QueueNotFound)
    assert isinstance(forbidden, PermissionDenied)


def test_what_is_asked_wrongly(database: Database, client: Client) -> None:
    async def scenario(watcher: Watcher) -> None:
        for wrong in ({"min_messages": 0}, {"poll_interval": 0}, {"condition": {"a": float("nan")}}):
            with pytest.raises(InvalidArgument):
                await watcher.wait(QUEUE, **wrong)

    watch(database, scenario)


@pytest.mark.usefixtures("no_polls")
def test_pgmqs_own_trigger_that_is_throttled(database: Database, client: Client) -> None:
    """The second of two messages within 250 ms is never announced."""
    execute(database, "SELECT pgmq.enable_notify_insert('mail')")

    async def scenario(watcher: Watcher) -> None:
        task = await waiting(watcher, QUEUE, min_messages=2)
        await listening(watcher, database, QUEUE)
        put(database, QUEUE)
        # The first one was announced and looked at.
        await soon(watcher.wait(QUEUE))
        put(database, QUEUE)
        await soon(task)

    watch(database, scenario)


def test_pgmqs_own_trigger_that_fell_silent(
    database: Database, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash, which empties its unlogged table."""
    monkeypatch.setattr(waiters, "SLOW_POLL", 0.2)
    execute(database, "SELECT pgmq.enable_notify_insert('mail')")
    execute(database, "DELETE FROM pgmq.notify_insert_throttle")

    async def scenario(watcher: Watcher) -> None:
        task = await waiting(watcher, QUEUE)
        await listening(watcher, database, QUEUE)
        put(database, QUEUE)
        await soon(task)

    watch(database, scenario)


def test_a_queue_that_nobody_announces_is_polled_sooner(
    database: Database, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters, "SLOW_POLL", 10_000.0)
    monkeypatch.setattr(waiters, "FAST_POLL", 0.2)

    async def scenario(watcher: Watcher) -> None:
        task = await waiting(watcher, QUEUE)
        put(database, QUEUE)
        await soon(task)

    watch(database, scenario)


def test_a_waiter_may_ask_for_more_frequent_looks(database: Database, client: Client, no_polls: None) -> None:
    async def scenario(watcher: Watcher) -> None:
        task = await waiting(watcher, QUEUE, poll_interval=0.2)
        put(database, QUEUE)
        await soon(task)

    watch(database, scenario)


def test_as_many_are_woken_as_there_are_messages_for(
    database: Database, announced: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters, "AGAIN", 10_000.0)

    async def scenario(watcher: Watcher) -> None:
        tasks = [await waiting(watcher, QUEUE) for _ in range(5)]
        await listening(watcher, database, QUEUE)
        queue = watcher._waiters.queues[QUEUE]
        execute(database, "SELECT pgmq.send_batch('mail', ARRAY['1', '2']::jsonb[])")
        await soon(asyncio.gather(*tasks[:2]))
        # The look after PGMQ's throttle wakes nobody for the same messages.
        await until(lambda: queue.again_at == inf, "another look")
        assert [task.done() for task in tasks] == [True, True, False, False, False]
        # Nobody took them, so the next waiters are woken.
        monkeypatch.setattr(waiters, "AGAIN", 0.1)
        put(database, QUEUE)
        await soon(asyncio.gather(*tasks))

    watch(database, scenario)


def test_a_waiter_for_anything_is_woken_by_the_announcement_itself(
    database: Database, announced: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    look = watching.look

    async def scenario(watcher: Watcher) -> Any:
        task = await waiting(watcher, QUEUE)
        await listening(watcher, database, QUEUE)
        monkeypatch.setattr(watching, "look", lambda limits: looks.append(limits) or look(limits))
        execute(database, "SELECT pgmq.send_batch('mail', ARRAY['1', '2']::jsonb[])")
        return await soon(task)

    found = watch(database, scenario)

    (row,) = execute(database, "SELECT min(enqueued_at) AS oldest FROM pgmq.q_mail")
    assert (found.count, found.oldest, looks) == (2, row["oldest"], [])


@pytest.mark.parametrize(
    "insert",
    [
        "SELECT pgmq.send('mail', '1', 1)",
        "INSERT INTO pgmq.q_mail (vt, message) VALUES (now(), '1'), (now() + interval '1 hour', '2')",
    ],
    ids=["later", "one now, one later"],
)
def test_what_is_not_visible_at_once_is_looked_for(
    database: Database, announced: Client, insert: str
) -> None:
    async def scenario(watcher: Watcher) -> Any:
        task = await waiting(watcher, QUEUE)
        await listening(watcher, database, QUEUE)
        execute(database, insert)
        return await soon(task)

    assert watch(database, scenario).count == 1
    (row,) = execute(database, "SELECT count(*) FROM pgmq.q_mail WHERE vt <= clock_timestamp()")
    assert row["count"] == 1


def test_waiters_that_leave_are_forgotten(database: Database, announced: Client) -> None:
    async def scenario(watcher: Watcher) -> None:
        tasks = [
            asyncio.create_task(watcher.wait(QUEUE, condition={"n": number % 7})) for number in range(300)
        ]
        await until(lambda: connections(database), "the first connection")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        await until(lambda: not connections(database), "connections are closed")
        assert not watcher._waiters.queues[QUEUE].waiters
        # It goes on where it is needed again.
        put(database, QUEUE)
        await soon(watcher.wait(QUEUE))

    watch(database, scenario, linger=0.2)


def test_connections_outlive_a_one_shot_waiter(database: Database, announced: Client) -> None:
    async def scenario(watcher: Watcher) -> None:
        put(database, QUEUE)
        await soon(watcher.wait(QUEUE))
        await listening(watcher, database, QUEUE)
        before = connections(database)
        for _ in range(20):
            await soon(watcher.wait(QUEUE))
        assert connections(database) == before
        assert len(before) <= 3

    watch(database, scenario)


def test_a_loop_that_ends_leaves_no_connection(database: Database, announced: Client) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(shared("x", arguments(database)).wait(QUEUE))
        await until(lambda: len(connections(database)) > 1, "both connections")
        task.cancel()

    asyncio.run(scenario())
    # psycopg leaves a connection that was being opened when the loop ended to the garbage collector.
    gc.collect()
    asyncio.run(until(lambda: not connections(database), "connections are closed"))


def test_one_watcher_for_a_loop_and_a_database(database: Database) -> None:
    async def scenario() -> list[Watcher]:
        here = arguments(database)
        first = shared("a", here)
        assert shared("a", {**here, "password": "new"}) is first
        assert first.connector.arguments["password"] == "new"
        assert shared("b", here) is not first
        assert shared("a", {**here, "dbname": "other"}) is not first
        return [first]

    assert asyncio.run(scenario())[0] is not asyncio.run(scenario())[0]


def test_closing_ends_the_waits(database: Database, announced: Client) -> None:
    async def scenario(watcher: Watcher) -> None:
        task = await waiting(watcher, QUEUE)
        await watcher.close()
        with pytest.raises(PgmqError, match="closed"):
            await task

    watch(database, scenario)


def test_work_of_ones_own_is_committed(database: Database, client: Client) -> None:
    put(database, QUEUE)

    async def scenario(watcher: Watcher) -> None:
        read = reading.read(QUEUE, max_messages=1, visibility_timeout=60)
        (message,) = await watcher.run(read)
        assert await watcher.run(lambda: reading.archive(QUEUE, message)) == [1]
        assert await watcher.run(lambda: queues.enable_notify(QUEUE)) is True
        assert await watcher.run(queues.enable_notify(QUEUE)) is False
        with pytest.raises(QueueNotFound):
            await watcher.run(reading.read("nowhere", max_messages=1, visibility_timeout=60))

    watch(database, scenario)
    assert execute(database, "SELECT msg_id FROM pgmq.a_mail") == [{"msg_id": 1}]


def test_a_cancelled_waiter_does_not_wait_for_the_server(database: Database, client: Client) -> None:
    put(database, QUEUE)

    async def scenario(watcher: Watcher) -> None:
        with psycopg.connect(database.dsn) as other:
            other.execute("LOCK pgmq.q_mail")
            task = asyncio.create_task(watcher.run(reading.archive(QUEUE, 1)))
            blocked = "SELECT pid FROM pg_locks WHERE NOT granted"
            await until(lambda: execute(database, blocked), "the archiving waits for the lock")
            task.cancel()
            await asyncio.wait([task], timeout=20)
            assert task.cancelled()
        # What had begun is still ended.
        await until(lambda: execute(database, "SELECT msg_id FROM pgmq.a_mail"), "the archived message")

    watch(database, scenario)


def test_two_at_a_time(database: Database, client: Client) -> None:
    async def scenario(watcher: Watcher) -> None:
        work = [watcher.run(Statement("alive")) for _ in range(50)]
        await soon(asyncio.gather(*work))
        assert len(connections(database)) <= 3

    watch(database, scenario)


def test_a_watcher_has_the_limits_that_it_is_given_and_waits_for_locks_no_longer_than_its_readers(
    database: Database,
) -> None:
    names = ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
    script = f"SELECT {', '.join(f'current_setting({name!r}) AS {name}' for name in names)}"
    shown = Statement("limits", script=script, decode=lambda rows: list(rows[0].values()))

    async def of(limits: Limits | None) -> list[str]:
        async with watcher_of(database, limits=limits) as watcher:
            return await watcher.run(shown)

    assert asyncio.run(of(Limits(1, 4, 5))) == ["1s", "4s", "5s"]
    assert asyncio.run(of(None)) == ["2s", "10s", "30s"]


def test_a_locked_queue_holds_up_no_waiter_of_another(
    database: Database, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even once for each look; its own waiters are woken when it is free."""
    monkeypatch.setattr("airflow_pgmq.services.waiting.reconnect.LOCK_WAIT", 0.2)
    make_queue(client, "held")

    async def run() -> None:
        async with watcher_of(database) as watcher:
            for _ in range(2):
                there = await waiting(watcher, "mail")
                with database.connect() as holder:
                    holder.execute("LOCK TABLE pgmq.q_held")
                    held = asyncio.create_task(watcher.wait("held"))
                    await until(lambda: "held" in watcher._looker._locked, "the lock")
                    put(database, "mail")
                    assert (await soon(there)).count == 1
                    assert not held.done()
                put(database, "held")
                assert (await soon(held)).count == 1
                execute(database, "DELETE FROM pgmq.q_mail; DELETE FROM pgmq.q_held")

    asyncio.run(run())
