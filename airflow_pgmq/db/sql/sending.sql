-- send_plain --
-- Messages without a key, ids in the order of the call.
INSERT INTO {table} (vt, message, headers)
SELECT vt, message::jsonb,
       nullif(<<message_headers>>, '{{}}')
FROM (
    SELECT i.position, i.message, i.headers, <<message_vt>> AS vt
    FROM unnest(string_to_array(%(messages)s::text, E'\n'), %(headers)b::text[], %(seconds)b::float8[],
                %(instants)b::timestamptz[])
         WITH ORDINALITY AS i (message, headers, seconds, instant, position)
) AS input
ORDER BY position
RETURNING msg_id;

-- send_one --
-- One message without a key.
INSERT INTO {table} (vt, message, headers)
SELECT vt, %(message)s::jsonb, nullif(%(common_headers)s::jsonb || <<expiry>>, '{{}}')
FROM (SELECT <<one_vt>> AS vt) AS at
RETURNING msg_id;

-- send_one_once --
-- As send_once, for one message: short enough for a plan that is kept, and without arrays. Each table and each step
-- of such a plan costs a fiftieth of the time. No row: the queue is not the known one, or this code is too old. No id in
-- the row: the claim lost a race that this snapshot cannot see. It is a transaction by itself, so if a trigger drops the
-- message, it must fail: otherwise the key would be taken by nothing.
WITH known AS MATERIALIZED (
    SELECT mark.incarnation, taken.msg_id, taken.first_at
    FROM airflow_pgmq.incarnation_of(%(queue_name)s::text, {relation}::regclass, %(code)s::integer) AS mark
    LEFT JOIN airflow_pgmq.dedup_ledger AS taken
        ON taken.queue_name = %(queue_name)s AND taken.dedup_key = %(key)s COLLATE "C"
            AND taken.expires_at > statement_timestamp() AND taken.incarnation = mark.incarnation
), claimed AS (
    INSERT INTO airflow_pgmq.dedup_ledger AS taken
        (queue_name, dedup_key, msg_id, first_at, expires_at, incarnation)
    SELECT %(queue_name)s, %(key)s, nextval({sequence}::regclass), statement_timestamp(),
           greatest(<<one_vt>>, statement_timestamp()) + %(window)s::interval, incarnation
    FROM known WHERE msg_id IS NULL
    <<take_over>>
    RETURNING taken.msg_id
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT msg_id, vt, %(message)s::jsonb,
           %(common_headers)s::jsonb || <<expiry>> || jsonb_build_object('dedup_key', %(key)s::text)
    FROM claimed, (SELECT <<one_vt>> AS vt) AS at
    RETURNING msg_id
)
SELECT known.msg_id AS taken_by, known.first_at, claimed.msg_id,
       CASE WHEN claimed.msg_id IS NOT NULL AND sent.msg_id IS NULL
            THEN ('not stored: ' || claimed.msg_id)::integer END AS never
FROM known LEFT JOIN claimed ON true LEFT JOIN sent ON true;

-- send_once --
-- Claim keys in the ledger and insert their messages, in one statement. Keys known to be taken cost an
-- index look-up and use no id. Claims are made in key order (no deadlock), ids are given in the call's order.
-- A key without an answer lost a race that this snapshot cannot see: ask again. Answers are arrays, because
-- a row for each message costs the driver twice as much. Nothing is done, and `unsettled` is the answer, if the
-- ledger refers to another incarnation of the queue, or this code is too old. `stored` is how many were really
-- inserted: a trigger can drop them.
WITH <<mark>>, input AS MATERIALIZED (
    SELECT i.position, i.key COLLATE "C" AS key, i.message, i.headers, mark.incarnation,
           <<message_vt>> AS vt,
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
    <<take_over>>
    RETURNING taken.dedup_key AS key, taken.msg_id
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT msg_id, vt, message::jsonb, <<keyed_headers>>
    FROM fresh JOIN claimed AS done (its_key, msg_id) USING (msg_id) ORDER BY msg_id
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
-- The same for many keys that are probably all new, a third faster, since it has no ON CONFLICT. A key that
-- another transaction takes meanwhile is a unique violation here, and send_once must run instead. It must run
-- also if a key is past its window or of another incarnation; then nothing is sent here. Keys are sent as lines,
-- too. The ids of sent messages are in the order of the call's free keys.
WITH <<mark>>, asked AS MATERIALIZED (
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
               <<message_vt>> AS vt
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
    SELECT msg_id, vt, message::jsonb, <<keyed_headers>>
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

-- send_queued --
-- Insert messages whose key is not in the queue now. The conflict target names the guard's expression, so
-- the statement fails if the index is missing instead of sending duplicates. The rest as in send_once.
WITH input AS MATERIALIZED (
    SELECT i.position, i.key COLLATE "C" AS key, i.message, i.headers,
           <<message_vt>> AS vt,
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
    SELECT msg_id, vt, message::jsonb, <<keyed_headers>>
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
-- Give unread messages a new payload and time; rows are locked in key order. Messages that are gone or were
-- read already are left alone and not returned.
WITH input AS MATERIALIZED (
    SELECT i.key COLLATE "C" AS key, i.msg_id, i.message, i.headers,
           <<message_vt>> AS vt
    FROM unnest(%(keys)b::text[], %(msg_ids)b::bigint[], string_to_array(%(messages)s::text, E'\n'),
                %(headers)b::text[], %(seconds)b::float8[], %(instants)b::timestamptz[])
         AS i (key, msg_id, message, headers, seconds, instant)
), locked AS MATERIALIZED (
    SELECT waiting.msg_id, input.key
    FROM {table} AS waiting JOIN input USING (msg_id)
    WHERE waiting.read_ct = 0 AND waiting.headers ->> 'dedup_key' = input.key
    ORDER BY input.key FOR UPDATE OF waiting
), fresh AS (
    SELECT key, msg_id, vt, message::jsonb AS message, <<keyed_headers>> AS headers
    FROM input
)
UPDATE {table} AS waiting
SET vt = fresh.vt, message = fresh.message, headers = fresh.headers
FROM fresh JOIN locked USING (msg_id)
WHERE waiting.msg_id = fresh.msg_id AND waiting.read_ct = 0
RETURNING fresh.key, waiting.msg_id;

-- cancel --
-- Take unread messages with the given keys out of the queue and into its archive. Their keys stay taken.
SELECT archived.msg_id FROM pgmq.archive(%(queue_name)s::text, ARRAY(
    SELECT waiting.msg_id FROM {table} AS waiting
    WHERE waiting.headers ? 'dedup_key' AND waiting.headers ->> 'dedup_key' = ANY (%(keys)s::text[])
        AND waiting.read_ct = 0
    FOR UPDATE SKIP LOCKED
)) AS archived (msg_id);

-- prune_ledger --
-- Remove expired ledger rows from a part of the table.
WITH <<stretch>>
DELETE FROM airflow_pgmq.dedup_ledger WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM airflow_pgmq.dedup_ledger
    WHERE <<in_stretch>>
        AND expires_at < statement_timestamp()
    FOR UPDATE SKIP LOCKED
));

-- prune_slots --
-- The same for slots, except for the last one of a job that waits for its last message.
WITH <<stretch>>
DELETE FROM airflow_pgmq.slots WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM airflow_pgmq.slots AS old
    WHERE <<in_stretch>>
        AND expires_at < statement_timestamp()
        AND NOT EXISTS (
            SELECT FROM airflow_pgmq.periodic_jobs AS job
            WHERE job.namespace = old.namespace AND job.name = old.name AND job.overlap_skip
                AND old.slot >= (
                    SELECT max(slot) FROM airflow_pgmq.slots AS sent
                    WHERE sent.namespace = old.namespace AND sent.name = old.name AND slot <= statement_timestamp()
                        AND queue_name <> ''
                )
        )
    FOR UPDATE SKIP LOCKED
));
