-- may_sample --
-- Whether this role may keep samples.
SELECT to_regclass('airflow_pgmq.queue_samples') IS NOT NULL
    AND coalesce(bool_and(has_table_privilege(to_regclass('airflow_pgmq.queue_samples'), right_)), false) AS may
FROM unnest(ARRAY['SELECT', 'INSERT', 'DELETE']) AS right_;

-- newest_sample --
-- When the queues were sampled last.
SELECT max(sampled_at) AS newest, max(sampled_at) = date_trunc('minute', statement_timestamp()) AS current
FROM airflow_pgmq.queue_samples;

-- keep_samples --
-- One row for each queue and minute; a second sample in a minute changes nothing.
INSERT INTO airflow_pgmq.queue_samples
    (queue_name, sampled_at, inserted, deleted, length, visible, in_flight, oldest_age)
SELECT s.queue_name, date_trunc('minute', %(at)s::timestamptz), s.inserted, s.deleted, s.length, s.visible,
       s.in_flight, s.oldest_age
FROM unnest(%(queue_names)s::text[], %(inserted)s::bigint[], %(deleted)s::bigint[], %(lengths)s::bigint[],
            %(visible)s::bigint[], %(in_flight)s::bigint[], %(oldest_ages)s::float8[])
    AS s (queue_name, inserted, deleted, length, visible, in_flight, oldest_age)
ORDER BY s.queue_name
ON CONFLICT DO NOTHING
RETURNING queue_name;

-- prune_samples --
-- Remove old samples. After a day, only the last one of each ten minutes is kept.
DELETE FROM airflow_pgmq.queue_samples WHERE (sampled_at, queue_name) IN (
    (SELECT sampled_at, queue_name FROM airflow_pgmq.queue_samples
     WHERE sampled_at < statement_timestamp() - %(keep)s::interval
     ORDER BY sampled_at LIMIT %(limit)s)
    UNION ALL
    (SELECT sampled_at, queue_name FROM airflow_pgmq.queue_samples AS sample
     WHERE sampled_at < statement_timestamp() - interval '25 hours'
         AND sampled_at >= statement_timestamp() - interval '27 hours'
         AND EXISTS (
             SELECT FROM airflow_pgmq.queue_samples AS later
             WHERE later.queue_name = sample.queue_name AND later.sampled_at > sample.sampled_at
                 AND later.sampled_at < date_bin('10 min', sample.sampled_at, 'epoch') + interval '10 min'
         )
     ORDER BY sampled_at LIMIT %(limit)s)
);

-- expiring --
-- Visible messages with a time of expiry, in a part of the table.
WITH <<stretch>>
SELECT msg_id, read_ct, enqueued_at, headers ->> 'expires_at' AS expires_at, statement_timestamp() AS now FROM {table}
WHERE <<in_stretch>>
    AND vt <= statement_timestamp() AND headers ? 'expires_at'
ORDER BY msg_id;

-- prune_archive --
-- Remove messages that were archived long ago, oldest first.
DELETE FROM {archive} WHERE msg_id = ANY (ARRAY(
    SELECT msg_id FROM {archive} WHERE archived_at < statement_timestamp() - %(keep)s::interval
    ORDER BY archived_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)) RETURNING msg_id;
