-- send_query --
-- The rows of a query as messages, without keys.
WITH sent AS (
    INSERT INTO {table} (vt, message, headers)
    SELECT vt,
           <<row_message>>,
           nullif(%(pgmq_headers)s::jsonb || <<expiry>> || coalesce(nullif(doc -> 'headers', 'null'), '{{}}'), '{{}}')
    -- OFFSET: the row becomes JSON once, not once for each use.
    FROM (
        SELECT doc, <<row_vt>> AS vt
        FROM (SELECT to_jsonb(origin) AS doc FROM ({source}) AS origin OFFSET 0) AS origins
    ) AS input
    RETURNING 1
)
SELECT count(*) AS rows, count(*) AS sent, 0 AS longest_key FROM sent;

-- send_query_once --
-- The same with each key claimed in the ledger, as `send_once` does it; rows without a key are always sent.
-- Only sorts and look-ups, no joins: with a wrong estimate of the query's rows, a join would be a nested loop.
WITH mark AS MATERIALIZED (
    SELECT incarnation
    FROM airflow_pgmq.incarnation_of(%(pgmq_queue)s::text, to_regclass(%(pgmq_relation)s::text), %(pgmq_code)s::integer)
), input AS MATERIALIZED (
    SELECT position, doc ->> 'dedup_key' COLLATE "C" AS key, doc
    FROM (
        SELECT row_number() OVER () AS position, to_jsonb(origin) AS doc FROM ({source}) AS origin
        WHERE EXISTS (SELECT FROM mark)
    ) AS origins
), fresh AS MATERIALIZED (
    SELECT ordered.*, nextval(%(pgmq_sequence)s::regclass) AS msg_id
    FROM (
        SELECT key, doc, <<row_vt>> AS vt
        FROM <<numbered>>
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
           <<row_message>>,
           nullif(%(pgmq_headers)s::jsonb || <<expiry>> || coalesce(nullif(doc -> 'headers', 'null'), '{{}}')
                  || CASE WHEN key IS NULL THEN '{{}}' ELSE jsonb_object(ARRAY['dedup_key', key]) END, '{{}}')
    FROM checked WHERE doc IS NOT NULL AND (key IS NULL OR claim = msg_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM input) AS rows, (SELECT count(*) FROM sent) AS sent,
       (SELECT count(*) FROM claimed) + (SELECT count(*) FROM fresh WHERE key IS NULL) AS expected,
       (SELECT coalesce(max(length(key)), 0) FROM input) AS longest_key, EXISTS (SELECT FROM mark) AS settled;

-- send_query_queued --
-- The same with keys that must not be in the queue now. `unsent` are those that were free but not sent.
WITH input AS MATERIALIZED (
    SELECT position, doc ->> 'dedup_key' AS key, doc
    FROM (SELECT row_number() OVER () AS position, to_jsonb(origin) AS doc FROM ({source}) AS origin) AS origins
), fresh AS MATERIALIZED (
    SELECT ordered.*, nextval(%(pgmq_sequence)s::regclass) AS msg_id
    FROM (
        SELECT key, doc, <<row_vt>> AS vt
        FROM <<numbered>>
        WHERE key IS NULL OR (among_equals = 1 AND NOT EXISTS (
            SELECT FROM {table} AS waiting
            WHERE waiting.headers ? 'dedup_key' AND waiting.headers ->> 'dedup_key' = numbered.key
            OFFSET 0
        ))
        ORDER BY position
    ) AS ordered
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT msg_id, vt,
           <<row_message>>,
           nullif(%(pgmq_headers)s::jsonb || <<expiry>> || coalesce(nullif(doc -> 'headers', 'null'), '{{}}')
                  || CASE WHEN key IS NULL THEN '{{}}' ELSE jsonb_object(ARRAY['dedup_key', key]) END, '{{}}')
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
    SELECT record.* FROM {table} AS m
    CROSS JOIN LATERAL jsonb_populate_record(NULL::{target}, m.message) AS record
    WHERE m.msg_id = ANY (%(msg_ids)s::bigint[]) ORDER BY m.msg_id
) AS records;

-- to_table_skipping --
-- The same, without rows that a unique constraint refuses.
INSERT INTO {target} ({columns})
SELECT {columns} FROM (
    SELECT record.* FROM {table} AS m
    CROSS JOIN LATERAL jsonb_populate_record(NULL::{target}, m.message) AS record
    WHERE m.msg_id = ANY (%(msg_ids)s::bigint[]) ORDER BY m.msg_id
) AS records
ON CONFLICT DO NOTHING;

-- make_batch --
-- The batch for the user's statement, in a temporary table that a commit empties.
CREATE TEMPORARY TABLE airflow_pgmq_batch (
    msg_id bigint, read_ct integer, enqueued_at timestamptz, vt timestamptz, message jsonb, headers jsonb
) ON COMMIT DELETE ROWS;

-- lend_batch --
-- The same for one transaction only, if a pooler lends the session.
CREATE TEMPORARY TABLE airflow_pgmq_batch (
    msg_id bigint, read_ct integer, enqueued_at timestamptz, vt timestamptz, message jsonb, headers jsonb
) ON COMMIT DROP;

-- show_batch --
-- The name under which the statement reads it. OFFSET makes a view that cannot be written to: what a statement
-- would write into a table of the same name must not be lost here.
CREATE TEMPORARY VIEW messages AS
SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM pg_temp.airflow_pgmq_batch OFFSET 0;

-- fill_batch --
-- Copy messages into it.
INSERT INTO pg_temp.airflow_pgmq_batch
SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM {table}
WHERE msg_id = ANY (%(msg_ids)s::bigint[]) ORDER BY msg_id
RETURNING to_regclass('messages') = to_regclass('pg_temp.messages') AS is_first;

-- with_messages --
-- The user's statement, which reads the batch as `messages`.
{statement};
