-- pause_queue --
-- Pause a queue, unless it is paused already, and tell its waiters. Forgets queues that were dropped since.
WITH gone AS (
    DELETE FROM airflow_pgmq.paused_queues
    WHERE NOT EXISTS (SELECT FROM pg_class WHERE pg_class.oid = relation)
), paused AS (
    INSERT INTO airflow_pgmq.paused_queues (relation, queue_name, paused_at, paused_by, reason)
    SELECT oid, %(queue_name)s, clock_timestamp(), %(paused_by)s, %(reason)s
    FROM pg_class WHERE oid = to_regclass(%(queue_table)s)
    ON CONFLICT DO NOTHING
    RETURNING pg_notify(%(channel)s, %(payload)s)
)
SELECT EXISTS (SELECT FROM paused) AS done, to_regclass(%(queue_table)s) IS NOT NULL AS found;

-- resume_queue --
-- Let a queue be read again, and wake its waiters.
WITH resumed AS (
    DELETE FROM airflow_pgmq.paused_queues WHERE relation = to_regclass(%(queue_table)s)
    RETURNING pg_notify(%(channel)s, '')
)
SELECT EXISTS (SELECT FROM resumed) AS done, to_regclass(%(queue_table)s) IS NOT NULL AS found;

-- paused_queues --
-- All queues that are paused, by name.
SELECT queue_name, paused_at, paused_by, reason FROM airflow_pgmq.paused_queues
JOIN pg_class ON pg_class.oid = relation ORDER BY queue_name;
