"""The schema is lost, or older than the queues: slots are looked up in the queues before any is sent."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import psycopg
import pytest

from airflow_pgmq.core.delays import AT_ONCE
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import reading, sending
from airflow_pgmq.services import job_control
from tests.fixtures.dumps import dump, restore
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
    slot,
    slots_in,
    state,
    statuses,
    tick,
)
from tests.fixtures.postgres import new_database

OURS = "--schema=airflow_pgmq"


def sent(database):
    """How often each slot is in the queue and its archive."""
    rows = execute(database, "SELECT headers FROM pgmq.q_mail UNION ALL SELECT headers FROM pgmq.a_mail")
    return Counter(slot(row["headers"]) for row in rows)


def renewed(database):
    """A client that has not seen the database yet, as a new task has."""
    return client_of(database.dsn)


def lose_schema(database):
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")


def read_early(database, client, count):
    """Let these messages be visible before their time, and read them."""
    ids = [row["msg_id"] for row in queued(database)[:count]]
    client.run(lambda: reading.set_vt("mail", ids, AT_ONCE))
    return read(client, count)


# Without the schema.


def test_what_the_queue_carries_is_not_sent_again(database, client):
    tick(job(), job("other")).run(client)
    before = queued(database)
    lose_schema(database)

    summary = tick(job(), job("other")).run(renewed(database))

    assert summary.sent <= 2
    assert summary.duplicates == 20
    assert queued(database)[:20] == before


def test_what_was_adopted_is_the_jobs_own(database, client):
    tick(job(message="old")).run(client)
    lose_schema(database)
    tick(job(message="old")).run(renewed(database))

    assert tick(job(message="new")).run(client).taken_back >= 10
    assert {row["message"] for row in queued(database)} == {"new"}


def test_the_queue_is_asked_only_once(database, client):
    """After a complete tick the schema knows all slots."""
    tick(job()).run(client)
    lose_schema(database)
    tick(job()).run(renewed(database))
    (row,) = execute(database, "SELECT known, xmin = written_by AS by_a_tick FROM airflow_pgmq.namespaces")

    assert row == {"known": True, "by_a_tick": True}
    tick(job(message="new")).run(client)
    assert execute(database, "SELECT known FROM airflow_pgmq.namespaces WHERE xmin = written_by") == [
        {"known": True}
    ]


def test_a_tick_that_ended_early_does_not_make_it_known(database, client, monkeypatch):
    monkeypatch.setattr("airflow_pgmq.services.tick_rounds.JOBS", 1)
    both = tick(job("a"), job("b"))
    both.run(client)
    lose_schema(database)

    class Killed(Client):
        rounds = 0

        def attempt(self, make, own):
            # The schema and its installation, the queues, the deploy, and one round of two.
            if self.rounds == 5:
                raise KeyboardInterrupt
            self.rounds += 1
            return super().attempt(make, own)

    with pytest.raises(KeyboardInterrupt):
        both.run(Killed(lambda: psycopg.connect(database.dsn)))
    both.run(client)

    assert set(Counter(keys_in(database)).values()) == {1}


def test_a_backfill_asks_queue_and_archive_too(database, client):
    tick(job(), look_ahead=0).run(client)
    go_back(database, hours=5)
    start = state(database)["watermark"]
    tick(job(), look_ahead=0).run(client)
    first, *_ = read(client, 2)
    client.run(lambda: reading.archive("mail", [first]))
    lose_schema(database)

    summary = tick(job()).backfill(renewed(database), start, start + timedelta(hours=5))

    assert (summary.sent, summary.duplicates) == (0, 5)


def test_what_was_deleted_of_the_look_ahead_is_sent_again(database, client):
    """Documented: it cannot be known."""
    tick(job()).run(client)
    client.run(lambda: reading.delete("mail", read_early(database, client, 3)))
    lose_schema(database)

    assert tick(job()).run(renewed(database)).sent in (3, 4)


# With an older one.


@pytest.mark.parametrize("way", ["the schema", "its data"])
def test_an_older_schema_sends_nothing_again_that_can_be_found(database, client, way):
    tick(job(), look_ahead=2).run(client)
    start = state(database)["watermark"] - timedelta(hours=2)
    old = (
        dump(database, OURS)
        if way == "the schema"
        else dump(database, OURS, "--data-only", "--disable-triggers")
    )
    tick(job(), look_ahead=6).run(client)
    read_early(database, client, 4)
    client.run(lambda: reading.archive("mail", [1, 2, 3]))

    if way == "the schema":
        lose_schema(database)
    else:
        found = execute(
            database,
            "SELECT string_agg(oid::regclass::text, ', ') AS tables FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'airflow_pgmq'::regnamespace",
        )
        execute(database, f"TRUNCATE {found[0]['tables']}")
    restore(database, old)
    tick(job(), look_ahead=10).run(renewed(database))

    assert sent(database) == Counter(hours(start, state(database)["horizon"]))


def test_missed_slots_are_looked_up_in_the_archive(database, client):
    one = job(catch_up_max_age=timedelta(days=3))
    tick(one, look_ahead=0).run(client)
    go_back(database, hours=20)
    old = dump(database, OURS)
    tick(one, look_ahead=0).run(client)
    client.run(lambda: reading.archive("mail", read(client, 15)))
    lose_schema(database)
    restore(database, old)

    tick(one, look_ahead=0).run(renewed(database))

    assert set(sent(database).values()) == {1}


def restored(database, old):
    lose_schema(database)
    restore(database, old)
    return renewed(database)


def test_a_backfill_before_the_first_tick_looks_into_the_queue(database, client):
    tick(job(), look_ahead=2).run(client)
    start = state(database)["watermark"]
    old = dump(database, OURS)
    tick(job(), look_ahead=6).run(client)

    tick(job(), look_ahead=6).backfill(restored(database, old), start, start + timedelta(hours=6))

    assert set(sent(database).values()) == {1}


def test_what_was_taken_back_by_a_pause_since_is_sent(database, client):
    tick(job()).run(client)
    before = sent(database)
    old = dump(database, OURS)
    client.run(lambda: job_control.pause(NAMESPACE, "job"))
    assert not sent(database)

    tick(job()).run(restored(database, old))

    assert sent(database) >= before
    assert set(sent(database).values()) == {1}


def test_what_a_deploy_took_back_since_is_sent_by_the_code_that_is_restored_too(database, client):
    tick(job(), job("other")).run(client)
    before = sent(database)
    old = dump(database, OURS)
    tick(job("other")).run(client)

    tick(job(), job("other")).run(restored(database, old))

    assert sent(database) >= before
    assert set(sent(database).values()) == {2}


def test_a_queue_that_was_changed_since_is_asked_too(database, client):
    execute(database, "SELECT pgmq.create('post')")
    tick(job()).run(client)
    old = dump(database, OURS)
    for _ in range(2):
        tick(job(queue_name="post")).run(client)
        go_back(database, hours=3)
    tick(job(queue_name="post")).run(client)

    tick(job(queue_name="post")).run(restored(database, old))

    every = Counter(keys_in(database)) + Counter(keys_in(database, "post"))
    assert set(every.values()) == {1}


def test_a_job_that_waits_for_its_queue_is_asked_for_later(database, client):
    """A tick that leaves jobs out does not know what was sent of them."""
    execute(database, "SELECT pgmq.create('post')")
    tick(job(), job("letter", queue_name="post"), look_ahead=2).run(client)
    old = dump(database, OURS)
    tick(job(), job("letter", queue_name="post"), look_ahead=5).run(client)
    execute(
        database,
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE ON pgmq.q_post FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    )
    new = tick(job(), job("letter", queue_name="post", message="new"), look_ahead=5)
    again = restored(database, old)
    assert [*new.run(again).failed] == ["letter"]
    execute(database, "DROP TRIGGER refuse ON pgmq.q_post")

    assert new.run(again).failed == {}

    assert set(Counter(keys_in(database, "post")).values()) == {1}


def test_what_only_newer_code_knows_is_asked_for_later(database, client):
    new = tick(job(), job("letter", version=2), look_ahead=5)
    tick(job(), job("letter", version=2), look_ahead=2).run(client)
    old = dump(database, OURS)
    new.run(client)
    again = restored(database, old)
    tick(job(), job("letter", version=1), look_ahead=5).run(again)

    new.run(again)

    assert set(Counter(keys_in(database)).values()) == {1}


def test_what_was_sent_again_to_a_queue_that_was_made_again_is_found(database, client):
    tick(job()).run(client)
    old = dump(database, OURS)
    execute(database, "SELECT pgmq.drop_queue('mail'); SELECT pgmq.create('mail')")
    tick(job()).run(client)

    tick(job()).run(restored(database, old))

    assert set(sent(database).values()) == {1}


def test_a_queue_that_was_restored_alone_is_asked_what_it_holds(database, client):
    """Its sequence begins where the dump left it, so it counts as another one."""
    tick(job()).run(client)
    old = dump(database, "--table=pgmq.q_mail")
    send(client, "later")
    execute(database, "DROP TABLE pgmq.q_mail")
    restore(database, old)

    tick(job()).run(client)

    assert set(sent(database).values()) == {1}


def test_an_unlogged_queue_that_was_not_emptied_is_asked_what_it_holds(database, client):
    execute(database, "SELECT pgmq.create_unlogged('light')")
    tick(job(queue_name="light")).run(client)
    old = dump(database, OURS, "--no-unlogged-table-data")

    tick(job(queue_name="light")).run(restored(database, old))

    assert set(Counter(keys_in(database, "light")).values()) == {1}


def test_a_slot_that_was_cancelled_in_an_unlogged_queue_stays_so_after_a_crash(database, client):
    execute(database, "SELECT pgmq.create_unlogged('light')")
    tick(job(queue_name="light")).run(client)
    cancelled = keys_in(database, "light")[3]
    client.run(lambda: sending.cancel("light", [cancelled]))
    # As a crash does.
    execute(database, "TRUNCATE pgmq.q_light RESTART IDENTITY; TRUNCATE airflow_pgmq.queue_marks")

    tick(job(queue_name="light")).run(client)

    assert len(keys_in(database, "light")) in (9, 10)
    assert cancelled not in keys_in(database, "light")


# Whole databases.


@pytest.fixture
def copy(postgres_server):
    with new_database(postgres_server, "template0") as database:
        yield database


def test_a_whole_database_goes_on_from_its_backup(database, client, copy):
    execute(database, "SELECT pgmq.create_unlogged('light')")
    jobs = job(), job("light", queue_name="light")
    tick(*jobs).run(client)
    send(client, "a")
    before = queued(database)

    restore(copy, dump(database))

    assert tick(*jobs).run(client_of(copy.dsn)).sent <= 2
    assert queued(copy)[: len(before)] == before
    assert len(queued(copy, "light")) in (10, 11)
    assert statuses(send(client_of(copy.dsn), "a")) == ["duplicate"]
    recreated = execute(copy, "SELECT queue_name FROM airflow_pgmq.queues WHERE recreated_at IS NOT NULL")
    assert recreated == []


def test_a_backup_without_unlogged_data_sends_again_what_they_held(database, client, copy):
    execute(database, "SELECT pgmq.create_unlogged('light')")
    jobs = job(), job("light", queue_name="light")
    tick(*jobs).run(client)

    restore(copy, dump(database, "--no-unlogged-table-data"))

    assert tick(*jobs).run(client_of(copy.dsn)).sent in (10, 11, 12)
    assert len(queued(copy)) in (10, 11)
    assert len(slots_in(copy, "light", "light")) in (10, 11)


@pytest.mark.parametrize(
    "options",
    [
        ("--exclude-table=pgmq.?_mail", "--exclude-table=pgmq.q_mail_msg_id_seq"),
        ("--exclude-table-data=pgmq.?_mail", "--exclude-table-data=pgmq.q_mail_msg_id_seq"),
    ],
    ids=["its tables", "its data"],
)
def test_a_backup_that_leaves_a_queue_out_frees_its_keys_and_slots(database, client, copy, options):
    tick(job()).run(client)
    send(client, "a")

    restore(copy, dump(database, *options))
    execute(copy, "SELECT pgmq.create('mail')")

    assert tick(job()).run(client_of(copy.dsn)).sent in (10, 11)
    assert statuses(send(client_of(copy.dsn), "a")) == ["sent"]


@pytest.mark.direct("nobody may be connected to a template")
def test_a_copy_by_template_goes_on(database, client, postgres_server):
    tick(job()).run(client)
    # Postgres copies no database that is in use.
    client.close()
    with new_database(postgres_server, database.name) as copied:
        assert tick(job()).run(client_of(copied.dsn)).sent <= 1
