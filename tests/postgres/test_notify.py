"""Inserts are announced once per statement, on the channel that PGMQ's own clients listen to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event

import pytest
from pgmq import PGMQueue
from pgmq.notify_listener import SyncNotificationListener
from psycopg import sql

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements import queues
from airflow_pgmq.services import sending
from tests.fixtures.factories import client_of, execute, send

CHANNEL = "pgmq.q_mail.INSERT"


@pytest.fixture
def announced(client):
    """A client of a queue that announces its inserts."""
    assert client.run(lambda: queues.enable_notify("mail")) is True
    return client


def heard(database, work, channel=CHANNEL):
    """The channels of the notifications that the work causes.

    Notifications arrive in the order of their commits: the last one, our own, ends the wait.
    """
    with database.observe(autocommit=True) as listener:
        listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        listener.execute("LISTEN the_end")
        work()
        execute(database, "NOTIFY the_end")
        found = []
        for notification in listener.notifies(timeout=30):
            if notification.channel == "the_end":
                return found
            found.append(notification.channel)
        raise AssertionError("the last notification did not come")


@pytest.mark.parametrize("scope", ["once", "queued"])
def test_batch_is_announced_once(database, announced, scope):
    send(announced, "first", scope=scope)

    assert heard(database, lambda: send(announced, *map(str, range(1000)), scope=scope)) == [CHANNEL]


def test_messages_without_keys_are_announced(database, announced):
    assert heard(database, lambda: sending.send(announced, "mail", prepare([1, 2, 3]))) == [CHANNEL]


def test_other_clients_messages_are_announced(database, announced):
    work = "SELECT pgmq.send('mail', '{}')"

    assert heard(database, lambda: execute(database, work)) == [CHANNEL]


@pytest.mark.parametrize("scope", ["once", "queued"])
def test_duplicates_are_not_announced(database, announced, scope):
    send(announced, "a", "b", scope=scope)

    assert heard(database, lambda: send(announced, "a", "b", scope=scope)) == []


def test_rolled_back_messages_are_not_announced(database, announced):
    def work():
        with database.connect() as connection:
            send(announced, "a", conn=connection)
            connection.rollback()

    assert heard(database, work) == []


@pytest.mark.direct("the official client listens")
def test_official_client_hears(database, announced):
    class Heard(Exception):
        pass

    def callback(payload):
        heard.set()
        raise Heard

    heard = Event()
    official = PGMQueue(conn_string=database.dsn, init_extension=False)
    with closing(official) as queue, ThreadPoolExecutor(1) as pool:
        listening = pool.submit(SyncNotificationListener(queue).listen, "mail", callback, timeout=30)
        # It is unknown when the client has begun to listen, so one message is not enough.
        while not (heard.wait(0.05) or listening.done()):
            sending.send(announced, "mail", prepare([1]))

        assert isinstance(listening.exception(), Heard)


def test_enabling_twice_changes_nothing(database, announced):
    assert announced.run(lambda: queues.enable_notify("mail")) is False

    assert heard(database, lambda: send(announced, "a")) == [CHANNEL]


def test_racing_enables_make_one_trigger(database, client):
    def enable(_):
        return client_of(database.dsn).run(lambda: queues.enable_notify("mail"))

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(enable, range(8)))

    assert sorted(results) == [False] * 7 + [True]
    assert heard(database, lambda: send(client, "a")) == [CHANNEL]


def test_disabled_queue_is_silent(database, announced):
    announced.run(lambda: queues.disable_notify("mail"))

    assert heard(database, lambda: send(announced, "a")) == []


def test_new_queue_may_announce_from_the_start(database, client):
    client.run(lambda: queues.create("fresh", notify=True))

    work = "SELECT pgmq.send('fresh', '{}')"
    assert heard(database, lambda: execute(database, work), "pgmq.q_fresh.INSERT") == ["pgmq.q_fresh.INSERT"]


def test_queue_with_a_name_to_be_quoted(database, client):
    execute(database, "SELECT pgmq.create('My \"Queue')")
    client.run(lambda: queues.enable_notify('My "Queue'))

    work = "SELECT pgmq.send('My \"Queue', '{}')"
    channel = 'pgmq.q_my "queue.INSERT'
    assert heard(database, lambda: execute(database, work), channel) == [channel]
