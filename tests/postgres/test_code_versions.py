"""Code that is too old for the schema is refused, inside the transaction that would do harm."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.sql import code
from airflow_pgmq.db.statements import schema, transfers
from airflow_pgmq.errors import CodeTooOld
from airflow_pgmq.services import job_control, sending
from tests.fixtures.factories import (
    NAMESPACE,
    QUEUE,
    client_of,
    execute,
    go_back_to_migration,
    job,
    keys_in,
    queued,
    read_committed,
    send,
    slots_in,
    statuses,
    tick,
)
from tests.fixtures.patience import wait_until

#: As code of migration 2 claims a key, and opens a namespace.
OLD_CLAIM = (
    "INSERT INTO airflow_pgmq.dedup_ledger AS taken (queue_name, dedup_key, msg_id, first_at, expires_at)"
    " VALUES ('mail', 'a', 1, now(), now() + interval '7 days')"
    " ON CONFLICT (queue_name, dedup_key) DO UPDATE SET msg_id = excluded.msg_id"
    " WHERE taken.expires_at <= statement_timestamp()"
)
OLD_TICK = (
    "INSERT INTO airflow_pgmq.namespaces AS ns"
    " (namespace, owner, version, horizon, ticked_at, version_ticked_at)"
    " VALUES ('shop', 'dag.task', 0, clock_timestamp(), clock_timestamp(), clock_timestamp())"
    " ON CONFLICT (namespace) DO UPDATE SET namespace = excluded.namespace RETURNING ns.owner"
)


def send_query(client):
    options = {"scope": "once", "window": timedelta(days=1), "fail_on_duplicate": False, "headers": None}
    return client.run(lambda: transfers.send("mail", "SELECT 'q' AS dedup_key", None, **options))


NOW = datetime.now(timezone.utc)

WORK = {
    "tick": lambda client: tick(job()).run(client),
    "backfill": lambda client: tick(job()).backfill(client, NOW, NOW + timedelta(hours=3)),
    "pause": lambda client: client.run(lambda: job_control.pause(NAMESPACE, "job")),
    "run now": lambda client: client.run(lambda: job_control.run_now(NAMESPACE, "job")),
    "remove": lambda client: client.run(lambda: job_control.remove(NAMESPACE)),
    "one key": lambda client: send(client, "a"),
    "many keys": lambda client: send(client, *(f"k{n}" for n in range(200))),
    "a query": send_query,
}


UPGRADE = (
    f"ALTER TABLE airflow_pgmq.migrations ALTER oldest_code SET DEFAULT {code() + 1};"
    f"INSERT INTO airflow_pgmq.migrations (number) VALUES ({code() + 1})"
)


def upgrade(database):
    execute(database, UPGRADE)


def is_blocked(database, table):
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = to_regclass('airflow_pgmq.' || %s)"
    return bool(execute(database, waiting, [table]))


@pytest.fixture
def newer(database, client):
    """A client that has used the schema, which newer code then upgrades."""
    tick(job()).run(client)
    send(client, "known")
    upgrade(database)
    return client


@pytest.mark.parametrize("work", WORK)
def test_a_running_process_of_older_code_does_nothing(database, newer, work):
    before = queued(database)

    with pytest.raises(CodeTooOld, match=rf"up to {code()}, the schema needs .*{code() + 1}.*Upgrade"):
        WORK[work](newer)

    assert queued(database) == before


def test_a_tick_is_told_whose_schema_is_upgraded_between_its_transactions(database, client):
    """The error is not about the queues."""

    class Overtaken(Client):
        transactions = 0

        def attempt(self, make, own):
            self.transactions += 1
            # After the checks of schema and queues, and the deploy.
            if self.transactions == 4:
                upgrade(database)
            return super().attempt(make, own)

    with pytest.raises(CodeTooOld):
        tick(job()).run(Overtaken(lambda: psycopg.connect(database.dsn)))

    assert queued(database) == []


def test_a_new_process_of_older_code_is_told_at_once(database, newer):
    with pytest.raises(CodeTooOld):
        client_of(database.dsn).ensure_schema()


def test_a_newer_schema_that_takes_older_code_is_used(database, client):
    execute(database, f"INSERT INTO airflow_pgmq.migrations (number) VALUES ({code() + 1})")

    assert tick(job()).run(client_of(database.dsn)).sent == 10
    assert statuses(send(client, "a")) == ["sent"]


#: As code of migration 11 keeps a mark.
OLD_MARK = (
    "INSERT INTO airflow_pgmq.queue_marks (queue_name, created_at, relation, incarnation)"
    " VALUES ('other', now(), 1, 0)"
)


def oldest_in_marks(database):
    return {
        row["oldest_code"] for row in execute(database, "SELECT oldest_code FROM airflow_pgmq.queue_marks")
    }


def test_marks_have_the_number_of_the_schema(database, newer):
    execute(database, OLD_MARK)
    assert oldest_in_marks(database) == {code() + 1}


def test_a_mark_that_is_kept_during_an_upgrade_has_its_number(database, client):
    send(client, "a")
    with read_committed(database) as connection, ThreadPoolExecutor() as pool:
        connection.execute(UPGRADE)
        kept = pool.submit(execute, database, OLD_MARK)
        wait_until(lambda: is_blocked(database, "queue_marks"), "it waits for the upgrade")
        connection.commit()
        kept.result()
    assert oldest_in_marks(database) == {code() + 1}


def test_a_migration_that_lets_older_code_go_on_waits_for_no_claim(database, client):
    send(client, "a")
    with read_committed(database) as connection, database.connect() as upgrading:
        sending.send(client, QUEUE, prepare([1], dedup_keys=["b"]), conn=connection)
        upgrading.execute("SET LOCAL lock_timeout = '10s'")
        upgrading.execute("INSERT INTO airflow_pgmq.migrations (number) VALUES (%s)", [code() + 1])


def test_an_upgrade_that_may_not_see_all_marks_is_refused(database, client):
    with database.connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(psycopg.Error, match="only in a READ COMMITTED transaction"):
            connection.execute(UPGRADE)
    assert statuses(send(client, "a")) == ["sent"]


def test_an_upgrade_that_is_taken_back_lets_older_code_go_on(database, newer):
    execute(database, "DELETE FROM airflow_pgmq.migrations WHERE number = %s", [code() + 1])
    assert statuses(send(newer, "a")) == ["sent"]


def test_an_upgrade_that_is_undone_changes_no_mark(database, client):
    send(client, "a")
    with read_committed(database) as connection:
        connection.execute(UPGRADE)
        connection.rollback()
    assert statuses(send(client, "b")) == ["sent"]


@pytest.mark.parametrize("statement", [OLD_CLAIM, OLD_TICK], ids=["claim", "tick"])
def test_code_of_migration_2_is_refused_with_a_reason(database, client, statement):
    tick(job()).run(client)

    with pytest.raises(psycopg.Error, match="too old for the schema airflow_pgmq") as refused:
        execute(database, statement)

    assert "Upgrade airflow-provider-pgmq" in refused.value.diag.message_hint


# Migration 3.


FILL = """
INSERT INTO airflow_pgmq.namespaces
    (namespace, owner, version, fingerprint, horizon, ticked_at, version_ticked_at)
VALUES ('shop', 'dag.task', 0, 'f', now() + interval '3 h', now(), now());
INSERT INTO airflow_pgmq.periodic_jobs
    (namespace, name, version, fingerprint, definition, queue_name, overlap_skip, watermark, next_slot)
SELECT 'shop', name, 0, 'f', jsonb_build_object(
           'queue_name', 'mail', 'cron', '0 * * * *', 'timezone', 'UTC', 'headers', '{}'::jsonb, 'version', 0,
           'overlap', 'allow', 'ttl', NULL, 'jitter', 0, 'start', NULL, 'end', NULL, 'group', NULL,
           'message', jsonb_build_object('job', name)),
       'mail', false, now() + interval '3 h', date_trunc('hour', now()) + interval '4 h'
FROM unnest(ARRAY['job', 'job.a']) AS name;
INSERT INTO pgmq.q_mail (vt, message, headers)
SELECT date_trunc('hour', now()) + make_interval(hours => n), jsonb_build_object('job', name),
       jsonb_build_object('job', name, 'namespace', 'shop', 'slot', slot, 'version', 0,
                          'dedup_key', 'shop/' || name || '/' || slot)
FROM unnest(ARRAY['job', 'job.a']) AS name, generate_series(-2, 3) AS n,
     to_char((date_trunc('hour', now()) + make_interval(hours => n)) AT TIME ZONE 'UTC',
             'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS slot
ORDER BY name, n;
INSERT INTO airflow_pgmq.dedup_ledger
SELECT 'mail', headers ->> 'dedup_key', msg_id, now(), now() + interval '7 days' FROM pgmq.q_mail;
INSERT INTO airflow_pgmq.dedup_ledger
SELECT 'mail', key, 99, now(), now() + interval '7 days'
FROM unnest(ARRAY['plain', 'shop/job/now/2026-01-01T00:00:00Z', 'other/job/2026-01-01T00:00:00Z',
                  'shop/job/2026-01-01', 'shop/gone/2026-01-01T00:00:00Z']) AS key;
INSERT INTO airflow_pgmq.dedup_ledger
SELECT 'post', headers ->> 'dedup_key', 1000 + msg_id, now(), now() + interval '7 days' FROM pgmq.q_mail
WHERE msg_id = 1;
INSERT INTO airflow_pgmq.repeated_slots (namespace, name, slot, repeated_at)
SELECT 'shop', 'job', (headers ->> 'slot')::timestamptz, now() FROM pgmq.q_mail WHERE msg_id = 2
"""


@pytest.fixture
def upgraded(database, client):
    """A database that code of migration 2 has used, upgraded."""
    go_back_to_migration(database, 2)
    execute(database, FILL)
    client.install()
    return client


def test_slots_are_carried_over_and_keys_stay(database, upgraded):
    slots = execute(database, "SELECT * FROM airflow_pgmq.slots ORDER BY name, slot")
    assert [(row["name"], row["msg_id"]) for row in slots] == [
        *(("job", n) for n in range(1, 7)),
        *(("job.a", n) for n in range(7, 13)),
    ]
    assert [row["slot"] for row in slots if row["name"] == "job"] == slots_in(database)
    assert {row["queue_name"] for row in slots} == {"mail"}
    assert [row["repeats"] for row in slots] == [0, 1, *[0] * 10]
    left = execute(database, "SELECT dedup_key FROM airflow_pgmq.dedup_ledger ORDER BY dedup_key")
    assert [row["dedup_key"] for row in left] == [
        "other/job/2026-01-01T00:00:00Z",
        "plain",
        "shop/gone/2026-01-01T00:00:00Z",
        "shop/job/2026-01-01",
        "shop/job/now/2026-01-01T00:00:00Z",
    ]
    assert statuses(send(upgraded, "plain")) == ["duplicate"]
    assert upgraded.run(schema.version) == code()


def test_the_first_tick_after_the_upgrade_takes_nothing_back(database, upgraded):
    """What code of migration 2 stored of a job is read, and counts as the same job."""
    before = queued(database)

    summary = tick(job(), job("job.a"), look_ahead=3).run(upgraded)

    assert (summary.taken_back, summary.sent <= 2) == (0, True)
    assert queued(database)[: len(before)] == before


def test_a_change_after_the_upgrade_takes_back_what_older_code_has_sent(database, upgraded):
    summary = tick(job(message="new"), job("job.a"), look_ahead=3).run(upgraded)

    assert summary.taken_back in (2, 3)
    assert len(set(keys_in(database))) == len(keys_in(database)) > 0
