-- create_arguments --
-- What `create_queue` is to make: a block takes no parameters.
SELECT set_config('airflow_pgmq.create', jsonb_build_object(
    'queue_name', %(queue_name)s::text, 'unlogged', %(unlogged)s::boolean,
    'partition_interval', %(partition_interval)s::text, 'retention_interval', %(retention_interval)s::text,
    'premake', %(premake)s::integer
)::text, true);

-- create_queue --
-- Make a queue, or what is missing of one. Old versions of PGMQ, and clients that call them, take no lock: if
-- another client makes the same queue at the same time, this one starts again after it. PGMQ quotes the names of
-- partitions twice where all identifiers are quoted; the transaction may be a caller's, who keeps the setting.
DO '
DECLARE
    wanted CONSTANT jsonb := current_setting(''airflow_pgmq.create'');
    queue_name CONSTANT text := wanted ->> ''queue_name'';
    quoting CONSTANT text := current_setting(''quote_all_identifiers'');
BEGIN
    PERFORM set_config(''quote_all_identifiers'', ''off'', true);
    FOR attempt IN 1..10 LOOP
        BEGIN
            IF attempt > 1 AND EXISTS (SELECT FROM pgmq.meta WHERE meta.queue_name = wanted ->> ''queue_name'') THEN
                EXIT;
            END IF;
            IF wanted ->> ''premake'' IS NOT NULL THEN
                PERFORM pgmq.create_partitioned(
                    queue_name, wanted ->> ''partition_interval'', wanted ->> ''retention_interval'',
                    (wanted ->> ''premake'')::integer
                );
            ELSIF wanted ->> ''partition_interval'' IS NOT NULL THEN
                PERFORM pgmq.create_partitioned(
                    queue_name, wanted ->> ''partition_interval'', wanted ->> ''retention_interval''
                );
            ELSIF (wanted ->> ''unlogged'')::boolean THEN
                PERFORM pgmq.create_unlogged(queue_name);
            ELSE
                PERFORM pgmq.create(queue_name);
            END IF;
            EXIT;
        EXCEPTION WHEN unique_violation OR duplicate_table OR duplicate_object OR internal_error THEN
            IF attempt = 10 THEN
                RAISE;
            END IF;
        END;
    END LOOP;
    PERFORM set_config(''quote_all_identifiers'', quoting, true);
END';

-- drop_queue --
-- Drop queue and archive; false if there was none.
SELECT pgmq.drop_queue(%(queue_name)s::text) AS dropped;

-- list_queues --
-- All queues.
SELECT queue_name, is_partitioned, is_unlogged, created_at FROM pgmq.list_queues() ORDER BY queue_name;

-- unlist_queue --
-- Remove a queue that no longer has a table from PGMQ's list, with its archive.
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
-- PGMQ's own lock for changes of a queue's tables, until the transaction ends; 1.5 has no function for it.
SELECT pg_advisory_xact_lock(hashtext('pgmq.queue_' || %(queue_name)s));

-- has_trigger --
-- Whether our notify trigger is on the queue's table, and enabled.
SELECT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = %(table)s::regclass AND tgname = 'airflow_pgmq_notify' AND tgenabled <> 'D'
) AS present;

-- enable_notify --
-- Announce each inserting statement; a disabled trigger is enabled again.
CREATE OR REPLACE TRIGGER airflow_pgmq_notify AFTER INSERT ON {table} REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION airflow_pgmq.notify_insert();

-- disable_notify --
-- Stop announcing.
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
    -- With quote_all_identifiers, these two names are in quotes.
    SELECT replace(replace(pg_get_indexdef(i.indexrelid, 1, true), '"headers"', 'headers'), '"text"', 'text') AS key,
           replace(replace(pg_get_expr(i.indpred, i.indrelid), '"headers"', 'headers'), '"text"', 'text') AS condition
) AS text
WHERE c.oid = to_regclass(%(table)s);

-- create_guard --
-- The unique index behind dedup_scope 'queued'; partial, so that messages without a key cost nothing.
CREATE UNIQUE INDEX {index_name} ON {table} ((headers ->> 'dedup_key')) WHERE headers ? 'dedup_key';

-- drop_index --
-- Remove an index that a failed concurrent build left invalid.
DROP INDEX {index};

-- purge --
-- Remove every message, in-flight ones too.
SELECT pgmq.purge_queue(%(queue_name)s::text) AS purged;

-- has_headers --
-- Whether there is such a table with headers: without them, it has no message of ours.
SELECT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass(%(relation)s) AND attname = 'headers' AND NOT attisdropped
) AS found;

-- has_slots --
-- Whether slots of periodic jobs wait there for their time.
SELECT EXISTS (SELECT FROM {table} AS m WHERE <<is_future_slot>>) AS found;

-- lock_to_purge --
-- Keep others from sending and reading until the queue is empty.
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

-- keep_slots --
-- Put slots of periodic jobs that wait for their time aside.
CREATE TEMPORARY TABLE airflow_pgmq_kept ON COMMIT DROP AS SELECT * FROM {table} AS m WHERE <<is_future_slot>>;

-- put_slots_back --
-- Put them into the queue again.
WITH put AS (
    INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM pg_temp.airflow_pgmq_kept ORDER BY msg_id RETURNING 1
)
SELECT count(*) AS kept FROM put;

-- drop_kept --
-- Drop that table, so that the same transaction may purge again.
DROP TABLE pg_temp.airflow_pgmq_kept;

-- metrics --
-- The counts of `pgmq.metrics` for one queue; that function fails if a message has the time `infinity`.
SELECT %(queue_name)s::text AS queue_name, seen.queue_length, seen.queue_visible_length,
       extract(epoch FROM statement_timestamp() - seen.newest)::bigint AS newest_msg_age_sec,
       extract(epoch FROM statement_timestamp() - seen.oldest)::bigint AS oldest_msg_age_sec,
       CASE WHEN ids.is_called THEN ids.last_value ELSE 0 END AS total_messages,
       statement_timestamp() AS scrape_time, (
           SELECT sum(greatest(part.reltuples, 0))::bigint
           FROM pg_partitioned_table AS whole JOIN pg_class AS part ON part.oid = whole.partdefid
           WHERE whole.partrelid IN (to_regclass(%(relation)s), to_regclass(%(archive_relation)s))
       ) AS default_partition_length
FROM (
    SELECT count(*) AS queue_length, count(*) FILTER (WHERE vt <= statement_timestamp()) AS queue_visible_length,
           max(enqueued_at) FILTER (WHERE isfinite(enqueued_at)) AS newest,
           min(enqueued_at) FILTER (WHERE isfinite(enqueued_at)) AS oldest
    FROM {table}
) AS seen CROSS JOIN {sequence} AS ids;
