-- read_for_work --
-- Read a batch of messages to work on.
WITH <<next_batch>>
SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM chosen;

-- archive_columns --
-- The columns that a queue and its archive share. None if the archive lacks one of the queue's, or there is none.
SELECT coalesce(array_agg(attname ORDER BY attnum), '{{}}') AS columns
FROM pg_attribute
WHERE attrelid = to_regclass(%(relation)s) AND attnum > 0 AND NOT attisdropped
HAVING bool_and(EXISTS (
    SELECT FROM pg_attribute AS other
    WHERE other.attrelid = to_regclass(%(archive_relation)s) AND other.attname = pg_attribute.attname
        AND NOT other.attisdropped AND other.attgenerated = '' AND pg_attribute.attgenerated = ''
));

-- archive_held --
-- Archive messages that nobody else has read since, as pgmq.archive does it with these columns, but each row is found
-- and locked once; returns their ids in one row.
WITH <<archived>>
SELECT ARRAY(SELECT msg_id FROM acked) AS acked;

-- archive_and_read_for_work --
-- Archive the messages of one batch and read the next one.
WITH <<next_batch>>, <<archived>>
<<acked_and_next>>;

-- delete_and_read_for_work --
-- The same where acked messages are deleted.
WITH <<next_batch>>, acked AS (
    DELETE FROM {table} AS m USING <<fences>> AS fence (msg_id, read_ct, enqueued_at)
    WHERE m.msg_id = fence.msg_id AND <<is_ours>>
    RETURNING m.msg_id
)
<<acked_and_next>>;

-- release_each --
-- Give back messages, each after its own delay, if nobody else has read them since. For those that were not tried,
-- the header `untried` counts the read; the reader gives the new count (0: one more), so that a read counts once.
-- For those that stay hidden, the header `released_read` has the read (id and read_ct), to show that no reader
-- holds them. A time before the timeout is announced to waiters.
UPDATE {table} AS m
SET vt = was.back_at,
    headers = CASE WHEN coalesce(jsonb_typeof(m.headers), 'null') IN ('object', 'null')
                        AND (was.untried IS NOT NULL OR was.back_at > clock_timestamp())
                   THEN coalesce(nullif(m.headers, 'null'), '{{}}')
                       || CASE WHEN was.untried IS NULL THEN '{{}}' ELSE jsonb_build_object('untried',
                              coalesce(nullif(was.untried, 0), least(m.read_ct - <<tries>> + 1, m.read_ct))) END
                       || CASE WHEN was.back_at > clock_timestamp()
                               THEN jsonb_build_object('released_read', jsonb_build_array(m.msg_id, m.read_ct)) ELSE '{{}}' END
                   ELSE m.headers END
FROM (
    SELECT msg_id, m.vt, fence.untried,
           coalesce(fence.instant, clock_timestamp() + make_interval(secs => fence.seconds)) AS back_at
    FROM {table} AS m
    JOIN ROWS FROM (<<fences>>, unnest(%(seconds)s::float8[], %(instants)s::timestamptz[], %(untried)s::integer[]))
         AS fence (msg_id, read_ct, enqueued_at, seconds, instant, untried) USING (msg_id)
    WHERE <<is_ours>> AND NOT (<<stops_its_group>>) FOR UPDATE OF m
) AS was
WHERE m.msg_id = was.msg_id
RETURNING m.msg_id, CASE WHEN m.vt < was.vt THEN pg_notify(%(channel)s, '') END AS announced;

-- dead_letter --
-- Move messages into the dead letter queue, if nobody else has read them since. Where they come from and
-- the reason is in the header `dead_letter`. So is their dedup key if a unique index might refuse it: the
-- queue may have had several dead letters with one key.
WITH taken AS (
    DELETE FROM {table} AS m
    USING ROWS FROM (<<fences>>, unnest(%(reasons)b::text[]))
          AS fence (msg_id, read_ct, enqueued_at, reason)
    WHERE m.msg_id = fence.msg_id AND <<is_ours>>
    RETURNING m.msg_id, m.read_ct, <<tries>> AS tries, m.enqueued_at, m.message, fence.reason,
              CASE WHEN jsonb_typeof(m.headers) = 'object' THEN m.headers - ARRAY['untried', 'released_read', 'stopped'] ELSE '{{}}' END AS headers
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
-- Requeue dead letters, as new messages: headers as they were, unread, with their first enqueued_at.
-- One whose dedup key is in the queue again (scope `queued`) stays where it is.
WITH chosen AS MATERIALIZED (
    SELECT msg_id, message, headers FROM {source} AS m, <<asked>>
    WHERE vt <= clock_timestamp()
        AND coalesce(headers -> 'dead_letter' ->> 'queue', %(queue_name)s) = %(queue_name)s
        AND (%(msg_ids)s::bigint[] IS NULL OR msg_id = ANY (%(msg_ids)s::bigint[]))
        AND <<matches>>
    ORDER BY msg_id LIMIT %(max_messages)s FOR UPDATE OF m SKIP LOCKED
), fresh AS MATERIALIZED (
    SELECT chosen.*, nextval(%(sequence)s::regclass) AS new_id FROM chosen ORDER BY msg_id
), sent AS (
    INSERT INTO {table} (msg_id, vt, enqueued_at, message, headers) OVERRIDING SYSTEM VALUE
    SELECT new_id, <<later_vt>>,
           -- Any client may write that header; a path, unlike a cast, never fails.
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
    SELECT msg_id, enqueued_at, message, headers FROM {source} AS m, <<asked>>
    WHERE (%(msg_ids)s::bigint[] IS NULL OR msg_id = ANY (%(msg_ids)s::bigint[]))
        AND <<matches>>
    ORDER BY msg_id LIMIT %(max_messages)s FOR UPDATE OF m SKIP LOCKED
), fresh AS MATERIALIZED (
    SELECT chosen.*, nextval(%(sequence)s::regclass) AS new_id FROM chosen ORDER BY msg_id
), sent AS (
    INSERT INTO {table} (msg_id, vt, enqueued_at, message, headers) OVERRIDING SYSTEM VALUE
    SELECT new_id, <<later_vt>>,
           enqueued_at, message, CASE WHEN jsonb_typeof(headers) = 'object' THEN headers - ARRAY['untried', 'released_read', 'stopped'] ELSE headers END
    FROM fresh ORDER BY new_id
    ON CONFLICT DO NOTHING
    RETURNING msg_id
)
DELETE FROM {source} AS gone USING fresh, sent
WHERE gone.msg_id = fresh.msg_id AND fresh.new_id = sent.msg_id
RETURNING gone.msg_id, fresh.new_id;
