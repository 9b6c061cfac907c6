"""Samples, expired messages and retention: every minute, by any process, in bounded steps."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from airflow_pgmq.db.sql import migrations
from airflow_pgmq.db.statements import maintenance as statements
from airflow_pgmq.db.statements import schema
from airflow_pgmq.errors import PermissionDenied
from airflow_pgmq.services import maintenance, overview, sampling
from tests.fixtures.factories import client_of, execute, go_back_to_migration, job, queued, read, send, tick
from tests.fixtures.roles import drop_role

PAST, FUTURE = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00+00:00"


def samples(database):
    return execute(database, "SELECT * FROM airflow_pgmq.queue_samples ORDER BY sampled_at, queue_name")


def archived(database, queue_name="mail"):
    return [
        row["msg_id"] for row in execute(database, f"SELECT msg_id FROM pgmq.a_{queue_name} ORDER BY msg_id")
    ]


def earlier(database, **by):
    """Make it look as if the samples were taken this much earlier."""
    execute(database, "UPDATE airflow_pgmq.queue_samples SET sampled_at = sampled_at - %s", [timedelta(**by)])


# Samples.


def test_a_sample_says_how_full_each_queue_is(client, database):
    execute(database, "SELECT pgmq.create('other')")
    send(client, "a", "b")
    read(client, 1)
    summary = maintenance.maintain(client)
    mail, other = samples(database)

    assert summary.sampled == 2
    assert (mail["queue_name"], mail["length"], mail["visible"], mail["in_flight"]) == ("mail", 2, 1, 1)
    assert mail["sampled_at"].second == 0
    assert (other["length"], other["oldest_age"]) == (0, None)


def test_the_counters_are_those_of_every_client(client, database):
    execute(database, "SELECT pgmq.send('mail', to_jsonb(n)) FROM generate_series(1, 5) AS n")
    execute(database, "SELECT pgmq.archive('mail', 1), pgmq.delete('mail', 2), pgmq.pop('mail')")
    with database.connect(autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")
    maintenance.maintain(client)

    (sample,) = samples(database)
    assert (sample["inserted"], sample["deleted"]) == (5, 3)


def test_a_minute_has_one_sample_whoever_takes_it(client, database):
    with ThreadPoolExecutor(4) as pool:
        kept = list(pool.map(lambda _: maintenance.maintain(client_of(database.dsn)).sampled, range(4)))
    tick(job()).run(client)

    minutes = [row["sampled_at"] for row in samples(database)]
    # The minute may have changed meanwhile.
    assert len(set(minutes)) == len(minutes) <= 2
    assert sum(kept) <= len(minutes)


def test_each_tick_takes_one(client, database):
    tick(job()).run(client)
    assert len(samples(database)) == 1
    earlier(database, minutes=1)
    tick(job()).run(client)

    first, second = samples(database)
    assert (first["length"], second["length"]) == (10, 10)


def test_old_samples_are_removed_also_those_of_dropped_queues(client, database):
    execute(
        database,
        "INSERT INTO airflow_pgmq.queue_samples SELECT name, now() - make_interval(days => age), 0, 0 "
        "FROM unnest(ARRAY['gone', 'mail', 'zoo']) AS name, generate_series(5, 12) AS age",
    )
    client.run(statements.prune_samples)

    kept = samples(database)
    assert {row["queue_name"] for row in kept} == {"gone", "mail", "zoo"}
    assert len(kept) == 3 * 3


def test_of_each_ten_minutes_the_last_sample_stays(client, database):
    """In whichever minutes maintenance runs."""
    execute(
        database,
        "INSERT INTO airflow_pgmq.queue_samples SELECT 'mail', at, 0, 0 FROM generate_series("
        "date_bin('10 min', now() - interval '26 hours', 'epoch'),"
        " date_bin('10 min', now() - interval '25.4 hours', 'epoch') - interval '1 min', '1 min') AS at"
        " WHERE date_part('minute', at)::int % 5 = 2",
    )
    client.run(statements.prune_samples)

    assert {row["sampled_at"].minute % 10 for row in samples(database)} == {7}


def test_a_tick_without_the_right_to_sample_ticks(client, database, caplog):
    tick(job()).run(client)
    execute(database, "CREATE ROLE ticker LOGIN")
    try:
        execute(
            database,
            "GRANT USAGE ON SCHEMA pgmq, airflow_pgmq TO ticker;"
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgmq, airflow_pgmq TO ticker;"
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgmq TO ticker;"
            "REVOKE INSERT ON airflow_pgmq.queue_samples FROM ticker",
        )
        earlier(database, minutes=1)
        as_ticker = client_of(database.dsn, user="ticker")
        with caplog.at_level(logging.WARNING):
            summary = tick(job(), job("new")).run(as_ticker)
        with pytest.raises(PermissionDenied, match="queue_samples"):
            maintenance.maintain(as_ticker)
    finally:
        drop_role(database, "ticker")

    assert summary.sent == 10
    assert caplog.records == []
    assert len(samples(database)) == 1


def test_a_tick_does_not_wait_for_a_locked_queue(client, database):
    tick(job()).run(client)
    earlier(database, minutes=1)
    execute(database, "SELECT pgmq.create('other')")
    with database.connect() as connection:
        connection.execute("INSERT INTO pgmq.q_other (vt, message) VALUES (now(), '1'); LOCK pgmq.q_other")
        tick(job()).run(client)

    *_, mail, other = samples(database)
    assert (mail["queue_name"], mail["length"]) == ("mail", 10)
    assert (other["queue_name"], other["length"]) == ("other", None)


# Expired messages.


def send_raw(database, headers, queue_name="mail"):
    execute(database, "SELECT pgmq.send(%s, '1', %s::jsonb, 0)", [queue_name, headers])


def test_expired_messages_are_archived(client, database):
    for each in (PAST, FUTURE, "soon", "2026-01-01T00:00:00", "2026-13-45T99:99:99Z"):
        send_raw(database, f'{{"expires_at": "{each}"}}')
    send_raw(database, '{"expires_at": {"deep": 1}}')
    send_raw(database, "null")

    assert maintenance.maintain(client).expired == 1
    assert archived(database) == [1]
    assert maintenance.maintain(client).expired == 0


def test_what_a_reader_holds_is_left_to_it(client, database):
    send_raw(database, f'{{"expires_at": "{PAST}"}}')
    read(client, 1)

    assert maintenance.maintain(client).expired == 0
    assert len(queued(database)) == 1


def test_a_message_read_meanwhile_is_left(client, database):
    send_raw(database, f'{{"expires_at": "{PAST}"}}')
    flow = maintenance.expire("mail")
    rows = client.run(lambda: next(flow))
    read(client, 1)
    archiving = flow.send(rows)

    assert client.run(lambda: archiving) == []


def test_dead_letters_wait_for_people(client, database):
    execute(database, "SELECT pgmq.create('mail_dlq')")
    execute(database, "SELECT pgmq.send('mail_dlq', '1', %s::jsonb, 0)", [f'{{"expires_at": "{PAST}"}}'])

    assert maintenance.maintain(client).expired == 0


def test_over_many_runs_every_page_has_its_turn(client, database, monkeypatch):
    monkeypatch.setattr(statements, "PAGES", 4)
    execute(
        database,
        "INSERT INTO pgmq.q_mail (vt, message, headers) "
        "SELECT now(), jsonb_build_object('p', repeat('x', 900)), "
        "jsonb_build_object('expires_at', %s::text) FROM generate_series(1, 200) AS n",
        [PAST],
    )
    first = client.run(lambda: maintenance.expire("mail"))
    runs = 0
    while queued(database) and runs < 500:
        client.run(lambda: maintenance.expire("mail"))
        runs += 1

    assert 0 < first <= 40
    assert len(archived(database)) == 200


# Retention.


def test_the_archive_keeps_what_is_young(client, database):
    send(client, "a", "b", "c")
    execute(database, "SELECT pgmq.archive('mail', ARRAY[1, 2, 3]::bigint[])")
    execute(database, "UPDATE pgmq.a_mail SET archived_at = now() - interval '3 days' WHERE msg_id < 3")

    assert maintenance.maintain(client).removed == 0
    kept = maintenance.maintain(client, archive_retention=timedelta(days=2), queue_names=["other"])
    assert kept.removed == 0
    assert maintenance.maintain(client, archive_retention=timedelta(days=2)).removed == 2
    assert archived(database) == [3]


def test_a_run_removes_a_bounded_number(client, database, monkeypatch):
    monkeypatch.setattr(statements, "ARCHIVE_BATCH", 10)
    execute(
        database,
        "INSERT INTO pgmq.a_mail (msg_id, vt, message, archived_at, enqueued_at) "
        "SELECT n, now(), '1', now() - interval '3 days', now() FROM generate_series(1, 150) AS n",
    )

    assert maintenance.maintain(client, archive_retention=timedelta(days=2)).removed == 100
    assert maintenance.maintain(client, archive_retention=timedelta(days=2)).removed == 50


def test_what_was_removed_counts_whatever_stops_the_next_batch(client, database, monkeypatch):
    monkeypatch.setattr(statements, "ARCHIVE_BATCH", 10)
    execute(
        database,
        "INSERT INTO pgmq.a_mail (msg_id, vt, message, archived_at, enqueued_at) "
        "SELECT n, now(), '1', now() - interval '3 days', now() FROM generate_series(1, 30) AS n;"
        "CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF (SELECT count(*) FROM pgmq.a_mail) < 30 THEN RAISE lock_not_available; END IF; "
        "RETURN NULL; END $$;"
        "CREATE TRIGGER once BEFORE DELETE ON pgmq.a_mail EXECUTE FUNCTION once()",
    )

    summary = maintenance.maintain(client, archive_retention=timedelta(days=2))
    assert (summary.removed, set(summary.skipped)) == (10, {"mail"})


def test_queues_of_others_are_named_and_the_rest_is_done(client, database):
    execute(database, "SELECT pgmq.create('theirs'), pgmq.send('theirs', '1')")
    send_raw(database, f'{{"expires_at": "{PAST}"}}')
    execute(database, "CREATE ROLE cleaner LOGIN")
    try:
        execute(
            database,
            "GRANT USAGE ON SCHEMA pgmq, airflow_pgmq TO cleaner;"
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgmq, airflow_pgmq TO cleaner;"
            "REVOKE SELECT ON pgmq.q_theirs FROM cleaner",
        )
        summary = maintenance.maintain(client_of(database.dsn, user="cleaner"))
    finally:
        drop_role(database, "cleaner")

    assert (summary.expired, set(summary.skipped)) == (1, {"theirs"})
    assert {row["queue_name"]: row["length"] for row in samples(database)} == {"mail": 1, "theirs": None}


def test_a_queue_that_somebody_holds_is_left_out(client, database):
    execute(database, "SELECT pgmq.create('held')")
    for name in ("held", "mail"):
        send_raw(database, f'{{"expires_at": "{PAST}"}}', name)
    execute(database, "ANALYZE pgmq.q_held")
    with database.connect() as holder:
        holder.execute("LOCK TABLE pgmq.q_held")
        summary = maintenance.maintain(client)
        assert (summary.expired, set(summary.skipped)) == (1, {"held"})
    assert maintenance.maintain(client).expired == 1


# The schema.


def test_an_older_schema_is_brought_up_to_date(client, database):
    go_back_to_migration(database, 1)
    # What only looks can live with that.
    assert [problem["code"] for problem in overview.queues(client)["problems"]] == ["not_installed"]
    maintenance.maintain(client)

    assert client.run(schema.version) == max(migrations())
    assert len(samples(database)) == 1


def test_counting_holds_no_locks_when_it_is_done(client, database):
    with client.connection() as connection:
        sampling.take(client, connection)
        (locks,) = connection.execute(
            "SELECT count(*) FROM pg_locks"
            " WHERE pid = pg_backend_pid() AND relation = 'pgmq.q_mail'::regclass"
        ).fetchone()
    assert locks == 0
