-- create_fifo_index --
-- PGMQ's index on the headers.
SELECT pgmq.create_fifo_index(%(queue_name)s::text);

-- create_fifo_indexes_all --
-- The same of all queues.
SELECT pgmq.create_fifo_indexes_all();

-- read_grouped --
-- Read as many messages of one group as possible, then of the next one.
SELECT found.* FROM <<absent>> CROSS JOIN LATERAL (
    SELECT msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
    FROM pgmq.read_grouped(%(queue_name)s::text, %(visibility_timeout)s::integer, %(max_messages)s::integer)
    WHERE <<may_read>>
) AS found;

-- read_grouped_rr --
-- Read a message of each group, then a second one of each.
SELECT found.* FROM <<absent>> CROSS JOIN LATERAL (
    SELECT msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
    FROM pgmq.read_grouped_rr(%(queue_name)s::text, %(visibility_timeout)s::integer, %(max_messages)s::integer)
    WHERE <<may_read>>
) AS found;

-- read_grouped_head --
-- Read the oldest message of each group.
SELECT found.* FROM <<absent>> CROSS JOIN LATERAL (
    SELECT msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
    FROM pgmq.read_grouped_head(%(queue_name)s::text, %(visibility_timeout)s::integer, %(max_messages)s::integer)
    WHERE <<may_read>>
) AS found;
