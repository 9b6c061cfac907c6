"""The consumer's loop: acks, failures, dead letters, transactions, and which reader holds a message."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any

import psycopg
import pytest

from airflow_pgmq.core import iso8601
from airflow_pgmq.core.consumer_policy import Policy, Summary
from airflow_pgmq.core.delays import AT_ONCE
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import Flow, consuming, reading
from airflow_pgmq.errors import BrokenOff, InvalidOutcome, MessageLost, PermissionDenied, QueueNotFound
from airflow_pgmq.messages import Message, Outcome
from airflow_pgmq.services.consuming import Consumer
from airflow_pgmq.services.consuming.heartbeat import Heartbeat
from airflow_pgmq.services.consuming.timer import TIMER
from tests.fixtures.factories import QUEUE, client_of, execute, queued, read, read_committed, send
from tests.fixtures.patience import wait_until
from tests.fixtures.postgres import Database
from tests.fixtures.roles import drop_role


def consumer(client: Client, *, together: bool = False, stop_on: Any = (), **fields: Any) -> Consumer:
    return Consumer(client, Policy(**{"queue_name": QUEUE, **fields}), together=together, stop_on=stop_on)


def drain(client: Client, work: Any, **options: Any) -> Summary:
    return consumer(client, **options).drain(work)


def counts(summary: Summary) -> dict[str, int]:
    """The counts that are not zero, without the time."""
    return {name: count for name, count in summary.as_dict().items() if count and name != "seconds"}


def archived(database: Database) -> list[Any]:
    return [row["message"] for row in execute(database, "SELECT message FROM pgmq.a_mail ORDER BY msg_id")]


def dead_letters(database: Database) -> list[dict[str, Any]]:
    return queued(database, "mail_dlq")


def payloads(messages: list[Message]) -> list[Any]:
    return [message.message for message in messages]


def steal(client: Client) -> list[Message]:
    """Let another reader read everything, as after the visibility timeout.

    In one transaction: a heartbeat in between would hide again what was made visible.
    """

    def read_all() -> Flow[list[Message]]:
        held = yield reading.by_id(QUEUE, range(1, 100))
        yield consuming.release_each(QUEUE, held, [AT_ONCE] * len(held))
        return (yield reading.read(QUEUE, max_messages=len(held), visibility_timeout=60))

    return client.run(read_all)


def test_every_message_is_handed_over_and_archived(client: Client, database: Database) -> None:
    send(client, "a", "b", "c")
    seen: list[Any] = []
    summary = drain(client, lambda messages, conn: seen.extend(payloads(messages)))
    assert seen == ["a", "b", "c"]
    assert counts(summary) == {"read": 3, "acked": 3, "batches": 3}
    assert archived(database) == seen
    assert queued(database) == []


def test_a_message_is_still_there_while_it_is_worked_on(client: Client, database: Database) -> None:
    send(client, "a", "b")
    left: list[int] = []
    drain(client, lambda messages, conn: left.append(len(queued(database))))
    assert left == [2, 1]


def test_batches_and_their_limit(client: Client, database: Database) -> None:
    send(client, *(f"k{n}" for n in range(7)))
    sizes: list[int] = []
    summary = drain(
        client, lambda messages, conn: sizes.append(len(messages)), together=True, batch_size=3, max_batches=2
    )
    assert sizes == [3, 3]
    assert summary.batches == 2
    assert len(queued(database)) == 1


def test_delete_instead_of_archive(client: Client, database: Database) -> None:
    send(client, "a")
    drain(client, lambda messages, conn: None, ack="delete")
    assert archived(database) == []
    assert queued(database) == []


def test_only_what_matches(client: Client, database: Database) -> None:
    send(client, "a", "b", messages=[{"kind": 1}, {"kind": 2}])
    seen: list[Any] = []
    drain(client, lambda messages, conn: seen.extend(payloads(messages)), condition={"kind": 2})
    drain(
        client, lambda messages, conn: seen.extend(payloads(messages)), headers_condition={"dedup_key": "x"}
    )
    assert seen == [{"kind": 2}]


def test_a_failing_message_comes_back_later_and_the_rest_is_done(client: Client, database: Database) -> None:
    send(client, "good", "bad", "fine")

    def work(messages: list[Message], conn: Any) -> None:
        if messages[0].message == "bad":
            raise ValueError("no")

    done = consumer(client, backoff=100)
    assert counts(done.drain(work)) == {"read": 3, "acked": 2, "retried": 1, "failed": 1, "batches": 3}
    assert isinstance(done.error, ValueError)
    (left,) = queued(database)
    assert left["message"] == "bad"
    wait = left["vt"] - datetime.now(timezone.utc)
    assert timedelta(seconds=45) < wait <= timedelta(seconds=100)


def test_a_failing_batch_is_done_again_one_by_one(client: Client, database: Database) -> None:
    send(client, "a", "bad", "c")
    calls: list[list[Any]] = []

    def work(messages: list[Message], conn: Any) -> None:
        calls.append(payloads(messages))
        if "bad" in calls[-1]:
            raise ValueError("no")

    summary = drain(client, work, together=True, batch_size=10)
    assert calls == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert counts(summary) == {"read": 3, "acked": 2, "retried": 1, "failed": 1, "batches": 1}
    assert [row["read_ct"] for row in queued(database)] == [1]


def test_a_message_that_was_read_before_comes_alone(client: Client) -> None:
    send(client, *"abcde")
    for message in read(client, 2):
        execute_release(client, message)
    calls: list[list[Any]] = []
    drain(client, lambda messages, conn: calls.append(payloads(messages)), together=True, batch_size=10)
    assert calls == [["a"], ["b"], ["c", "d", "e"]]


def execute_release(client: Client, message: Message) -> None:
    client.run(lambda: consuming.release_each(QUEUE, [message], [AT_ONCE]))


def test_dead_letter_after_the_last_read(
    client: Client, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    send(client, "bad", messages=[{"n": 1}])
    (first,) = queued(database)

    def work(messages: list[Message], conn: Any) -> None:
        raise ValueError("no \x00 \ud800")

    assert counts(drain(client, work, max_reads=3, backoff=0))["read"] == 3
    assert queued(database) == []
    (dead,) = dead_letters(database)
    assert dead["message"] == {"n": 1}
    assert dead["read_ct"] == 0
    assert dead["headers"]["dedup_key"] == "bad"
    letter = dead["headers"]["dead_letter"]
    assert iso8601.parse(letter.pop("enqueued_at")) == first["enqueued_at"]
    assert letter.pop("reason") == "ValueError: no � ?"
    assert letter == {"queue": "mail", "msg_id": 1, "read_ct": 3, "tries": 3}
    # Airflow's task log accepts only such text.
    assert caplog.text.encode().decode() == caplog.text != ""


def test_a_message_that_kills_its_readers_is_a_dead_letter_without_a_call(
    client: Client, database: Database
) -> None:
    send(client, "killer", "good")
    for _ in range(2):
        (message,) = read(client, 1)
        execute_release(client, message)
    seen: list[Any] = []
    summary = drain(client, lambda messages, conn: seen.extend(payloads(messages)), max_reads=2)
    assert seen == ["good"]
    assert counts(summary) == {"read": 2, "acked": 1, "dead": 1, "failed": 1, "batches": 2}
    assert "3 times" in dead_letters(database)[0]["headers"]["dead_letter"]["reason"]


def test_another_dead_letter_queue_and_none(client: Client, database: Database) -> None:
    send(client, "bad", "worse")
    execute(database, "SELECT pgmq.create('bin')")

    def work(messages: list[Message], conn: Any) -> Any:
        return Outcome.dead("broken") if messages[0].message == "bad" else None

    drain(client, work, dead_letter_queue="bin", max_reads=None)
    assert [row["headers"]["dead_letter"]["reason"] for row in queued(database, "bin")] == ["broken"]
    assert execute(database, "SELECT to_regclass('pgmq.q_mail_dlq') AS made") == [{"made": None}]


def test_a_role_that_may_not_make_the_dead_letter_queue_is_told_before_anything_is_read(
    client: Client, database: Database
) -> None:
    send(client, "a")
    execute(
        database,
        "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA pgmq TO reader;"
        " GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgmq TO reader;"
        " GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgmq TO reader",
    )
    reader = client_of(f"{database.dsn} user=reader")
    with pytest.raises(PermissionDenied, match=r"'mail_dlq' is missing.* create mail_dlq`"):
        drain(reader, lambda messages, conn: None)
    assert [row["read_ct"] for row in queued(database)] == [0]
    drop_role(database, "reader")


@pytest.mark.parametrize("transactional", [False, True])
def test_a_role_that_may_not_ack_is_told_so_and_makes_no_dead_letter(
    client: Client, database: Database, transactional: bool
) -> None:
    send(client, "a", "b")
    execute(
        database,
        "SELECT pgmq.create('mail_dlq'); CREATE ROLE worker LOGIN; GRANT USAGE ON SCHEMA pgmq TO worker;"
        " GRANT SELECT ON pgmq.meta TO worker; GRANT INSERT ON pgmq.q_mail_dlq TO worker;"
        " GRANT SELECT, UPDATE, DELETE ON pgmq.q_mail TO worker",
    )
    worker = client_of(f"{database.dsn} user=worker")
    with pytest.raises(PermissionDenied, match="a_mail"):
        drain(worker, lambda messages, conn: None, batch_size=2, max_reads=2, transactional=transactional)
    assert visible(database) == 2
    drop_role(database, "worker")


def test_a_missing_queue_makes_no_dead_letter_queue(client: Client, database: Database) -> None:
    with pytest.raises(QueueNotFound, match="nowhere"):
        drain(client, lambda messages, conn: None, queue_name="nowhere")
    assert [row["queue_name"] for row in execute(database, "SELECT queue_name FROM pgmq.meta")] == [QUEUE]


def test_expired_messages_are_archived_without_processing(client: Client, database: Database) -> None:
    execute(
        database,
        "SELECT pgmq.send('mail', '\"old\"', jsonb_build_object('expires_at', now() - interval '1 s')),"
        " pgmq.send('mail', '\"new\"', jsonb_build_object('expires_at', now() + interval '1 h'))",
    )
    seen: list[Any] = []
    summary = drain(client, lambda messages, conn: seen.extend(payloads(messages)), batch_size=2)
    assert seen == ["new"]
    assert counts(summary) == {"read": 2, "acked": 1, "expired": 1, "batches": 1}
    assert archived(database) == ["old", "new"]


def test_outcomes_of_a_batch(client: Client, database: Database) -> None:
    send(client, *"abcd")
    soon = datetime.now(timezone.utc) + timedelta(hours=1)

    def work(messages: list[Message], conn: Any) -> list[Any]:
        return [None, Outcome.retry(soon), Outcome.dead("bad"), "ack"]

    summary = drain(client, work, together=True, batch_size=4)
    assert counts(summary) == {"read": 4, "acked": 2, "retried": 1, "dead": 1, "batches": 1}
    assert archived(database) == ["a", "d"]
    assert [(row["message"], row["vt"]) for row in queued(database)] == [("b", soon)]
    assert [row["message"] for row in dead_letters(database)] == ["c"]


@pytest.mark.parametrize("wrong", [1, "done", True, ["ack"], {99: "ack"}])
def test_what_is_no_outcome_ends_the_drain_and_is_a_failure(
    client: Client, database: Database, wrong: Any
) -> None:
    send(client, "a", "b", "c")
    draining = consumer(client, together=True, batch_size=2)
    with pytest.raises(InvalidOutcome):
        draining.drain(lambda messages, conn: wrong)
    assert counts(draining.summary) == {"read": 2, "retried": 2, "failed": 2, "batches": 1}
    # What is behind them is next.
    assert visible(database) == 1


def visible(database: Database) -> int:
    return execute(database, "SELECT count(*) AS n FROM pgmq.q_mail WHERE vt <= clock_timestamp()")[0]["n"]


class Stop(Exception):
    pass


@pytest.mark.parametrize("exception", [Stop, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("transactional", [False, True])
def test_what_ends_the_drain_gives_back_at_once_what_is_not_done(
    client: Client, database: Database, exception: Any, transactional: bool
) -> None:
    send(client, *"abcd")

    def work(messages: list[Message], conn: Any) -> None:
        if messages[0].message == "b":
            raise exception

    with pytest.raises(exception):
        drain(client, work, batch_size=4, stop_on=(Stop,), transactional=transactional)
    assert archived(database) == ["a"]
    assert visible(database) == 3


def test_failures_in_a_row_end_the_drain(client: Client, database: Database) -> None:
    send(client, *(f"k{n}" for n in range(30)))

    def work(messages: list[Message], conn: Any) -> None:
        raise ConnectionError("the service is down")

    summary = drain(client, work, together=True, batch_size=20, stop_after_failures=5)
    assert counts(summary) == {"read": 20, "retried": 5, "released": 15, "failed": 5, "batches": 1}
    assert sorted({row["read_ct"] for row in queued(database)}) == [0, 1]


def test_a_long_drain_says_now_and_then_how_far_it_is(
    client: Client, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    send(client, *"abcde", messages=[{"kind": 1}, *[{"kind": 2}] * 4])
    # Each message takes six seconds.
    clock = count(step=6).__next__
    policy = Policy(queue_name=QUEUE, condition={"kind": 2})
    with caplog.at_level("INFO", "airflow_pgmq"):
        summary = Consumer(client, policy, together=False, clock=clock).drain(lambda messages, conn: None)
    assert summary.seconds == 30
    assert [record.message for record in caplog.records if "left" in record.message] == [
        "Queue mail: 2 messages in 12 s (0.2/s), 2 left",
        "Queue mail: 4 messages in 24 s (0.2/s), 0 left",
    ]


# Transactional work.


@pytest.fixture
def effects(database: Database) -> Any:
    execute(database, "CREATE TABLE effects (message jsonb)")
    return lambda: [row["message"] for row in execute(database, "SELECT message FROM effects ORDER BY 1")]


def store(messages: list[Message], conn: Any) -> None:
    for message in messages:
        conn.execute("INSERT INTO public.effects VALUES (%s)", [psycopg.types.json.Jsonb(message.message)])
        if message.message == "bad":
            raise ValueError("after the write")


def test_work_and_ack_are_one_transaction(client: Client, database: Database, effects: Any) -> None:
    send(client, "a", "bad", "c")
    summary = drain(client, store, together=True, batch_size=10, transactional=True, max_reads=2, backoff=0)
    assert effects() == ["a", "c"]
    assert archived(database) == ["a", "c"]
    assert counts(summary) == {"read": 4, "acked": 2, "retried": 1, "dead": 1, "failed": 2, "batches": 2}
    assert [row["message"] for row in dead_letters(database)] == ["bad"]


def test_work_that_was_overtaken_is_rolled_back(client: Client, database: Database, effects: Any) -> None:
    send(client, "a")

    def work(messages: list[Message], conn: Any) -> None:
        store(messages, conn)
        steal(client)

    summary = drain(client, work, transactional=True, max_batches=1)
    assert effects() == []
    assert counts(summary) == {"read": 1, "lost": 1, "batches": 1}
    assert [row["read_ct"] for row in queued(database)] == [2]


def test_a_swallowed_sql_error_acks_nothing(client: Client, database: Database, effects: Any) -> None:
    send(client, "a")

    def work(messages: list[Message], conn: Any) -> None:
        with suppress(psycopg.Error):
            conn.execute("SELECT 1 / 0")

    assert counts(drain(client, work, transactional=True)) == {
        "read": 1,
        "retried": 1,
        "failed": 1,
        "batches": 1,
    }


def test_work_cannot_commit_on_its_own(client: Client, database: Database, effects: Any) -> None:
    send(client, "a")

    def work(messages: list[Message], conn: Any) -> None:
        store(messages, conn)
        conn.commit()

    assert drain(client, work, transactional=True).failed == 1
    assert effects() == []


# Which reader holds a message.


def test_a_late_ack_is_refused(client: Client, database: Database) -> None:
    send(client, "a")
    summary = drain(client, lambda messages, conn: steal(client) and None, max_batches=1)
    assert counts(summary) == {"read": 1, "lost": 1, "batches": 1}
    assert len(queued(database)) == 1


def test_the_heartbeat_keeps_a_slow_message(client: Client, database: Database) -> None:
    send(client, "slow")

    def work(messages: list[Message], conn: Any) -> None:
        first = messages[0].vt
        with client.connection() as other:
            # The first timeout has ended by the database's clock; no other reader could have got the message.
            while other.execute("SELECT clock_timestamp() < %s + interval '0.5 s'", [first]).fetchone()[0]:
                assert read(client) == []
                other.execute("SELECT pg_sleep(0.05)")

    assert counts(drain(client, work, visibility_timeout=1)) == {"read": 1, "acked": 1, "batches": 1}


def test_the_heartbeat_leaves_to_others_what_is_theirs(
    client: Client, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    send(client, "slow", "next")
    stolen: list[Message] = []
    seen: list[Any] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.extend(payloads(messages))
        stolen.extend(steal(client))
        assert wait_for(lambda: {each[0] for each in working._held.heartbeat.lost} == {1, 2})

    working = consumer(client, visibility_timeout=1, batch_size=2, max_batches=1)
    assert counts(working.drain(work)) == {"read": 2, "lost": 2, "batches": 1}
    # A message that is lost before its work begins is not worked on, so there is no ack.
    assert seen == ["slow"]
    lost = [record.message for record in caplog.records if "no longer ours" in record.message]
    why = ": read again, removed, or the queue was made again"
    # The heartbeat says it before, of both messages in one beat or in two; acks come with the next read.
    assert sorted(text for text in lost if "not renewed" not in text) == [
        f"Queue mail: messages [1] are no longer ours, not acked{why}",
        f"Queue mail: messages [2] are no longer ours{why}",
    ]
    assert [(row["read_ct"], row["vt"]) for row in queued(database)] == [
        (each.read_ct, each.vt) for each in stolen
    ]


def test_a_message_that_was_lost_and_is_read_again_is_ours_again(client: Client, database: Database) -> None:
    send(client, "slow", "next")
    seen: list[Any] = []

    def work(messages: list[Message], conn: Any) -> None:
        seen.extend((message.message, message.read_ct) for message in messages)
        if seen == [("slow", 1)]:
            (first, _) = steal(client)
            assert wait_for(lambda: working._held.heartbeat.lost)
            client.run(lambda: consuming.release_each(QUEUE, [first], [AT_ONCE], [True]))

    working = consumer(client, visibility_timeout=1, max_reads=3)
    assert counts(working.drain(work)) == {"read": 2, "acked": 1, "lost": 1, "batches": 2}
    assert seen == [("slow", 1), ("slow", 3)]


def test_a_beat_speaks_of_what_was_held_when_it_began(client: Client, database: Database) -> None:
    send(client, "a", "b")
    (old,) = read(client, 1)
    with Heartbeat(client, QUEUE, 60, logging.getLogger()) as heartbeat:
        heartbeat.hold([old])
        (other,) = read(client, 1)

        def run(make: Any) -> list[int]:
            new = replace(old, read_ct=2)
            heartbeat.hold([new, other])
            return []

        heartbeat._connection.run = run  # type: ignore[assignment, method-assign]
        heartbeat._beat()
        assert heartbeat.lost == set()
        assert sorted(heartbeat._held) == [1, 2]


def test_the_heartbeat_survives_its_connection(client: Client, database: Database) -> None:
    send(client, "slow")

    def work(messages: list[Message], conn: Any) -> None:
        assert wait_for(lambda: vt(database) > messages[0].vt)
        execute(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()",
        )
        beaten = vt(database)
        assert wait_for(lambda: vt(database) > beaten)

    assert drain(client, work, visibility_timeout=2).acked == 1
    assert not [owner for owner in TIMER._calls if isinstance(owner, Heartbeat)]


def vt(database: Database) -> datetime:
    return queued(database)[0]["vt"]


def wait_for(condition: Any, seconds: float = 20) -> bool:
    """Poll for an event that has no other sign."""
    wait_until(condition, "the condition", seconds)
    return True


def test_two_workers_share_a_queue(client: Client, database: Database) -> None:
    send(client, *(f"k{n}" for n in range(200)))
    seen: list[Any] = []
    drains = [
        threading.Thread(
            target=lambda: drain(
                client_of(database.dsn), lambda messages, conn: seen.extend(payloads(messages)), batch_size=7
            )
        )
        for _ in range(2)
    ]
    for each in drains:
        each.start()
    for each in drains:
        each.join()
    assert sorted(seen) == sorted(f"k{n}" for n in range(200))
    assert len(archived(database)) == 200


def test_workers_that_start_together_make_one_dead_letter_queue(client: Client, database: Database) -> None:
    together = threading.Barrier(8, timeout=60)

    def start() -> None:
        together.wait()
        drain(client_of(database.dsn), lambda messages, conn: None)

    with ThreadPoolExecutor(8) as workers:
        for ended in [workers.submit(start) for _ in range(8)]:
            ended.result()
    assert dead_letters(database) == []


# As a `with` block.


def test_a_block_acks_or_releases(client: Client, database: Database) -> None:
    send(client, "a", "b")
    with consumer(client, together=True, batch_size=2).batch() as messages:
        assert payloads(messages) == ["a", "b"]
        assert len(queued(database)) == 2
    assert archived(database) == ["a", "b"]
    with consumer(client, together=True).batch() as messages:
        assert messages == []


def test_a_block_that_raises_gives_back_with_back_off(client: Client, database: Database) -> None:
    send(client, "a", "b")
    with pytest.raises(ValueError), consumer(client, together=True, batch_size=2, backoff=100).batch():
        raise ValueError
    assert len(queued(database)) == 2
    assert visible(database) == 0
    for row in queued(database):
        assert row["vt"] > datetime.now(timezone.utc) + timedelta(seconds=40)


def test_a_block_that_is_interrupted_gives_back_at_once(client: Client, database: Database) -> None:
    send(client, "a")
    with pytest.raises(KeyboardInterrupt), consumer(client, together=True).batch():
        raise KeyboardInterrupt
    assert visible(database) == 1


def test_a_block_that_skips_burns_no_try(client: Client, database: Database) -> None:
    send(client, "a")
    policy = Policy(queue_name=QUEUE)
    with (
        pytest.raises(Skip),
        Consumer(client, policy, together=True, skip_on=(Skip,)).batch(),
    ):
        raise Skip
    assert [row["headers"]["untried"] for row in queued(database)] == [1]
    assert visible(database) == 1


class Skip(Exception):
    pass


def test_a_block_that_swallows_an_sql_error_has_failed(client: Client, database: Database) -> None:
    send(client, "a")
    for tried in (1, 2):
        with database.connect() as conn:
            block = consumer(client, together=True, max_reads=2, backoff=0).batch(conn)
            assert block.__enter__()[0].tries == tried
            with suppress(psycopg.Error):
                conn.execute("SELECT 1 / 0")
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                block.__exit__(None, None, None)
            conn.rollback()
    assert queued(database) == []
    assert len(dead_letters(database)) == 1


def test_a_block_in_the_callers_transaction(client: Client, database: Database, effects: Any) -> None:
    send(client, "a")
    with database.connect() as conn:
        with consumer(client, together=True).batch(conn) as messages:
            store(messages, conn)
        conn.rollback()
    assert effects() == archived(database) == []
    execute(database, "UPDATE pgmq.q_mail SET vt = now()")
    with database.connect() as conn, consumer(client, together=True).batch(conn) as messages:
        store(messages, conn)
    assert effects() == archived(database) == ["a"]


STRICT = [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]


@pytest.mark.parametrize("isolation", STRICT)
def test_a_block_in_a_transaction_that_keeps_its_snapshot_can_ack(
    client: Client, database: Database, effects: Any, isolation: Any
) -> None:
    send(client, "a")
    with database.connect() as conn:
        conn.isolation_level = isolation
        with consumer(client, together=True, visibility_timeout=1).batch(conn) as messages:
            store(messages, conn)
            # Beats would have changed the row meanwhile.
            execute(database, "SELECT pg_sleep(0.8)")
    assert effects() == archived(database) == ["a"]


@pytest.mark.parametrize("isolation", STRICT)
def test_a_block_in_a_transaction_whose_snapshot_is_older_is_told_before_its_work(
    client: Client, database: Database, isolation: Any
) -> None:
    send(client, "a")
    with database.connect() as conn:
        conn.isolation_level = isolation
        conn.execute("SELECT count(*) FROM pgmq.q_mail")
        block = consumer(client, together=True).batch(conn)
        with pytest.raises(BrokenOff, match="before the first query"):
            block.__enter__()
        conn.rollback()
    assert [row["headers"]["untried"] for row in queued(database)] == [1]
    assert visible(database) == 1


def test_a_block_that_was_overtaken_says_so(client: Client, database: Database, effects: Any) -> None:
    send(client, "a")
    with read_committed(database) as conn:
        block = consumer(client, together=True).batch(conn)
        store(block.__enter__(), conn)
        steal(client)
        with pytest.raises(MessageLost, match=r"\[1\]"):
            block.__exit__(None, None, None)
        conn.rollback()
    assert effects() == []
