"""A week of a shop's queues: busy, idle, huge, failing ones."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_pgmq.compat import utcnow
from airflow_pgmq.core import slot_history, slot_outcomes, slots
from airflow_pgmq.jobs import PeriodicJob
from tests.browser.jobs import JOBS, NAMESPACE
from tests.fixtures.factories import execute, tick

if TYPE_CHECKING:
    from airflow_pgmq.hooks import PgmqHook
    from tests.fixtures.postgres import Database

QUEUES = ("billing", "cache", "emails", "events", "orders", "reports", "returns", "stock", "webhooks")
#: Each is for the actions of one test; `requeued` has dead letters.
OWN = ("released", "removed", "purged", "requeued")
EMPTY = "returns"
HUGE = 400_000
#: Tries of each dead letter before it was moved; and the reason of the last one in each queue.
TRIES = 5
LONG_REASON = "the order has lines that no product is known for: " + ", ".join(map(str, range(200, 400)))
#: Namespaces whose Dag has stopped, and whose job is behind.
STOPPED = "warehouse"
BEHIND = "support"
#: Indexes into the last 30 slots of each job; 0 is the oldest.
MISSED, LATE, AGAIN = {11, 12}, {13, 14}, {20}
PAUSED = "newsletter"

_REMEMBERED = """
    WITH sent AS (
        INSERT INTO airflow_pgmq.slots
            (namespace, name, slot, queue_name, incarnation, msg_id, visible_at, first_at, expires_at,
             repeats)
        VALUES (%(namespace)s, %(name)s, %(slot)s, %(queue)s, 0, 0, %(slot)s, %(first_at)s,
                %(slot)s + interval '60 days', %(again)s::integer)
        ON CONFLICT DO NOTHING
    )
    UPDATE airflow_pgmq.periodic_jobs SET last_slot = greatest(last_slot, %(slot)s),
           last_sent_at = greatest(last_sent_at, %(first_at)s)
    WHERE namespace = %(namespace)s AND name = %(name)s
"""

_ARCHIVED = """
    WITH done AS (
        SELECT slot, -1000000 - n AS msg_id,
               slot + make_interval(secs => 20 + 60 * random() ^ 4) AS archived_at
        FROM unnest(%(slots)s::timestamptz[]) WITH ORDINALITY AS past (slot, n)
    ), kept AS (
        INSERT INTO pgmq.a_{queue} (msg_id, read_ct, enqueued_at, archived_at, vt, message, headers)
        SELECT msg_id, 1, slot - interval '9 minutes', archived_at, slot, '{{}}',
               jsonb_build_object('dedup_key', %(namespace)s::text || '/' || %(name)s || '/'
                                  || to_char(slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
        FROM done
    )
    INSERT INTO airflow_pgmq.slots
        (namespace, name, slot, queue_name, incarnation, msg_id, visible_at, first_at, expires_at)
    SELECT %(namespace)s, %(name)s, slot, '{queue}', 0, msg_id, slot, slot - interval '9 minutes',
           slot + interval '60 days'
    FROM done
"""

_MESSAGES = """
    INSERT INTO pgmq.{table} (vt, enqueued_at, read_ct, message, headers)
    SELECT clock_timestamp() + {vt}, clock_timestamp() - {age}, {reads},
           jsonb_build_object('id', n, 'kind', {kind}), jsonb_build_object('dedup_key', {kind} || '/' || n)
    FROM generate_series(1, {number}) AS n
"""
# Little at night, much at noon. The counters end at the values of the server's own.
_SAMPLES = """
    WITH minutes AS (
        SELECT at, 60 - extract(epoch FROM now() - at) / 60 AS n,
               greatest(0, round({busy} * (1.2 + sin((extract(epoch FROM at) / 86400 - 0.3) * 2 * pi()))
                                 * (0.7 + 0.6 * random())))::bigint AS arrived
        FROM generate_series(date_trunc('minute', now()) - interval '7 days',
                             date_trunc('minute', now()) - interval '1 minute', interval '1 minute') AS at
    ), final_counts AS (
        SELECT n_tup_ins AS ins, n_tup_del AS del FROM pg_stat_user_tables
        WHERE schemaname = 'pgmq' AND relname = 'q_{queue}'
    ), waiting AS (
        SELECT at, arrived, {held} + round(arrived * (0.5 + random()))::bigint AS held FROM minutes
    ), sums AS (
        SELECT at, held - first_value(held) OVER (ORDER BY at DESC) AS more, held,
               sum(arrived) OVER (ORDER BY at) AS arrived, sum(arrived) OVER () AS total
        FROM waiting
    )
    INSERT INTO airflow_pgmq.queue_samples
    SELECT '{queue}', at, ins - total + arrived,
           CASE WHEN {read} THEN del - total + arrived - more ELSE del END, held, held, 0, 20 + random() * 30
    FROM sums, final_counts
"""


def fill(hook: PgmqHook, database: Database) -> None:
    """Make everything that needs no Airflow."""
    for name in QUEUES:
        hook.create_queue(name, notify=False)
    _archived(hook, "orders", 180)
    _dead(hook, "orders", 3)
    _queued(database, "orders", 12, age="n * interval '2 seconds'")
    _queued(database, "emails", 34, age="interval '3 minutes'", vt="n * interval '20 seconds'")
    _queued(database, "emails", 6, age="interval '1 minute'", vt="interval '2 hours'", reads=1)
    _queued(database, "webhooks", 215, age="interval '3 hours'", vt="interval '-3 hours'")
    hook.send("billing", {"invoice": 1, "scan": "x" * 40_000})
    _queued(database, "events", HUGE, age="interval '40 seconds'")
    _history(database)
    _old_jobs(hook, database)
    hook.put_calendar("holidays", {date(2099, 12, 25): "Christmas", date(2099, 12, 26): ""})
    execute(database, "ANALYZE")


def _queued(
    database: Database,
    queue: str,
    number: int,
    *,
    age: str = "interval '5 seconds'",
    vt: str = "interval '0'",
    reads: int = 0,
) -> None:
    kind = f"'{queue.rstrip('s')}'"
    text = _MESSAGES.format(table=f"q_{queue}", number=number, age=age, vt=vt, reads=reads, kind=kind)
    execute(database, text)


def _archived(hook: PgmqHook, queue: str, number: int) -> None:
    results = hook.send_batch(queue, [{"id": 100 + n, "kind": "order"} for n in range(number)])
    hook.archive(queue, [result.msg_id for result in results])


def _dead(hook: PgmqHook, queue: str, number: int) -> None:
    from airflow_pgmq.db.statements import consuming

    results = hook.send_batch(queue, [{"order": 900 + n, "total": None} for n in range(number)])
    hook.create_queue(f"{queue}_dlq", notify=False)
    for _ in range(TRIES):
        dead = hook.read(queue, max_messages=len(results), visibility_timeout=0)
    reasons = ["KeyError: 'total' has no value"] * (number - 1) + [f"ValueError: {LONG_REASON}"]
    hook.client.run(lambda: consuming.dead_letter(queue, f"{queue}_dlq", dead, reasons))


def _history(database: Database) -> None:
    samples = [
        ("orders", 40, 12, True),
        ("emails", 15, 40, True),
        ("events", 700, HUGE, True),
        ("cache", 1, 10, True),
        ("stock", 6, 2, True),
        ("webhooks", 2, 215, False),
    ]
    for queue, busy, held, read in samples:
        execute(database, _SAMPLES.format(queue=queue, busy=busy, held=held, read=str(read).lower()))


def fill_own(hook: PgmqHook, database: Database) -> None:
    """Queues whose messages a test may take away."""
    for name in OWN:
        hook.create_queue(name, notify=False)
    _dead(hook, "requeued", 4)
    for name in OWN:
        _queued(database, name, 5, vt="interval '1 hour'" if name == "released" else "interval '0'")


def drop_own(hook: PgmqHook) -> None:
    """Drop them again."""
    for name in (*OWN, "requeued_dlq"):
        hook.drop_queue(name)


def age(hook: PgmqHook, database: Database) -> None:
    """Make it look as if the shop's jobs had run for weeks, with failures; call it after their first tick."""
    execute(
        database,
        "UPDATE airflow_pgmq.periodic_jobs SET deployed_at = now() - interval '60 days' WHERE namespace = %s",
        [NAMESPACE],
    )
    now = utcnow()
    for job in JOBS:
        _work_off(database, job, slots.before(job, now, 900, slot_outcomes.FURTHEST)[: -slot_history.SHOWN])
        for position, slot in enumerate(slot_history.recent(job, now)):
            if position not in MISSED:
                _remember(database, job, slot, late=position in LATE, again=position in AGAIN)
    hook.pause_job(NAMESPACE, PAUSED)


def _work_off(database: Database, job: PeriodicJob, past: list[datetime]) -> None:
    """Slots of days before, each acked soon."""
    values = {"namespace": NAMESPACE, "name": job.name, "slots": past}
    execute(database, _ARCHIVED.format(queue=job.queue_name), values)


def _remember(database: Database, job: PeriodicJob, slot: datetime, *, late: bool, again: bool) -> None:
    values = {
        "queue": job.queue_name,
        "namespace": NAMESPACE,
        "name": job.name,
        "key": slots.key(NAMESPACE, job.name, slot),
        "slot": slot,
        "first_at": slot + timedelta(minutes=4 if late else -9),
        "again": again,
    }
    execute(database, _REMEMBERED, values)


def fall_behind(database: Database) -> None:
    """Make a job whose slot is not sent, although its Dag ticks."""
    execute(database, "UPDATE airflow_pgmq.namespaces SET ticked_at = now() WHERE namespace = %s", [BEHIND])
    execute(
        database,
        "UPDATE airflow_pgmq.periodic_jobs SET next_slot = now() - interval '20 minutes'"
        " WHERE namespace = %s",
        [BEHIND],
    )


def _old_jobs(hook: PgmqHook, database: Database) -> None:
    """Jobs whose Dag has stopped, and one that is behind."""
    hourly = {"cron": "0 * * * *", "queue_name": "stock", "message": {}}
    for namespace in (STOPPED, BEHIND):
        job = PeriodicJob(name=f"{namespace}_check", **hourly)
        tick(job, namespace=namespace, owner=f"{namespace}_jobs.tick", look_ahead=1).run(hook.client)
    execute(
        database,
        "UPDATE airflow_pgmq.namespaces SET ticked_at = now() - interval '3 hours' WHERE namespace = %s",
        [STOPPED],
    )
    fall_behind(database)
