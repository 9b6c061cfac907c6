-- mark_lock --
-- Only one transaction at a time settles the incarnation of a queue; held until its end.
SELECT pg_advisory_xact_lock(hashtext('airflow_pgmq.queue_' || %(queue_name)s));

-- queue_mark --
-- What exists of a queue, and its stored marks: no row, no queue. It is settled if a claim would find it so.
SELECT c.relpersistence = 'u' AS unlogged,
       coalesce(pg_sequence_last_value(to_regclass(%(sequence)s)), 0) AS last_id,
       known.incarnation, known.unlogged AS was_unlogged, mark.queue_name IS NOT NULL AS alive,
       known.relation = c.oid AS same_relation,
       known.created_at = coalesce(meta.created_at, '-infinity') AS same_creation,
       EXISTS (
           SELECT FROM airflow_pgmq.incarnation_of(%(queue_name)s::text, %(relation)s::text) AS found
           WHERE found.incarnation = known.incarnation
       ) AS settled
FROM pg_class AS c
LEFT JOIN pgmq.meta ON meta.queue_name = %(queue_name)s
LEFT JOIN airflow_pgmq.queues AS known ON known.queue_name = %(queue_name)s
LEFT JOIN airflow_pgmq.queue_marks AS mark
    ON mark.queue_name = %(queue_name)s AND mark.incarnation = known.incarnation
WHERE c.oid = to_regclass(%(relation)s);

-- knows_later_ids --
-- Whether the ledger or a slot has an id that the queue has not used yet.
SELECT EXISTS (
    SELECT FROM airflow_pgmq.dedup_ledger
    WHERE queue_name = %(queue_name)s AND incarnation = %(incarnation)s AND msg_id > %(last_id)s
) OR EXISTS (
    SELECT FROM airflow_pgmq.slots
    WHERE queue_name = %(queue_name)s AND incarnation = %(incarnation)s AND msg_id > %(last_id)s
) AS later;

-- pass_archive --
-- Let the ids of a queue that was made again begin after those of its archive, which a crash does not empty:
-- ids in an archive are unique, so acks would fail. Only if the role may.
SELECT setval(%(sequence)s::regclass, highest)
FROM (SELECT max(msg_id) AS highest FROM {archive}) AS archived
WHERE CASE WHEN has_sequence_privilege(%(sequence)s, 'UPDATE')
           THEN highest > coalesce(pg_sequence_last_value(%(sequence)s::regclass), 0) END;

-- keep_mark --
-- From now on, this is the queue that the ledger and the slots refer to. When it was made again: its new creation, or
-- now if that is unchanged.
WITH kept AS (
    INSERT INTO airflow_pgmq.queues AS known (queue_name, created_at, relation, unlogged, incarnation)
    SELECT %(queue_name)s, coalesce(meta.created_at, '-infinity'), c.oid, c.relpersistence = 'u',
           CASE WHEN %(recreated)s THEN nextval('airflow_pgmq.incarnations')
                ELSE coalesce(%(incarnation)s::bigint, 0) END
    FROM pg_class AS c
    LEFT JOIN pgmq.meta ON meta.queue_name = %(queue_name)s
    WHERE c.oid = to_regclass(%(relation)s)
    ON CONFLICT (queue_name) DO UPDATE
    SET created_at = excluded.created_at, relation = excluded.relation, unlogged = excluded.unlogged,
        incarnation = excluded.incarnation,
        recreated_at = CASE WHEN NOT %(recreated)s THEN known.recreated_at
                         WHEN known.created_at <> excluded.created_at AND isfinite(excluded.created_at)
                             THEN excluded.created_at
                         ELSE clock_timestamp() END
    RETURNING queue_name, created_at, relation, incarnation
)
INSERT INTO airflow_pgmq.queue_marks (queue_name, created_at, relation, incarnation) SELECT * FROM kept
ON CONFLICT (queue_name) DO UPDATE
SET created_at = excluded.created_at, relation = excluded.relation, incarnation = excluded.incarnation;

-- in_recovery --
-- Whether this is a standby, where unlogged tables cannot be read.
SELECT pg_is_in_recovery() AS standby;

-- recreated_queues --
-- Queues that are not the known ones, and those for which that was found recently. A crash empties marks and
-- unlogged queues; others are the same as before.
SELECT known.queue_name, known.recreated_at, same.settled
FROM airflow_pgmq.queues AS known
JOIN pg_class AS c ON c.relname = lower('q_' || known.queue_name) AND c.relnamespace = to_regnamespace('pgmq')
LEFT JOIN pgmq.meta ON meta.queue_name = known.queue_name
LEFT JOIN airflow_pgmq.queue_marks AS mark
    ON mark.queue_name = known.queue_name AND mark.incarnation = known.incarnation
CROSS JOIN LATERAL (
    SELECT known.relation = c.oid AND known.created_at = coalesce(meta.created_at, '-infinity')
        AND (mark.queue_name IS NOT NULL OR c.relpersistence <> 'u') AS settled
) AS same
WHERE (NOT same.settled OR known.recreated_at > statement_timestamp() - make_interval(secs => %(seconds)s))
    AND known.queue_name = coalesce(%(queue_name)s, known.queue_name)
ORDER BY known.queue_name;

-- known_queues --
-- For each queue whether it exists, and whether its incarnation is the known one.
SELECT wanted.queue_name, meta.queue_name IS NOT NULL AS exists, mark.incarnation IS NOT NULL AS settled
FROM unnest(%(queue_names)s::text[], %(relations)s::text[]) AS wanted (queue_name, relation)
LEFT JOIN pgmq.meta ON meta.queue_name = wanted.queue_name
LEFT JOIN LATERAL airflow_pgmq.incarnation_of(wanted.queue_name, wanted.relation) AS mark ON true;

-- is_readable --
-- Whether there is such a table, and the role may read it.
SELECT coalesce(has_table_privilege(to_regclass(%(relation)s), 'SELECT'), false) AS found;
