-- read --
-- Read through PGMQ's own function.
SELECT found.* FROM <<absent>> CROSS JOIN LATERAL (
    SELECT msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
    FROM pgmq.read(%(queue_name)s::text, %(visibility_timeout)s::integer, %(max_messages)s::integer,
                   coalesce(%(condition)s::jsonb, '{{}}'))
    WHERE <<may_read>>
) AS found;

-- read_by_headers --
-- Read with a condition on the headers, which PGMQ's function does not have.
UPDATE {table} AS chosen
SET <<read_again>>
FROM (
    SELECT msg_id FROM {table} AS m, <<asked>>
    WHERE vt <= clock_timestamp() AND <<may_read>> AND <<matches>>
    ORDER BY msg_id LIMIT %(max_messages)s FOR UPDATE OF m SKIP LOCKED
) AS visible
WHERE chosen.msg_id = visible.msg_id
RETURNING chosen.msg_id, chosen.read_ct, chosen.enqueued_at, chosen.vt, chosen.message, chosen.headers;

-- visible --
-- How many matching messages a read would return now, counted up to a limit. It hides no message.
SELECT count(*) AS visible FROM (
    SELECT FROM {table} AS m, <<asked>>
    WHERE vt <= clock_timestamp() AND <<may_read>> AND <<matches>>
    LIMIT %(limit)s
) AS matching;

-- by_id --
-- Messages by their ids, in the queue or archived. It hides no message.
SELECT found.* FROM <<absent>> CROSS JOIN LATERAL (
    SELECT msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
    FROM {table} WHERE msg_id = ANY (%(msg_ids)s::bigint[])
    UNION ALL
    SELECT msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
    FROM {archive} WHERE msg_id = ANY (%(msg_ids)s::bigint[])
) AS found;

-- pop --
-- Read and delete at once: a crash of the reader loses the messages.
SELECT * FROM pgmq.pop(%(queue_name)s::text) WHERE <<may_read>>;

-- pop_many --
-- The same for several messages (PGMQ 1.7 and newer).
SELECT * FROM pgmq.pop(%(queue_name)s::text, %(max_messages)s::integer) WHERE <<may_read>>;

-- archive --
-- Archive messages that nobody else has read since; returns their ids.
SELECT done.msg_id FROM pgmq.archive(%(queue_name)s::text, <<to_ack>>) AS done (msg_id);

-- free_archive_ids --
-- Give archived messages whose ids the queue uses again other ids, below zero, which no sequence gives: then
-- those of the queue can be archived. Returns how many there were.
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
SELECT done.msg_id FROM pgmq.delete(%(queue_name)s::text, <<to_ack>>) AS done (msg_id);

-- set_vt --
-- Move the time at which held messages become visible, if nobody else has read them since. Waiters have a
-- timer set to the old time, so an earlier one is announced.
UPDATE {table} AS m SET vt = <<later_vt>>
FROM (
    SELECT msg_id, vt FROM {table} AS m
    JOIN <<fences>> AS fence (msg_id, read_ct, enqueued_at) USING (msg_id)
    WHERE <<is_ours>> AND NOT (<<stops_its_group>>) FOR UPDATE OF m
) AS was
WHERE m.msg_id = was.msg_id
RETURNING m.msg_id, CASE WHEN m.vt < was.vt THEN pg_notify(%(channel)s, '') END AS announced;

-- settled --
-- Of messages that an ack did not find: those that an earlier attempt must have settled, whose answer was lost.
-- They are in the archive as they were read, or are gone if they were not to be archived.
SELECT fence.msg_id FROM <<fences>> AS fence (msg_id, read_ct, enqueued_at)
WHERE CASE WHEN %(archived)s
           THEN EXISTS (SELECT FROM {archive} AS m WHERE m.msg_id = fence.msg_id AND <<is_ours>>)
           ELSE NOT EXISTS (SELECT FROM {table} AS m WHERE m.msg_id = fence.msg_id) END;
