"""`PgmqHook`: every verb through an Airflow connection, alone and in the caller's transaction."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.core.send_results import SendResult
from airflow_pgmq.db.sql import migrations
from airflow_pgmq.db.statements import Statement
from airflow_pgmq.errors import (
    FeatureMissing,
    InvalidArgument,
    InvalidConnection,
    InvalidMessage,
    JobNotFound,
)
from tests.fixtures.factories import execute, job, queued, tick


@pytest.fixture
def hook(pgmq_connection):
    from airflow_pgmq.hooks import PgmqHook

    hook = PgmqHook(pgmq_connection)
    hook.create_queue("mail")
    return hook


def test_a_hook_has_the_limits_that_it_was_given(pgmq_connection, monkeypatch):
    from airflow_pgmq.hooks import PgmqHook

    monkeypatch.setenv("AIRFLOW__PGMQ__LOCK_TIMEOUT", "7")
    shown = Statement(
        "limits",
        script="SELECT current_setting('lock_timeout') AS wait, current_setting('statement_timeout') AS work",
        decode=lambda rows: (rows[0]["wait"], rows[0]["work"]),
    )

    configured, given = (
        PgmqHook(pgmq_connection),
        PgmqHook(pgmq_connection, limits=Limits(lock=3, statement=4)),
    )
    assert configured.client.run(lambda: shown) == ("7s", "30min")
    assert given.client.run(lambda: shown) == ("3s", "4s")
    assert (configured.client.limits.lock, given.client.limits.lock) == (7, 3)


def test_send_and_read(hook):
    sent = hook.send("mail", {"n": 1}, headers={"h": 1}, group="g", dedup_key="a")
    (message,) = hook.read("mail", visibility_timeout=timedelta(minutes=1))

    assert (sent.status, sent.msg_id, sent.dedup_key) == ("sent", 1, "a")
    assert message.message == {"n": 1}
    assert message.headers == {"h": 1, "x-pgmq-group": "g", "dedup_key": "a"}


def test_send_says_what_became_of_it(hook):
    assert hook.send("mail", 1, dedup_key="a").status == "sent"
    assert hook.send("mail", 1, dedup_key="a").status == "duplicate"
    assert hook.send("mail", 2, dedup_key="a", on_duplicate="replace").status == "replaced"
    assert hook.send("mail", 3, dedup_key="b", dedup_scope="queued").status == "sent"
    assert hook.send("mail", 3).dedup_key is None


@pytest.mark.parametrize("delay", [3600, timedelta(hours=1), "3600"])
def test_send_with_a_delay(hook, database, delay):
    hook.send("mail", 1, delay=delay)

    (row,) = execute(database, "SELECT vt - now() AS hidden FROM pgmq.q_mail")
    assert timedelta(minutes=59) < row["hidden"] <= timedelta(hours=1)


def test_messages_are_hidden_until_an_instant(hook, database):
    noon = datetime(2099, 1, 1, 12, tzinfo=timezone.utc)
    hook.send_batch("mail", [1, 2])

    assert hook.extend("mail", hook.read("mail", max_messages=2), visibility_timeout=noon) == [1, 2]

    assert [row["vt"] for row in queued(database)] == [noon, noon]


@pytest.mark.parametrize(
    "verb",
    [
        lambda hook: hook.release("mail", 1, delay="soon"),
        lambda hook: hook.requeue("mail", delay="soon"),
        lambda hook: hook.extend("mail", 1, visibility_timeout="soon"),
        lambda hook: hook.send("mail", 1, delay="soon"),
        lambda hook: hook.send_topic("a", 1, delay="soon"),
    ],
    ids=["release", "requeue", "extend", "send", "send_topic"],
)
def test_a_wrong_delay_is_found_before_anything_is_asked(verb, monkeypatch):
    from airflow_pgmq.hooks import PgmqHook

    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", "pgmq://nobody@127.0.0.1:1/none")
    with pytest.raises(InvalidArgument, match="neither seconds nor"):
        verb(PgmqHook("nowhere"))


SENDS = {
    "send": lambda hook, window: hook.send("mail", 1, dedup_key="a", dedup_window=window),
    "send_batch": lambda hook, window: hook.send_batch("mail", [1], dedup_keys=["a"], dedup_window=window),
    "send_batch, of an iterator": lambda hook, window: hook.send_batch(
        "mail", iter([1]), dedup_keys=["a"], dedup_window=window
    ),
    "send_topic": lambda hook, window: hook.send_topic("mail", 1, dedup_key="a", dedup_window=window),
    "send_from_query": lambda hook, window: hook.send_from_query(
        "mail", "SELECT 'a' AS dedup_key", dedup_window=window
    ),
}
WINDOWS = [
    timedelta(0),
    timedelta(microseconds=-1),
    timedelta.max,
    timedelta(days=365_000, microseconds=1),
    7,
]


@pytest.mark.parametrize("window", WINDOWS, ids=repr)
@pytest.mark.parametrize("verb", SENDS)
def test_a_window_that_cannot_be_is_refused(hook, database, verb, window):
    with pytest.raises(InvalidArgument, match="dedup_window must be a timedelta, positive and at most"):
        SENDS[verb](hook, window)
    assert queued(database) == []


@pytest.mark.parametrize("verb", ["send", "send_batch", "send_from_query"])
def test_a_key_may_be_remembered_for_very_long(hook, database, verb):
    SENDS[verb](hook, timedelta(days=365_000))
    SENDS[verb](hook, timedelta(days=365_000))
    assert len(queued(database)) == 1


def test_send_batch_in_the_callers_transaction(hook, database):
    with hook.get_conn() as connection:
        results = hook.send_batch("mail", [1, 2, 1], dedup_keys=["a", "b", "a"], conn=connection)
        assert queued(database) == []

    assert [result.status for result in results] == ["sent", "sent", "duplicate"]
    assert len(queued(database)) == 2


def test_send_batch_of_nothing(hook):
    assert hook.send_batch("mail", []) == []


def test_message_over_the_configured_size_is_refused(hook, monkeypatch):
    monkeypatch.setenv("AIRFLOW__PGMQ__MAX_MESSAGE_BYTES", "10")

    with pytest.raises(InvalidMessage, match="the limit is 10"):
        hook.send("mail", "12345678901")


def test_conditions_of_read(hook):
    hook.send_batch("mail", [{"n": 1}, {"n": 2}, {"n": 2}], headers=[None, {"to": "eu"}, {"to": "us"}])

    (found,) = hook.read("mail", max_messages=9, condition={"n": 2}, headers_condition={"to": "us"})

    assert found.msg_id == 3
    assert [message.msg_id for message in hook.read("mail", max_messages=9, condition={"n": 2})] == [2]


@pytest.mark.parametrize("wrong", [0.5, -1, timedelta(milliseconds=10)])
def test_visibility_timeout_is_whole_seconds(hook, wrong):
    with pytest.raises(InvalidArgument, match="whole seconds"):
        hook.read("mail", visibility_timeout=wrong)


def test_how_many_messages_is_named_as_it_was_given(hook):
    """A batch is worked on together; `max_messages` is what one call takes at most."""
    hook.create_queue("mail_dlq")
    for verb in (hook.read, hook.pop, hook.requeue):
        with pytest.raises(InvalidArgument, match="max_messages must not be negative, as -1 is"):
            verb("mail", max_messages=-1)
        assert not verb("mail", max_messages=0)
    with (
        pytest.raises(InvalidArgument, match="batch_size must be at least 1"),
        hook.consume("mail", batch_size=0),
    ):
        pass


def test_acks(hook, database):
    hook.send_batch("mail", [1, 2, 3, 4, 5])
    first, second, third, fourth = hook.read("mail", max_messages=4)

    assert hook.archive("mail", first) == [1]
    assert hook.delete("mail", [second.msg_id]) == [2]
    assert hook.release("mail", third) == [3]
    assert hook.extend("mail", [fourth], visibility_timeout=600) == [4]
    assert [message.msg_id for message in hook.pop("mail", max_messages=9)] == [3, 5]
    assert hook.archive("mail", third) == []
    assert [row["msg_id"] for row in queued(database)] == [4]
    assert hook.purge("mail") == 1


def test_ack_in_the_callers_transaction(hook, database):
    """The message is archived with the work, or not at all."""
    hook.send("mail", 1)
    (message,) = hook.read("mail")

    with hook.get_conn() as connection:
        connection.execute("CREATE TABLE public.work ()")
        hook.archive("mail", message, conn=connection)
        connection.rollback()

    assert len(queued(database)) == 1


def test_cancel(hook):
    hook.send("mail", 1, dedup_key="a", delay=60)

    assert hook.cancel("mail", "a") == [1]
    assert hook.send("mail", 1, dedup_key="a").status == "duplicate"


def test_queues(hook):
    hook.create_queue("fast", unlogged=True)

    assert [(queue.queue_name, queue.is_unlogged) for queue in hook.list_queues()] == [
        ("fast", True),
        ("mail", False),
    ]
    assert hook.metrics("mail").queue_length == 0
    assert [each.queue_name for each in hook.metrics_all()] == ["fast", "mail"]
    assert hook.enable_notify("fast") is False
    assert hook.enable_notify("mail") is False
    hook.disable_notify("mail")
    assert hook.enable_notify("mail") is True
    assert hook.guard_queue("mail") is True
    assert hook.guard_queue("mail") is False
    assert hook.drop_queue("fast") is True
    assert hook.drop_queue("fast") is False


def test_partitioned_queue_needs_pg_partman(hook):
    with pytest.raises(FeatureMissing, match="pg_partman is required"):
        hook.create_queue("parts", partition_interval="1 day", retention_interval="1 month")


def test_topics(hook, database):
    hook.bind_topic("orders.*", "mail")

    assert hook.send_topic("orders.new", {"n": 1}, headers={"h": 1}) == {"mail": SendResult("sent", 1)}
    assert [binding.pattern for binding in hook.topics()] == ["orders.*"]
    assert queued(database)[0]["headers"] == {"h": 1}
    assert hook.unbind_topic("orders.*", "mail") is True


def test_periodic_jobs(hook, database):
    tick(job()).run(hook.client)

    assert [row["name"] for row in hook.list_jobs()] == ["job"]
    assert hook.pause_job("shop", "job") == 10
    hook.resume_job("shop", "job")
    assert hook.run_job_now("shop", "job").status == "sent"
    assert tick(job()).run(hook.client).duplicates == 0
    assert hook.remove_namespace("shop") == 10
    with pytest.raises(JobNotFound):
        hook.pause_job("shop", "job")


def test_paused_in_the_callers_transaction(hook, database):
    tick(job()).run(hook.client)
    with hook.get_conn() as connection:
        hook.pause_job("shop", "job", conn=connection)
        connection.rollback()

    assert len(queued(database)) == 10
    assert hook.list_jobs("shop")[0]["paused"] is False


def test_install_from_nothing(empty_database, monkeypatch):
    from airflow_pgmq.command_line import command
    from airflow_pgmq.hooks import PgmqHook

    connection = {
        "conn_type": "postgres",
        "host": str(empty_database.server.directory),
        "login": "postgres",
        "schema": empty_database.name,
    }
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection))
    hook = PgmqHook()
    works, told = hook.test_connection()
    assert not works
    assert told.endswith(f"PGMQ is not in database '{empty_database.name}'. Fix: {command('init')}")

    assert hook.install() == [
        "PGMQ: SQL of the official client",
        *(f"airflow_pgmq schema: migration {number}" for number in migrations()),
    ]

    hook.create_queue("mail")
    works, told = hook.test_connection()
    assert works
    assert "PGMQ (installed by SQL), 1 queue, schema airflow_pgmq at migration" in told
    assert hook.install() == []


def test_connection_of_another_type_is_refused(monkeypatch):
    from airflow_pgmq.hooks import PgmqHook

    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps({"conn_type": "mysql", "host": "x"}))

    with pytest.raises(InvalidConnection, match="is of type 'mysql'"):
        PgmqHook().get_conn()
