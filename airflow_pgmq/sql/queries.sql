-- All run-time SQL. A block is `-- name --`, its description, the statement. Identifiers in {braces}
-- are quoted by the driver, values are %(parameters)s, %(…)b where arrays travel in binary. Messages travel
-- as lines, because a text costs the driver next to nothing and JSON never holds a line break of its own.

-- installed --
-- What is there: PGMQ, and the number of our newest migration (null without our schema).
SELECT to_regclass('pgmq.meta') IS NOT NULL AS pgmq,
       to_regclass('airflow_pgmq.migrations') IS NOT NULL AS ours;

-- schema_version --
-- The newest migration that was applied.
SELECT max(number) AS number FROM airflow_pgmq.migrations;

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

-- create_queue --
-- A plain queue.
SELECT pgmq.create(%(queue_name)s::text);

-- create_unlogged --
-- A queue that a crash of the server empties.
SELECT pgmq.create_unlogged(%(queue_name)s::text);

-- create_partitioned --
-- A queue partitioned by pg_partman.
SELECT pgmq.create_partitioned(%(queue_name)s::text, %(partition_interval)s::text, %(retention_interval)s::text);

-- drop_queue --
-- Drop queue and archive; false if there was none.
SELECT pgmq.drop_queue(%(queue_name)s::text) AS dropped;

-- forget_queue --
-- A dropped queue's keys are free again: a new queue of the same name starts empty.
DELETE FROM airflow_pgmq.dedup_ledger WHERE queue_name = %(queue_name)s;

-- list_queues --
-- All queues.
SELECT queue_name, is_partitioned, is_unlogged, created_at FROM pgmq.list_queues() ORDER BY queue_name;

-- missing_queues --
-- Those of the given queues that do not exist.
SELECT wanted AS queue_name FROM unnest(%(queue_names)s::text[]) AS wanted
WHERE NOT EXISTS (SELECT FROM pgmq.meta WHERE meta.queue_name = wanted);

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
                AND pg_get_indexdef(i.indexrelid, 1, true)
                    IN ('(headers ->> ''dedup_key''::text)', 'headers ->> ''dedup_key''::text')
                AND coalesce(pg_get_expr(i.indpred, i.indrelid), '(headers ? ''dedup_key''::text)')
                    = '(headers ? ''dedup_key''::text)', false) AS valid
FROM pg_class c
LEFT JOIN pg_index i ON i.indrelid = c.oid
    AND i.indexrelid = to_regclass(%(index)s)
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
-- a row for each message costs the driver twice as much.
WITH input AS MATERIALIZED (
    SELECT i.position, i.key COLLATE "C" AS key, i.message, i.headers,
           coalesce(i.instant, statement_timestamp() + make_interval(secs => coalesce(i.seconds, 0))) AS vt,
           taken.msg_id, taken.first_at, taken.msg_id IS NULL AS free
    FROM unnest(%(keys)b::text[], string_to_array(%(messages)s::text, E'\n'), %(headers)b::text[],
                %(seconds)b::float8[], %(instants)b::timestamptz[])
         WITH ORDINALITY AS i (key, message, headers, seconds, instant, position)
    LEFT JOIN LATERAL (
        -- LIMIT makes it a look-up per key: a plain join is planned as a scan of the whole ledger.
        SELECT msg_id, first_at FROM airflow_pgmq.dedup_ledger
        WHERE queue_name = %(queue_name)s AND dedup_key = i.key COLLATE "C"
            AND expires_at > statement_timestamp()
        LIMIT 1
    ) AS taken ON true
), fresh AS MATERIALIZED (
    SELECT key, message, headers, vt, nextval(%(sequence)s::regclass) AS msg_id
    FROM (SELECT * FROM input WHERE free ORDER BY position) AS ordered
), claimed AS (
    INSERT INTO airflow_pgmq.dedup_ledger AS taken (queue_name, dedup_key, msg_id, first_at, expires_at)
    SELECT %(queue_name)s, key, msg_id, statement_timestamp(),
           greatest(vt, statement_timestamp()) + %(window)s::interval
    FROM fresh ORDER BY key
    ON CONFLICT (queue_name, dedup_key) DO UPDATE
        SET msg_id = excluded.msg_id, first_at = excluded.first_at, expires_at = excluded.expires_at
        WHERE taken.expires_at <= statement_timestamp()
    RETURNING taken.dedup_key AS key, taken.msg_id
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT fresh.msg_id, fresh.vt, fresh.message::jsonb,
           %(common_headers)s::jsonb || coalesce(fresh.headers::jsonb, '{{}}')
               || jsonb_build_object('dedup_key', fresh.key)
    FROM fresh JOIN claimed USING (msg_id) ORDER BY fresh.msg_id
)
SELECT 'duplicate' AS status, first_at, array_agg(key) AS keys, array_agg(msg_id) AS msg_ids
FROM input WHERE NOT free GROUP BY first_at
UNION ALL
SELECT 'sent', statement_timestamp(), array_agg(key), array_agg(msg_id) FROM claimed HAVING count(*) > 0;

-- send_new --
-- The same for many keys that are probably all new, without the third of send_once's time that ON CONFLICT
-- and the answer to it take. A key that another transaction takes meanwhile is a unique violation here, so
-- send_once must run instead; so it must where a key is past its window, and then nothing is sent here.
-- Keys travel as lines, too. The ids of what was sent are in the order of the call's keys that were free.
WITH asked AS MATERIALIZED (
    SELECT string_to_array(%(lines)s::text, E'\n') AS keys
), taken AS MATERIALIZED (
    SELECT found.dedup_key AS key, found.msg_id, found.first_at, found.expires_at
    FROM asked CROSS JOIN LATERAL (
        -- One scan of the index for all; the planner must not see how many they are, or it scans the ledger.
        SELECT dedup_key, msg_id, first_at, expires_at FROM airflow_pgmq.dedup_ledger
        WHERE queue_name = %(queue_name)s AND dedup_key = ANY (asked.keys COLLATE "C")
    ) AS found
), fresh AS MATERIALIZED (
    SELECT position, key, message, headers, vt, nextval(%(sequence)s::regclass) AS msg_id
    FROM (
        SELECT i.position, i.key COLLATE "C" AS key, i.message, i.headers,
               coalesce(i.instant, statement_timestamp() + make_interval(secs => coalesce(i.seconds, 0))) AS vt
        FROM asked CROSS JOIN LATERAL unnest(asked.keys, string_to_array(%(messages)s::text, E'\n'),
                    %(headers)b::text[], %(seconds)b::float8[], %(instants)b::timestamptz[])
             WITH ORDINALITY AS i (key, message, headers, seconds, instant, position)
        WHERE NOT EXISTS (SELECT FROM taken WHERE taken.key = i.key COLLATE "C")
            AND NOT EXISTS (SELECT FROM taken WHERE taken.expires_at <= statement_timestamp())
        ORDER BY position
    ) AS ordered
), claimed AS (
    INSERT INTO airflow_pgmq.dedup_ledger (queue_name, dedup_key, msg_id, first_at, expires_at)
    SELECT %(queue_name)s, key, msg_id, statement_timestamp(),
           greatest(vt, statement_timestamp()) + %(window)s::interval
    FROM fresh ORDER BY key
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT msg_id, vt, message::jsonb,
           %(common_headers)s::jsonb || coalesce(headers::jsonb, '{{}}') || jsonb_build_object('dedup_key', key)
    FROM fresh ORDER BY msg_id
)
SELECT 'duplicate' AS status, first_at, array_agg(key) AS keys, array_agg(msg_id) AS msg_ids
FROM taken WHERE expires_at > statement_timestamp() GROUP BY first_at
UNION ALL
SELECT 'sent', statement_timestamp(), NULL, array_agg(msg_id ORDER BY msg_id) FROM fresh HAVING count(*) > 0;

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
SELECT 'duplicate' AS status, first_at, array_agg(key) AS keys, array_agg(msg_id) AS msg_ids
FROM input WHERE NOT free GROUP BY first_at
UNION ALL
SELECT 'sent', statement_timestamp(), array_agg(key), array_agg(msg_id)
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
    SELECT count(*) AS visible, min(enqueued_at) AS oldest,
           coalesce(extract(epoch FROM statement_timestamp() - min(vt))::float8, 0) AS waited
    FROM (
        SELECT enqueued_at, vt FROM {table} AS held
        WHERE vt <= statement_timestamp() AND <<matches>>
        ORDER BY vt LIMIT asked.most
    ) AS matching
) AS seen
CROSS JOIN (
    SELECT extract(epoch FROM least(min(vt), statement_timestamp() + interval '1 day')
                              - statement_timestamp())::float8 AS next_in,
           EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(%(quoted_table)s) AND tgenabled <> 'D'
                   AND tgname = ANY (%(announcers)s::text[])) AS announced
    FROM {table} WHERE vt > statement_timestamp()
) AS upcoming;

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
-- has tried, the header `untried` counts it. An earlier time than the timeout's is announced to waiters.
UPDATE {table} AS held
SET vt = coalesce(was.instant, clock_timestamp() + make_interval(secs => was.seconds)),
    headers = CASE WHEN was.untried AND coalesce(jsonb_typeof(held.headers), 'null') IN ('object', 'null')
                   THEN coalesce(nullif(held.headers, 'null'), '{{}}') || jsonb_build_object(
                       'untried', least(held.read_ct - <<tries>> + 1, held.read_ct))
                   ELSE held.headers END
FROM (
    SELECT msg_id, held.vt, fence.seconds, fence.instant, fence.untried FROM {table} AS held
    JOIN ROWS FROM (<<fences>>, unnest(%(seconds)s::float8[], %(instants)s::timestamptz[], %(untried)s::boolean[]))
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
-- why they died is in the header `dead_letter`.
WITH taken AS (
    DELETE FROM {table} AS held
    USING ROWS FROM (<<fences>>, unnest(%(reasons)s::text[]))
          AS fence (msg_id, read_ct, enqueued_at, reason)
    WHERE held.msg_id = fence.msg_id AND <<is_ours>>
    RETURNING held.msg_id, held.read_ct, held.enqueued_at, held.message, held.headers, fence.reason
), moved AS (
    INSERT INTO {dead_letters} (vt, message, headers)
    SELECT clock_timestamp(), message,
           CASE WHEN jsonb_typeof(headers) = 'object' THEN headers - 'untried' ELSE '{{}}' END
               || jsonb_build_object('dead_letter', jsonb_build_object(
                   'queue', %(queue_name)s::text, 'msg_id', msg_id, 'read_ct', read_ct,
                   'enqueued_at', enqueued_at, 'reason', reason))
    FROM taken ORDER BY msg_id
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
           coalesce((headers -> 'dead_letter' ->> 'enqueued_at')::timestamptz, clock_timestamp()),
           message,
           CASE WHEN jsonb_typeof(headers) = 'object' THEN nullif(headers - 'dead_letter', '{{}}') ELSE headers END
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
           enqueued_at, message, CASE WHEN jsonb_typeof(headers) = 'object' THEN headers - 'untried' ELSE headers END
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
-- PGMQ's own counts of one queue.
SELECT * FROM pgmq.metrics(%(queue_name)s::text);

-- metrics_all --
-- PGMQ's own counts of all queues.
SELECT * FROM pgmq.metrics_all() ORDER BY queue_name;

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

-- open_namespace --
-- Register a namespace or find it; its row is locked until the transaction ends, so ticks take turns.
INSERT INTO airflow_pgmq.namespaces AS ns (namespace, owner, version, horizon, ticked_at, version_ticked_at)
VALUES (%(namespace)s, %(owner)s, %(version)s, clock_timestamp(), clock_timestamp(), clock_timestamp())
ON CONFLICT (namespace) DO UPDATE SET namespace = excluded.namespace
RETURNING ns.owner, ns.version, ns.fingerprint, ns.horizon, ns.ticked_at, ns.version_ticked_at,
          clock_timestamp() AS now;

-- lock_namespace --
-- Wait for a tick that is running; no row if the namespace is unknown.
SELECT ns.owner, ns.version, ns.fingerprint, ns.horizon, ns.ticked_at, clock_timestamp() AS now
FROM airflow_pgmq.namespaces AS ns WHERE namespace = %(namespace)s FOR UPDATE;

-- deploy_namespace --
-- A new set of jobs took over.
UPDATE airflow_pgmq.namespaces SET owner = %(owner)s, version = %(version)s, fingerprint = %(fingerprint)s
WHERE namespace = %(namespace)s;

-- close_tick --
-- Everything up to the horizon is done.
UPDATE airflow_pgmq.namespaces
SET horizon = greatest(horizon, %(horizon)s), ticked_at = clock_timestamp(), owner = %(owner)s,
    version_ticked_at = CASE WHEN %(version)s >= version THEN clock_timestamp() ELSE version_ticked_at END
WHERE namespace = %(namespace)s;

-- stored_jobs --
-- The state of a namespace's jobs.
SELECT name, version, fingerprint, queue_name, watermark, next_slot, paused
FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s;

-- due_jobs --
-- Jobs with a slot up to the horizon, those longest due first. Overlap-free jobs look no further than now.
SELECT name, watermark, next_slot, last_key, last_msg_id
FROM airflow_pgmq.periodic_jobs
WHERE namespace = %(namespace)s AND NOT paused AND next_slot <= %(horizon)s
    AND (NOT overlap_skip OR next_slot <= %(now)s) AND name <> ALL (%(outdated)s::text[])
ORDER BY next_slot, name LIMIT %(limit)s;

-- upsert_jobs --
-- Register jobs, or give known ones a new definition; what was sent last and the pause stay.
INSERT INTO airflow_pgmq.periodic_jobs AS job
    (namespace, name, version, fingerprint, definition, queue_name, overlap_skip, watermark, next_slot)
SELECT %(namespace)s, j.name, j.version, j.fingerprint, j.definition::jsonb, j.queue_name, j.overlap_skip,
       j.watermark, j.watermark
FROM unnest(%(names)b::text[], %(versions)b::integer[], %(fingerprints)b::text[], %(definitions)b::text[],
            %(queue_names)b::text[], %(overlap_skips)b::boolean[], %(watermarks)b::timestamptz[])
     AS j (name, version, fingerprint, definition, queue_name, overlap_skip, watermark)
ON CONFLICT (namespace, name) DO UPDATE
SET version = excluded.version, fingerprint = excluded.fingerprint, definition = excluded.definition,
    queue_name = excluded.queue_name, overlap_skip = excluded.overlap_skip,
    watermark = excluded.watermark, next_slot = excluded.next_slot, deployed_at = now();

-- advance_jobs --
-- Move watermarks past what was enqueued, in the transaction that enqueued it.
UPDATE airflow_pgmq.periodic_jobs AS job
SET watermark = done.watermark, next_slot = done.next_slot,
    last_slot = coalesce(done.last_slot, job.last_slot), last_key = coalesce(done.last_key, job.last_key),
    last_msg_id = coalesce(done.last_msg_id, job.last_msg_id),
    last_sent_at = CASE WHEN done.last_slot IS NULL THEN job.last_sent_at ELSE clock_timestamp() END
FROM unnest(%(names)b::text[], %(watermarks)b::timestamptz[], %(next_slots)b::timestamptz[],
            %(last_slots)b::timestamptz[], %(last_keys)b::text[], %(last_msg_ids)b::bigint[])
     AS done (name, watermark, next_slot, last_slot, last_key, last_msg_id)
WHERE job.namespace = %(namespace)s AND job.name = done.name;

-- remove_jobs --
-- Forget jobs that left the code.
DELETE FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s AND name = ANY (%(names)s::text[]);

-- remove_namespace --
-- Forget a namespace with all its jobs.
DELETE FROM airflow_pgmq.namespaces WHERE namespace = %(namespace)s;

-- withdraw --
-- Take back messages of jobs that nobody could have seen yet, and free their slots. A row that a reader
-- holds is left to it, its slot stays taken. '0' is the character after '/'.
WITH pending AS MATERIALIZED (
    SELECT job.name, taken.dedup_key, taken.msg_id
    FROM unnest(%(names)s::text[], %(from_slots)s::text[]) AS job (name, from_slot)
    CROSS JOIN LATERAL (
        -- OFFSET and LIMIT make these look-ups: plain joins are planned as scans of both tables.
        SELECT dedup_key, msg_id FROM airflow_pgmq.dedup_ledger
        WHERE queue_name = %(queue_name)s
            AND dedup_key >= (%(namespace)s || '/' || job.name || '/' || job.from_slot) COLLATE "C"
            AND dedup_key < (%(namespace)s || '/' || job.name || '0') COLLATE "C"
        OFFSET 0
    ) AS taken
), unseen AS MATERIALIZED (
    SELECT pending.name, pending.dedup_key, waiting.msg_id, waiting.slot
    FROM pending CROSS JOIN LATERAL (
        SELECT msg_id, (headers ->> 'slot')::timestamptz AS slot FROM {table}
        WHERE msg_id = pending.msg_id AND read_ct = 0 AND vt > clock_timestamp()
            AND headers ->> 'dedup_key' = pending.dedup_key
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS waiting
), removed AS (
    DELETE FROM {table} WHERE msg_id = ANY (ARRAY(SELECT msg_id FROM unseen))
), freed AS (
    DELETE FROM airflow_pgmq.dedup_ledger
    WHERE queue_name = %(queue_name)s AND dedup_key = ANY (ARRAY(SELECT dedup_key FROM unseen))
)
SELECT name, count(*) AS withdrawn, min(slot) AS first_slot FROM unseen GROUP BY name;

-- still_queued --
-- Which of the jobs' last messages are still in the queue.
SELECT waiting.msg_id FROM {table} AS waiting
JOIN unnest(%(msg_ids)s::bigint[], %(keys)s::text[]) AS last (msg_id, key) USING (msg_id)
WHERE waiting.headers ->> 'dedup_key' = last.key;

-- job_definition --
-- One job's stored definition and state.
SELECT definition, queue_name, paused, watermark, next_slot, clock_timestamp() AS now
FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s AND name = %(name)s;

-- pause_job --
-- Stop a job; its slots from now on are open again, and those before now that jitter held back.
UPDATE airflow_pgmq.periodic_jobs
SET paused = true, next_slot = least(next_slot, %(first_slot)s::timestamptz),
    watermark = least(watermark, clock_timestamp(), %(first_slot)s::timestamptz - interval '1 microsecond')
WHERE namespace = %(namespace)s AND name = %(name)s;

-- resume_job --
-- Let a job go on; its next tick catches up by its policy.
UPDATE airflow_pgmq.periodic_jobs SET paused = false WHERE namespace = %(namespace)s AND name = %(name)s;

-- list_jobs --
-- All jobs with their state, of one namespace or of all.
SELECT job.namespace, job.name, job.version, job.queue_name, job.definition, job.paused, job.watermark,
       job.next_slot, job.last_slot, job.last_msg_id, job.last_sent_at, ns.owner, ns.ticked_at
FROM airflow_pgmq.periodic_jobs AS job JOIN airflow_pgmq.namespaces AS ns USING (namespace)
WHERE job.namespace = coalesce(%(namespace)s, job.namespace)
ORDER BY job.namespace, job.name;

-- send_query --
-- The rows of a query as messages, without keys.
WITH sent AS (
    INSERT INTO {table} (vt, message, headers)
    SELECT coalesce((doc ->> 'visible_at')::timestamptz,
                    statement_timestamp() + coalesce((doc ->> 'delay')::interval, interval '0')),
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
WITH input AS MATERIALIZED (
    SELECT position, doc ->> 'dedup_key' COLLATE "C" AS key, doc
    FROM (SELECT row_number() OVER () AS position, to_jsonb(origin) AS doc FROM ({source}) AS origin) AS origins
), fresh AS MATERIALIZED (
    SELECT ordered.*, nextval(%(pgmq_sequence)s::regclass) AS msg_id
    FROM (
        SELECT key, doc,
               coalesce((doc ->> 'visible_at')::timestamptz,
                        statement_timestamp() + coalesce((doc ->> 'delay')::interval, interval '0')) AS vt
        FROM (
            SELECT input.*, row_number() OVER (PARTITION BY key ORDER BY position) AS among_equals FROM input
        ) AS numbered
        WHERE key IS NULL OR (among_equals = 1 AND NOT EXISTS (
            SELECT FROM airflow_pgmq.dedup_ledger
            WHERE queue_name = %(pgmq_queue)s AND dedup_key = numbered.key AND expires_at > statement_timestamp()
            OFFSET 0
        ))
        ORDER BY position
    ) AS ordered
), claimed AS (
    INSERT INTO airflow_pgmq.dedup_ledger AS taken (queue_name, dedup_key, msg_id, first_at, expires_at)
    SELECT %(pgmq_queue)s, key, msg_id, statement_timestamp(),
           greatest(vt, statement_timestamp()) + %(pgmq_window)s::interval
    FROM fresh WHERE key IS NOT NULL ORDER BY key
    ON CONFLICT (queue_name, dedup_key) DO UPDATE
        SET msg_id = excluded.msg_id, first_at = excluded.first_at, expires_at = excluded.expires_at
        WHERE taken.expires_at <= statement_timestamp()
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
       (SELECT coalesce(max(length(key)), 0) FROM input) AS longest_key;

-- send_query_queued --
-- The same with keys that must not be in the queue now.
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
           coalesce((doc ->> 'visible_at')::timestamptz,
                    statement_timestamp() + coalesce((doc ->> 'delay')::interval, interval '0')),
           CASE WHEN doc ? 'message' THEN doc -> 'message'
                ELSE doc - ARRAY['dedup_key', 'delay', 'visible_at', 'headers'] END,
           nullif(%(pgmq_headers)s::jsonb || coalesce(nullif(doc -> 'headers', 'null'), '{{}}')
                  || CASE WHEN key IS NULL THEN '{{}}' ELSE jsonb_build_object('dedup_key', key) END, '{{}}')
    FROM fresh ORDER BY key COLLATE "C"
    ON CONFLICT ((headers ->> 'dedup_key')) WHERE headers ? 'dedup_key' DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM input) AS rows, (SELECT count(*) FROM sent) AS sent,
       (SELECT coalesce(max(length(key)), 0) FROM input) AS longest_key;

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

-- with_messages --
-- A statement of the user's that sees a batch as the table `messages`.
WITH {recursive} messages AS (
    SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM {table}
    WHERE msg_id = ANY (%(pgmq_msg_ids)s::bigint[])
){statement};

-- queue_tables --
-- Every queue with what catalogue and statistics say of its table and archive. Reads no queue, and waits for
-- no table that somebody holds for himself: the size of such a one is the planner's.
WITH held AS MATERIALIZED (
    SELECT relation FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT meta.queue_name, meta.is_partitioned, meta.is_unlogged, meta.created_at,
       coalesce(has_table_privilege(q.oid, 'SELECT'), false) AS readable,
       coalesce(own.bytes, 0)::bigint AS bytes,
       -- A crash of the server resets the statistics; then the planner's guess is all there is.
       CASE WHEN own.inserted + own.deleted + own.live + own.dead > 0 THEN own.live
            ELSE greatest(q.reltuples, 0)::bigint END AS live,
       greatest(q.reltuples, 0)::bigint AS planned,
       coalesce(own.dead, 0)::bigint AS dead, coalesce(own.inserted, 0)::bigint AS inserted,
       coalesce(own.deleted, 0)::bigint AS deleted,
       coalesce(nullif(pg_stat_get_live_tuples(a.oid), 0), greatest(a.reltuples::bigint, 0), 0) AS archived,
       lower('q_' || meta.queue_name || '_dedup_idx') = ANY (ARRAY(
           SELECT guard.relname::text FROM pg_index JOIN pg_class AS guard ON guard.oid = indexrelid
           WHERE guard.relnamespace = to_regnamespace('pgmq') AND NOT (indisvalid AND indisunique)
               AND right(guard.relname::text, 10) = '_dedup_idx'
       )) AS broken_guard,
       clock.now
FROM (SELECT statement_timestamp() AS now) AS clock
LEFT JOIN pgmq.meta ON %(queue_name)s::text IS NULL OR meta.queue_name = %(queue_name)s
LEFT JOIN pg_class AS q ON q.relnamespace = to_regnamespace('pgmq') AND q.relname = lower('q_' || meta.queue_name)
LEFT JOIN pg_class AS a ON a.relnamespace = to_regnamespace('pgmq') AND a.relname = lower('a_' || meta.queue_name)
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
-- A queue's messages by state, every one of them looked at. Only a time that was is asked for: clients may
-- send for `infinity`, which the driver does not read.
SELECT %(queue_name)s::text AS queue_name, count(*) AS counted,
       count(*) FILTER (WHERE vt <= statement_timestamp()) AS visible,
       count(*) FILTER (WHERE vt > statement_timestamp() AND read_ct > 0) AS in_flight,
       min(enqueued_at) AS oldest,
       min(vt) FILTER (WHERE vt BETWEEN 'epoch' AND statement_timestamp()) AS first_vt
FROM {table};

-- count_by_index --
-- The same for a table that is mostly empty space, up to so many.
SELECT %(queue_name)s::text AS queue_name, count(*) AS counted,
       count(*) FILTER (WHERE vt <= statement_timestamp()) AS visible,
       count(*) FILTER (WHERE vt > statement_timestamp() AND read_ct > 0) AS in_flight,
       min(enqueued_at) AS oldest,
       min(vt) FILTER (WHERE vt BETWEEN 'epoch' AND statement_timestamp()) AS first_vt
FROM (SELECT vt, read_ct, enqueued_at FROM {table} ORDER BY msg_id LIMIT %(most)s) AS few;

-- count_sample --
-- The same for some pages of a large table. The oldest is looked up where no dead rows lie before it.
SELECT %(queue_name)s::text AS queue_name, count(*) AS counted,
       count(*) FILTER (WHERE vt <= statement_timestamp()) AS visible,
       count(*) FILTER (WHERE vt > statement_timestamp() AND read_ct > 0) AS in_flight,
       coalesce(CASE WHEN %(clean)s THEN (
           SELECT min(enqueued_at) FROM (SELECT enqueued_at FROM {table} ORDER BY msg_id LIMIT 10) AS front
       ) END, min(enqueued_at)) AS oldest,
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
                   AND oidvectortypes(proargtypes) = 'text, jsonb, jsonb, timestamp with time zone') AS headers,
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
        GROUP BY 1 HAVING count(*) > 1
    ) AS twice
    WHERE NOT EXISTS (
        SELECT FROM airflow_pgmq.dedup_ledger
        WHERE queue_name = %(queue_name)s AND dedup_key = twice.dedup_key COLLATE "C"
    )
);

-- messages_of_queue --
-- Messages by id, of those that are looked through; payloads up to a size. Reads nothing.
SELECT msg_id, read_ct, least(greatest(enqueued_at, 'epoch'), '9999-01-01Z') AS enqueued_at,
       least(greatest(vt, 'epoch'), '9999-01-01Z') AS vt, NULL::timestamptz AS archived_at,
       CASE WHEN NOT headers_large THEN headers END AS headers,
       CASE WHEN %(peek)s AND NOT message_large THEN message END AS message,
       message_large OR headers_large AS too_large, statement_timestamp() AS now
FROM (
    SELECT * FROM {table} WHERE msg_id > %(after)s ORDER BY msg_id LIMIT %(scanned)s
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
SELECT msg_id, read_ct, least(greatest(enqueued_at, 'epoch'), '9999-01-01Z') AS enqueued_at,
       least(greatest(vt, 'epoch'), '9999-01-01Z') AS vt, archived_at,
       CASE WHEN NOT headers_large THEN headers END AS headers,
       CASE WHEN %(peek)s AND NOT message_large THEN message END AS message,
       message_large OR headers_large AS too_large, statement_timestamp() AS now
FROM (
    SELECT * FROM {archive} WHERE msg_id < %(after)s ORDER BY msg_id DESC LIMIT %(scanned)s
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
-- The message that stands for a dedup key.
SELECT msg_id FROM airflow_pgmq.dedup_ledger WHERE queue_name = %(queue_name)s AND dedup_key = %(dedup_key)s;

-- sent_by --
-- The newest messages of a queue and its archive that a Dag, run or task has sent.
SELECT %(queue_name)s::text AS queue_name, found.*, statement_timestamp() AS now FROM (
    SELECT msg_id, read_ct, least(greatest(enqueued_at, 'epoch'), '9999-01-01Z') AS enqueued_at,
           least(greatest(vt, 'epoch'), '9999-01-01Z') AS vt, archived_at,
           CASE WHEN NOT headers_large THEN headers END AS headers,
           CASE WHEN %(peek)s AND NOT message_large THEN message END AS message,
           message_large OR headers_large AS too_large
    FROM (
        (SELECT msg_id, read_ct, enqueued_at, vt, NULL::timestamptz AS archived_at, headers, message
         FROM {table} ORDER BY msg_id DESC LIMIT %(scanned)s)
        UNION ALL
        (SELECT msg_id, read_ct, enqueued_at, vt, archived_at, headers, message
         FROM {archive} ORDER BY msg_id DESC LIMIT %(scanned)s)
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
-- What the ledger knows of slots. LIMIT makes it a look-up per key.
SELECT asked.key, taken.first_at, taken.expires_at
FROM unnest(%(queue_names)s::text[], %(keys)s::text[]) AS asked (queue_name, key)
CROSS JOIN LATERAL (
    SELECT first_at, expires_at FROM airflow_pgmq.dedup_ledger
    WHERE dedup_key = asked.key COLLATE "C" AND queue_name = asked.queue_name COLLATE "C"
    LIMIT 1
) AS taken;

-- repeated_slots --
-- Slots that were met again since then.
SELECT namespace, name, slot FROM airflow_pgmq.repeated_slots
WHERE namespace = coalesce(%(namespace)s, namespace) AND slot >= %(since)s;

-- note_repeats --
-- Slots that a tick or a backfill met although they had been sent.
INSERT INTO airflow_pgmq.repeated_slots AS known (namespace, name, slot, repeated_at)
SELECT %(namespace)s, repeat.name, repeat.slot, statement_timestamp()
FROM unnest(%(names)s::text[], %(slots)s::timestamptz[]) AS repeat (name, slot)
ORDER BY repeat.name, repeat.slot
ON CONFLICT (namespace, name, slot) DO UPDATE
SET times = known.times + 1, repeated_at = excluded.repeated_at;

-- prune_repeats --
-- Forget repeats that no strip of slots shows any more.
DELETE FROM airflow_pgmq.repeated_slots WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM airflow_pgmq.repeated_slots WHERE repeated_at < statement_timestamp() - %(keep)s::interval
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
));

-- short_locks --
-- Whoever looks does not queue behind a lock, where everybody else would queue behind them.
SELECT set_config('lock_timeout', %(wait)s, true);

-- short_statements --
-- Whoever looks does not keep the server busy for long.
SELECT set_config('statement_timeout', %(limit)s, true);

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
