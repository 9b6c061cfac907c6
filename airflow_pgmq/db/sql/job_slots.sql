-- slots_of_job --
-- The latest slots of a job in a time, newest first.
SELECT slot, queue_name, msg_id, visible_at, first_at, expires_at, repeats FROM airflow_pgmq.slots
WHERE namespace = %(namespace)s AND name = %(name)s AND slot > %(after)s AND slot <= %(until)s
ORDER BY slot DESC LIMIT %(limit)s;

-- skipped_ahead --
-- Slots of a job that are still to come and that people left out.
SELECT slot FROM airflow_pgmq.slots
WHERE namespace = %(namespace)s AND name = %(name)s AND queue_name = '' AND slot > %(after)s
ORDER BY slot LIMIT %(limit)s;

-- all_skipped_ahead --
-- The same of all jobs, of one namespace or of all.
SELECT namespace, name, slot FROM airflow_pgmq.slots
WHERE queue_name = '' AND slot > %(after)s AND (%(namespace)s::text IS NULL OR namespace = %(namespace)s)
ORDER BY namespace, name, slot LIMIT %(limit)s;

-- slots_in_queue --
-- The messages of slots that are in their queue. LIMIT makes it a look-up per message.
SELECT sent.slot, found.* FROM unnest(%(slots)s::timestamptz[], %(msg_ids)s::bigint[], %(keys)s::text[])
    AS sent (slot, msg_id, key)
CROSS JOIN LATERAL (
    SELECT CASE WHEN vt <= statement_timestamp() THEN 'visible' WHEN read_ct > 0 THEN 'in_flight' ELSE 'delayed' END
               AS place,
           read_ct, NULL::timestamptz AS archived_at, NULL::timestamptz AS last_read_at
    FROM {table} WHERE msg_id = sent.msg_id AND headers ->> 'dedup_key' = sent.key
    LIMIT 1
) AS found;

-- slots_in_archive --
-- The same of those that were archived.
SELECT sent.slot, found.* FROM unnest(%(slots)s::timestamptz[], %(msg_ids)s::bigint[], %(keys)s::text[])
    AS sent (slot, msg_id, key)
CROSS JOIN <<absent>>
CROSS JOIN LATERAL (
    SELECT 'archived' AS place, read_ct, least(greatest(archived_at, 'epoch'), '9999-01-01Z') AS archived_at,
           CASE WHEN last_read_at BETWEEN 'epoch' AND '9999-01-01Z' THEN last_read_at END AS last_read_at
    FROM {table} AS kept WHERE kept.msg_id = sent.msg_id AND headers ->> 'dedup_key' = sent.key
    LIMIT 1
) AS found;

-- dead_letters_of_job --
-- The keys of a job's dead letters, among the newest ones of a queue.
SELECT coalesce(headers ->> 'dedup_key', headers -> 'dead_letter' ->> 'dedup_key') AS key
FROM (SELECT headers FROM {table} ORDER BY msg_id DESC LIMIT %(scanned)s) AS newest
WHERE headers ->> 'job' = %(name)s AND headers ->> 'namespace' = %(namespace)s;
