-- All run-time SQL. A block is `-- name --`, its description, the statement. Identifiers in {braces}
-- are quoted by the driver, values are %(parameters)s, %(…)b where arrays travel in binary. Messages travel
-- as lines, because a text costs the driver next to nothing and JSON never holds a line break of its own.

-- own_session --
-- Settings for the rest of the session; no row where a pooler lends it to us for a transaction only.
SELECT set_config(ours.name, ours.value, false) AS value
FROM unnest(%(names)s::text[], %(values)s::text[]) AS ours (name, value)
WHERE pg_backend_pid() = %(backend_pid)s;

-- installed --
-- What is there: PGMQ, our schema, table and archive of a queue. By name, a session may still remember that they are
-- not, which another has installed meanwhile.
SELECT coalesce(bool_or(nspname = 'pgmq' AND relname = 'meta'), false) AS pgmq,
       coalesce(bool_or(nspname = 'airflow_pgmq' AND relname = 'migrations'), false) AS ours,
       coalesce(bool_or(nspname = 'pgmq' AND relname = %(table)s), false) AS queue,
       coalesce(bool_or(nspname = 'pgmq' AND relname = %(archive)s), false) AS archive
FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname IN ('pgmq', 'airflow_pgmq') AND relname IN ('meta', 'migrations', %(table)s, %(archive)s);

-- schema_version --
-- The newest migration that was applied.
SELECT max(number) AS number FROM airflow_pgmq.migrations;

-- admitted --
-- Whether code of so many migrations may use the schema; an error says that it may not.
SELECT max(oldest_code) <= %(code)s OR airflow_pgmq.refuse(%(code)s) AS admitted FROM airflow_pgmq.migrations;

-- migration_done --
-- Note a migration as applied.
INSERT INTO airflow_pgmq.migrations (number) VALUES (%(number)s);

-- install_lock --
-- One installer at a time; held until its transaction ends.
SELECT pg_advisory_xact_lock(hashtext('airflow_pgmq.install'));

-- pgmq_extension --
-- Whether the server offers PGMQ as an extension, and which PGMQ this database has.
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pgmq') AS available,
       (SELECT extversion FROM pg_extension WHERE extname = 'pgmq') AS version,
       to_regprocedure('pgmq.send(text,jsonb,jsonb,timestamptz)') IS NOT NULL AS headers;

-- create_extension --
-- Install PGMQ as an extension.
CREATE EXTENSION IF NOT EXISTS pgmq;

-- create_arguments --
-- What `create_queue` is to make: a block takes no parameters.
SELECT set_config('airflow_pgmq.create', jsonb_build_object(
    'queue_name', %(queue_name)s::text, 'unlogged', %(unlogged)s::boolean,
    'partition_interval', %(partition_interval)s::text, 'retention_interval', %(retention_interval)s::text
)::text, true);

-- create_queue --
-- Make a queue, or what is missing of one. Old versions of PGMQ take no lock, and clients that call them none
-- either: who meets another that makes the same queue begins again, behind it.
DO '
DECLARE
    wanted CONSTANT jsonb := current_setting(''airflow_pgmq.create'');
    queue_name CONSTANT text := wanted ->> ''queue_name'';
BEGIN
    FOR attempt IN 1..10 LOOP
        BEGIN
            IF attempt > 1 AND EXISTS (SELECT FROM pgmq.meta WHERE meta.queue_name = wanted ->> ''queue_name'') THEN
                RETURN;
            END IF;
            IF wanted ->> ''partition_interval'' IS NOT NULL THEN
                PERFORM pgmq.create_partitioned(
                    queue_name, wanted ->> ''partition_interval'', wanted ->> ''retention_interval''
                );
            ELSIF (wanted ->> ''unlogged'')::boolean THEN
                PERFORM pgmq.create_unlogged(queue_name);
            ELSE
                PERFORM pgmq.create(queue_name);
            END IF;
            RETURN;
        EXCEPTION WHEN unique_violation OR duplicate_table OR duplicate_object OR internal_error THEN
            IF attempt = 10 THEN
                RAISE;
            END IF;
        END;
    END LOOP;
END';

-- drop_queue --
-- Drop queue and archive; false if there was none.
SELECT pgmq.drop_queue(%(queue_name)s::text) AS dropped;

-- list_queues --
-- All queues.
SELECT queue_name, is_partitioned, is_unlogged, created_at FROM pgmq.list_queues() ORDER BY queue_name;

-- unlist_queue --
-- Take a queue that has no table any more off PGMQ's list, with its archive.
DELETE FROM pgmq.meta WHERE queue_name = %(queue_name)s;

-- drop_archive --
-- The archive of such a queue.
DROP TABLE IF EXISTS {archive};

-- incomplete_queues --
-- Those of the given queues that PGMQ does not list, or that lack their table or their archive.
SELECT * FROM (
    SELECT wanted AS queue_name, EXISTS (SELECT FROM pgmq.meta WHERE meta.queue_name = wanted) AS listed,
           EXISTS (
               SELECT FROM pg_class
               WHERE relnamespace = to_regnamespace('pgmq') AND relname = lower('q_' || wanted)
           ) AS has_table,
           EXISTS (
               SELECT FROM pg_class
               WHERE relnamespace = to_regnamespace('pgmq') AND relname = lower('a_' || wanted)
           ) AS has_archive
    FROM unnest(%(queue_names)s::text[]) AS wanted
) AS asked
WHERE NOT (listed AND has_table AND has_archive);

-- queue_lock --
-- PGMQ's own lock on a queue's shape, until the transaction ends; 1.5 has no function for it yet.
SELECT pg_advisory_xact_lock(hashtext('pgmq.queue_' || %(queue_name)s));

-- has_trigger --
-- Whether our notify trigger stands on the queue's table, and fires.
SELECT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = %(table)s::regclass AND tgname = 'airflow_pgmq_notify' AND tgenabled <> 'D'
) AS present;

-- enable_notify --
-- Announce each inserting statement; a trigger that is disabled fires again.
CREATE OR REPLACE TRIGGER airflow_pgmq_notify AFTER INSERT ON {table} REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION airflow_pgmq.notify_insert();

-- disable_notify --
-- Announce no more.
DROP TRIGGER IF EXISTS airflow_pgmq_notify ON {table};

-- guard_state --
-- The unique index behind dedup_scope 'queued': valid, unique, on the key, for every message with a key;
-- and whether the table could have one at all.
SELECT c.relkind = 'p' AS partitioned,
       i.indexrelid IS NOT NULL AS present,
       coalesce(i.indisvalid AND i.indisunique AND i.indnkeyatts = 1
                AND text.key IN ('(headers ->> ''dedup_key''::text)', 'headers ->> ''dedup_key''::text')
                AND coalesce(text.condition, '(headers ? ''dedup_key''::text)')
                    = '(headers ? ''dedup_key''::text)', false) AS valid
FROM pg_class c
LEFT JOIN pg_index i ON i.indrelid = c.oid
    AND i.indexrelid = to_regclass(%(index)s)
CROSS JOIN LATERAL (
    -- Under quote_all_identifiers these two names stand in quotes.
    SELECT replace(replace(pg_get_indexdef(i.indexrelid, 1, true), '"headers"', 'headers'), '"text"', 'text') AS key,
           replace(replace(pg_get_expr(i.indpred, i.indrelid), '"headers"', 'headers'), '"text"', 'text') AS condition
) AS text
WHERE c.oid = to_regclass(%(table)s);

-- create_guard --
-- The unique index behind dedup_scope 'queued'; partial, so that messages without a key cost nothing.
CREATE UNIQUE INDEX {index_name} ON {table} ((headers ->> 'dedup_key')) WHERE headers ? 'dedup_key';

-- drop_guard --
-- Remove an index that a failed concurrent build left invalid.
DROP INDEX {index};

-- send_plain --
-- Messages without a key, ids in the order of the call.
INSERT INTO {table} (vt, message, headers)
SELECT coalesce(i.instant, statement_timestamp() + make_interval(secs => coalesce(i.seconds, 0))),
       i.message::jsonb,
       nullif(%(common_headers)s::jsonb || coalesce(i.headers::jsonb, '{{}}'), '{{}}')
FROM unnest(string_to_array(%(messages)s::text, E'\n'), %(headers)b::text[], %(seconds)b::float8[],
            %(instants)b::timestamptz[])
     WITH ORDINALITY AS i (message, headers, seconds, instant, position)
ORDER BY i.position
RETURNING msg_id;

-- send_once --
-- Claim keys in the ledger and insert their messages, in one statement. Keys known to be taken cost an
-- index look-up and burn no id. Claims are made in key order (no deadlock), ids given in the call's order.
-- A key without an answer lost a race that this snapshot cannot see: ask again. Answers are arrays, because
-- a row for each message costs the driver twice as much. Nothing is done, and `unsettled` is the answer,
-- where the ledger speaks of another incarnation of the queue, or this code is too old. `stored` is how many were really inserted: a
-- trigger can swallow them.
WITH mark AS MATERIALIZED (
    SELECT incarnation FROM airflow_pgmq.incarnation_of(%(queue_name)s::text, %(relation)s::text)
    WHERE NOT EXISTS (SELECT FROM airflow_pgmq.migrations WHERE oldest_code > %(code)s)
), input AS MATERIALIZED (
    SELECT i.position, i.key COLLATE "C" AS key, i.message, i.headers, mark.incarnation,
           coalesce(i.instant, statement_timestamp() + make_interval(secs => coalesce(i.seconds, 0))) AS vt,
           taken.msg_id, taken.first_at, taken.msg_id IS NULL AS free
    FROM mark CROSS JOIN unnest(%(keys)b::text[], string_to_array(%(messages)s::text, E'\n'), %(headers)b::text[],
                %(seconds)b::float8[], %(instants)b::timestamptz[])
         WITH ORDINALITY AS i (key, message, headers, seconds, instant, position)
    LEFT JOIN LATERAL (
        -- LIMIT makes it a look-up per key: a plain join is planned as a scan of the whole ledger.
        SELECT msg_id, first_at FROM airflow_pgmq.dedup_ledger
        WHERE queue_name = %(queue_name)s AND dedup_key = i.key COLLATE "C"
            AND expires_at > statement_timestamp() AND incarnation = mark.incarnation
        LIMIT 1
    ) AS taken ON true
), fresh AS MATERIALIZED (
    SELECT key, message, headers, vt, incarnation, nextval(%(sequence)s::regclass) AS msg_id
    FROM (SELECT * FROM input WHERE free ORDER BY position) AS ordered
), claimed AS (
    INSERT INTO airflow_pgmq.dedup_ledger AS taken
        (queue_name, dedup_key, msg_id, first_at, expires_at, incarnation)
    SELECT %(queue_name)s, key, msg_id, statement_timestamp(),
           greatest(vt, statement_timestamp()) + %(window)s::interval, incarnation
    FROM fresh ORDER BY key
    ON CONFLICT (queue_name, dedup_key) DO UPDATE
        SET msg_id = excluded.msg_id, first_at = excluded.first_at, expires_at = excluded.expires_at,
            incarnation = excluded.incarnation
        WHERE taken.expires_at <= statement_timestamp() OR taken.incarnation <> excluded.incarnation
    RETURNING taken.dedup_key AS key, taken.msg_id
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT fresh.msg_id, fresh.vt, fresh.message::jsonb,
           %(common_headers)s::jsonb || coalesce(fresh.headers::jsonb, '{{}}')
               || jsonb_build_object('dedup_key', fresh.key)
    FROM fresh JOIN claimed USING (msg_id) ORDER BY fresh.msg_id
    RETURNING 1
)
SELECT 'duplicate' AS status, first_at, array_agg(key) AS keys, array_agg(msg_id) AS msg_ids, 0 AS stored
FROM input WHERE NOT free GROUP BY first_at
UNION ALL
SELECT 'sent', statement_timestamp(), array_agg(key), array_agg(msg_id), (SELECT count(*) FROM sent)
FROM claimed HAVING count(*) > 0
UNION ALL
SELECT 'unsettled', NULL, NULL, NULL, 0 WHERE NOT EXISTS (SELECT FROM mark);

-- send_new --
-- The same for many keys that are probably all new, without the third of send_once's time that ON CONFLICT
-- and the answer to it take. A key that another transaction takes meanwhile is a unique violation here, so
-- send_once must run instead; so it must where a key is past its window or of another incarnation, and then
-- nothing is sent here. Keys travel as lines, too. The ids of what was sent are in the order of the call's
-- keys that were free.
WITH mark AS MATERIALIZED (
    SELECT incarnation FROM airflow_pgmq.incarnation_of(%(queue_name)s::text, %(relation)s::text)
    WHERE NOT EXISTS (SELECT FROM airflow_pgmq.migrations WHERE oldest_code > %(code)s)
), asked AS MATERIALIZED (
    SELECT string_to_array(%(lines)s::text, E'\n') AS keys, incarnation FROM mark
), taken AS MATERIALIZED (
    SELECT found.dedup_key AS key, found.msg_id, found.first_at,
           found.expires_at > statement_timestamp() AND found.incarnation = asked.incarnation AS holds
    FROM asked CROSS JOIN LATERAL (
        -- One scan of the index for all; the planner must not see how many they are, or it scans the ledger.
        SELECT dedup_key, msg_id, first_at, expires_at, incarnation FROM airflow_pgmq.dedup_ledger
        WHERE queue_name = %(queue_name)s AND dedup_key = ANY (asked.keys COLLATE "C")
    ) AS found
), fresh AS MATERIALIZED (
    SELECT position, key, message, headers, vt, incarnation, nextval(%(sequence)s::regclass) AS msg_id
    FROM (
        SELECT i.position, i.key COLLATE "C" AS key, i.message, i.headers, asked.incarnation,
               coalesce(i.instant, statement_timestamp() + make_interval(secs => coalesce(i.seconds, 0))) AS vt
        FROM asked CROSS JOIN LATERAL unnest(asked.keys, string_to_array(%(messages)s::text, E'\n'),
                    %(headers)b::text[], %(seconds)b::float8[], %(instants)b::timestamptz[])
             WITH ORDINALITY AS i (key, message, headers, seconds, instant, position)
        WHERE NOT EXISTS (SELECT FROM taken WHERE taken.key = i.key COLLATE "C")
            AND NOT EXISTS (SELECT FROM taken WHERE NOT holds)
        ORDER BY position
    ) AS ordered
), claimed AS (
    INSERT INTO airflow_pgmq.dedup_ledger (queue_name, dedup_key, msg_id, first_at, expires_at, incarnation)
    SELECT %(queue_name)s, key, msg_id, statement_timestamp(),
           greatest(vt, statement_timestamp()) + %(window)s::interval, incarnation
    FROM fresh ORDER BY key
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT msg_id, vt, message::jsonb,
           %(common_headers)s::jsonb || coalesce(headers::jsonb, '{{}}') || jsonb_build_object('dedup_key', key)
    FROM fresh ORDER BY msg_id
    RETURNING 1
)
SELECT 'duplicate' AS status, first_at, array_agg(key) AS keys, array_agg(msg_id) AS msg_ids, 0 AS stored
FROM taken WHERE holds GROUP BY first_at
UNION ALL
SELECT 'sent', statement_timestamp(), NULL, array_agg(msg_id ORDER BY msg_id), (SELECT count(*) FROM sent)
FROM fresh HAVING count(*) > 0
UNION ALL
SELECT 'unsettled', NULL, NULL, NULL, 0 WHERE NOT EXISTS (SELECT FROM mark);

-- send_slots --
-- The twin of `send_once` for the slots of periodic jobs, whose place is not the ledger: whatever queue a slot
-- was sent to, it is sent once. Its clock is the transaction's. A slot whose message was lost is free.
WITH mark AS MATERIALIZED (
    SELECT incarnation FROM airflow_pgmq.incarnation_of(%(queue_name)s::text, %(relation)s::text)
    WHERE NOT EXISTS (SELECT FROM airflow_pgmq.migrations WHERE oldest_code > %(code)s)
), input AS MATERIALIZED (
    SELECT i.position, i.name COLLATE "C" AS name, i.slot, i.message, i.headers, i.vt, mark.incarnation,
           taken.msg_id, taken.first_at, taken.msg_id IS NULL AS free
    FROM mark CROSS JOIN unnest(%(names)b::text[], %(slots)b::timestamptz[],
                string_to_array(%(messages)s::text, E'\n'), %(headers)b::text[], %(instants)b::timestamptz[])
         WITH ORDINALITY AS i (name, slot, message, headers, vt, position)
    LEFT JOIN LATERAL (
        SELECT msg_id, first_at FROM airflow_pgmq.slots
        WHERE namespace = %(namespace)s AND name = i.name COLLATE "C" AND slot = i.slot
            AND expires_at > %(now)s AND msg_id IS NOT NULL
        LIMIT 1
    ) AS taken ON true
), fresh AS MATERIALIZED (
    SELECT position, name, slot, message, headers, vt, incarnation, nextval(%(sequence)s::regclass) AS msg_id
    FROM (SELECT * FROM input WHERE free ORDER BY position) AS ordered
), claimed AS (
    INSERT INTO airflow_pgmq.slots AS taken
        (namespace, name, slot, queue_name, incarnation, msg_id, visible_at, first_at, expires_at)
    SELECT %(namespace)s, name, slot, %(queue_name)s, incarnation, msg_id, vt, %(now)s,
           greatest(vt, %(now)s) + %(window)s::interval
    FROM fresh ORDER BY name, slot
    ON CONFLICT (namespace, name, slot) DO UPDATE
        SET queue_name = excluded.queue_name, incarnation = excluded.incarnation, msg_id = excluded.msg_id,
            visible_at = excluded.visible_at, first_at = excluded.first_at, expires_at = excluded.expires_at,
            repeats = 0
        WHERE taken.expires_at <= %(now)s OR taken.msg_id IS NULL
    RETURNING taken.msg_id
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT fresh.msg_id, fresh.vt, fresh.message::jsonb, fresh.headers::jsonb
    FROM fresh JOIN claimed USING (msg_id) ORDER BY fresh.msg_id
    RETURNING 1
)
SELECT 'duplicate' AS status, first_at, array_agg(position) AS positions, array_agg(msg_id) AS msg_ids, 0 AS stored
FROM input WHERE NOT free GROUP BY first_at
UNION ALL
SELECT 'sent', %(now)s, array_agg(fresh.position), array_agg(fresh.msg_id), (SELECT count(*) FROM sent)
FROM fresh JOIN claimed USING (msg_id) HAVING count(*) > 0
UNION ALL
SELECT 'unsettled', NULL, NULL, NULL, 0 WHERE NOT EXISTS (SELECT FROM mark);

-- mark_lock --
-- One at a time settles which incarnation of a queue is there; held until its transaction ends.
SELECT pg_advisory_xact_lock(hashtext('airflow_pgmq.queue_' || %(queue_name)s));

-- queue_mark --
-- What is there of a queue, and by what it was known: no row, no queue. It is settled if a claim would find it so.
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
-- Whether the ledger or a slot speaks of an id that the queue has not given yet.
SELECT EXISTS (
    SELECT FROM airflow_pgmq.dedup_ledger
    WHERE queue_name = %(queue_name)s AND incarnation = %(incarnation)s AND msg_id > %(last_id)s
) OR EXISTS (
    SELECT FROM airflow_pgmq.slots
    WHERE queue_name = %(queue_name)s AND incarnation = %(incarnation)s AND msg_id > %(last_id)s
) AS later;

-- pass_archive --
-- Let the ids of a queue that was made again begin after those of its archive, which a crash does not empty:
-- an archive has one message of each id, so acks would fail. Where the role may.
SELECT setval(%(sequence)s::regclass, highest)
FROM (SELECT max(msg_id) AS highest FROM {archive}) AS archived
WHERE CASE WHEN has_sequence_privilege(%(sequence)s, 'UPDATE')
           THEN highest > coalesce(pg_sequence_last_value(%(sequence)s::regclass), 0) END;

-- keep_mark --
-- From now on, this is the queue that the ledger and the slots speak of. Reborn when: at its new creation, or
-- where that tells nothing, now.
WITH kept AS (
    INSERT INTO airflow_pgmq.queues AS known (queue_name, created_at, relation, unlogged, incarnation)
    SELECT %(queue_name)s, coalesce(meta.created_at, '-infinity'), c.oid, c.relpersistence = 'u',
           CASE WHEN %(reborn)s THEN nextval('airflow_pgmq.incarnations')
                ELSE coalesce(%(incarnation)s::bigint, 0) END
    FROM pg_class AS c
    LEFT JOIN pgmq.meta ON meta.queue_name = %(queue_name)s
    WHERE c.oid = to_regclass(%(relation)s)
    ON CONFLICT (queue_name) DO UPDATE
    SET created_at = excluded.created_at, relation = excluded.relation, unlogged = excluded.unlogged,
        incarnation = excluded.incarnation,
        reborn_at = CASE WHEN NOT %(reborn)s THEN known.reborn_at
                         WHEN known.created_at <> excluded.created_at AND isfinite(excluded.created_at)
                             THEN excluded.created_at
                         ELSE clock_timestamp() END
    RETURNING queue_name, created_at, relation, incarnation
)
INSERT INTO airflow_pgmq.queue_marks (queue_name, created_at, relation, incarnation) SELECT * FROM kept
ON CONFLICT (queue_name) DO UPDATE
SET created_at = excluded.created_at, relation = excluded.relation, incarnation = excluded.incarnation;

-- in_recovery --
-- Whether this is a standby, which lets nobody look at unlogged tables.
SELECT pg_is_in_recovery() AS standby;

-- reborn_queues --
-- Queues that are not the ones that are known, and those of which that was found out not long ago. A crash
-- empties marks and unlogged queues; others are the same as before.
SELECT known.queue_name, known.reborn_at, same.settled
FROM airflow_pgmq.queues AS known
JOIN pg_class AS c ON c.relname = lower('q_' || known.queue_name) AND c.relnamespace = to_regnamespace('pgmq')
LEFT JOIN pgmq.meta ON meta.queue_name = known.queue_name
LEFT JOIN airflow_pgmq.queue_marks AS mark
    ON mark.queue_name = known.queue_name AND mark.incarnation = known.incarnation
CROSS JOIN LATERAL (
    SELECT known.relation = c.oid AND known.created_at = coalesce(meta.created_at, '-infinity')
        AND (mark.queue_name IS NOT NULL OR c.relpersistence <> 'u') AS settled
) AS same
WHERE (NOT same.settled OR known.reborn_at > statement_timestamp() - make_interval(secs => %(seconds)s))
    AND known.queue_name = coalesce(%(queue_name)s, known.queue_name)
ORDER BY known.queue_name;

-- queue_standings --
-- For each queue whether it exists, and whether its incarnation is the one that is known.
SELECT wanted.queue_name, meta.queue_name IS NOT NULL AS exists, mark.incarnation IS NOT NULL AS settled
FROM unnest(%(queue_names)s::text[], %(relations)s::text[]) AS wanted (queue_name, relation)
LEFT JOIN pgmq.meta ON meta.queue_name = wanted.queue_name
LEFT JOIN LATERAL airflow_pgmq.incarnation_of(wanted.queue_name, wanted.relation) AS mark ON true;

-- send_queued --
-- Insert messages whose key is not in the queue now. The conflict target names the guard's expression, so
-- the statement fails where the index is missing instead of sending duplicates. The rest as in send_once.
WITH input AS MATERIALIZED (
    SELECT i.position, i.key COLLATE "C" AS key, i.message, i.headers,
           coalesce(i.instant, statement_timestamp() + make_interval(secs => coalesce(i.seconds, 0))) AS vt,
           waiting.msg_id, waiting.first_at, waiting.msg_id IS NULL AS free
    FROM unnest(%(keys)b::text[], string_to_array(%(messages)s::text, E'\n'), %(headers)b::text[],
                %(seconds)b::float8[], %(instants)b::timestamptz[])
         WITH ORDINALITY AS i (key, message, headers, seconds, instant, position)
    LEFT JOIN LATERAL (
        -- The collation is the index's; with another one it would not be used.
        SELECT msg_id, enqueued_at AS first_at FROM {table}
        WHERE headers ->> 'dedup_key' = i.key COLLATE "default" AND headers ? 'dedup_key'
        LIMIT 1
    ) AS waiting ON true
), fresh AS MATERIALIZED (
    SELECT key, message, headers, vt, nextval(%(sequence)s::regclass) AS msg_id
    FROM (SELECT * FROM input WHERE free ORDER BY position) AS ordered
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT msg_id, vt, message::jsonb,
           %(common_headers)s::jsonb || coalesce(headers::jsonb, '{{}}') || jsonb_build_object('dedup_key', key)
    FROM fresh ORDER BY key
    ON CONFLICT ((headers ->> 'dedup_key')) WHERE headers ? 'dedup_key' DO NOTHING
    RETURNING msg_id
)
SELECT 'duplicate' AS status, first_at, array_agg(key) AS keys, array_agg(msg_id) AS msg_ids, 0 AS stored
FROM input WHERE NOT free GROUP BY first_at
UNION ALL
SELECT 'sent', statement_timestamp(), array_agg(key), array_agg(msg_id), count(*)
FROM fresh JOIN sent USING (msg_id) HAVING count(*) > 0;

-- replace --
-- Give messages that wait unread a new payload and time; rows are locked in key order. What is gone or
-- was read already is left alone and not returned.
WITH input AS MATERIALIZED (
    SELECT i.key COLLATE "C" AS key, i.msg_id, i.message, i.headers,
           coalesce(i.instant, statement_timestamp() + make_interval(secs => coalesce(i.seconds, 0))) AS vt
    FROM unnest(%(keys)b::text[], %(msg_ids)b::bigint[], string_to_array(%(messages)s::text, E'\n'),
                %(headers)b::text[], %(seconds)b::float8[], %(instants)b::timestamptz[])
         AS i (key, msg_id, message, headers, seconds, instant)
), locked AS MATERIALIZED (
    SELECT waiting.msg_id, input.key
    FROM {table} AS waiting JOIN input USING (msg_id)
    WHERE waiting.read_ct = 0 AND waiting.headers ->> 'dedup_key' = input.key
    ORDER BY input.key FOR UPDATE OF waiting
)
UPDATE {table} AS waiting
SET vt = input.vt, message = input.message::jsonb,
    headers = %(common_headers)s::jsonb || coalesce(input.headers::jsonb, '{{}}')
                  || jsonb_build_object('dedup_key', input.key)
FROM input JOIN locked USING (msg_id)
WHERE waiting.msg_id = input.msg_id AND waiting.read_ct = 0
RETURNING input.key, waiting.msg_id;

-- cancel --
-- Take unread messages with the given keys out of the queue and into its archive. Their keys stay taken.
SELECT archived.msg_id FROM pgmq.archive(%(queue_name)s::text, ARRAY(
    SELECT waiting.msg_id FROM {table} AS waiting
    WHERE waiting.headers ? 'dedup_key' AND waiting.headers ->> 'dedup_key' = ANY (%(keys)s::text[])
        AND waiting.read_ct = 0
    FOR UPDATE SKIP LOCKED
)) AS archived (msg_id);

-- read --
-- Read through PGMQ's own function.
SELECT * FROM pgmq.read(%(queue_name)s::text, %(visibility_timeout)s::integer, %(max_messages)s::integer,
                        coalesce(%(condition)s::jsonb, '{{}}'));

-- read_by_headers --
-- Read with a condition on the headers, which PGMQ's function does not know.
UPDATE {table} AS chosen
SET vt = clock_timestamp() + make_interval(secs => %(visibility_timeout)s), read_ct = chosen.read_ct + 1
FROM (
    SELECT msg_id FROM {table} AS held, <<asked>>
    WHERE vt <= clock_timestamp() AND <<matches>>
    ORDER BY msg_id LIMIT %(max_messages)s FOR UPDATE OF held SKIP LOCKED
) AS visible
WHERE chosen.msg_id = visible.msg_id
RETURNING chosen.*;

-- read_for_work --
-- Read a batch of messages that nobody has tried before, or one that somebody has: a message that kills its
-- readers costs no other message a try.
WITH visible AS MATERIALIZED (
    SELECT msg_id, <<tries>> AS tries FROM {table} AS held, <<asked>>
    WHERE vt <= clock_timestamp() AND <<matches>>
    ORDER BY msg_id LIMIT %(max_messages)s FOR UPDATE OF held SKIP LOCKED
), first AS (
    SELECT msg_id, tries FROM visible ORDER BY msg_id LIMIT 1
)
UPDATE {table} AS chosen
SET vt = clock_timestamp() + make_interval(secs => %(visibility_timeout)s), read_ct = chosen.read_ct + 1
WHERE chosen.msg_id = ANY (ARRAY(
    SELECT visible.msg_id FROM visible, first
    WHERE visible.msg_id = first.msg_id OR (visible.tries = 0 AND first.tries = 0)
))
RETURNING chosen.*;

-- read_for_events --
-- Read for asset events. The more often the oldest message was tried before, the fewer are read with it: if
-- one of them ends the reader, it is alone in the end, and the others do not share its fate.
WITH visible AS MATERIALIZED (
    SELECT msg_id, <<tries>> AS tries FROM {table} AS held
    WHERE vt <= clock_timestamp()
    ORDER BY msg_id LIMIT %(max_messages)s FOR UPDATE SKIP LOCKED
), first AS (
    SELECT tries FROM visible ORDER BY msg_id LIMIT 1
), size AS (
    SELECT greatest(1, %(max_messages)s::integer >> least(30, greatest(0, tries - %(calm)s::integer + 1))) AS size
    FROM first
)
UPDATE {table} AS chosen
SET vt = clock_timestamp() + make_interval(secs => %(visibility_timeout)s), read_ct = chosen.read_ct + 1
WHERE chosen.msg_id = ANY (ARRAY(
    SELECT visible.msg_id FROM visible, first
    WHERE visible.tries <= greatest(first.tries, %(calm)s - 1)
    ORDER BY visible.msg_id LIMIT (SELECT size FROM size)
))
RETURNING chosen.*;

-- visible --
-- How many matching messages a read would return now, counted up to a limit. Reads nothing.
SELECT count(*) AS visible FROM (
    SELECT FROM {table} AS held, <<asked>>
    WHERE vt <= clock_timestamp() AND <<matches>>
    LIMIT %(limit)s
) AS matching;

-- by_id --
-- Messages by their ids, in the queue or archived. Reads nothing.
SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM {table} WHERE msg_id = ANY (%(msg_ids)s::bigint[])
UNION ALL
SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM {archive} WHERE msg_id = ANY (%(msg_ids)s::bigint[]);

-- look --
-- For each asked condition, how many matching messages of the queue are visible, counted up to a limit; when
-- the next one becomes visible; whether inserts are announced; how long it took. Reads nothing. No
-- clock_timestamp() to compare with: only what is stable within the statement lets the index on vt serve.
SELECT asked.position, seen.visible, seen.oldest, seen.waited, upcoming.next_in, upcoming.announced,
       extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 AS took
FROM unnest(%(positions)s::integer[], %(conditions)s::jsonb[], %(headers_conditions)s::jsonb[], %(limits)s::integer[])
    AS asked (position, condition, headers_condition, most)
CROSS JOIN LATERAL (
    -- Postgres before 17 takes nothing from infinity.
    SELECT count(*) AS visible, min(enqueued_at) FILTER (WHERE isfinite(enqueued_at)) AS oldest,
           coalesce(extract(epoch FROM statement_timestamp() - min(vt) FILTER (WHERE isfinite(vt)))::float8, 0)
               AS waited
    FROM (
        SELECT enqueued_at, vt FROM {table} AS held
        WHERE vt <= statement_timestamp() AND <<matches>>
        ORDER BY vt LIMIT asked.most
    ) AS matching
) AS seen
CROSS JOIN (
    SELECT extract(epoch FROM least(min(vt), statement_timestamp() + interval '24 hours')
                              - statement_timestamp())::float8 AS next_in,
           EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(%(quoted_table)s) AND tgenabled <> 'D'
                   AND tgname = ANY (%(announcers)s::text[])) AS announced
    FROM {table} WHERE vt > statement_timestamp()
) AS upcoming;

-- sight --
-- What tells whether the messages that are asked for are being worked on: how many are visible, counted up to a
-- limit, which of them the next reader gets, and which are held by readers: read, hidden, and not given back. Of
-- the hidden ones only the first are looked through, as there may be millions with a delay.
WITH visible AS MATERIALIZED (
    SELECT held.msg_id, held.read_ct, held.enqueued_at FROM {table} AS held CROSS JOIN <<asked>>
    WHERE held.vt <= statement_timestamp() AND <<matches>> ORDER BY held.vt LIMIT %(limit)s
), hidden AS NOT MATERIALIZED (
    SELECT held.msg_id, held.vt, held.read_ct, held.message, held.headers FROM {table} AS held
    WHERE held.vt > statement_timestamp() ORDER BY held.vt LIMIT %(hidden)s
), held AS (
    SELECT count(*) AS count, max(held.vt) FILTER (WHERE isfinite(held.vt)) AS until FROM hidden AS held CROSS JOIN <<asked>>
    WHERE held.read_ct > 0 AND (held.headers -> 'released_read') IS DISTINCT FROM jsonb_build_array(held.msg_id, held.read_ct)
          AND <<matches>>
)
SELECT (SELECT count(*) FROM visible) AS visible,
       (SELECT min(enqueued_at) FILTER (WHERE isfinite(enqueued_at)) FROM visible) AS oldest,
       head.msg_id, head.read_ct, held.count AS held, held.until
FROM held LEFT JOIN (SELECT msg_id, read_ct FROM visible ORDER BY msg_id LIMIT 1) AS head ON true;

-- listen --
-- Hear a channel.
LISTEN {channel};

-- unlisten --
-- Hear a channel no more.
UNLISTEN {channel};

-- announce --
-- An empty notification, as a queue's trigger sends it.
SELECT pg_notify(%(channel)s, '');

-- alive --
-- Nothing but an answer.
SELECT true AS alive;

-- pop --
-- Read and delete at once: a crash of the reader loses the messages.
SELECT * FROM pgmq.pop(%(queue_name)s::text);

-- pop_many --
-- The same for several messages (PGMQ 1.7 and newer).
SELECT * FROM pgmq.pop(%(queue_name)s::text, %(max_messages)s::integer);

-- archive --
-- Archive messages that nobody else has read since; returns the ids that were ours to archive.
SELECT done.msg_id FROM pgmq.archive(%(queue_name)s::text, ARRAY(
    SELECT held.msg_id FROM {table} AS held
    JOIN <<fences>> AS fence (msg_id, read_ct, enqueued_at) USING (msg_id)
    WHERE <<is_ours>> FOR UPDATE OF held
)) AS done (msg_id);

-- make_way --
-- Give archived messages whose ids the queue has again other ones, below zero, which no sequence gives: those of
-- the queue can be archived then. How many there were.
WITH moved AS (
    UPDATE {archive} AS old SET msg_id = least((SELECT min(msg_id) FROM {archive}), 0) - twice.position
    FROM (
        SELECT msg_id, row_number() OVER () AS position
        FROM {table} JOIN {archive} USING (msg_id)
        WHERE %(msg_ids)s::bigint[] IS NULL OR msg_id = ANY (%(msg_ids)s::bigint[])
    ) AS twice
    WHERE old.msg_id = twice.msg_id
    RETURNING old.msg_id
)
SELECT count(*) AS moved FROM moved;

-- delete --
-- Delete messages that nobody else has read since.
SELECT done.msg_id FROM pgmq.delete(%(queue_name)s::text, ARRAY(
    SELECT held.msg_id FROM {table} AS held
    JOIN <<fences>> AS fence (msg_id, read_ct, enqueued_at) USING (msg_id)
    WHERE <<is_ours>> FOR UPDATE OF held
)) AS done (msg_id);

-- set_vt --
-- Move the time at which held messages become visible, if nobody else has read them since. Waiters have a
-- timer set to the old time, so an earlier one is announced.
UPDATE {table} AS held SET vt = coalesce(%(instant)s::timestamptz, clock_timestamp() + make_interval(secs => %(seconds)s))
FROM (
    SELECT msg_id, vt FROM {table} AS held
    JOIN <<fences>> AS fence (msg_id, read_ct, enqueued_at) USING (msg_id)
    WHERE <<is_ours>> FOR UPDATE OF held
) AS was
WHERE held.msg_id = was.msg_id
RETURNING held.msg_id, CASE WHEN held.vt < was.vt THEN pg_notify(%(channel)s, '') END AS announced;

-- release_each --
-- Give back messages, each after a delay of its own, if nobody else has read them since. Of those that nobody
-- has tried, the header `untried` counts it; its reader says how many there are then (0: one more), so that a read
-- counts once. Of those that are hidden from now on, the header `released_read` says which read it was (id and read_ct): nobody holds them.
-- An earlier time than the timeout's is announced to waiters.
UPDATE {table} AS held
SET vt = was.back_at,
    headers = CASE WHEN coalesce(jsonb_typeof(held.headers), 'null') IN ('object', 'null')
                        AND (was.untried IS NOT NULL OR was.back_at > clock_timestamp())
                   THEN coalesce(nullif(held.headers, 'null'), '{{}}')
                       || CASE WHEN was.untried IS NULL THEN '{{}}' ELSE jsonb_build_object('untried',
                              coalesce(nullif(was.untried, 0), least(held.read_ct - <<tries>> + 1, held.read_ct))) END
                       || CASE WHEN was.back_at > clock_timestamp()
                               THEN jsonb_build_object('released_read', jsonb_build_array(held.msg_id, held.read_ct)) ELSE '{{}}' END
                   ELSE held.headers END
FROM (
    SELECT msg_id, held.vt, fence.untried,
           coalesce(fence.instant, clock_timestamp() + make_interval(secs => fence.seconds)) AS back_at
    FROM {table} AS held
    JOIN ROWS FROM (<<fences>>, unnest(%(seconds)s::float8[], %(instants)s::timestamptz[], %(untried)s::integer[]))
         AS fence (msg_id, read_ct, enqueued_at, seconds, instant, untried) USING (msg_id)
    WHERE <<is_ours>> FOR UPDATE OF held
) AS was
WHERE held.msg_id = was.msg_id
RETURNING held.msg_id, CASE WHEN held.vt < was.vt THEN pg_notify(%(channel)s, '') END AS announced;

-- settled --
-- Of messages that an ack did not find: those that an earlier attempt of it must have settled, its answer lost.
-- They are in the archive as they were read, or are gone where they were not to be archived.
SELECT fence.msg_id FROM <<fences>> AS fence (msg_id, read_ct, enqueued_at)
WHERE CASE WHEN %(archived)s
           THEN EXISTS (SELECT FROM {archive} AS held WHERE held.msg_id = fence.msg_id AND <<is_ours>>)
           ELSE NOT EXISTS (SELECT FROM {table} AS held WHERE held.msg_id = fence.msg_id) END;

-- dead_letter --
-- Move messages into the dead letter queue, if nobody else has read them since. Where they come from and
-- why they died is in the header `dead_letter`. So is their dedup key where a unique index might refuse it: the
-- same key may die more than once.
WITH taken AS (
    DELETE FROM {table} AS held
    USING ROWS FROM (<<fences>>, unnest(%(reasons)b::text[]))
          AS fence (msg_id, read_ct, enqueued_at, reason)
    WHERE held.msg_id = fence.msg_id AND <<is_ours>>
    RETURNING held.msg_id, held.read_ct, <<tries>> AS tries, held.enqueued_at, held.message, fence.reason,
              CASE WHEN jsonb_typeof(held.headers) = 'object' THEN held.headers - ARRAY['untried', 'released_read'] ELSE '{{}}' END AS headers
), letter AS (
    SELECT msg_id, tries, message, headers,
           EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass(%(quoted_dead_letters)s)
                   AND indisunique AND NOT indisprimary) AS guarded,
           coalesce(headers -> 'dedup_key', headers -> 'dead_letter' -> 'dedup_key') AS dedup_key,
           jsonb_build_object('queue', %(queue_name)s::text, 'msg_id', msg_id, 'read_ct', read_ct,
                              'tries', tries, 'enqueued_at', to_char(enqueued_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.USZ'),
                              'reason', reason) AS of
    FROM taken
), moved AS (
    INSERT INTO {dead_letters} (vt, message, headers)
    SELECT clock_timestamp(), message,
           CASE WHEN guarded THEN headers - 'dedup_key' ELSE headers END
               || jsonb_build_object('dead_letter', of || CASE
                   WHEN dedup_key IS NULL OR (headers ? 'dedup_key' AND NOT guarded) THEN '{{}}'
                   ELSE jsonb_build_object('dedup_key', dedup_key) END)
    FROM letter ORDER BY msg_id
)
SELECT msg_id FROM taken ORDER BY msg_id;

-- requeue_dead_letters --
-- Bring dead letters back as new messages: headers as they were, unread, with their first enqueued_at.
-- One whose dedup key is in the queue again (scope `queued`) stays where it is.
WITH chosen AS MATERIALIZED (
    SELECT msg_id, message, headers FROM {source} AS held, <<asked>>
    WHERE vt <= clock_timestamp()
        AND coalesce(headers -> 'dead_letter' ->> 'queue', %(queue_name)s) = %(queue_name)s
        AND (%(msg_ids)s::bigint[] IS NULL OR msg_id = ANY (%(msg_ids)s::bigint[]))
        AND <<matches>>
    ORDER BY msg_id LIMIT %(limit)s FOR UPDATE OF held SKIP LOCKED
), fresh AS MATERIALIZED (
    SELECT chosen.*, nextval(%(sequence)s::regclass) AS new_id FROM chosen ORDER BY msg_id
), sent AS (
    INSERT INTO {table} (msg_id, vt, enqueued_at, message, headers) OVERRIDING SYSTEM VALUE
    SELECT new_id, coalesce(%(instant)s::timestamptz, clock_timestamp() + make_interval(secs => %(seconds)s)),
           -- Anybody may write that header; a path, unlike a cast, fails for no value.
           least(greatest((jsonb_path_query_first_tz(
               headers, '$.dead_letter.enqueued_at.datetime() ? (@.type() == "timestamp with time zone")', '{{}}', true
           ) #>> '{{}}')::timestamptz, 'epoch'), clock_timestamp()),
           message,
           CASE WHEN jsonb_typeof(headers) = 'object'
                THEN nullif(headers - 'dead_letter' || CASE WHEN headers -> 'dead_letter' ->> 'dedup_key' IS NULL
                                THEN '{{}}'
                                ELSE jsonb_build_object('dedup_key', headers -> 'dead_letter' -> 'dedup_key') END,
                            '{{}}')
                ELSE headers END
    FROM fresh ORDER BY new_id
    ON CONFLICT DO NOTHING
    RETURNING msg_id
)
DELETE FROM {source} AS gone USING fresh, sent
WHERE gone.msg_id = fresh.msg_id AND fresh.new_id = sent.msg_id
RETURNING gone.msg_id, fresh.new_id;

-- requeue_archive --
-- The same for messages that were archived.
WITH chosen AS MATERIALIZED (
    SELECT msg_id, enqueued_at, message, headers FROM {source} AS held, <<asked>>
    WHERE (%(msg_ids)s::bigint[] IS NULL OR msg_id = ANY (%(msg_ids)s::bigint[]))
        AND <<matches>>
    ORDER BY msg_id LIMIT %(limit)s FOR UPDATE OF held SKIP LOCKED
), fresh AS MATERIALIZED (
    SELECT chosen.*, nextval(%(sequence)s::regclass) AS new_id FROM chosen ORDER BY msg_id
), sent AS (
    INSERT INTO {table} (msg_id, vt, enqueued_at, message, headers) OVERRIDING SYSTEM VALUE
    SELECT new_id, coalesce(%(instant)s::timestamptz, clock_timestamp() + make_interval(secs => %(seconds)s)),
           enqueued_at, message, CASE WHEN jsonb_typeof(headers) = 'object' THEN headers - ARRAY['untried', 'released_read'] ELSE headers END
    FROM fresh ORDER BY new_id
    ON CONFLICT DO NOTHING
    RETURNING msg_id
)
DELETE FROM {source} AS gone USING fresh, sent
WHERE gone.msg_id = fresh.msg_id AND fresh.new_id = sent.msg_id
RETURNING gone.msg_id, fresh.new_id;

-- purge --
-- Remove every message, in-flight ones too.
SELECT pgmq.purge_queue(%(queue_name)s::text) AS purged;

-- metrics --
-- What `pgmq.metrics` counts of one queue, which fails for a queue with a message of `infinity`.
SELECT %(queue_name)s::text AS queue_name, seen.queue_length, seen.queue_visible_length,
       extract(epoch FROM statement_timestamp() - seen.newest)::bigint AS newest_msg_age_sec,
       extract(epoch FROM statement_timestamp() - seen.oldest)::bigint AS oldest_msg_age_sec,
       CASE WHEN ids.is_called THEN ids.last_value ELSE 0 END AS total_messages,
       statement_timestamp() AS scrape_time
FROM (
    SELECT count(*) AS queue_length, count(*) FILTER (WHERE vt <= statement_timestamp()) AS queue_visible_length,
           max(enqueued_at) FILTER (WHERE isfinite(enqueued_at)) AS newest,
           min(enqueued_at) FILTER (WHERE isfinite(enqueued_at)) AS oldest
    FROM {table}
) AS seen CROSS JOIN {sequence} AS ids;

-- bind_topic --
-- Route messages whose key matches the pattern to the queue.
SELECT pgmq.bind_topic(%(pattern)s::text, %(queue_name)s::text);

-- unbind_topic --
-- Undo a binding.
SELECT pgmq.unbind_topic(%(pattern)s::text, %(queue_name)s::text) AS unbound;

-- topics --
-- All bindings.
SELECT pattern, queue_name, bound_at FROM pgmq.list_topic_bindings() ORDER BY pattern, queue_name;

-- send_topic --
-- Send to every queue bound to the key; returns how many.
SELECT pgmq.send_topic(%(routing_key)s::text, %(message)s::jsonb, %(headers)s::jsonb, %(seconds)s::integer) AS queues;

-- prune_ledger --
-- Remove expired ledger rows from a stretch of the table that begins anywhere: bounded work without an
-- index, and over many calls every row's turn comes. A table that is shorter is walked whole.
WITH stretch AS (
    SELECT floor(random() * (greatest(pages - %(pages)s, 0) + 1))::bigint AS first
    FROM (
        SELECT pg_relation_size('airflow_pgmq.dedup_ledger') / current_setting('block_size')::bigint AS pages
    ) AS size
)
DELETE FROM airflow_pgmq.dedup_ledger WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM airflow_pgmq.dedup_ledger
    WHERE ctid >= (SELECT ('(' || first || ',0)')::tid FROM stretch)
        AND ctid < (SELECT ('(' || first + %(pages)s || ',0)')::tid FROM stretch)
        AND expires_at < statement_timestamp()
    FOR UPDATE SKIP LOCKED
));

-- prune_slots --
-- The same for slots, but for the last one of a job that waits for its last message.
WITH stretch AS (
    SELECT floor(random() * (greatest(pages - %(pages)s, 0) + 1))::bigint AS first
    FROM (
        SELECT pg_relation_size('airflow_pgmq.slots') / current_setting('block_size')::bigint AS pages
    ) AS size
)
DELETE FROM airflow_pgmq.slots WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM airflow_pgmq.slots AS old
    WHERE ctid >= (SELECT ('(' || first || ',0)')::tid FROM stretch)
        AND ctid < (SELECT ('(' || first + %(pages)s || ',0)')::tid FROM stretch)
        AND expires_at < statement_timestamp()
        AND NOT EXISTS (
            SELECT FROM airflow_pgmq.periodic_jobs AS job
            WHERE job.namespace = old.namespace AND job.name = old.name AND job.overlap_skip
                AND old.slot >= (
                    SELECT max(slot) FROM airflow_pgmq.slots AS sent
                    WHERE sent.namespace = old.namespace AND sent.name = old.name AND slot <= statement_timestamp()
                )
        )
    FOR UPDATE SKIP LOCKED
));

-- open_namespace --
-- Register a namespace or find it; its row is locked until the transaction ends, so ticks take turns. It is
-- known only if a tick went through, and if nobody but ticks wrote the row: a restore is no tick.
WITH before AS (
    SELECT known AND xmin <> written_by AS restored FROM airflow_pgmq.namespaces WHERE namespace = %(namespace)s
)
INSERT INTO airflow_pgmq.namespaces AS ns
    (namespace, owner, version, horizon, ticked_at, version_ticked_at, opened_at, code, written_by)
SELECT %(namespace)s, %(owner)s, %(version)s, clock.now, clock.now, clock.now, clock.now, %(code)s,
       pg_current_xact_id()::xid
FROM (SELECT clock_timestamp() AS now) AS clock
WHERE (SELECT max(oldest_code) FROM airflow_pgmq.migrations) <= %(code)s OR airflow_pgmq.refuse(%(code)s)
ON CONFLICT (namespace) DO UPDATE
-- The clock of now: the other one was read before the wait for the row.
SET opened_at = clock_timestamp(), went_back = coalesce(clock_timestamp() < ns.opened_at, false), code = excluded.code,
    written_by = excluded.written_by, known = ns.known AND ns.xmin = ns.written_by
RETURNING ns.went_back, ns.owner, ns.version, ns.fingerprint, ns.horizon, ns.ticked_at, ns.version_ticked_at, ns.known,
          ns.incarnation, coalesce((SELECT restored FROM before), false) AS restored,
          (SELECT coalesce(max(incarnation), 0) FROM airflow_pgmq.queues) AS newest_incarnation,
          clock_timestamp() AS now;

-- lock_namespace --
-- Wait for a tick that is running; no row if the namespace is unknown. The clock is read after the wait.
WITH locked AS MATERIALIZED (
    SELECT ns.owner, ns.version, ns.fingerprint, ns.horizon, ns.ticked_at, ns.known AND ns.xmin = ns.written_by AS known
    FROM airflow_pgmq.namespaces AS ns WHERE namespace = %(namespace)s FOR UPDATE
)
SELECT locked.*, clock_timestamp() AS now FROM locked
WHERE (SELECT max(oldest_code) FROM airflow_pgmq.migrations) <= %(code)s OR airflow_pgmq.refuse(%(code)s);

-- clock --
-- The time.
SELECT clock_timestamp() AS now;

-- deploy_namespace --
-- A new set of jobs took over.
UPDATE airflow_pgmq.namespaces
SET owner = %(owner)s, version = %(version)s, fingerprint = %(fingerprint)s
WHERE namespace = %(namespace)s;

-- turn_back --
-- The clock went back: what lies further ahead than any tick would look is open again from now on. Of a job
-- that was paused since, only its next slot still tells how far it was.
WITH jobs AS (
    UPDATE airflow_pgmq.periodic_jobs SET watermark = %(now)s, next_slot = %(now)s
    WHERE namespace = %(namespace)s AND greatest(watermark, next_slot - interval '1 microsecond')
        > CASE WHEN overlap_skip THEN %(now)s::timestamptz ELSE %(horizon)s END
)
UPDATE airflow_pgmq.namespaces SET horizon = %(now)s
WHERE namespace = %(namespace)s;

-- note_lost --
-- Queues were lost with what was to become visible later: those slots are to be sent again.
WITH lost AS (
    UPDATE airflow_pgmq.slots AS slot SET msg_id = NULL
    FROM airflow_pgmq.queues AS known
    WHERE slot.namespace = %(namespace)s AND slot.queue_name = known.queue_name
        AND slot.incarnation <> known.incarnation AND slot.visible_at > known.reborn_at
)
UPDATE airflow_pgmq.namespaces SET incarnation = %(newest)s
WHERE namespace = %(namespace)s;

-- awaited_from --
-- Queues that exist, and from which slots are to become visible.
SELECT DISTINCT sent.queue_name FROM airflow_pgmq.slots AS sent
JOIN pgmq.meta ON meta.queue_name = sent.queue_name
WHERE sent.namespace = %(namespace)s AND sent.msg_id IS NOT NULL AND sent.visible_at > %(now)s;

-- doubt_slots --
-- What is not in the queue although it is said to wait there is to be sent again.
UPDATE airflow_pgmq.slots AS slot SET msg_id = NULL
WHERE slot.namespace = %(namespace)s AND slot.queue_name = %(queue_name)s AND slot.visible_at > %(now)s
    AND NOT EXISTS (
        SELECT FROM {table} AS waiting
        WHERE waiting.msg_id = slot.msg_id AND waiting.headers ->> 'dedup_key' = slot.namespace || '/' || slot.name || '/'
            || to_char(slot.slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    );

-- opened_jobs --
-- Jobs with slots that are to be sent again.
SELECT DISTINCT name FROM airflow_pgmq.slots
WHERE namespace = %(namespace)s AND msg_id IS NULL AND slot <= %(until)s;

-- free_slots --
-- Slots of which no message was sent after all.
DELETE FROM airflow_pgmq.slots AS freed USING unnest(%(names)s::text[], %(slots)s::timestamptz[]) AS free (name, slot)
WHERE freed.namespace = %(namespace)s AND freed.name = free.name AND freed.slot = free.slot AND freed.msg_id IS NULL;

-- close_tick --
-- Everything up to the horizon is done.
UPDATE airflow_pgmq.namespaces
SET horizon = greatest(horizon, %(horizon)s), ticked_at = %(now)s, owner = %(owner)s, known = %(is_known)s,
    version_ticked_at = CASE WHEN %(version)s >= version THEN %(now)s ELSE version_ticked_at END,
    written_by = pg_current_xact_id()::xid
WHERE namespace = %(namespace)s;

-- stored_jobs --
-- The state of a namespace's jobs.
SELECT name, version, fingerprint, queue_name, watermark, next_slot, paused
FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s;

-- stored_queues --
-- Where the jobs of a namespace send to.
SELECT DISTINCT queue_name FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s;

-- stored_definitions --
-- How some of them were deployed.
SELECT name, definition FROM airflow_pgmq.periodic_jobs
WHERE namespace = %(namespace)s AND name = ANY (%(names)s::text[]);

-- due_jobs --
-- Jobs with a slot up to the horizon, those longest due first, and jobs with slots that are to be sent again.
-- Overlap-free jobs look no further than now, and at their newest message, which may still be queued.
WITH opened AS MATERIALIZED (
    SELECT open.name, array_agg(open.slot ORDER BY open.slot) AS slots,
           bool_or(known.incarnation IS DISTINCT FROM open.incarnation) AS lost
    FROM airflow_pgmq.slots AS open
    JOIN airflow_pgmq.periodic_jobs AS job ON job.namespace = open.namespace AND job.name = open.name
    LEFT JOIN airflow_pgmq.queues AS known ON known.queue_name = open.queue_name
    WHERE open.namespace = %(namespace)s AND open.msg_id IS NULL AND NOT job.paused
        AND open.slot <= CASE WHEN job.overlap_skip THEN %(now)s::timestamptz ELSE %(horizon)s END
        AND (%(only)s::text[] IS NULL OR job.name = ANY (%(only)s::text[])) AND job.name <> ALL (%(without)s::text[])
    GROUP BY open.name
), due AS (
    SELECT job.name, job.watermark, job.next_slot, job.overlap_skip
    FROM airflow_pgmq.periodic_jobs AS job
    WHERE job.namespace = %(namespace)s AND NOT job.paused AND job.next_slot <= %(horizon)s
        AND (NOT job.overlap_skip OR job.next_slot <= %(now)s)
        AND (%(only)s::text[] IS NULL OR job.name = ANY (%(only)s::text[])) AND job.name <> ALL (%(without)s::text[])
    ORDER BY job.next_slot, job.name LIMIT %(limit)s
), wanted AS (
    SELECT * FROM due
    UNION
    SELECT job.name, job.watermark, job.next_slot, job.overlap_skip
    FROM opened JOIN airflow_pgmq.periodic_jobs AS job ON job.namespace = %(namespace)s AND job.name = opened.name
)
SELECT job.name, job.watermark, job.next_slot, last.queue_name AS last_queue, last.msg_id AS last_msg_id,
       last.slot AS last_slot, coalesce(opened.slots, '{{}}') AS opened, coalesce(opened.lost, false) AS lost
FROM wanted AS job
LEFT JOIN opened USING (name)
LEFT JOIN LATERAL (
    -- Where the clock went back, later ones were sent before.
    SELECT queue_name, msg_id, slot FROM airflow_pgmq.slots
    WHERE namespace = %(namespace)s AND name = job.name AND slot <= %(now)s ORDER BY slot DESC LIMIT 1
) AS last ON job.overlap_skip
ORDER BY job.next_slot, job.name LIMIT %(limit)s;

-- upsert_jobs --
-- Register jobs, or give known ones a new definition; what was sent last and the pause stay.
INSERT INTO airflow_pgmq.periodic_jobs AS job
    (namespace, name, version, fingerprint, definition, queue_name, overlap_skip, watermark, next_slot, deployed_at)
SELECT %(namespace)s, j.name, j.version, j.fingerprint, j.definition::jsonb, j.queue_name, j.overlap_skip,
       %(now)s, %(now)s, %(now)s
FROM unnest(%(names)b::text[], %(versions)b::integer[], %(fingerprints)b::text[], %(definitions)b::text[],
            %(queue_names)b::text[], %(overlap_skips)b::boolean[])
     AS j (name, version, fingerprint, definition, queue_name, overlap_skip)
ON CONFLICT (namespace, name) DO UPDATE
SET version = excluded.version, fingerprint = excluded.fingerprint, definition = excluded.definition,
    queue_name = excluded.queue_name, overlap_skip = excluded.overlap_skip,
    watermark = excluded.watermark, next_slot = excluded.next_slot, deployed_at = excluded.deployed_at;

-- redefine_jobs --
-- Give known jobs new policies, with which their messages stay as they are.
UPDATE airflow_pgmq.periodic_jobs AS job
SET version = j.version, fingerprint = j.fingerprint, definition = j.definition::jsonb
FROM unnest(%(names)b::text[], %(versions)b::integer[], %(fingerprints)b::text[], %(definitions)b::text[])
     AS j (name, version, fingerprint, definition)
WHERE job.namespace = %(namespace)s AND job.name = j.name;

-- advance_jobs --
-- Move watermarks past what was enqueued, in the transaction that enqueued it.
UPDATE airflow_pgmq.periodic_jobs AS job
SET watermark = done.watermark, next_slot = done.next_slot, last_slot = coalesce(done.last_slot, job.last_slot),
    last_sent_at = CASE WHEN done.last_slot IS NULL THEN job.last_sent_at ELSE %(now)s END
FROM unnest(%(names)b::text[], %(watermarks)b::timestamptz[], %(next_slots)b::timestamptz[],
            %(last_slots)b::timestamptz[]) AS done (name, watermark, next_slot, last_slot)
WHERE job.namespace = %(namespace)s AND job.name = done.name;

-- remove_jobs --
-- Forget jobs that left the code, and what was to be sent again.
WITH freed AS (
    DELETE FROM airflow_pgmq.slots
    WHERE namespace = %(namespace)s AND msg_id IS NULL AND name = ANY (%(names)s::text[])
)
DELETE FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s AND name = ANY (%(names)s::text[]);

-- remove_namespace --
-- Forget a namespace with all its jobs, and what was to be sent again.
WITH freed AS (
    DELETE FROM airflow_pgmq.slots WHERE namespace = %(namespace)s AND msg_id IS NULL
)
DELETE FROM airflow_pgmq.namespaces WHERE namespace = %(namespace)s;

-- jobs_of_queues --
-- Whether jobs send to some queues, which slot they sent there last, and whether they wait for a message there.
SELECT job.name, job.queue_name = ANY (%(queue_names)s::text[]) AS sends,
       (
           SELECT max(slot) FROM airflow_pgmq.slots
           WHERE namespace = job.namespace AND name = job.name AND queue_name = ANY (%(queue_names)s::text[])
       ) AS last_sent,
       coalesce(job.overlap_skip AND last.queue_name = ANY (%(queue_names)s::text[]), false) AS waits
FROM airflow_pgmq.periodic_jobs AS job
LEFT JOIN LATERAL (
    SELECT queue_name FROM airflow_pgmq.slots
    WHERE namespace = job.namespace AND name = job.name AND slot <= %(now)s ORDER BY slot DESC LIMIT 1
) AS last ON job.overlap_skip
WHERE job.namespace = %(namespace)s;

-- sent_to --
-- Queues that exist and to which jobs have sent slots from some instant on.
SELECT DISTINCT sent.queue_name
FROM unnest(%(names)s::text[]) AS job (name)
CROSS JOIN LATERAL (
    SELECT queue_name FROM airflow_pgmq.slots
    WHERE namespace = %(namespace)s AND name = job.name COLLATE "C" AND slot > %(after)s
    OFFSET 0
) AS sent
WHERE EXISTS (SELECT FROM pgmq.meta WHERE meta.queue_name = sent.queue_name);

-- withdraw --
-- Take back messages of jobs that nobody could have seen yet; their slots are free, or open: to be sent again.
-- A row that a reader holds is left to it, its slot stays taken.
WITH pending AS MATERIALIZED (
    SELECT sent.name, sent.slot, sent.msg_id, sent.place,
           %(namespace)s || '/' || sent.name || '/'
               || to_char(sent.slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS key
    FROM unnest(%(names)s::text[]) AS job (name)
    CROSS JOIN LATERAL (
        -- OFFSET and LIMIT make these look-ups: plain joins are planned as scans of both tables.
        SELECT name, slot, msg_id, ctid AS place FROM airflow_pgmq.slots
        WHERE namespace = %(namespace)s AND name = job.name COLLATE "C" AND slot > %(after)s
            AND queue_name = %(queue_name)s
        OFFSET 0
    ) AS sent
), unseen AS MATERIALIZED (
    SELECT pending.name, pending.slot, pending.place, waiting.msg_id
    FROM pending CROSS JOIN LATERAL (
        SELECT msg_id FROM {table}
        WHERE msg_id = pending.msg_id AND read_ct = 0 AND vt > %(now)s AND headers ->> 'dedup_key' = pending.key
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS waiting
), removed AS (
    DELETE FROM {table} WHERE msg_id = ANY (ARRAY(SELECT msg_id FROM unseen)) RETURNING msg_id
), freed AS (
    DELETE FROM airflow_pgmq.slots WHERE NOT %(again)s AND ctid = ANY (ARRAY(SELECT place FROM unseen))
), opened AS (
    UPDATE airflow_pgmq.slots SET msg_id = NULL WHERE %(again)s AND ctid = ANY (ARRAY(SELECT place FROM unseen))
)
SELECT name, count(*) AS withdrawn, min(slot) AS first_slot, (SELECT count(*) FROM removed) AS removed
FROM unseen GROUP BY name;

-- carried_by_queue --
-- Which of the keys messages in the queue carry. No index knows: only for when nothing else does.
SELECT headers ->> 'dedup_key' AS key, msg_id, least(greatest(enqueued_at, 'epoch'), %(now)s) AS first_at
FROM {table} WHERE headers ->> 'dedup_key' = ANY (%(keys)s::text[]);

-- has_headers --
-- Whether there is such a table with headers: without them, it holds no message of ours.
SELECT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass(%(relation)s) AND attname = 'headers' AND NOT attisdropped
) AS found;

-- is_readable --
-- Whether there is such a table, and the role may read it.
SELECT coalesce(has_table_privilege(to_regclass(%(relation)s), 'SELECT'), false) AS found;

-- carried_by_archive --
-- The same for what was archived since some instant.
SELECT headers ->> 'dedup_key' AS key, msg_id, least(greatest(enqueued_at, 'epoch'), %(now)s) AS first_at
FROM {archive} WHERE archived_at >= %(since)s AND headers ->> 'dedup_key' = ANY (%(keys)s::text[]);

-- adopt_slots --
-- Note as sent what a queue carried although this schema did not know of it.
INSERT INTO airflow_pgmq.slots AS own
    (namespace, name, slot, queue_name, incarnation, msg_id, visible_at, first_at, expires_at)
SELECT %(namespace)s, i.name, i.slot, %(queue_name)s, mark.incarnation, i.msg_id, i.visible_at, i.first_at,
       greatest(i.visible_at, %(now)s) + %(window)s::interval
FROM unnest(%(names)b::text[], %(slots)b::timestamptz[], %(instants)b::timestamptz[], %(msg_ids)b::bigint[],
            %(first_ats)b::timestamptz[]) AS i (name, slot, visible_at, msg_id, first_at)
CROSS JOIN airflow_pgmq.incarnation_of(%(queue_name)s::text, %(relation)s::text) AS mark
ORDER BY i.name, i.slot
ON CONFLICT (namespace, name, slot) DO UPDATE
SET queue_name = excluded.queue_name, incarnation = excluded.incarnation, msg_id = excluded.msg_id,
    visible_at = excluded.visible_at, first_at = excluded.first_at, expires_at = excluded.expires_at
WHERE own.msg_id IS NULL;

-- still_queued --
-- Which of the jobs' last messages are still in the queue.
SELECT waiting.msg_id FROM {table} AS waiting
JOIN unnest(%(msg_ids)s::bigint[], %(keys)s::text[]) AS last (msg_id, key) USING (msg_id)
WHERE waiting.headers ->> 'dedup_key' = last.key;

-- job_definition --
-- One job's stored definition and state.
SELECT definition, queue_name, paused, watermark, next_slot
FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s AND name = %(name)s;

-- pause_job --
-- Stop a job; slots whose messages were taken back are open again.
UPDATE airflow_pgmq.periodic_jobs
SET paused = true, next_slot = least(next_slot, %(first_slot)s::timestamptz),
    watermark = least(watermark, %(first_slot)s::timestamptz - interval '1 microsecond')
WHERE namespace = %(namespace)s AND name = %(name)s;

-- resume_job --
-- Let a job go on; its next tick catches up by its policy.
UPDATE airflow_pgmq.periodic_jobs SET paused = false WHERE namespace = %(namespace)s AND name = %(name)s;

-- list_jobs --
-- All jobs with their state, of one namespace or of all.
SELECT job.namespace, job.name, job.version, job.queue_name, job.definition, job.paused, job.watermark,
       job.next_slot, job.last_slot, last.msg_id AS last_msg_id, job.last_sent_at, ns.owner, ns.ticked_at
FROM airflow_pgmq.periodic_jobs AS job
JOIN airflow_pgmq.namespaces AS ns USING (namespace)
LEFT JOIN airflow_pgmq.slots AS last
    ON last.namespace = job.namespace AND last.name = job.name AND last.slot = job.last_slot
WHERE job.namespace = coalesce(%(namespace)s, job.namespace)
ORDER BY job.namespace, job.name;

-- send_query --
-- The rows of a query as messages, without keys.
WITH sent AS (
    INSERT INTO {table} (vt, message, headers)
    SELECT <<row_vt>>,
           CASE WHEN doc ? 'message' THEN doc -> 'message'
                ELSE doc - ARRAY['dedup_key', 'delay', 'visible_at', 'headers'] END,
           nullif(%(pgmq_headers)s::jsonb || coalesce(nullif(doc -> 'headers', 'null'), '{{}}'), '{{}}')
    -- OFFSET: the row becomes JSON once, not once for each use.
    FROM (SELECT to_jsonb(origin) AS doc FROM ({source}) AS origin OFFSET 0) AS origins
    RETURNING 1
)
SELECT count(*) AS rows, count(*) AS sent, 0 AS longest_key FROM sent;

-- send_query_once --
-- The same with each key claimed in the ledger, as `send_once` does it; rows without a key are always sent.
-- Only sorts and look-ups, no joins: a query whose rows are estimated badly would get nested loops.
WITH mark AS MATERIALIZED (
    SELECT incarnation FROM airflow_pgmq.incarnation_of(%(pgmq_queue)s::text, %(pgmq_relation)s::text)
    WHERE NOT EXISTS (SELECT FROM airflow_pgmq.migrations WHERE oldest_code > %(pgmq_code)s)
), input AS MATERIALIZED (
    SELECT position, doc ->> 'dedup_key' COLLATE "C" AS key, doc
    FROM (
        SELECT row_number() OVER () AS position, to_jsonb(origin) AS doc FROM ({source}) AS origin
        WHERE EXISTS (SELECT FROM mark)
    ) AS origins
), fresh AS MATERIALIZED (
    SELECT ordered.*, nextval(%(pgmq_sequence)s::regclass) AS msg_id
    FROM (
        SELECT key, doc,
               <<row_vt>> AS vt
        FROM (
            SELECT input.*, row_number() OVER (PARTITION BY key ORDER BY position) AS among_equals FROM input
        ) AS numbered
        WHERE key IS NULL OR (among_equals = 1 AND NOT EXISTS (
            SELECT FROM airflow_pgmq.dedup_ledger
            WHERE queue_name = %(pgmq_queue)s AND dedup_key = numbered.key AND expires_at > statement_timestamp()
                AND incarnation = (SELECT incarnation FROM mark)
            OFFSET 0
        ))
        ORDER BY position
    ) AS ordered
), claimed AS (
    INSERT INTO airflow_pgmq.dedup_ledger AS taken
        (queue_name, dedup_key, msg_id, first_at, expires_at, incarnation)
    SELECT %(pgmq_queue)s, key, msg_id, statement_timestamp(),
           greatest(vt, statement_timestamp()) + %(pgmq_window)s::interval, (SELECT incarnation FROM mark)
    FROM fresh WHERE key IS NOT NULL ORDER BY key
    ON CONFLICT (queue_name, dedup_key) DO UPDATE
        SET msg_id = excluded.msg_id, first_at = excluded.first_at, expires_at = excluded.expires_at,
            incarnation = excluded.incarnation
        WHERE taken.expires_at <= statement_timestamp() OR taken.incarnation <> excluded.incarnation
    RETURNING taken.msg_id
), checked AS (
    -- A row of `fresh` and its claim are neighbours; one without a claim lost a race.
    SELECT msg_id, vt, key, doc, lead(msg_id) OVER (ORDER BY msg_id, doc IS NULL) AS claim
    FROM (
        SELECT msg_id, vt, key, doc FROM fresh
        UNION ALL SELECT msg_id, NULL, NULL, NULL FROM claimed
    ) AS pairs
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT msg_id, vt,
           CASE WHEN doc ? 'message' THEN doc -> 'message'
                ELSE doc - ARRAY['dedup_key', 'delay', 'visible_at', 'headers'] END,
           nullif(%(pgmq_headers)s::jsonb || coalesce(nullif(doc -> 'headers', 'null'), '{{}}')
                  || CASE WHEN key IS NULL THEN '{{}}' ELSE jsonb_build_object('dedup_key', key) END, '{{}}')
    FROM checked WHERE doc IS NOT NULL AND (key IS NULL OR claim = msg_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM input) AS rows, (SELECT count(*) FROM sent) AS sent,
       (SELECT count(*) FROM claimed) + (SELECT count(*) FROM fresh WHERE key IS NULL) AS expected,
       (SELECT coalesce(max(length(key)), 0) FROM input) AS longest_key, EXISTS (SELECT FROM mark) AS settled;

-- send_query_queued --
-- The same with keys that must not be in the queue now. `unsent` are those that were free and yet not sent.
WITH input AS MATERIALIZED (
    SELECT position, doc ->> 'dedup_key' AS key, doc
    FROM (SELECT row_number() OVER () AS position, to_jsonb(origin) AS doc FROM ({source}) AS origin) AS origins
), fresh AS MATERIALIZED (
    SELECT ordered.*, nextval(%(pgmq_sequence)s::regclass) AS msg_id
    FROM (
        SELECT key, doc
        FROM (
            SELECT input.*, row_number() OVER (PARTITION BY key ORDER BY position) AS among_equals FROM input
        ) AS numbered
        WHERE key IS NULL OR (among_equals = 1 AND NOT EXISTS (
            SELECT FROM {table} AS waiting
            WHERE waiting.headers ? 'dedup_key' AND waiting.headers ->> 'dedup_key' = numbered.key
            OFFSET 0
        ))
        ORDER BY position
    ) AS ordered
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT msg_id,
           <<row_vt>>,
           CASE WHEN doc ? 'message' THEN doc -> 'message'
                ELSE doc - ARRAY['dedup_key', 'delay', 'visible_at', 'headers'] END,
           nullif(%(pgmq_headers)s::jsonb || coalesce(nullif(doc -> 'headers', 'null'), '{{}}')
                  || CASE WHEN key IS NULL THEN '{{}}' ELSE jsonb_build_object('dedup_key', key) END, '{{}}')
    FROM fresh ORDER BY key COLLATE "C"
    ON CONFLICT ((headers ->> 'dedup_key')) WHERE headers ? 'dedup_key' DO NOTHING
    RETURNING msg_id
)
SELECT (SELECT count(*) FROM input) AS rows, (SELECT count(*) FROM sent) AS sent,
       (SELECT coalesce(max(length(key)), 0) FROM input) AS longest_key,
       CASE WHEN (SELECT count(*) FROM sent) < (SELECT count(*) FROM fresh) THEN (
           SELECT array_agg(key) FROM fresh WHERE msg_id <> ALL (ARRAY(SELECT msg_id FROM sent))
       ) END AS unsent;

-- not_queued --
-- How many of these keys no message in the queue has, as far as this role sees.
SELECT count(*) AS missing FROM unnest(%(keys)s::text[]) AS asked (key)
WHERE NOT EXISTS (
    SELECT FROM {table} AS waiting
    WHERE waiting.headers ->> 'dedup_key' = asked.key COLLATE "default" AND waiting.headers ? 'dedup_key'
);

-- to_table --
-- Messages as rows of a table, columns by name.
INSERT INTO {target} ({columns})
SELECT {columns} FROM (
    SELECT record.* FROM {table} AS held
    CROSS JOIN LATERAL jsonb_populate_record(NULL::{target}, held.message) AS record
    WHERE held.msg_id = ANY (%(msg_ids)s::bigint[]) ORDER BY held.msg_id
) AS records;

-- to_table_skipping --
-- The same, without rows that a unique constraint refuses.
INSERT INTO {target} ({columns})
SELECT {columns} FROM (
    SELECT record.* FROM {table} AS held
    CROSS JOIN LATERAL jsonb_populate_record(NULL::{target}, held.message) AS record
    WHERE held.msg_id = ANY (%(msg_ids)s::bigint[]) ORDER BY held.msg_id
) AS records
ON CONFLICT DO NOTHING;

-- make_batch --
-- The batch for a statement of the user's, in a table of the session's own that a commit empties.
CREATE TEMPORARY TABLE airflow_pgmq_batch (
    msg_id bigint, read_ct integer, enqueued_at timestamptz, vt timestamptz, message jsonb, headers jsonb
) ON COMMIT DELETE ROWS;

-- lend_batch --
-- The same for one transaction only, where a pooler lends the session.
CREATE TEMPORARY TABLE airflow_pgmq_batch (
    msg_id bigint, read_ct integer, enqueued_at timestamptz, vt timestamptz, message jsonb, headers jsonb
) ON COMMIT DROP;

-- show_batch --
-- The name under which the statement reads it. OFFSET makes a view that cannot be written to: what a statement
-- would write into a table of the same name must not vanish here.
CREATE TEMPORARY VIEW messages AS
SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM pg_temp.airflow_pgmq_batch OFFSET 0;

-- fill_batch --
-- Copy messages into it.
INSERT INTO pg_temp.airflow_pgmq_batch
SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM {table}
WHERE msg_id = ANY (%(msg_ids)s::bigint[]) ORDER BY msg_id
RETURNING to_regclass('messages') = to_regclass('pg_temp.messages') AS is_first;

-- with_messages --
-- A statement of the user's that reads the batch as `messages`.
{statement};

-- queue_tables --
-- Every queue with what catalogue and statistics say of its table and archive. Reads no queue, and waits for
-- no table that somebody holds for himself: the size of such a one is the planner's. Whatever stands in place
-- of a table is described, so that statements over many queues are made of what is there.
WITH held AS MATERIALIZED (
    SELECT relation FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), guarded AS MATERIALIZED (
    -- Row level security that holds for this role, and no policy lets it see every row.
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
       CASE WHEN a.relkind = 'r' AND a.oid NOT IN (SELECT relation FROM held) THEN pg_relation_size(a.oid)
           END AS archive_bytes,
       lower('q_' || meta.queue_name || '_dedup_idx') = ANY (ARRAY(
           SELECT guard.relname::text FROM pg_index JOIN pg_class AS guard ON guard.oid = indexrelid
           WHERE guard.relnamespace = to_regnamespace('pgmq') AND NOT (indisvalid AND indisunique)
               AND right(guard.relname::text, 10) = '_dedup_idx'
       )) AS broken_guard,
       clock.now, current_user::text AS role, ARRAY(SELECT name FROM guarded WHERE NOT of_queue ORDER BY 1) AS hidden
FROM (SELECT statement_timestamp() AS now) AS clock
LEFT JOIN pgmq.meta ON %(queue_name)s::text IS NULL OR meta.queue_name = %(queue_name)s
LEFT JOIN pg_class AS q ON q.relnamespace = to_regnamespace('pgmq') AND q.relname = lower('q_' || meta.queue_name)
LEFT JOIN pg_class AS a ON a.relnamespace = to_regnamespace('pgmq') AND a.relname = lower('a_' || meta.queue_name)
LEFT JOIN LATERAL (
    SELECT array_agg(attname::text) AS names FROM pg_attribute
    WHERE attrelid = q.oid AND attnum > 0 AND NOT attisdropped AND atttypid = CASE attname
        WHEN 'msg_id' THEN 'bigint'::regtype WHEN 'read_ct' THEN 'integer'::regtype
        WHEN 'message' THEN 'jsonb'::regtype WHEN 'headers' THEN 'jsonb'::regtype
        WHEN 'vt' THEN 'timestamptz'::regtype WHEN 'enqueued_at' THEN 'timestamptz'::regtype
        WHEN 'archived_at' THEN 'timestamptz'::regtype END
) AS of_own ON true
LEFT JOIN LATERAL (
    SELECT array_agg(attname::text) AS names FROM pg_attribute
    WHERE attrelid = a.oid AND attnum > 0 AND NOT attisdropped AND atttypid = CASE attname
        WHEN 'msg_id' THEN 'bigint'::regtype WHEN 'read_ct' THEN 'integer'::regtype
        WHEN 'message' THEN 'jsonb'::regtype WHEN 'headers' THEN 'jsonb'::regtype
        WHEN 'vt' THEN 'timestamptz'::regtype WHEN 'enqueued_at' THEN 'timestamptz'::regtype
        WHEN 'archived_at' THEN 'timestamptz'::regtype END
) AS of_archive ON true
LEFT JOIN LATERAL (
    SELECT sum(CASE WHEN part IN (SELECT relation FROM held) THEN (
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
-- A queue's messages by state, every one of them looked at. Only times that were are asked for: clients may
-- write `infinity`, and ages of that are none.
SELECT %(queue_name)s::text AS queue_name, count(*) AS counted,
       count(*) FILTER (WHERE vt <= statement_timestamp()) AS visible,
       count(*) FILTER (WHERE vt > statement_timestamp() AND read_ct > 0) AS in_flight,
       min(enqueued_at) FILTER (WHERE enqueued_at BETWEEN 'epoch' AND statement_timestamp()) AS oldest,
       min(vt) FILTER (WHERE vt BETWEEN 'epoch' AND statement_timestamp()) AS first_vt
FROM {table};

-- count_archive --
-- How many messages are in a small archive.
SELECT %(queue_name)s::text AS queue_name, count(*) AS counted FROM {table};

-- count_by_index --
-- The same for a table that is mostly empty space, up to so many.
SELECT %(queue_name)s::text AS queue_name, count(*) AS counted,
       count(*) FILTER (WHERE vt <= statement_timestamp()) AS visible,
       count(*) FILTER (WHERE vt > statement_timestamp() AND read_ct > 0) AS in_flight,
       min(enqueued_at) FILTER (WHERE enqueued_at BETWEEN 'epoch' AND statement_timestamp()) AS oldest,
       min(vt) FILTER (WHERE vt BETWEEN 'epoch' AND statement_timestamp()) AS first_vt
FROM (SELECT vt, read_ct, enqueued_at FROM {table} ORDER BY msg_id LIMIT %(most)s) AS few;

-- count_sample --
-- The same for some pages of a large table. The oldest is looked up where no dead rows lie before it.
SELECT %(queue_name)s::text AS queue_name, count(*) AS counted,
       count(*) FILTER (WHERE vt <= statement_timestamp()) AS visible,
       count(*) FILTER (WHERE vt > statement_timestamp() AND read_ct > 0) AS in_flight,
       coalesce(CASE WHEN %(clean)s THEN (
           SELECT min(enqueued_at) FROM (SELECT enqueued_at FROM {table} ORDER BY msg_id LIMIT 10) AS front
           WHERE enqueued_at BETWEEN 'epoch' AND statement_timestamp()
       ) END, min(enqueued_at) FILTER (WHERE enqueued_at BETWEEN 'epoch' AND statement_timestamp())) AS oldest,
       coalesce(CASE WHEN %(clean)s THEN (
           SELECT min(vt) FROM {table} WHERE vt BETWEEN 'epoch' AND statement_timestamp()
       ) END, min(vt) FILTER (WHERE vt BETWEEN 'epoch' AND statement_timestamp())) AS first_vt
FROM {table} TABLESAMPLE SYSTEM (%(percent)s::real);

-- recent_samples --
-- The counters of the last hour by queue, in no order, with the age of each in minutes. This minute is
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

-- examine_server --
-- What a doctor asks first, of the catalog alone: to_regclass and the like fail where the role may not look
-- into a schema. Whether our schema is there is null if the role may not read it.
SELECT clock_timestamp() AS now, current_user::text AS role, current_database()::text AS database,
       current_setting('server_version') AS version, pg_is_in_recovery() AS standby,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'pgmq'), false)
           AS may_create_queues,
       EXISTS (SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
               WHERE nspname = 'pgmq' AND relname = 'meta') AS pgmq,
       (SELECT extversion FROM pg_extension WHERE extname = 'pgmq') AS pgmq_version,
       EXISTS (SELECT FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
               WHERE nspname = 'pgmq' AND proname = 'send'
                   -- Not by their names, which quote_all_identifiers changes.
                   AND pronargs = 4 AND (proargtypes[0], proargtypes[1], proargtypes[2], proargtypes[3])
                       = ('text'::regtype, 'jsonb'::regtype, 'jsonb'::regtype, 'timestamptz'::regtype)) AS headers,
       CASE WHEN EXISTS (SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                         WHERE nspname = 'airflow_pgmq' AND relname = 'migrations')
            THEN nullif((SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
                         FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                         WHERE nspname = 'airflow_pgmq' AND relname = 'migrations'), false)
            ELSE false END AS ours;

-- examine_rights --
-- Which of the wanted privileges the role lacks; names are patterns, of the tables of all queues.
SELECT wanted.work, wanted.privilege, there.kind, there.schema, there.name
FROM unnest(%(works)s::text[], %(kinds)s::text[], %(schemas)s::text[], %(patterns)s::text[], %(privileges)s::text[])
    WITH ORDINALITY AS wanted (work, kind, schema, pattern, privilege, position)
JOIN (
    SELECT oid, 'schema' AS kind, nspname AS schema, nspname AS name FROM pg_namespace
    UNION ALL
    SELECT c.oid, CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, nspname, relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE nspname IN ('pgmq', 'airflow_pgmq') AND relkind IN ('r', 'p', 'S') AND NOT relispartition
) AS there ON there.kind = wanted.kind AND there.schema = wanted.schema AND there.name LIKE wanted.pattern
WHERE NOT CASE there.kind
    WHEN 'schema' THEN has_schema_privilege(there.oid, wanted.privilege)
    WHEN 'sequence' THEN has_sequence_privilege(there.oid, wanted.privilege)
    ELSE has_table_privilege(there.oid, wanted.privilege)
END
ORDER BY wanted.position, there.name;

-- examine_policies --
-- Commands on tables of PGMQ's and ours that row level security does not leave wholly to the role; whether some
-- rows pass, and the restrictive policies that no other policy opens.
SELECT n.nspname::text AS schema, c.relname::text AS name, command.privilege,
       coalesce(bool_or(policy.permissive), false) AS partly,
       coalesce(array_agg(policy.name) FILTER (WHERE NOT policy.permissive AND NOT policy.open), '{{}}') AS restrictive
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN (VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd')) AS command (privilege, code)
LEFT JOIN LATERAL (
    SELECT polname::text AS name, polpermissive AS permissive, CASE command.code
               WHEN 'a' THEN coalesce(checked, qual) = 'true'
               WHEN 'w' THEN qual = 'true' AND coalesce(checked, 'true') = 'true'
               ELSE qual = 'true' END AS open
    FROM (
        SELECT *, pg_get_expr(polqual, polrelid) AS qual, pg_get_expr(polwithcheck, polrelid) AS checked
        FROM pg_policy WHERE polrelid = c.oid AND polcmd::text IN ('*', command.code)
    ) AS said
    WHERE EXISTS (SELECT FROM unnest(polroles) AS member WHERE member = 0 OR pg_has_role(member, 'USAGE'))
) AS policy ON true
WHERE n.nspname IN ('pgmq', 'airflow_pgmq') AND c.relrowsecurity AND NOT c.relispartition
    AND row_security_active(c.oid)
GROUP BY 1, 2, 3
HAVING NOT coalesce(bool_or(policy.permissive AND policy.open), false)
    OR coalesce(bool_or(NOT policy.permissive AND NOT policy.open), false)
ORDER BY 1, 2, 3;

-- examine_settings --
-- What a new session of the role begins with, and whether role or database say so.
SELECT s.name, s.reset_val AS value, coalesce(origin.of_role, false) AS of_role,
       coalesce(origin.in_database, false) AS in_database
FROM pg_settings AS s
LEFT JOIN LATERAL (
    SELECT setrole <> 0 AS of_role, setdatabase <> 0 AS in_database
    FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS said
    WHERE split_part(said, '=', 1) = s.name
        AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
        AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    ORDER BY (setrole <> 0 AND setdatabase <> 0) DESC, (setrole <> 0) DESC, (setdatabase <> 0) DESC LIMIT 1
) AS origin ON true
WHERE s.name = ANY (%(names)s::text[])
ORDER BY s.name;

-- examine_queues --
-- Tables of queues by name: whether they can have and have the index of 'queued', and what announces inserts.
SELECT substr(c.relname, 3) AS queue_name, c.relkind = 'p' AS partitioned,
       EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
               WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique
                   AND x.relname = c.relname || '_dedup_idx') AS guarded,
       EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgenabled <> 'D' AND tgname = %(ours)s) AS ours,
       EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgenabled <> 'D' AND tgname = %(theirs)s) AS theirs
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgmq' AND starts_with(c.relname, 'q_') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1;

-- invalid_indexes --
-- Indexes of queues and of our own tables that a failed build left behind.
SELECT n.nspname AS schema, x.relname AS index_name
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
WHERE n.nspname IN ('pgmq', 'airflow_pgmq') AND NOT i.indisvalid
ORDER BY 1, 2;

-- rebuild_index --
-- Build an invalid index again.
REINDEX INDEX {index};

-- disable_pgmq_notify --
-- Take PGMQ's own notify trigger off a queue.
SELECT pgmq.disable_notify_insert(%(queue_name)s);

-- unguarded_keys --
-- A row if a dedup key is there twice among the newest messages, and the ledger does not know it. One message
-- proves nothing: it may have outlived its window.
SELECT %(queue_name)s AS queue_name WHERE EXISTS (
    SELECT FROM (
        SELECT headers ->> 'dedup_key' AS dedup_key
        FROM (SELECT enqueued_at, headers FROM {table} ORDER BY msg_id DESC LIMIT 1000) AS newest
        WHERE headers ? 'dedup_key' AND NOT headers ? 'dead_letter' AND enqueued_at > now() - interval '1 hour'
            AND NOT headers ?& ARRAY['namespace', 'job', 'slot']
        GROUP BY 1 HAVING count(*) > 1
    ) AS twice
    WHERE NOT EXISTS (
        SELECT FROM airflow_pgmq.dedup_ledger
        WHERE queue_name = %(queue_name)s AND dedup_key = twice.dedup_key COLLATE "C"
    )
);

-- messages_of_queue --
-- Messages by id, of those that are looked through; payloads up to a size. Reads nothing.
SELECT msg_id, read_ct, least(greatest(enqueued_at::timestamptz, 'epoch'), '9999-01-01Z') AS enqueued_at,
       least(greatest(vt::timestamptz, 'epoch'), '9999-01-01Z') AS vt, NULL::timestamptz AS archived_at,
       CASE WHEN NOT headers_large THEN headers END AS headers,
       CASE WHEN %(peek)s AND NOT message_large THEN message END AS message,
       message_large OR headers_large AS too_large, statement_timestamp() AS now
FROM (
    SELECT msg_id, read_ct, enqueued_at, vt, headers, message
    FROM {table} WHERE msg_id > %(after)s ORDER BY msg_id LIMIT %(scanned)s
) AS part
CROSS JOIN LATERAL (
    -- Compressed first: what is large even so is not unpacked. OFFSET keeps it from being worked out twice.
    SELECT CASE WHEN NOT %(peek)s THEN false WHEN pg_column_size(message) > %(most)s THEN true
                ELSE NOT %(alone)s AND octet_length(message::text) > %(most)s END AS message_large,
           CASE WHEN headers IS NULL THEN false WHEN pg_column_size(headers) > %(most)s THEN true
                ELSE NOT %(alone)s AND octet_length(headers::text) > %(most)s END AS headers_large
    OFFSET 0
) AS size
WHERE (%(job)s::text IS NULL OR headers ->> 'job' = %(job)s)
    AND (%(namespace)s::text IS NULL OR headers ->> 'namespace' = %(namespace)s)
    AND (%(dedup_key)s::text IS NULL OR headers ->> 'dedup_key' = %(dedup_key)s)
ORDER BY msg_id LIMIT %(limit)s;

-- messages_of_archive --
-- The same of a queue's archive, whose newest come first.
SELECT msg_id, read_ct, least(greatest(enqueued_at::timestamptz, 'epoch'), '9999-01-01Z') AS enqueued_at,
       least(greatest(vt::timestamptz, 'epoch'), '9999-01-01Z') AS vt,
       least(greatest(archived_at::timestamptz, 'epoch'), '9999-01-01Z') AS archived_at,
       CASE WHEN NOT headers_large THEN headers END AS headers,
       CASE WHEN %(peek)s AND NOT message_large THEN message END AS message,
       message_large OR headers_large AS too_large, statement_timestamp() AS now
FROM (
    SELECT msg_id, read_ct, enqueued_at, vt, headers, message, archived_at
    FROM {archive} WHERE msg_id < %(after)s ORDER BY msg_id DESC LIMIT %(scanned)s
) AS part
CROSS JOIN LATERAL (
    -- Compressed first: what is large even so is not unpacked. OFFSET keeps it from being worked out twice.
    SELECT CASE WHEN NOT %(peek)s THEN false WHEN pg_column_size(message) > %(most)s THEN true
                ELSE NOT %(alone)s AND octet_length(message::text) > %(most)s END AS message_large,
           CASE WHEN headers IS NULL THEN false WHEN pg_column_size(headers) > %(most)s THEN true
                ELSE NOT %(alone)s AND octet_length(headers::text) > %(most)s END AS headers_large
    OFFSET 0
) AS size
WHERE (%(job)s::text IS NULL OR headers ->> 'job' = %(job)s)
    AND (%(namespace)s::text IS NULL OR headers ->> 'namespace' = %(namespace)s)
    AND (%(dedup_key)s::text IS NULL OR headers ->> 'dedup_key' = %(dedup_key)s)
ORDER BY msg_id DESC LIMIT %(limit)s;

-- scanned_of_queue --
-- Where looking through stopped, if there is more.
SELECT msg_id FROM {table} WHERE msg_id > %(after)s ORDER BY msg_id OFFSET %(scanned)s - 1 LIMIT 1;

-- scanned_of_archive --
-- The same of an archive.
SELECT msg_id FROM {archive} WHERE msg_id < %(after)s ORDER BY msg_id DESC OFFSET %(scanned)s - 1 LIMIT 1;

-- ledger_message --
-- The message that stands for a dedup key, of scope `once` or of a slot.
SELECT msg_id FROM airflow_pgmq.dedup_ledger WHERE queue_name = %(queue_name)s AND dedup_key = %(dedup_key)s
UNION ALL
SELECT msg_id FROM airflow_pgmq.slots
WHERE namespace = %(namespace)s AND name = %(name)s AND slot = %(slot)s::timestamptz
    AND queue_name = %(queue_name)s AND msg_id IS NOT NULL;

-- sent_by --
-- The newest messages of a queue that a Dag, run or task has sent.
SELECT %(queue_name)s::text AS queue_name, found.*, statement_timestamp() AS now FROM (
    SELECT msg_id, read_ct, least(greatest(enqueued_at::timestamptz, 'epoch'), '9999-01-01Z') AS enqueued_at,
           least(greatest(vt::timestamptz, 'epoch'), '9999-01-01Z') AS vt, NULL::timestamptz AS archived_at,
           CASE WHEN NOT headers_large THEN headers END AS headers,
           CASE WHEN %(peek)s AND NOT message_large THEN message END AS message,
           message_large OR headers_large AS too_large
    FROM (
        SELECT msg_id, read_ct, enqueued_at, vt, headers, message
        FROM {table} ORDER BY msg_id DESC LIMIT %(scanned)s
    ) AS newest
    CROSS JOIN LATERAL (
        -- Compressed first: what is large even so is not unpacked. OFFSET keeps it from being worked out twice.
        SELECT CASE WHEN NOT %(peek)s THEN false WHEN pg_column_size(message) > %(most)s THEN true
                    ELSE octet_length(message::text) > %(most)s END AS message_large,
               CASE WHEN headers IS NULL THEN false WHEN pg_column_size(headers) > %(most)s THEN true
                    ELSE octet_length(headers::text) > %(most)s END AS headers_large
        OFFSET 0
    ) AS size
    WHERE headers @> %(source)s::jsonb
    ORDER BY msg_id DESC LIMIT %(limit)s
) AS found;

-- sent_by_archived --
-- The same of an archive.
SELECT %(queue_name)s::text AS queue_name, found.*, statement_timestamp() AS now FROM (
    SELECT msg_id, read_ct, least(greatest(enqueued_at::timestamptz, 'epoch'), '9999-01-01Z') AS enqueued_at,
           least(greatest(vt::timestamptz, 'epoch'), '9999-01-01Z') AS vt,
           least(greatest(archived_at::timestamptz, 'epoch'), '9999-01-01Z') AS archived_at,
           CASE WHEN NOT headers_large THEN headers END AS headers,
           CASE WHEN %(peek)s AND NOT message_large THEN message END AS message,
           message_large OR headers_large AS too_large
    FROM (
        SELECT msg_id, read_ct, enqueued_at, vt, headers, message, archived_at
        FROM {table} ORDER BY msg_id DESC LIMIT %(scanned)s
    ) AS newest
    CROSS JOIN LATERAL (
        -- Compressed first: what is large even so is not unpacked. OFFSET keeps it from being worked out twice.
        SELECT CASE WHEN NOT %(peek)s THEN false WHEN pg_column_size(message) > %(most)s THEN true
                    ELSE octet_length(message::text) > %(most)s END AS message_large,
               CASE WHEN headers IS NULL THEN false WHEN pg_column_size(headers) > %(most)s THEN true
                    ELSE octet_length(headers::text) > %(most)s END AS headers_large
        OFFSET 0
    ) AS size
    WHERE headers @> %(source)s::jsonb
    ORDER BY msg_id DESC LIMIT %(limit)s
) AS found;

-- dead_letter_origins --
-- Where dead letters came from, and how many. Null: they do not say, and its name neither.
SELECT coalesce(headers -> 'dead_letter' ->> 'queue', %(otherwise)s::text) AS queue_name, count(*) AS letters
FROM (
    SELECT headers FROM {table}
    WHERE %(msg_ids)s::bigint[] IS NULL OR msg_id = ANY (%(msg_ids)s::bigint[])
    ORDER BY msg_id LIMIT %(limit)s
) AS chosen
GROUP BY 1;

-- shown_jobs --
-- All jobs with their state, of one namespace or of all.
SELECT job.namespace, job.name, job.version, job.queue_name, job.definition, job.paused, job.watermark,
       job.next_slot, job.last_slot, job.last_sent_at, job.deployed_at, ns.owner, ns.ticked_at,
       clock_timestamp() AS now
FROM airflow_pgmq.periodic_jobs AS job JOIN airflow_pgmq.namespaces AS ns USING (namespace)
WHERE job.namespace = coalesce(%(namespace)s, job.namespace) AND job.name = coalesce(%(name)s, job.name)
ORDER BY job.namespace, job.name;

-- shown_namespaces --
-- All sets of jobs.
SELECT namespace, owner, version, ticked_at, clock_timestamp() AS now FROM airflow_pgmq.namespaces
WHERE namespace = coalesce(%(namespace)s, namespace) ORDER BY namespace;

-- sent_slots --
-- What is known of slots that were sent. LIMIT makes it a look-up per slot.
SELECT asked.namespace, asked.name, asked.slot, taken.first_at, taken.visible_at, taken.expires_at, taken.repeats
FROM unnest(%(namespaces)s::text[], %(names)s::text[], %(slots)s::timestamptz[]) AS asked (namespace, name, slot)
CROSS JOIN LATERAL (
    SELECT first_at, visible_at, expires_at, repeats FROM airflow_pgmq.slots
    WHERE namespace = asked.namespace COLLATE "C" AND name = asked.name COLLATE "C" AND slot = asked.slot
        AND msg_id IS NOT NULL
    LIMIT 1
) AS taken;

-- note_repeats --
-- Slots that a tick or a backfill met although they had been sent.
UPDATE airflow_pgmq.slots AS known SET repeats = known.repeats + 1
FROM unnest(%(names)s::text[], %(slots)s::timestamptz[]) AS repeat (name, slot)
WHERE known.namespace = %(namespace)s AND known.name = repeat.name COLLATE "C" AND known.slot = repeat.slot;

-- short_locks --
-- Whoever looks does not queue behind a lock, where everybody else would queue behind them, and does not keep
-- the server busy for long.
SELECT set_config('lock_timeout', %(wait)s, true),
       set_config('statement_timeout', coalesce(%(limit)s, current_setting('statement_timeout')), true);

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
-- One row for each queue and minute; who comes second in a minute changes nothing.
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
-- Remove old samples. After a day the last one of ten minutes is enough: the rest goes while it passes that age.
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
-- Messages that say when they expire, visible ones, in a stretch of the table that begins anywhere: bounded
-- work without an index, and over many calls every row's turn comes. A table that is shorter is walked whole.
WITH stretch AS (
    SELECT floor(random() * (greatest(pages - %(pages)s, 0) + 1))::bigint AS first
    FROM (
        SELECT pg_relation_size(%(quoted_table)s::regclass) / current_setting('block_size')::bigint AS pages
    ) AS size
)
SELECT msg_id, read_ct, enqueued_at, headers ->> 'expires_at' AS expires_at, statement_timestamp() AS now FROM {table}
WHERE ctid >= (SELECT ('(' || first || ',0)')::tid FROM stretch)
    AND ctid < (SELECT ('(' || first + %(pages)s || ',0)')::tid FROM stretch)
    AND vt <= statement_timestamp() AND headers ? 'expires_at'
ORDER BY msg_id;

-- prune_archive --
-- Remove messages that were archived long ago, oldest first.
DELETE FROM {archive} WHERE msg_id = ANY (ARRAY(
    SELECT msg_id FROM {archive} WHERE archived_at < statement_timestamp() - %(keep)s::interval
    ORDER BY archived_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)) RETURNING msg_id;
