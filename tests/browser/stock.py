"""A week of a shop's queues: busy, idle, huge, failing ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_pgmq.jobs import PeriodicJob
from tests.fixtures.factories import execute, go_back, tick

if TYPE_CHECKING:
    from airflow_pgmq.hooks import PgmqHook
    from tests.fixtures.postgres import Database

QUEUES = ("billing", "cache", "emails", "events", "orders", "reports", "returns", "stock", "webhooks")
#: For the actions of one test each.
OWN = ("released", "removed", "purged", "requeued")
EMPTY = "returns"
HUGE = 400_000
OLD_NAMESPACE = "warehouse"

_MESSAGES = """
    INSERT INTO pgmq.{table} (vt, enqueued_at, read_ct, message, headers)
    SELECT clock_timestamp() + {vt}, clock_timestamp() - {age}, {reads},
           jsonb_build_object('id', n, 'kind', {kind}), jsonb_build_object('dedup_key', {kind} || '/' || n)
    FROM generate_series(1, {number}) AS n
"""
# Like people's days: little at night, much at noon. The counters end where the server's own stand.
_SAMPLES = """
    WITH minutes AS (
        SELECT at, 60 - extract(epoch FROM now() - at) / 60 AS n,
               greatest(0, round({busy} * (1.2 + sin((extract(epoch FROM at) / 86400 - 0.3) * 2 * pi()))
                                 * (0.7 + 0.6 * random())))::bigint AS arrived
        FROM generate_series(date_trunc('minute', now()) - interval '7 days',
                             date_trunc('minute', now()) - interval '1 minute', interval '1 minute') AS at
    ), stands AS (
        SELECT n_tup_ins AS ins, n_tup_del AS del FROM pg_stat_user_tables
        WHERE schemaname = 'pgmq' AND relname = 'q_{queue}'
    ), waiting AS (
        SELECT at, arrived, {held} + round(arrived * (0.5 + random()))::bigint AS held FROM minutes
    ), sums AS (
        SELECT at, held, sum(arrived) OVER (ORDER BY at) AS arrived, sum(arrived) OVER () AS total FROM waiting
    )
    INSERT INTO airflow_pgmq.queue_samples
    SELECT '{queue}', at, ins - total + arrived,
           CASE WHEN {read} THEN del - total + arrived - held ELSE del END, held, held, 0, 20 + random() * 30
    FROM sums, stands
"""


def fill(hook: PgmqHook, database: Database) -> None:
    """Put everything there that needs no Airflow."""
    for name in (*QUEUES, *OWN):
        hook.create_queue(name, notify=False)
    _archived(hook, "orders", 180)
    _dead(hook, "orders", 3)
    _dead(hook, "requeued", 4)
    _queued(database, "orders", 12, age="n * interval '2 seconds'")
    _queued(database, "emails", 34, age="interval '3 minutes'", vt="n * interval '20 seconds'")
    _queued(database, "emails", 6, age="interval '1 minute'", vt="interval '10 minutes'", reads=1)
    _queued(database, "webhooks", 215, age="interval '3 hours'", vt="interval '-3 hours'")
    _queued(database, "events", HUGE, age="interval '40 seconds'")
    for name in OWN:
        _queued(database, name, 5, vt="interval '1 hour'" if name == "released" else "interval '0'")
    _history(database)
    _old_jobs(hook, database)
    execute(database, "ANALYZE")


def _queued(
    database: Database, queue: str, number: int, *, age: str = "interval '5 seconds'",
    vt: str = "interval '0'", reads: int = 0,
) -> None:
    kind = f"'{queue.rstrip('s')}'"
    text = _MESSAGES.format(table=f"q_{queue}", number=number, age=age, vt=vt, reads=reads, kind=kind)
    execute(database, text)


def _archived(hook: PgmqHook, queue: str, number: int) -> None:
    results = hook.send_batch(queue, [{"id": 100 + n, "kind": "order"} for n in range(number)])
    hook.archive(queue, [result.msg_id for result in results])


def _dead(hook: PgmqHook, queue: str, number: int) -> None:
    from airflow_pgmq.statements import consuming

    results = hook.send_batch(queue, [{"order": 900 + n, "total": None} for n in range(number)])
    hook.create_queue(f"{queue}_dlq", notify=False)
    dead = hook.read(queue, max_messages=len(results), visibility_timeout=60)
    reason = "KeyError: 'total' has no value (read 5 times)"
    hook.client.run(lambda: consuming.dead_letter(queue, f"{queue}_dlq", dead, reason))


def _history(database: Database) -> None:
    samples = [("orders", 40, 12, True), ("emails", 15, 40, True), ("events", 700, HUGE, True), ("cache", 1, 10, True),
               ("stock", 6, 2, True), ("webhooks", 2, 215, False)]
    for queue, busy, held, read in samples:
        execute(database, _SAMPLES.format(queue=queue, busy=busy, held=held, read=str(read).lower()))


def _old_jobs(hook: PgmqHook, database: Database) -> None:
    """Jobs whose Dag has stopped, and one that is behind."""
    jobs = [PeriodicJob(name="count", cron="*/10 * * * *", queue_name="stock", message={}, catch_up="none"),
            PeriodicJob(name="reorder", cron="0 * * * *", queue_name="orders", message={}, overlap="skip")]
    tick(*jobs, namespace=OLD_NAMESPACE, owner="warehouse.tick", look_ahead=1, dedup_window=timedelta(days=7)).run(hook.client)
    go_back(database, hours=3)
    execute(database, "UPDATE airflow_pgmq.namespaces SET ticked_at = ticked_at - interval '3 hours',"
                      " version_ticked_at = version_ticked_at - interval '3 hours' WHERE namespace = %s", [OLD_NAMESPACE])
