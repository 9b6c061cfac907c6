-- queue_tables --
-- Every queue with what catalogue and statistics say of its table and archive. It reads no queue, and waits
-- for no table that another session has locked exclusively: the size of such a table is the planner's. Whatever
-- exists in place of a table is described, so that statements over many queues can leave it out.
WITH exclusively_locked AS MATERIALIZED (
    SELECT relation FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), guarded AS MATERIALIZED (
    -- Row level security applies to this role, and no policy lets it see every row.
    SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relname ~ '^[qa]_' AND n.nspname = 'pgmq' AS of_queue
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('pgmq', 'airflow_pgmq') AND c.relrowsecurity AND NOT c.relispartition
        AND row_security_active(c.oid)
        AND NOT coalesce((
            SELECT bool_or(polpermissive AND qual = 'true') AND bool_and(polpermissive OR qual = 'true')
            FROM (
                SELECT polpermissive, pg_get_expr(polqual, polrelid) AS qual FROM pg_policy
                WHERE polrelid = c.oid AND polcmd IN ('r', '*')
                    AND EXISTS (SELECT FROM unnest(polroles) AS member WHERE member = 0 OR pg_has_role(member, 'USAGE'))
            ) AS policies
        ), false)
)
SELECT meta.queue_name, meta.is_partitioned, meta.is_unlogged, meta.created_at,
       lower('q_' || meta.queue_name) AS own_name, q.relkind::text AS own_kind,
       CASE WHEN cardinality(of_own.names) = 6 THEN '{{}}' ELSE ARRAY(
           SELECT unnest(ARRAY['msg_id', 'read_ct', 'enqueued_at', 'vt', 'message', 'headers'])
           EXCEPT SELECT unnest(of_own.names)
       ) END AS own_lacks,
       coalesce(has_table_privilege(q.oid, 'SELECT'), false) AS own_readable,
       q.oid IN (SELECT oid FROM guarded) IS TRUE AS own_hidden,
       lower('a_' || meta.queue_name) AS archive_name, a.relkind::text AS archive_kind,
       CASE WHEN cardinality(of_archive.names) = 7 THEN '{{}}' ELSE ARRAY(
           SELECT unnest(ARRAY['msg_id', 'read_ct', 'enqueued_at', 'vt', 'message', 'headers', 'archived_at'])
           EXCEPT SELECT unnest(of_archive.names)
       ) END AS archive_lacks,
       coalesce(has_table_privilege(a.oid, 'SELECT'), false) AS archive_readable,
       a.oid IN (SELECT oid FROM guarded) IS TRUE AS archive_hidden,
       coalesce(own.bytes, 0)::bigint AS bytes,
       -- A crash of the server resets the statistics; then the planner's guess is all there is.
       CASE WHEN own.inserted + own.deleted + own.live + own.dead > 0 THEN own.live
            ELSE greatest(q.reltuples, 0)::bigint END AS live,
       greatest(q.reltuples, 0)::bigint AS planned,
       coalesce(own.dead, 0)::bigint AS dead, coalesce(own.inserted, 0)::bigint AS inserted,
       coalesce(own.deleted, 0)::bigint AS deleted,
       coalesce(nullif(pg_stat_get_live_tuples(a.oid), 0), greatest(a.reltuples::bigint, 0), 0) AS archived,
       CASE WHEN a.relkind = 'r' AND a.oid NOT IN (SELECT relation FROM exclusively_locked) THEN pg_relation_size(a.oid)
           END AS archive_bytes,
       lower('q_' || meta.queue_name || '_dedup_idx') = ANY (ARRAY(
           SELECT guard.relname::text FROM pg_index JOIN pg_class AS guard ON guard.oid = indexrelid
           WHERE guard.relnamespace = to_regnamespace('pgmq') AND NOT (indisvalid AND indisunique)
               AND right(guard.relname::text, 10) = '_dedup_idx'
       )) AS broken_guard,
       pause.paused_at, pause.paused_by, pause.reason,
       clock.now, current_user::text AS role, ARRAY(SELECT name FROM guarded WHERE NOT of_queue ORDER BY 1) AS hidden
FROM (SELECT statement_timestamp() AS now) AS clock
LEFT JOIN pgmq.meta ON %(queue_name)s::text IS NULL OR meta.queue_name = %(queue_name)s
LEFT JOIN pg_class AS q ON q.relnamespace = to_regnamespace('pgmq') AND q.relname = lower('q_' || meta.queue_name)
LEFT JOIN /* if pauses: */ airflow_pgmq.paused_queues /* else: */ (
    SELECT NULL::oid AS relation, NULL::timestamptz AS paused_at, NULL AS paused_by, NULL AS reason WHERE false
) /* end */ AS pause ON pause.relation = q.oid
LEFT JOIN pg_class AS a ON a.relnamespace = to_regnamespace('pgmq') AND a.relname = lower('a_' || meta.queue_name)
LEFT JOIN LATERAL (
    SELECT array_agg(attname::text) AS names FROM pg_attribute
    WHERE attrelid = q.oid AND attnum > 0 AND NOT attisdropped AND atttypid = <<column_type>>
) AS of_own ON true
LEFT JOIN LATERAL (
    SELECT array_agg(attname::text) AS names FROM pg_attribute
    WHERE attrelid = a.oid AND attnum > 0 AND NOT attisdropped AND atttypid = <<column_type>>
) AS of_archive ON true
LEFT JOIN LATERAL (
    SELECT sum(CASE WHEN part IN (SELECT relation FROM exclusively_locked) THEN (
                   SELECT greatest(relpages, 1) * current_setting('block_size')::bigint
                   FROM pg_class WHERE oid = part
               ) ELSE pg_relation_size(part) END) AS bytes, sum(pg_stat_get_live_tuples(part))::bigint AS live,
           sum(pg_stat_get_dead_tuples(part))::bigint AS dead,
           sum(pg_stat_get_tuples_inserted(part))::bigint AS inserted,
           sum(pg_stat_get_tuples_deleted(part))::bigint AS deleted
    FROM (
        SELECT q.oid AS part WHERE q.relkind = 'r'
        UNION ALL SELECT relid FROM pg_partition_tree(q.oid) WHERE q.relkind = 'p' AND isleaf
    ) AS parts
) AS own ON true
ORDER BY meta.queue_name;

-- count_all --
-- A queue's messages by state, by looking at each.
SELECT <<states>>,
       <<oldest>> AS oldest,
       <<first_vt>> AS first_vt
FROM {table};

-- count_archive --
-- How many messages are in a small archive.
SELECT %(queue_name)s::text AS queue_name, count(*) AS counted FROM {table};

-- count_by_index --
-- The same for a table that is mostly empty space, up to a limit.
SELECT <<states>>,
       <<oldest>> AS oldest,
       <<first_vt>> AS first_vt
FROM (SELECT vt, read_ct, enqueued_at FROM {table} ORDER BY msg_id LIMIT %(most)s) AS few;

-- count_sample --
-- The same for some pages of a large table. The oldest is looked up where no dead rows lie before it.
SELECT <<states>>,
       coalesce(CASE WHEN %(clean)s THEN (
           SELECT min(enqueued_at) FROM (SELECT enqueued_at FROM {table} ORDER BY msg_id LIMIT 10) AS front
           WHERE enqueued_at BETWEEN 'epoch' AND statement_timestamp()
       ) END, <<oldest>>) AS oldest,
       coalesce(CASE WHEN %(clean)s THEN (
           SELECT min(vt) FROM {table} WHERE vt BETWEEN 'epoch' AND statement_timestamp()
       ) END, <<first_vt>>) AS first_vt
FROM {table} TABLESAMPLE SYSTEM (%(percent)s::real);

-- recent_samples --
-- The counters of the last hour by queue, unordered, with the age of each in minutes. The current minute is
-- computed once: for each row it would cost as much as the rest.
WITH this AS MATERIALIZED (
    SELECT date_trunc('minute', statement_timestamp()) AS minute
)
SELECT queue_name, array_agg(date_part('epoch', (SELECT minute FROM this) - sampled_at)::integer / 60) AS ages,
       array_agg(inserted) AS inserted, array_agg(deleted) AS deleted
FROM airflow_pgmq.queue_samples
WHERE sampled_at >= date_trunc('minute', statement_timestamp()) - interval '62 minutes'
    AND (%(queue_name)s::text IS NULL OR queue_name = %(queue_name)s)
GROUP BY queue_name;

-- sample_history --
-- The last sample of each step of time.
SELECT DISTINCT ON (at) date_bin(%(step)s::interval, sampled_at, 'epoch') AS at,
       sampled_at, inserted, deleted, length, visible, oldest_age
FROM airflow_pgmq.queue_samples
WHERE queue_name = %(queue_name)s AND sampled_at >= statement_timestamp() - %(span)s::interval
ORDER BY at, sampled_at DESC;

-- jobs_by_queue --
-- How many periodic jobs send to each queue.
SELECT queue_name, count(*) AS jobs FROM airflow_pgmq.periodic_jobs GROUP BY queue_name;

-- short_locks --
-- A look must not wait long for a lock, because others would wait behind it, and must not keep the server busy
-- for long.
SELECT set_config('lock_timeout', %(wait)s, true),
       set_config('statement_timeout', coalesce(%(limit)s, current_setting('statement_timeout')), true);
