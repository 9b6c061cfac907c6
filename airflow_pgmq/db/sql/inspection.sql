-- messages_of_queue --
-- Messages by id, among those that are searched; payloads up to a size. It hides no message.
SELECT <<shown_times>>, NULL::timestamptz AS archived_at,
       <<shown_content>>, <<shown_read>>, statement_timestamp() AS now
FROM <<absent>> CROSS JOIN LATERAL (
    SELECT msg_id, read_ct, enqueued_at, last_read_at AS last_read, vt, headers, message
    FROM {table} WHERE msg_id > %(after)s ORDER BY msg_id LIMIT %(scanned)s
) AS part
CROSS JOIN LATERAL <<content_size>>
WHERE (%(job)s::text IS NULL OR headers ->> 'job' = %(job)s)
    AND (%(namespace)s::text IS NULL OR headers ->> 'namespace' = %(namespace)s)
    AND (%(dedup_key)s::text IS NULL OR headers ->> 'dedup_key' = %(dedup_key)s)
ORDER BY msg_id LIMIT %(limit)s;

-- messages_of_archive --
-- The same of a queue's archive, whose newest come first.
SELECT <<shown_times>>,
       least(greatest(archived_at::timestamptz, 'epoch'), '9999-01-01Z') AS archived_at,
       <<shown_content>>, <<shown_read>>, statement_timestamp() AS now
FROM <<absent>> CROSS JOIN LATERAL (
    SELECT msg_id, read_ct, enqueued_at, last_read_at AS last_read, vt, headers, message, archived_at
    FROM {archive} WHERE msg_id < %(after)s ORDER BY msg_id DESC LIMIT %(scanned)s
) AS part
CROSS JOIN LATERAL <<content_size>>
WHERE (%(job)s::text IS NULL OR headers ->> 'job' = %(job)s)
    AND (%(namespace)s::text IS NULL OR headers ->> 'namespace' = %(namespace)s)
    AND (%(dedup_key)s::text IS NULL OR headers ->> 'dedup_key' = %(dedup_key)s)
ORDER BY msg_id DESC LIMIT %(limit)s;

-- scanned_of_queue --
-- Where the search stopped, if there is more.
SELECT msg_id FROM {table} WHERE msg_id > %(after)s ORDER BY msg_id OFFSET %(scanned)s - 1 LIMIT 1;

-- scanned_of_archive --
-- The same of an archive.
SELECT msg_id FROM {archive} WHERE msg_id < %(after)s ORDER BY msg_id DESC OFFSET %(scanned)s - 1 LIMIT 1;

-- ledger_message --
-- The message that has a dedup key, of scope `once` or of a slot.
SELECT msg_id FROM airflow_pgmq.dedup_ledger WHERE queue_name = %(queue_name)s AND dedup_key = %(dedup_key)s
UNION ALL
SELECT msg_id FROM airflow_pgmq.slots
WHERE namespace = %(namespace)s AND name = %(name)s AND slot = %(slot)s::timestamptz
    AND queue_name = %(queue_name)s AND msg_id IS NOT NULL;

-- sent_by --
-- The newest messages of a queue that a Dag, run or task has sent.
SELECT %(queue_name)s::text AS queue_name, found.*, statement_timestamp() AS now FROM (
    SELECT <<shown_times>>, NULL::timestamptz AS archived_at,
           <<shown_content>>
    FROM (
        SELECT msg_id, read_ct, enqueued_at, vt, headers, message
        FROM {table} ORDER BY msg_id DESC LIMIT %(scanned)s
    ) AS newest
    CROSS JOIN LATERAL <<content_size>>
    WHERE headers @> %(source)s::jsonb
    ORDER BY msg_id DESC LIMIT %(limit)s
) AS found;

-- sent_by_archived --
-- The same of an archive.
SELECT %(queue_name)s::text AS queue_name, found.*, statement_timestamp() AS now FROM (
    SELECT <<shown_times>>,
           least(greatest(archived_at::timestamptz, 'epoch'), '9999-01-01Z') AS archived_at,
           <<shown_content>>
    FROM (
        SELECT msg_id, read_ct, enqueued_at, vt, headers, message, archived_at
        FROM {table} ORDER BY msg_id DESC LIMIT %(scanned)s
    ) AS newest
    CROSS JOIN LATERAL <<content_size>>
    WHERE headers @> %(source)s::jsonb
    ORDER BY msg_id DESC LIMIT %(limit)s
) AS found;

-- dead_letter_origins --
-- Where dead letters came from, and how many. Null: neither their headers nor the queue's name say it.
SELECT coalesce(headers -> 'dead_letter' ->> 'queue', %(otherwise)s::text) AS queue_name, count(*) AS letters
FROM (
    SELECT headers FROM {table}
    WHERE %(msg_ids)s::bigint[] IS NULL OR msg_id = ANY (%(msg_ids)s::bigint[])
    ORDER BY msg_id LIMIT %(limit)s
) AS chosen
GROUP BY 1;

-- shown_jobs --
-- All jobs with their state, of one namespace or of all.
SELECT job.namespace, job.name, job.version, job.queue_name, job.definition, job.paused, job.paused_for, job.live,
       job.watermark, job.next_slot, job.last_slot, job.last_sent_at, job.deployed_at, ns.owner, ns.ticked_at,
       clock_timestamp() AS now
FROM airflow_pgmq.periodic_jobs AS job JOIN airflow_pgmq.namespaces AS ns USING (namespace)
WHERE job.namespace = coalesce(%(namespace)s, job.namespace) AND job.name = coalesce(%(name)s, job.name)
ORDER BY job.namespace, job.name;

-- shown_namespaces --
-- All sets of jobs.
SELECT namespace, owner, version, ticked_at, left_out, clock_timestamp() AS now FROM airflow_pgmq.namespaces
WHERE namespace = coalesce(%(namespace)s, namespace) ORDER BY namespace;

-- sent_slots --
-- What is known of slots that were sent. LIMIT makes it a look-up per slot.
SELECT asked.namespace, asked.name, asked.slot, taken.first_at, taken.visible_at, taken.expires_at, taken.repeats,
       taken.queue_name = '' AS skipped
FROM unnest(%(namespaces)s::text[], %(names)s::text[], %(slots)s::timestamptz[]) AS asked (namespace, name, slot)
CROSS JOIN LATERAL (
    SELECT first_at, visible_at, expires_at, repeats, queue_name FROM airflow_pgmq.slots
    WHERE namespace = asked.namespace COLLATE "C" AND name = asked.name COLLATE "C" AND slot = asked.slot
        AND msg_id IS NOT NULL
    LIMIT 1
) AS taken;
