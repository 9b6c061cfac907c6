"""Frequent statements find their rows by an index, however full the tables are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.delays import ParsedDelay
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.slot_messages import outgoing
from airflow_pgmq.core.slots import Window
from airflow_pgmq.db.driver.composing import text as text_of
from airflow_pgmq.db.statements import (
    Flow,
    Statement,
    consuming,
    inspection,
    job_slots,
    maintenance,
    overview,
    periodic,
    queues,
    reading,
    sending,
    streaming,
    tailing,
    transfers,
    watching,
)
from airflow_pgmq.db.statements.inspection import Search
from airflow_pgmq.db.statements.watching import Ask
from tests.fixtures.factories import client_of, execute
from tests.fixtures.postgres import new_database

ROWS = 100_000
NOW = datetime(2026, 1, 5, tzinfo=timezone.utc)
BEFORE = datetime(2025, 12, 31, tzinfo=timezone.utc)
WINDOW = Window(NOW, NOW + timedelta(minutes=10), timedelta(minutes=5))

#: Nothing is in the archive here, and a database has few indexes, triggers, migrations and queues.
SMALL = {"a_mail", "pg_index", "pg_trigger", "migrations", "meta", "queues", "queue_marks", "paused_queues"}

FILL = f"""
INSERT INTO pgmq.q_mail (vt, message, headers)
SELECT now() + interval '1 hour', '{{}}', jsonb_build_object(
    'dedup_key', format('shop/job%s/%s', n % 1000, to_char('2026-01-01'::timestamp
        + make_interval(hours => n / 1000), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), 'slot', '2026-01-01T00:00:00Z')
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO airflow_pgmq.dedup_ledger
SELECT 'mail', headers ->> 'dedup_key', msg_id, now(), now() + interval '7 days', 0 FROM pgmq.q_mail;
INSERT INTO airflow_pgmq.slots
SELECT 'shop', 'job' || n % 1000, '2026-01-01Z'::timestamptz + make_interval(hours => n / 1000), 'mail', 0, n,
       now(), now(), now() + interval '7 days'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO airflow_pgmq.periodic_jobs
SELECT 'shop', 'job' || n, 1, 'fingerprint', '{{}}', 'mail', false, now(), now() + make_interval(mins => n)
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO airflow_pgmq.queue_samples (sampled_at, queue_name, inserted, deleted)
SELECT date_trunc('minute', now()) - make_interval(mins => ago), 'queue' || queue, 1, 1
FROM generate_series(1, 2000) AS ago, generate_series(1, 50) AS queue;
"""


def batch(count: int):
    return prepare([{"n": n} for n in range(count)], dedup_keys=[f"shop/new/{n}" for n in range(count)])


def once(count: int) -> Flow[Any]:
    return sending.keyed("mail", batch(count), scope="once", on_duplicate="skip", window=timedelta(days=7))


def new(count: int) -> Flow[Any]:
    return sending.keyed(
        "mail",
        batch(count),
        scope="once",
        on_duplicate="skip",
        window=timedelta(days=7),
        optimistic=True,
    )


def queued(count: int) -> Flow[Any]:
    return sending.keyed("mail", batch(count), scope="queued", on_duplicate="skip", window=timedelta(days=7))


def slots_of(count: int) -> Flow[Any]:
    """Slots of as many jobs."""
    jobs = [PeriodicJob(name=f"job{n}", cron="0 * * * *", queue_name="mail") for n in range(count)]
    items = [outgoing(each, NOW, "shop", None) for each in jobs]
    return periodic.send("shop", "mail", items, now=NOW, window=timedelta(days=7))


def taken_back(*names: str) -> Flow[Any]:
    return periodic.take_back("shop", names, after=BEFORE, now=NOW)


def taking_back(*names: str) -> Statement[Any]:
    """The statement that takes back."""
    flow = taken_back(*names)
    next(flow)
    return flow.send(["mail"])


SLOTS = [{"slot": NOW, "msg_id": n} for n in range(1, 1001)]
MESSAGES = [Message(n, 1, NOW, NOW, {}) for n in range(1, 101)]

OFTEN = {
    "one new key, once": lambda: next(once(1)),
    "1000 new keys, once": lambda: next(once(1000)),
    "1000 keys that are probably new, once": lambda: next(new(1000)),
    "one new key, queued": lambda: next(queued(1)),
    "1000 new keys, queued": lambda: next(queued(1000)),
    "prune the ledger": lambda: sending.prune_ledger(128),
    "cancel guarded keys": lambda: sending.cancel("mail", ["shop/job7/2026-01-01T7Z"]),
    "jobs that are due": lambda: periodic.due_jobs("shop", WINDOW, limit=1000),
    "slots of jobs": lambda: next(slots_of(1000)),
    "prune slots": lambda: sending.prune_slots(128),
    "where a job has sent to": lambda: next(taken_back("job7")),
    "take back a job": lambda: taking_back("job7"),
    "take back 1000 jobs": lambda: taking_back(*(f"job{n}" for n in range(1000))),
    "is the last message queued": lambda: periodic.still_queued(
        "mail", {n: f"{n}" for n in range(1, 1001)}, NOW
    ),
    "read for events": lambda: streaming.read("mail", max_messages=9, visibility_timeout=30, calm=2),
    "slots of a ring": lambda: watching.visible_slots(Ask.of("mail")),
    "read a batch of work": lambda: consuming.read(Policy(queue_name="mail", batch_size=100)),
    "release after failures": lambda: consuming.release_each("mail", MESSAGES, [ParsedDelay(10)] * 100),
    "dead letters": lambda: consuming.dead_letter("mail", "mail_dlq", MESSAGES, "no"),
    "archive": lambda: reading.archive("mail", list(range(1, 101))),
    "delete": lambda: reading.delete("mail", list(range(1, 101))),
    "messages by id": lambda: reading.by_id("mail", range(1, 101)),
    "look": lambda: watching.look({Ask.of("mail"): 1000}),
    "look for conditions": lambda: watching.look(
        {Ask.of("mail", {"n": n}, {"job": "j"}): 1 for n in range(50)}
    ),
    "sight": lambda: watching.sight(Ask.of("mail")),
    "messages of a queue": lambda: inspection.messages(Search(queue_name="mail", peek=True)),
    "search by job": lambda: inspection.messages(Search(queue_name="mail", job="shop/job7")),
    "search in an archive": lambda: inspection.messages(Search(queue_name="mail", job="a", source="archive")),
    "a message by key": lambda: inspection.ledger_message("mail", "shop/job7/2026-01-01T7Z"),
    "slots of a strip": lambda: inspection.sent_slots([("shop", f"job{n}", NOW) for n in range(300)]),
    "slots of a job": lambda: job_slots.latest("shop", "job7", BEFORE, NOW, 1000),
    "slots of a job that are skipped": lambda: job_slots.skipped("shop", "job7", NOW, 1000),
    "messages of slots": lambda: job_slots.messages("shop", "job7", {"mail": SLOTS}, [("mail", "queue")]),
    "archived messages of slots": lambda: job_slots.messages(
        "shop", "job7", {"mail": SLOTS}, [("mail", "archive")]
    ),
    "dead letters of a job": lambda: job_slots.dead_letters("shop", "job7", "mail"),
    "start of a tail": lambda: tailing.start("mail", 10),
    "look of a tail": lambda: next(tailing.look("mail", after=49_900, archived_after=0, missing=range(99))),
    "sent by a task": lambda: inspection.sent_by([("mail", "queue")], {"dag_id": "a"}, peek=True, limit=200),
    "sent by a task, archived": lambda: inspection.sent_by(
        [("mail", "archive")], {"dag_id": "a"}, peek=True, limit=200
    ),
    "the last hour of all queues": lambda: overview.recent_samples(),
    "a week of a queue": lambda: overview.history("queue7", span=timedelta(days=7), step=timedelta(hours=1)),
    "the newest sample": lambda: maintenance.newest_sample(),
    "prune samples": lambda: maintenance.prune_samples(),
    "expired messages": lambda: maintenance.expiring("mail"),
    "prune an archive": lambda: maintenance.prune_archive("mail", timedelta(days=30)),
    "extend": lambda: reading.set_vt("mail", list(range(1, 101)), ParsedDelay(30)),
}


@pytest.fixture(scope="module")
def full_database(postgres_server, pgmq_template):
    with new_database(postgres_server, pgmq_template) as database:
        execute(database, "SELECT pgmq.create('mail'), pgmq.create('mail_dlq')")
        client_of(database.dsn).run(lambda: queues.guard("mail"))
        client_of(database.dsn).run(lambda: periodic.register_namespace("shop", "owner", 1))
        execute(database, FILL)
        with database.connect(autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        yield database


def plan(database, statement: Statement[Any]) -> dict[str, Any]:
    with database.connect() as connection:
        text = text_of(statement).decode()
        cursor = connection.execute(f"EXPLAIN (FORMAT JSON) {text}", statement.params, prepare=False)
        return cursor.fetchone()[0][0]["Plan"]


def nodes(found: dict[str, Any], *, with_mark: bool = True) -> Iterator[dict[str, Any]]:
    yield found
    for child in found.get("Plans", []):
        if child.get("Subplan Name") != "CTE mark" or with_mark:
            yield from nodes(child, with_mark=with_mark)


@pytest.mark.parametrize("often", OFTEN)
def test_no_table_is_read_as_a_whole(full_database, often):
    found = list(nodes(plan(full_database, OFTEN[often]())))

    assert {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"} <= SMALL


def test_due_jobs_come_in_the_order_of_the_index(full_database):
    found = list(nodes(plan(full_database, OFTEN["jobs that are due"]())))

    # And what is to be sent again or was left out, and what the last message of a job that waits for it was.
    assert {node["Index Name"] for node in found if "Index Name" in node} == {
        "periodic_jobs_due_idx",
        "periodic_jobs_pkey",
        "slots_lost_idx",
        "slots_pkey",
        "slots_skipped_idx",
    }
    # Those that are due are sorted as far as they were taken: a thousand of them.
    assert not [node for node in found if node["Node Type"] == "Sort" and node["Plan Rows"] > 2000]


def test_ranges_of_slots_end_with_the_job(full_database):
    """`job7` is not `job70`."""
    (row,) = execute(full_database, "SELECT count(*) FROM airflow_pgmq.slots WHERE name = 'job7'")
    with full_database.connect() as connection:
        statement = taking_back("job7")
        text = text_of(statement).decode()
        (found,) = connection.execute(text, statement.params).fetchall()
        connection.rollback()

    assert found[:2] == ("job7", row["count"])


def test_overdue_slots_are_looked_up(full_database):
    """Jobs that expect, their slots since the last look, and messages by their ids: in a function, where
    EXPLAIN sees nothing."""
    scans = (
        "SELECT relname, seq_scan FROM pg_stat_xact_user_tables"
        " WHERE relname IN ('q_mail', 'a_mail', 'slots', 'periodic_jobs')"
    )
    with full_database.connect() as connection:
        connection.execute(
            "UPDATE airflow_pgmq.periodic_jobs SET definition = '{\"expect_within\": 60}',"
            " expected_until = '2026-01-04T09:30Z', watermark = '2026-01-04T09:30Z',"
            " next_slot = '2026-01-04T10:00Z' WHERE name IN ('job1', 'job2', 'job3')"
        )
        before = dict(connection.execute(scans).fetchall())
        found = connection.execute(
            "SELECT count(*), count(DISTINCT name), min(state) FROM airflow_pgmq.overdue_slots('shop', true)"
        ).fetchone()
        after = dict(connection.execute(scans).fetchall())
        connection.rollback()

    assert found == (54, 3, "waiting")
    assert after == before


@pytest.mark.parametrize("scope", ["none", "once", "queued"])
def test_a_query_of_unknown_size_is_sent_without_nested_loops(full_database, scope):
    """The planner takes this query for one row; loops over its rows for each row would be quadratic."""
    source = "SELECT headers ->> 'slot' AS dedup_key FROM pgmq.q_mail WHERE read_ct = 7"
    flow = transfers.send(
        "mail", source, None, scope=scope, window=timedelta(days=7), fail_on_duplicate=False, headers=None
    )
    # Whether the queue is the known one is one row.
    found = list(nodes(plan(full_database, next(flow)), with_mark=False))

    assert not [node for node in found if "Join" in node["Node Type"] or node["Node Type"] == "Nested Loop"]
