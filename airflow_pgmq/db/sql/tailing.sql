-- tail_start --
-- Where a tail begins: the highest id, in the queue or its archive; which ids just below it are in neither, since
-- their senders may not have committed yet; the oldest of the last few messages; and which queue it is.
WITH newest AS MATERIALIZED (
    SELECT greatest((SELECT max(msg_id) FROM {table}), (SELECT max(msg_id) FROM {archive}), 0) AS msg_id
)
SELECT newest.msg_id AS newest, (
           SELECT coalesce(array_agg(id ORDER BY id), '{{}}') FROM generate_series(
               greatest(newest.msg_id - %(gap)s::bigint, 1), newest.msg_id
           ) AS id
           WHERE NOT EXISTS (SELECT FROM {table} WHERE msg_id = id)
               AND NOT EXISTS (SELECT FROM {archive} WHERE msg_id = id)
       ) AS missing, (
           SELECT min(msg_id) FROM (SELECT msg_id FROM {table} ORDER BY msg_id DESC LIMIT %(last)s) AS few
       ) AS first_of_last, (
           SELECT min(created_at) FROM pgmq.meta WHERE lower(queue_name) = lower(%(queue_name)s::text)
       ) AS made_at
FROM newest;

-- appeared --
-- Messages above an id, and those of some ids below it, from the queue and its archive. It hides no message.
SELECT <<shown_times>>,
       CASE WHEN archived_at IS NOT NULL THEN least(greatest(archived_at, 'epoch'), '9999-01-01Z') END AS archived_at,
       <<shown_content>>, statement_timestamp() AS now
FROM (
    (
        SELECT msg_id, read_ct, enqueued_at, vt, headers, message, NULL::timestamptz AS archived_at
        FROM {table} WHERE msg_id > %(after)s ORDER BY msg_id LIMIT %(limit)s
    ) UNION ALL (
        SELECT msg_id, read_ct, enqueued_at, vt, headers, message, archived_at::timestamptz
        FROM {archive} WHERE msg_id > %(archived_after)s ORDER BY msg_id LIMIT %(limit)s
    ) UNION ALL (
        SELECT msg_id, read_ct, enqueued_at, vt, headers, message, NULL::timestamptz
        FROM {table} WHERE msg_id = ANY (%(missing)s::bigint[])
    ) UNION ALL (
        SELECT msg_id, read_ct, enqueued_at, vt, headers, message, archived_at::timestamptz
        FROM {archive} WHERE msg_id = ANY (%(missing)s::bigint[])
    )
) AS found
CROSS JOIN LATERAL <<content_size>>
ORDER BY msg_id LIMIT %(limit)s;

-- tailed_queue --
-- What is asked when nothing has come: whether it is still the same queue, and whether it announces its messages.
SELECT (SELECT min(created_at) FROM pgmq.meta WHERE lower(queue_name) = lower(%(queue_name)s::text)) AS made_at,
       EXISTS <<announcers>> AS announced;
