"""A tail shows each new message once, without a read, in whichever order senders commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from airflow_pgmq.errors import QueueNotFound
from airflow_pgmq.services import tailing
from airflow_pgmq.services.tailing import Tail
from airflow_pgmq.services.waiting import listener
from tests.fixtures.factories import QUEUE, client_of, execute
from tests.fixtures.pooler import running_pooler
from tests.fixtures.postgres import Database
from tests.postgres.watching import arguments, make_queue, put, soon, until

pytestmark = pytest.mark.direct("notifications do not pass a pooler in transaction mode")

SEND = "SELECT pgmq.send(%s, to_jsonb(%s::text))"


@pytest.fixture(autouse=True)
def only_notifications(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen was announced, since polls are too slow to find it."""
    monkeypatch.setattr(tailing, "SLOW_POLL", 10_000.0)
    monkeypatch.setattr(tailing, "FAST_POLL", 10_000.0)


class Following:
    """A tail, and what it told and found."""

    def __init__(self, database: Database, address: dict[str, Any] | None = None, **options: Any) -> None:
        self.database = database
        self.arguments = arguments(database, **(address or {}))
        self.told: list[str] = []
        self.tail = Tail(client_of(database.dsn), QUEUE, tell=self.told.append, **options)
        self.rows: list[Any] = []

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]], *, listens: bool = True) -> None:
        """Follow as long as the scenario runs; the error of whichever ends first."""

        async def follow() -> None:
            async with aclosing(self.tail.batches(self.arguments, name="tail")) as batches:
                async for rows in batches:
                    self.rows += rows

        async def main() -> None:
            following = asyncio.create_task(follow())
            if listens:
                await until(lambda: following.done() or self.listens(), "LISTEN")
            playing = asyncio.create_task(scenario())
            done, rest = await asyncio.wait([following, playing], return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            await asyncio.wait([following, playing])
            done.pop().result()

        asyncio.run(main())

    def listens(self) -> bool:
        listening = "SELECT FROM pg_stat_activity WHERE application_name = 'watcher' AND query LIKE %s"
        return bool(execute(self.database, listening, ['LISTEN "pgmq.q_%']))

    async def shows(self, *messages: Any) -> None:
        """These are the next ones."""
        await soon(until(lambda: len(self.rows) >= len(messages), f"messages {messages}"))
        found, self.rows = self.rows, []
        assert [row["message"] for row in found] == list(messages)


@pytest.fixture
def queue(database: Database) -> str:
    make_queue(client_of(database.dsn), QUEUE)
    return QUEUE


@contextmanager
def open_sender(database: Database, message: str) -> Iterator[psycopg.Connection[Any]]:
    """A sender that has its message's id, and has not committed."""
    with database.connect() as sender:
        sender.execute(SEND, [QUEUE, message])
        yield sender


def send(database: Database, *messages: str) -> None:
    for message in messages:
        put(database, QUEUE, f'"{message}"')


def test_each_new_message_is_shown_once_and_none_is_read(database: Database, queue: str) -> None:
    send(database, "old")
    following = Following(database)

    async def scenario() -> None:
        for message in "abc":
            send(database, message)
            await following.shows(message)
        put(database, QUEUE, '"later"', delay=3600)
        await following.shows("later")

    following.run(scenario)
    assert execute(database, "SELECT sum(read_ct) AS reads FROM pgmq.q_mail") == [{"reads": 0}]
    assert following.told == []


def test_those_that_are_there_are_shown_if_asked(database: Database, queue: str) -> None:
    send(database, "gone", "a", "b", "c")
    execute(database, "SELECT pgmq.archive('mail', 1)")
    for options, expected in (({"from_start": True}, "abc"), ({"last": 2}, "bc"), ({"last": 9}, "abc")):
        following = Following(database, **options)

        async def scenario(following: Following = following, expected: str = expected) -> None:
            await following.shows(*expected)

        following.run(scenario)


def test_more_than_one_page(database: Database, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    amount = 2 * tailing.PAGE + 1
    execute(database, "SELECT pgmq.send('mail', to_jsonb(n)) FROM generate_series(1, %s) AS n", [amount])
    following = Following(database, from_start=True)

    async def scenario() -> None:
        await following.shows(*range(1, amount + 1))

    following.run(scenario)


def test_a_sender_that_commits_late_is_not_missed(database: Database, queue: str) -> None:
    with open_sender(database, "before the start") as before:
        send(database, "old")
        following = Following(database)
        with open_sender(database, "first") as first:

            async def scenario() -> None:
                send(database, "second")
                await following.shows("second")
                first.commit()
                await following.shows("first")
                before.commit()
                await following.shows("before the start")
                send(database, "last")
                await following.shows("last")

            following.run(scenario)


def test_what_was_consumed_at_once_is_shown_as_archived(database: Database, queue: str) -> None:
    following = Following(database)

    async def scenario() -> None:
        with database.connect() as sender:
            sender.execute(SEND, [QUEUE, "fast"])
            sender.execute("SELECT pgmq.archive('mail', 1)")
        await until(lambda: following.rows, "the message")
        assert following.rows[0]["archived_at"] is not None
        await following.shows("fast")

    following.run(scenario)


def test_with_the_trigger_of_pgmq_a_burst_is_whole(database: Database) -> None:
    """It announces nothing for a while after each notification."""
    make_queue(client_of(database.dsn), QUEUE, notify=False)
    execute(database, "SELECT pgmq.enable_notify_insert('mail', 250)")
    following = Following(database)

    async def scenario() -> None:
        send(database, "a", "b", "c")
        await following.shows("a", "b", "c")

    following.run(scenario)
    assert following.told == []


def test_without_announcements_it_polls_and_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_queue(client_of(database.dsn), QUEUE, notify=False)
    monkeypatch.setattr(tailing, "FAST_POLL", 0.1)
    following = Following(database)

    async def scenario() -> None:
        await until(lambda: following.told, "a word")
        send(database, "a")
        await following.shows("a")

    following.run(scenario)
    (told,) = following.told
    assert told.startswith("Queue mail does not announce its messages")


def test_behind_a_pooler_it_polls_and_says_so_once(
    database: Database, queue: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tailing, "FAST_POLL", 0.1)
    monkeypatch.setattr(listener, "TEST_TIMEOUT", 0.1)
    monkeypatch.setattr(listener, "TEST_INTERVAL", 0.1)
    with running_pooler(database.server, tmp_path, "transaction") as port:
        following = Following(database, address={"host": "127.0.0.1", "port": port})

        async def scenario() -> None:
            await until(lambda: following.told, "a word")
            for message in "ab":
                send(database, message)
                await following.shows(message)

        following.run(scenario, listens=False)
    (told,) = following.told
    assert told.startswith("No notification arrives")


def test_a_queue_that_is_made_again_begins_again(database: Database, queue: str) -> None:
    send(database, "a", "b")
    following = Following(database)

    async def scenario() -> None:
        execute(database, "SELECT pgmq.drop_queue('mail')")
        make_queue(client_of(database.dsn), QUEUE)
        send(database, "new")
        await following.shows("new")

    following.run(scenario)
    (told,) = following.told
    assert told.startswith("Queue mail was made again")


def test_a_queue_that_is_dropped_ends_it(
    database: Database, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "SLOW_POLL", 0.1)
    monkeypatch.setattr(tailing, "FAST_POLL", 0.1)
    following = Following(database)

    async def scenario() -> None:
        execute(database, "SELECT pgmq.drop_queue('mail')")
        await asyncio.Event().wait()

    with pytest.raises(QueueNotFound):
        following.run(scenario)
    with pytest.raises(QueueNotFound):
        Following(database)


def test_a_locked_queue_is_waited_for(
    database: Database, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "LOCKED_POLL", 0.1)
    following = Following(database)
    with database.connect() as other:
        other.execute("LOCK TABLE pgmq.q_mail")

        async def scenario() -> None:
            other.execute(SEND, [QUEUE, "a"])
            other.commit()
            await following.shows("a")

        following.run(scenario)
    assert following.told == []


@pytest.mark.slow
def test_an_outage_is_told_and_nothing_is_missed(
    own_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = own_database
    make_queue(client_of(database.dsn), QUEUE)
    monkeypatch.setattr(listener, "HEALTH_INTERVAL", 0.3)
    following = Following(database)

    async def scenario() -> None:
        send(database, "before")
        await following.shows("before")
        await asyncio.to_thread(database.server.stop, "immediate")
        await until(lambda: following.told, "the loss")
        await asyncio.to_thread(database.server.start)
        send(database, "after")
        await following.shows("after")
        await until(lambda: following.told[-1] == "Postgres is back.", "the end of it")

    following.run(scenario)
    assert following.told[0].startswith("Lost Postgres, waiting until it is back: ")
