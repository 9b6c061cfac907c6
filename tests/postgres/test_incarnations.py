"""Queues that others dropped and made again, that a crash emptied or a restore moved."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.db.statements import incarnations, queues, reading, sending, transfers
from airflow_pgmq.services import doctor, job_control, overview
from tests.fixtures.factories import (
    NAMESPACE,
    client_of,
    execute,
    go_back,
    hours,
    job,
    keys_in,
    queued,
    read,
    send,
    slots_in,
    state,
    statuses,
    tick,
)

DROP, CREATE = "SELECT pgmq.drop_queue('mail')", "SELECT pgmq.create('mail')"
BY_HAND = "DROP TABLE pgmq.q_mail, pgmq.a_mail"


def made_again(database, *, drop=DROP, create=CREATE):
    execute(database, drop)
    execute(database, create)


def incarnation(database, queue_name="mail"):
    (row,) = execute(database, "SELECT * FROM airflow_pgmq.queues WHERE queue_name = %s", [queue_name])
    return row


def moved(database, queue_name="mail"):
    """Do what a restore does: another table with the same content, and ids that go on."""
    table = f"pgmq.q_{queue_name}"
    execute(database, f"ALTER TABLE {table} RENAME TO old")
    execute(database, f"ALTER SEQUENCE {table}_msg_id_seq RENAME TO old_seq")
    execute(database, f"CREATE TABLE {table} (LIKE pgmq.old INCLUDING ALL)")
    execute(database, f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM pgmq.old")
    (row,) = execute(database, f"SELECT pg_get_serial_sequence('{table}', 'msg_id') AS name")
    assert row["name"] == f"{table}_msg_id_seq"
    execute(database, f"SELECT setval('{row['name']}', (SELECT last_value FROM pgmq.old_seq))")
    execute(database, "DROP TABLE pgmq.old")


def send_query(client, key):
    def flow():
        return transfers.send(
            "mail",
            f"SELECT '{key}' AS dedup_key",
            None,
            scope="once",
            window=timedelta(days=7),
            fail_on_duplicate=False,
            headers=None,
        )

    return client.run(flow)


# Keys.


@pytest.mark.parametrize("drop", [DROP, BY_HAND], ids=["dropped", "its tables dropped"])
def test_keys_of_a_queue_that_was_made_again_are_free(database, client, drop):
    assert statuses(send(client, "a", "b", "c")) == ["sent"] * 3
    send_query(client, "q")
    made_again(database, drop=drop)

    assert statuses(send(client, "a")) == ["sent"]
    assert statuses(send(client, "a", "b")) == ["duplicate", "sent"]
    assert send_query(client, "q") == {"sent": 1, "duplicates": 0}
    assert send_query(client, "q") == {"sent": 0, "duplicates": 1}
    assert keys_in(database) == ["a", "b", "q"]


def test_keys_in_bulk_are_free_too(database, client):
    keys = [f"k{n}" for n in range(300)]
    send(client, *keys)
    made_again(database)

    assert set(statuses(send(client, *keys))) == {"sent"}
    assert set(statuses(send(client, *keys))) == {"duplicate"}


def test_our_own_drop_frees_keys_too(database, client):
    send(client, "a")
    client.run(lambda: queues.drop("mail"))
    execute(database, CREATE)

    assert statuses(send(client, "a")) == ["sent"]


def test_a_query_is_the_first_to_send_to_a_queue(database, client):
    execute(database, "TRUNCATE airflow_pgmq.queues, airflow_pgmq.queue_marks")

    assert send_query(client, "q") == {"sent": 1, "duplicates": 0}


def test_a_queue_that_was_moved_keeps_its_keys(database, client):
    send(client, "a", "b")
    read(client)
    before = incarnation(database)
    moved(database)

    assert statuses(send(client, "a", "b", "c")) == ["duplicate", "duplicate", "sent"]
    after = incarnation(database)
    assert (after["incarnation"], after["recreated_at"]) == (before["incarnation"], None)
    assert after["relation"] != before["relation"]


def test_in_a_transaction_of_the_callers_a_queue_is_made_again(database, client):
    with database.connect() as conn:
        for _ in range(2):
            conn.execute(CREATE)
            assert statuses(send(client, "a", conn=conn)) == ["sent"]
            assert statuses(send(client, "a", conn=conn)) == ["duplicate"]
            conn.execute(DROP)
        conn.execute(CREATE)
        assert statuses(send(client, "a", conn=conn)) == ["sent"]

    assert keys_in(database) == ["a"]


def test_many_notice_at_once(database, client):
    from tests.postgres.processes import at_once, send_shuffled

    send(client, *(f"k{n}" for n in range(200)))
    made_again(database)

    counts = at_once(send_shuffled, [(database.dsn, n, 200, {}) for n in range(4)])

    assert sum(count["sent"] for count in counts) == 200
    assert incarnation(database)["incarnation"] == 1


def test_a_queue_that_pgmq_does_not_list_is_a_queue(database, client):
    execute(database, "DELETE FROM pgmq.meta")

    assert statuses(send(client, "a", "a")) == ["sent", "duplicate"]


# Slots.


def test_one_tick_after_a_queue_was_made_again_the_look_ahead_is_there(database, client):
    tick(job()).run(client)
    before = slots_in(database)
    made_again(database)

    summary = tick(job()).run(client)

    assert (summary.sent, summary.duplicates) == (len(slots_in(database)), 0)
    assert slots_in(database)[: len(before)] == before
    assert tick(job()).run(client).slots <= 1


@pytest.mark.parametrize("catch_up", ["all", "none"])
def test_what_jitter_held_back_is_sent_again_whatever_the_policy(database, client, catch_up):
    one = job(jitter=timedelta(hours=20), catch_up=catch_up)
    tick(one, look_ahead=0).run(client)
    go_back(database, hours=12)
    tick(one, look_ahead=0, grace=24).run(client)
    now = state(database)["now"]
    held = {row["headers"]["slot"] for row in queued(database) if row["vt"] > now + timedelta(minutes=1)}
    made_again(database)

    summary = tick(one, look_ahead=0, grace=0).run(client)

    assert {row["headers"]["slot"] for row in queued(database)} == held != set()
    assert summary.dropped == 0


def test_what_was_visible_counts_as_delivered(database, client):
    tick(job(), look_ahead=0).run(client)
    go_back(database, hours=5)
    tick(job(), look_ahead=2).run(client)
    assert len(queued(database)) == 7
    made_again(database)

    tick(job(), look_ahead=2).run(client)

    assert len(queued(database)) in (2, 3)


def test_every_namespace_sends_again_and_a_sender_may_notice_first(database, client):
    both = [tick(job()), tick(job(), namespace="other", owner="other.task")]
    for each in both:
        each.run(client)
    made_again(database)
    send(client, "a")

    for each in both:
        assert each.run(client).sent in (10, 11)


def test_other_queues_are_left_alone(database, client):
    execute(database, "SELECT pgmq.create('post')")
    jobs = job(), job("letter", queue_name="post")
    tick(*jobs).run(client)
    before = queued(database, "post")
    made_again(database)

    assert tick(*jobs).run(client).sent in (10, 11, 12)
    assert queued(database, "post")[:10] == before


def test_many_lost_slots_are_sent_again_in_rounds(database, client, monkeypatch):
    monkeypatch.setattr("airflow_pgmq.services.tick_rounds.SLOTS", 7)
    names = [f"job{n}" for n in range(5)]
    tick(*map(job, names)).run(client)
    made_again(database)

    assert tick(*map(job, names)).run(client).sent in (50, 55)


def test_a_removed_job_sends_nothing_again_and_a_paused_one_once_it_is_resumed(database, client):
    """Of a paused job only messages that were released early remain."""
    tick(job("stays"), job("paused"), job("leaves")).run(client)
    execute(database, "UPDATE pgmq.q_mail SET read_ct = 1")
    client.run(lambda: job_control.pause(NAMESPACE, "paused"))
    made_again(database)

    tick(job("stays"), job("paused")).run(client)

    assert {row["headers"]["job"] for row in queued(database)} == {"stays"}
    left = execute(database, "SELECT DISTINCT name FROM airflow_pgmq.slots WHERE msg_id IS NULL")
    assert left == [{"name": "paused"}]

    client.run(lambda: job_control.resume(NAMESPACE, "paused"))
    tick(job("stays"), job("paused")).run(client)
    assert slots_in(database, "paused") == slots_in(database, "stays")


def test_a_job_that_changes_at_the_same_time_sends_its_new_slots(database, client):
    tick(job(cron="0 * * * *", message="old")).run(client)
    made_again(database)

    tick(job(cron="30 * * * *", message="new")).run(client)

    assert {row["message"] for row in queued(database)} == {"new"}
    assert {at.minute for at in slots_in(database)} == {30}


def test_a_moved_queue_keeps_its_slots(database, client):
    tick(job()).run(client)
    before = queued(database)
    moved(database)

    assert tick(job()).run(client).sent <= 1
    assert queued(database)[:10] == before
    assert tick(job("other")).run(client).taken_back >= 10


def test_skip_does_not_wait_for_a_message_that_was_lost(database, client):
    one = job(overlap="skip")
    tick(one, look_ahead=0).run(client)
    go_back(database, hours=2)
    assert tick(one).run(client).sent == 1
    made_again(database)
    execute(database, "UPDATE airflow_pgmq.slots SET slot = slot - interval '1 h'")
    go_back(database, hours=1)

    assert tick(one).run(client).sent == 1


# Crashes.


@pytest.fixture
def crashing(own_database):
    execute(own_database, "SELECT pgmq.create('mail'), pgmq.create_unlogged('light')")
    return own_database


@pytest.mark.slow
def test_a_crash_frees_what_an_unlogged_queue_held_and_nothing_else(crashing):
    client = client_of(crashing.dsn)
    jobs = job(), job("light", queue_name="light")
    tick(*jobs).run(client)
    send(client, "a")
    client.run(lambda: sending.keyed("light", batch("a"), **ONCE))
    kept = queued(crashing)

    crashing.server.restart("immediate")
    assert queued(crashing, "light") == []
    assert client.run(incarnations.recreated).keys() == {"light"}
    summary = tick(*jobs).run(client)

    assert summary.sent in (10, 11, 12)
    assert len(slots_in(crashing, "light", "light")) in (10, 11)
    assert queued(crashing)[: len(kept)] == kept
    assert statuses(send(client, "a")) == ["duplicate"]
    assert statuses(client.run(lambda: sending.keyed("light", batch("a"), **ONCE))) == ["sent"]


@pytest.mark.slow
def test_after_a_crash_ids_begin_after_those_of_the_archive(crashing):
    """The archive is not emptied, and takes each id once: an ack would always fail."""
    client = client_of(crashing.dsn)
    client.run(lambda: sending.keyed("light", batch("a", "b"), **ONCE))
    client.run(lambda: reading.archive("light", [1, 2]))

    crashing.server.restart("immediate")
    (sent,) = client.run(lambda: sending.keyed("light", batch("c"), **ONCE))

    assert sent.msg_id == 3
    assert client.run(lambda: reading.archive("light", [3])) == [3]


@pytest.mark.slow
def test_a_restart_that_is_no_crash_frees_nothing(crashing):
    client = client_of(crashing.dsn)
    client.run(lambda: sending.keyed("light", batch("a"), **ONCE))

    crashing.server.restart("fast")

    assert statuses(client.run(lambda: sending.keyed("light", batch("a"), **ONCE))) == ["duplicate"]


@pytest.mark.slow
def test_a_queue_that_was_made_unlogged_by_hand_keeps_its_keys(crashing):
    client = client_of(crashing.dsn)
    send(client, "a")
    execute(crashing, "ALTER TABLE pgmq.q_mail SET UNLOGGED")
    assert statuses(send(client, "a")) == ["duplicate"]

    crashing.server.restart("immediate")

    assert statuses(send(client, "a")) == ["sent"]


ONCE = {"scope": "once", "on_duplicate": "skip", "window": timedelta(days=7)}


def batch(*keys):
    from airflow_pgmq.core.batch import prepare

    return prepare(keys, dedup_keys=keys)


def test_recreated_at_is_when_the_queue_was_made_again(database, client):
    send(client, "a")
    assert incarnation(database)["recreated_at"] is None
    made_again(database)
    (made,) = execute(database, "SELECT created_at FROM pgmq.meta")
    send(client, "a")
    assert incarnation(database)["recreated_at"] == made["created_at"]

    made_again(database, drop=BY_HAND)
    before = datetime.now(timezone.utc)
    send(client, "a")
    assert incarnation(database)["recreated_at"] > before - timedelta(seconds=1)


def test_hours_are_full_again(database, client):
    """The slots after the queue was made again are those of the schedule, without a gap."""
    tick(job()).run(client)
    start = state(database)["horizon"] - timedelta(hours=10)
    made_again(database)
    tick(job()).run(client)

    assert slots_in(database) == hours(start, state(database)["horizon"])


# What people are told.


def codes(found):
    return [each["code"] if isinstance(each, dict) else each.code for each in found]


def test_page_and_doctor_say_that_a_queue_is_another_one(database, client):
    tick(job()).run(client)
    quiet = {"unknown_queue", "recreated_queue"}
    assert not quiet & {*codes(doctor.examine(client)), *codes(overview.queue(client, "mail")["problems"])}
    made_again(database)

    for expected in ("unknown_queue", "recreated_queue"):
        (row,) = overview.queues(client)["queues"]
        assert expected in codes(doctor.examine(client))
        assert expected in codes(row["problems"])
        assert expected in codes(overview.queue(client, "mail")["problems"])
        tick(job()).run(client)

    execute(database, "UPDATE airflow_pgmq.queues SET recreated_at = recreated_at - interval '2 days'")
    assert not quiet & {*codes(doctor.examine(client)), *codes(overview.queue(client, "mail")["problems"])}


def test_a_queue_of_an_odd_name_is_recognised(database, client):
    execute(database, """SELECT pgmq.create('Odd"Name')""")
    first = client.run(lambda: sending.keyed('Odd"Name', batch("a"), **ONCE))
    again = client.run(lambda: sending.keyed('Odd"Name', batch("a"), **ONCE))

    assert statuses([*first, *again]) == ["sent", "duplicate"]
    assert client.run(incarnations.recreated) == {}
