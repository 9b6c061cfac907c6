"""What the page says of queues: exact where that is cheap, estimated where it is not, and what is wrong."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

import pytest

from airflow_pgmq.core import queue_counts
from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements import queues, reading
from airflow_pgmq.errors import QueueNotFound
from airflow_pgmq.services import overview, sampling, sending
from airflow_pgmq.services.overview.queues import RANGES
from tests.fixtures.factories import client_of, execute, job, read, send, tick
from tests.fixtures.roles import drop_role

SAMPLES = """
INSERT INTO airflow_pgmq.queue_samples
SELECT 'mail', date_trunc('minute', now()) - make_interval(mins => ago), 1000 - 10 * ago, 500 - 4 * ago,
       ago, 1, 1, 60
FROM generate_series(0, %(minutes)s) AS ago WHERE ago <> ALL (%(without)s::int[])
"""


def named(found, name="mail"):
    (queue,) = [each for each in found["queues"] if each["queue_name"] == name]
    return queue


def codes(owner):
    return [problem["code"] for problem in owner["problems"]]


def sampled(database, minutes=70, without=()):
    execute(database, SAMPLES, {"minutes": minutes, "without": list(without)})


def seen_in_their_minute(client, database, **samples):
    """What the page shows of samples if the last one was taken in the current minute."""
    while True:
        execute(database, "DELETE FROM airflow_pgmq.queue_samples")
        sampled(database, **samples)
        found = overview.queues(client)
        newest = (
            "SELECT max(sampled_at) = date_trunc('minute', now()) AS current FROM airflow_pgmq.queue_samples"
        )
        if execute(database, newest) == [{"current": True}]:
            return found


def go_back(database, seconds):
    execute(
        database,
        "UPDATE pgmq.q_mail SET vt = vt - %(by)s, enqueued_at = enqueued_at - %(by)s",
        {"by": timedelta(seconds=seconds)},
    )


def test_messages_are_counted_by_state(client, database):
    send(client, "a", "b", "c")
    send(client, "later", delays=[100])
    read(client, 2)
    go_back(database, 30)

    queue = named(overview.queues(client))

    assert (queue["length"], queue["visible"], queue["in_flight"], queue["delayed"]) == (4, 1, 2, 1)
    assert queue["oldest_age"] == pytest.approx(30, abs=5)
    assert not queue["estimated"]


@pytest.mark.parametrize("budget", [queue_counts.BUDGET, 0])
def test_messages_for_a_time_beyond_the_calendar(client, database, monkeypatch, budget):
    how = queue_counts.choose
    monkeypatch.setattr(
        "airflow_pgmq.services.sampling.queue_counts.choose", lambda tables: how(tables, budget)
    )
    execute(database, "SELECT pgmq.send('mail', '{}'::jsonb, 'infinity'::timestamptz)")
    queue = named(overview.queues(client))

    assert (queue["length"], queue["visible"], queue["delayed"]) == (1, 0, 1)
    with client.connection() as conn:
        assert sampling.take(client, conn) == 1


def test_an_empty_queue_has_no_age(client):
    queue = named(overview.queues(client))

    assert (queue["length"], queue["visible"], queue["oldest_age"]) == (0, 0, None)


def test_a_queue_without_its_own_lower_case_table_is_left_out(client, database):
    """A name that we would not put into a statement."""
    execute(
        database,
        "INSERT INTO pgmq.meta (queue_name, is_partitioned, is_unlogged) VALUES ('a$b', false, false)",
    )

    assert [queue["queue_name"] for queue in overview.queues(client)["queues"]] == ["mail"]


def test_a_percent_sign_in_the_name(database, client):
    """PGMQ takes it."""
    name = "rate_50%s"
    execute(database, "SELECT pgmq.create('rate_50%s')")
    for scope in ("once", "queued"):
        if scope == "queued":
            client.run(lambda: queues.guard(name))
        sending.send(client, name, prepare([1], dedup_keys=[scope]), scope=scope)
    sending.send(client, name, prepare([1]))
    assert named(overview.queues(client), name)["visible"] == 3
    assert overview.queue(client, name)["length"] == 3
    assert len(overview.messages(client, overview.Search(queue_name=name))["messages"]) == 3
    assert overview.sent(client, {"dag_id": "d"})["messages"] == []
    read = client.run(lambda: reading.read(name, max_messages=9, visibility_timeout=9, headers_condition={}))
    assert len(client.run(lambda: reading.delete(name, read))) == len(read) > 0


def test_dead_letters_are_shown_with_their_queue(client, database):
    execute(database, "SELECT pgmq.create('mail_dlq'), pgmq.send_batch('mail_dlq', ARRAY['1', '2']::jsonb[])")
    found = overview.queues(client)
    queue, dead = named(found), named(found, "mail_dlq")

    assert (queue["dead_letters"], queue["dead_letter_queue"]) == (2, "mail_dlq")
    assert codes(queue) == ["dead_letters"]
    assert dead["is_dead_letter_queue"]
    assert codes(dead) == []


def test_periodic_jobs_are_counted_by_queue(client):
    tick(job("one"), job("two")).run(client)

    assert named(overview.queues(client))["jobs"] == 2


def test_a_database_with_pgmq_alone_is_shown_too(database):
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE; SELECT pgmq.create('mail'), pgmq.send('mail', '1')")
    client = client_of(database.dsn)
    found = overview.queues(client)

    assert named(found)["length"] == 1
    assert codes(found) == ["not_installed"]
    assert overview.queue(client, "mail")["length"] == 1
    assert overview.jobs(client)["jobs"] == []


# Large tables.


def fill(database, rows=30_000):
    execute(
        database,
        "INSERT INTO pgmq.q_mail (vt, read_ct, message) "
        "SELECT now() + CASE WHEN n %% 4 = 0 THEN interval '1 h' ELSE interval '-1 s' END, "
        "(n %% 8 = 0)::int, jsonb_build_object('padding', repeat('x', 100)) "
        "FROM generate_series(1, %(rows)s) AS n",
        {"rows": rows},
    )


def vacuum(database, options="ANALYZE"):
    with database.connect(autocommit=True) as connection:
        connection.execute(f"VACUUM ({options}) pgmq.q_mail")


def test_large_queues_are_estimated_from_some_pages(client, database, monkeypatch):
    fill(database)
    vacuum(database)
    monkeypatch.setattr(queue_counts, "SAMPLED", 1024 * 1024)
    how = queue_counts.choose

    monkeypatch.setattr(
        "airflow_pgmq.services.sampling.queue_counts.choose", lambda tables: how(tables, 1024 * 1024)
    )
    queue = named(overview.queues(client))

    assert queue["estimated"]
    assert queue["length"] == pytest.approx(30_000, rel=0.05)
    assert queue["visible"] == pytest.approx(22_500, rel=0.2)
    assert queue["in_flight"] == pytest.approx(3_750, rel=0.5)
    assert queue["oldest_age"] is not None


def test_a_table_of_dead_rows_is_not_read(client, database):
    """Deleted, and not vacuumed because an old transaction might still see them."""
    # Autovacuum would read it while its blocks are counted.
    execute(database, "ALTER TABLE pgmq.q_mail SET (autovacuum_enabled = off)")
    with database.connect() as holding:
        holding.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holding.execute("SELECT 1")
        fill(database, 200_000)
        execute(database, "DELETE FROM pgmq.q_mail WHERE msg_id > 5")
        execute(database, "SELECT pg_stat_force_next_flush()")
        before = blocks_of(database)
        queue = named(overview.queues(client))
        read_blocks = blocks_of(database) - before

    assert queue["estimated"]
    # Of about 5000.
    assert read_blocks < 600


def blocks_of(database):
    (row,) = execute(
        database,
        "SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit AS blocks "
        "FROM pg_statio_user_tables WHERE relname = 'q_mail'",
    )
    return row["blocks"]


def test_a_table_that_is_mostly_empty_is_counted_exactly(client, database):
    fill(database, 200_000)
    execute(database, "DELETE FROM pgmq.q_mail WHERE msg_id < 199990")
    vacuum(database, "ANALYZE, TRUNCATE off")
    queue = named(overview.queues(client))

    assert (queue["length"], queue["estimated"]) == (11, False)


# Rates and history.


def test_rates_are_the_growth_of_the_counters(client, database):
    found = seen_in_their_minute(client, database)
    queue = named(found)

    assert queue["arrivals"] == [10.0] * 60
    assert queue["completions"] == [4.0] * 60
    assert codes(found) == []
    assert found["maintained"] is not None


def test_minutes_without_samples_are_gaps(client, database):
    arrivals = named(seen_in_their_minute(client, database, without=range(10, 20)))["arrivals"]

    assert arrivals.count(None) == 11
    assert arrivals[-1] == 10.0


@pytest.mark.parametrize(("range_", "points"), [("hour", 61), ("day", 145), ("week", 169)])
def test_history_has_a_point_for_each_step(client, database, range_, points):
    sampled(database, minutes=8 * 24 * 60)
    history = overview.queue(client, "mail", range_)["history"]
    known = [point for point in history if point["arrivals"] is not None]

    assert len(history) == points
    assert len(known) >= points - 2
    assert {point["arrivals"] for point in known} == {10.0}
    steps = {after["at"] - before["at"] for before, after in pairwise(history)}
    assert steps == {RANGES[range_][1]}


def test_history_of_a_queue_that_nobody_samples_is_empty_points(client):
    history = overview.queue(client, "mail", "day")["history"]

    assert {point["length"] for point in history} == {None}


def test_unknown_queues(client):
    with pytest.raises(QueueNotFound):
        overview.queue(client, "none")


# Problems.


def test_messages_that_nobody_removes_are_a_problem(client, database):
    send(client, "a")
    go_back(database, 16 * 60)
    assert codes(named(overview.queues(client))) == ["nobody_reads"]

    # As seen with samples: removals in the last hour.
    sampled(database)
    assert codes(named(overview.queues(client))) == []


def test_what_the_samples_cover_is_said(client, database):
    send(client, "a")
    go_back(database, 16 * 60)
    sampled(database, minutes=9)
    (problem,) = named(overview.queues(client))["problems"]
    assert problem["text"].endswith(
        "nobody has ever removed any, as far as the server's statistics reach back."
    )

    execute(database, "DELETE FROM airflow_pgmq.queue_samples")
    sampled(database, minutes=40)
    execute(database, "UPDATE airflow_pgmq.queue_samples SET deleted = 0")
    (problem,) = named(overview.queues(client))["problems"]
    assert re.search(r"in the (39|40) minutes of the last hour that have samples\.$", problem["text"])


def archive(database, number):
    ids = "ARRAY(SELECT pgmq.send('mail', '1') FROM generate_series(1, %s))"
    execute(database, f"SELECT pgmq.archive('mail', {ids})", [number])


def test_a_small_archive_is_counted(client, database):
    archive(database, 12)
    # What a crash does to the statistics.
    execute(database, "SELECT pg_stat_reset()")
    for found in (named(overview.queues(client)), overview.queue(client, "mail")):
        assert (found["archived"], found["archived_estimated"]) == (12, False)


def test_an_empty_archive_is_known_to_be(client):
    found = named(overview.queues(client))
    assert (found["archived"], found["archived_estimated"]) == (0, False)


def test_a_large_archive_is_estimated(client, database):
    archive(database, 3000)
    execute(database, "ANALYZE pgmq.a_mail")
    found = named(overview.queues(client))
    assert (found["archived"], found["archived_estimated"]) == (3000, True)


def test_an_archive_that_somebody_holds_is_not_waited_for(client, database):
    send(client, "a")
    with database.connect() as holder:
        holder.execute("LOCK pgmq.a_mail IN ACCESS EXCLUSIVE MODE")
        found = named(overview.queues(client))
    assert (found["visible"], found["archived_estimated"], codes(found)) == (1, True, [])


def test_messages_that_wait_for_their_time_are_none(client, database):
    send(client, "a", delays=[3600])
    go_back(database, 1800)

    assert codes(named(overview.queues(client))) == []


def test_an_invalid_guard_is_a_problem(client, database):
    client.run(lambda: queues.guard("mail"))
    execute(
        database,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pgmq.q_mail_dedup_idx'::regclass",
    )

    assert codes(named(overview.queues(client))) == ["missing_guard"]


def test_nobody_taking_samples_is_a_problem(client, database):
    assert codes(overview.queues(client)) == ["not_maintained"]
    sampled(database)
    assert codes(overview.queues(client)) == []


def test_a_queue_that_the_role_may_not_read(client, database):
    execute(database, "SELECT pgmq.create('mail_dlq')")
    execute(database, "CREATE ROLE looker LOGIN")
    try:
        execute(
            database,
            "GRANT USAGE ON SCHEMA pgmq, airflow_pgmq TO looker; GRANT SELECT ON pgmq.meta TO looker;"
            "GRANT SELECT ON ALL TABLES IN SCHEMA airflow_pgmq TO looker",
        )
        found = overview.queues(client_of(database.dsn, user="looker"))
    finally:
        drop_role(database, "looker")

    queue = named(found)
    assert (queue["length"], queue["visible"], queue["dead_letters"]) == (None, None, None)
    assert codes(queue) == ["no_access"]


def test_only_a_locked_queue_is_unknown(client, database):
    execute(database, "SELECT pgmq.create('other'), pgmq.send('other', '1')")
    send(client, "a")
    with database.connect() as connection:
        connection.execute("LOCK pgmq.q_other")
        found = overview.queues(client)

    assert (named(found)["length"], named(found, "other")["length"]) == (1, None)


@pytest.mark.direct("it connects with options")
def test_looking_changes_nothing(client, database):
    send(client, "a")
    read(client, 1, visibility_timeout=0)
    before = execute(database, "SELECT * FROM pgmq.q_mail")
    with database.connect(options="-c default_transaction_read_only=on", autocommit=True) as connection:
        overview.queues(client, connection)
        overview.queue(client, "mail", conn=connection)
        overview.jobs(client, conn=connection)
        overview.messages(client, overview.Search(queue_name="mail"), conn=connection)
        overview.sent(client, {"dag_id": "a"}, conn=connection)

    assert execute(database, "SELECT * FROM pgmq.q_mail") == before
    assert client.run(lambda: reading.read("mail", max_messages=1, visibility_timeout=1))[0].read_ct == 2
