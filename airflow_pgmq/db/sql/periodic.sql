-- send_slots --
-- As `send_once`, for the slots of periodic jobs, which are not in the ledger: a slot is sent once, to any queue.
-- Its clock is the transaction's. A slot whose message was lost is free.
WITH <<mark>>, input AS MATERIALIZED (
    SELECT i.position, i.name COLLATE "C" AS name, i.slot, i.message, i.headers, i.vt, mark.incarnation,
           taken.msg_id, taken.first_at, taken.msg_id IS NULL AS free
    FROM mark CROSS JOIN unnest(%(names)b::text[], %(slots)b::timestamptz[],
                string_to_array(%(messages)s::text, E'\n'), %(headers)b::text[], %(instants)b::timestamptz[])
         WITH ORDINALITY AS i (name, slot, message, headers, vt, position)
    LEFT JOIN LATERAL (
        SELECT msg_id, first_at FROM airflow_pgmq.slots
        WHERE namespace = %(namespace)s AND name = i.name COLLATE "C" AND slot = i.slot
            AND expires_at > %(now)s AND msg_id IS NOT NULL
        LIMIT 1
    ) AS taken ON true
), fresh AS MATERIALIZED (
    SELECT position, name, slot, message, headers, vt, incarnation, nextval(%(sequence)s::regclass) AS msg_id
    FROM (SELECT * FROM input WHERE free ORDER BY position) AS ordered
), claimed AS (
    INSERT INTO airflow_pgmq.slots AS taken
        (namespace, name, slot, queue_name, incarnation, msg_id, visible_at, first_at, expires_at)
    SELECT %(namespace)s, name, slot, %(queue_name)s, incarnation, msg_id, vt, %(now)s,
           greatest(vt, %(now)s) + %(window)s::interval
    FROM fresh ORDER BY name, slot
    ON CONFLICT (namespace, name, slot) DO UPDATE
        SET queue_name = excluded.queue_name, incarnation = excluded.incarnation, msg_id = excluded.msg_id,
            visible_at = excluded.visible_at, first_at = excluded.first_at, expires_at = excluded.expires_at,
            repeats = 0
        WHERE taken.expires_at <= %(now)s OR taken.msg_id IS NULL
    RETURNING taken.msg_id
), sent AS (
    INSERT INTO {table} (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE
    SELECT fresh.msg_id, fresh.vt, fresh.message::jsonb, fresh.headers::jsonb
    FROM fresh JOIN claimed USING (msg_id) ORDER BY fresh.msg_id
    RETURNING 1
)
SELECT 'duplicate' AS status, first_at, array_agg(position) AS positions, array_agg(msg_id) AS msg_ids, 0 AS stored
FROM input WHERE NOT free GROUP BY first_at
UNION ALL
SELECT 'sent', %(now)s, array_agg(fresh.position), array_agg(fresh.msg_id), (SELECT count(*) FROM sent)
FROM fresh JOIN claimed USING (msg_id) HAVING count(*) > 0
UNION ALL
SELECT 'unsettled', NULL, NULL, NULL, 0 WHERE NOT EXISTS (SELECT FROM mark);

-- register_namespace --
-- Register a namespace or find it; its row is locked until the transaction ends, so ticks take turns. It is
-- `known` if a tick was completed. If another transaction than a tick's wrote the row since (xmin), the database
-- was restored: the queues must be searched.
WITH before AS (
    SELECT known AND xmin <> written_by AS restored FROM airflow_pgmq.namespaces WHERE namespace = %(namespace)s
)
INSERT INTO airflow_pgmq.namespaces AS ns
    (namespace, owner, version, horizon, ticked_at, version_ticked_at, locked_at, code, written_by)
SELECT %(namespace)s, %(owner)s, %(version)s, clock.now, clock.now, clock.now, clock.now, %(code)s,
       pg_current_xact_id()::xid
FROM (SELECT clock_timestamp() AS now) AS clock
WHERE (SELECT max(oldest_code) FROM airflow_pgmq.migrations) <= %(code)s OR airflow_pgmq.refuse(%(code)s)
ON CONFLICT (namespace) DO UPDATE
-- The current time: the transaction's is that before the wait for the row.
SET locked_at = clock_timestamp(), code = excluded.code, went_back = coalesce(clock_timestamp() < greatest(
        ns.locked_at,
        (SELECT max(deployed_at) FROM airflow_pgmq.periodic_jobs AS put WHERE put.namespace = ns.namespace AND put.live)
    ), false),
    written_by = excluded.written_by, known = ns.known AND ns.xmin = ns.written_by
RETURNING ns.went_back, ns.owner, ns.version, ns.fingerprint, ns.horizon, ns.ticked_at, ns.version_ticked_at, ns.known,
          ns.incarnation, coalesce((SELECT restored FROM before), false) AS restored,
          (SELECT coalesce(max(incarnation), 0) FROM airflow_pgmq.queues) AS newest_incarnation,
          clock_timestamp() AS now;

-- lock_namespace --
-- Wait for a tick that is running; no row if the namespace is unknown. The clock is read after the wait.
WITH locked AS MATERIALIZED (
    SELECT ns.owner, ns.version, ns.fingerprint, ns.horizon, ns.ticked_at, ns.grace, ns.dedup_window,
           ns.known AND ns.xmin = ns.written_by AS known
    FROM airflow_pgmq.namespaces AS ns WHERE namespace = %(namespace)s FOR UPDATE
)
SELECT locked.*, clock_timestamp() AS now FROM locked
WHERE (SELECT max(oldest_code) FROM airflow_pgmq.migrations) <= %(code)s OR airflow_pgmq.refuse(%(code)s);

-- clock --
-- The time.
SELECT clock_timestamp() AS now;

-- deploy_namespace --
-- A new set of jobs is in force; the first one, if only live jobs were there.
UPDATE airflow_pgmq.namespaces
SET owner = %(owner)s, version = %(version)s, fingerprint = %(fingerprint)s,
    version_ticked_at = CASE WHEN owner = '' THEN locked_at ELSE version_ticked_at END
WHERE namespace = %(namespace)s;

-- reset_after_clock_change --
-- The clock went back: jobs that are beyond the horizon of any tick begin again from now on. The watermark of a job
-- that was paused since does not show how far the job was, so its next slot is compared, too.
WITH jobs AS (
    UPDATE airflow_pgmq.periodic_jobs SET watermark = %(now)s, next_slot = %(now)s
    WHERE namespace = %(namespace)s AND greatest(watermark, next_slot - interval '1 microsecond')
        > CASE WHEN overlap_skip THEN %(now)s::timestamptz ELSE %(horizon)s END
)
UPDATE airflow_pgmq.namespaces SET horizon = %(now)s
WHERE namespace = %(namespace)s;

-- note_lost --
-- Queues were lost with messages that were to become visible later: their slots are to be sent again.
WITH lost AS (
    UPDATE airflow_pgmq.slots AS slot SET msg_id = NULL
    FROM airflow_pgmq.queues AS known
    WHERE slot.namespace = %(namespace)s AND slot.queue_name = known.queue_name
        AND slot.incarnation <> known.incarnation AND slot.visible_at > known.recreated_at
)
UPDATE airflow_pgmq.namespaces SET incarnation = %(newest)s
WHERE namespace = %(namespace)s;

-- awaited_from --
-- Existing queues with slots that are to become visible.
SELECT DISTINCT sent.queue_name FROM airflow_pgmq.slots AS sent
JOIN pgmq.meta ON meta.queue_name = sent.queue_name
WHERE sent.namespace = %(namespace)s AND sent.msg_id IS NOT NULL AND sent.visible_at > %(now)s;

-- resend_missing --
-- Slots whose messages should wait in the queue but are not there are to be sent again.
UPDATE airflow_pgmq.slots AS sent SET msg_id = NULL
WHERE sent.namespace = %(namespace)s AND sent.queue_name = %(queue_name)s AND sent.visible_at > %(now)s
    AND NOT EXISTS (
        SELECT FROM {table} AS waiting
        WHERE waiting.msg_id = sent.msg_id AND waiting.headers ->> 'dedup_key' = <<slot_key>>
    );

-- jobs_to_resend --
-- Jobs with slots that are to be sent again.
SELECT DISTINCT name FROM airflow_pgmq.slots
WHERE namespace = %(namespace)s AND msg_id IS NULL AND slot <= %(until)s;

-- free_slots --
-- Free slots whose messages were not sent.
DELETE FROM airflow_pgmq.slots AS freed USING unnest(%(names)s::text[], %(slots)s::timestamptz[]) AS free (name, slot)
WHERE freed.namespace = %(namespace)s AND freed.name = free.name AND freed.slot = free.slot AND freed.msg_id IS NULL;

-- close_tick --
-- All slots up to the horizon are done.
UPDATE airflow_pgmq.namespaces
SET horizon = greatest(horizon, %(horizon)s), ticked_at = %(now)s, owner = %(owner)s, known = %(is_known)s,
    grace = %(grace)s::interval, dedup_window = %(dedup_window)s::interval, left_out = %(left_out)s,
    version_ticked_at = CASE WHEN %(version)s >= version THEN %(now)s ELSE version_ticked_at END,
    written_by = pg_current_xact_id()::xid
WHERE namespace = %(namespace)s;

-- stored_jobs --
-- The state of a namespace's jobs.
SELECT name, version, fingerprint, queue_name, watermark, next_slot, paused, live
FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s;

-- stored_queues --
-- The queues of a namespace's jobs, how many live jobs send to each, whether jobs say when they are expected, and
-- whether dead letters pause them.
SELECT queue_name, count(*) FILTER (WHERE live) AS live_jobs, bool_or(expect_within IS NOT NULL) AS expects,
       bool_or(dead_letters_since IS NOT NULL AND NOT paused) AS pauses
FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s GROUP BY queue_name;

-- stored_definitions --
-- The definitions of some jobs, as deployed.
SELECT name, definition FROM airflow_pgmq.periodic_jobs
WHERE namespace = %(namespace)s AND name = ANY (%(names)s::text[]);

-- due_jobs --
-- Jobs with a slot up to the horizon, longest due first, and jobs with slots that are to be sent again. Jobs
-- that must not overlap have no look-ahead, and come with their newest message, which may still be queued. Live
-- jobs come with their definition, which no Dag has.
WITH resend AS MATERIALIZED (
    SELECT own.name, array_agg(own.slot ORDER BY own.slot) AS slots,
           bool_or(known.incarnation IS DISTINCT FROM own.incarnation) AS lost
    FROM airflow_pgmq.slots AS own
    JOIN airflow_pgmq.periodic_jobs AS job ON job.namespace = own.namespace AND job.name = own.name
    LEFT JOIN airflow_pgmq.queues AS known ON known.queue_name = own.queue_name
    WHERE own.namespace = %(namespace)s AND own.msg_id IS NULL AND NOT job.paused
        AND own.slot <= CASE WHEN job.overlap_skip THEN %(now)s::timestamptz ELSE %(horizon)s END
        AND (%(only)s::text[] IS NULL OR job.name = ANY (%(only)s::text[])) AND job.name <> ALL (%(without)s::text[])
    GROUP BY own.name
), skipped AS MATERIALIZED (
    SELECT name, array_agg(slot) AS slots FROM airflow_pgmq.slots
    WHERE namespace = %(namespace)s AND queue_name = '' AND slot <= %(horizon)s GROUP BY name
), due AS (
    SELECT job.name, job.watermark, job.next_slot, job.overlap_skip, job.live
    FROM airflow_pgmq.periodic_jobs AS job
    WHERE job.namespace = %(namespace)s AND NOT job.paused AND job.next_slot <= %(horizon)s
        AND (NOT job.overlap_skip OR job.next_slot <= %(now)s)
        AND (%(only)s::text[] IS NULL OR job.name = ANY (%(only)s::text[])) AND job.name <> ALL (%(without)s::text[])
    ORDER BY job.next_slot, job.name LIMIT %(limit)s
), wanted AS (
    SELECT * FROM due
    UNION
    SELECT job.name, job.watermark, job.next_slot, job.overlap_skip, job.live
    FROM resend JOIN airflow_pgmq.periodic_jobs AS job ON job.namespace = %(namespace)s AND job.name = resend.name
)
SELECT job.name, job.watermark, job.next_slot, last.queue_name AS last_queue, last.msg_id AS last_msg_id,
       last.slot AS last_slot, coalesce(resend.slots, '{{}}') AS to_resend, coalesce(resend.lost, false) AS lost,
       coalesce(skipped.slots, '{{}}') AS skipped,
       CASE WHEN job.live THEN (
           SELECT definition FROM airflow_pgmq.periodic_jobs AS own
           WHERE own.namespace = %(namespace)s AND own.name = job.name
       ) END AS definition
FROM wanted AS job
LEFT JOIN resend USING (name)
LEFT JOIN skipped USING (name)
LEFT JOIN LATERAL (
    -- If the clock went back, later slots were sent before.
    SELECT queue_name, msg_id, slot FROM airflow_pgmq.slots
    WHERE namespace = %(namespace)s AND name = job.name AND slot <= %(now)s AND msg_id IS NOT NULL
        AND queue_name <> ''
    ORDER BY slot DESC LIMIT 1
) AS last ON job.overlap_skip
ORDER BY job.next_slot, job.name LIMIT %(limit)s;

-- upsert_jobs --
-- Register jobs, or give known ones a new definition; the last sent slot and the pause stay.
INSERT INTO airflow_pgmq.periodic_jobs AS job
    (namespace, name, version, fingerprint, definition, queue_name, overlap_skip, live,
     watermark, next_slot, deployed_at, expected_until)
SELECT %(namespace)s, j.name, j.version, j.fingerprint, j.definition::jsonb, j.queue_name, j.overlap_skip, %(live)s,
       %(now)s, %(now)s, %(now)s, CASE WHEN j.definition::jsonb ? 'expect_within' THEN %(now)s::timestamptz END
FROM unnest(%(names)b::text[], %(versions)b::integer[], %(fingerprints)b::text[], %(definitions)b::text[],
            %(queue_names)b::text[], %(overlap_skips)b::boolean[])
     AS j (name, version, fingerprint, definition, queue_name, overlap_skip)
ON CONFLICT (namespace, name) DO UPDATE
SET version = excluded.version, fingerprint = excluded.fingerprint, definition = excluded.definition,
    queue_name = excluded.queue_name, overlap_skip = excluded.overlap_skip,
    watermark = excluded.watermark, next_slot = excluded.next_slot, deployed_at = excluded.deployed_at,
    expected_until = CASE WHEN excluded.expected_until IS NOT NULL
                          THEN coalesce(job.expected_until, excluded.expected_until) END;

-- redefine_jobs --
-- Give known jobs new policies, which do not change their messages.
UPDATE airflow_pgmq.periodic_jobs AS job
SET version = j.version, fingerprint = j.fingerprint, definition = j.definition::jsonb,
    expected_until = CASE WHEN j.definition::jsonb ? 'expect_within'
                          THEN coalesce(job.expected_until, clock_timestamp()) END
FROM unnest(%(names)b::text[], %(versions)b::integer[], %(fingerprints)b::text[], %(definitions)b::text[])
     AS j (name, version, fingerprint, definition)
WHERE job.namespace = %(namespace)s AND job.name = j.name;

-- advance_jobs --
-- Move watermarks past what was enqueued, in the transaction that enqueued it.
UPDATE airflow_pgmq.periodic_jobs AS job
SET watermark = done.watermark, next_slot = done.next_slot, last_slot = coalesce(done.last_slot, job.last_slot),
    last_sent_at = CASE WHEN done.last_slot IS NULL THEN job.last_sent_at ELSE %(now)s END
FROM unnest(%(names)b::text[], %(watermarks)b::timestamptz[], %(next_slots)b::timestamptz[],
            %(last_slots)b::timestamptz[]) AS done (name, watermark, next_slot, last_slot)
WHERE job.namespace = %(namespace)s AND job.name = done.name;

-- remove_jobs --
-- Forget jobs that left the code, and their slots to be sent again.
WITH freed AS (
    DELETE FROM airflow_pgmq.slots
    WHERE namespace = %(namespace)s AND msg_id IS NULL AND name = ANY (%(names)s::text[])
)
DELETE FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s AND name = ANY (%(names)s::text[]);

-- remove_namespace --
-- Forget a namespace with all its jobs, and their slots to be sent again.
WITH freed AS (
    DELETE FROM airflow_pgmq.slots WHERE namespace = %(namespace)s AND msg_id IS NULL
)
DELETE FROM airflow_pgmq.namespaces WHERE namespace = %(namespace)s;

-- jobs_of_queues --
-- Whether jobs send to some queues, which slot they sent there last, and whether they wait for a message there.
SELECT job.name, job.live, job.queue_name = ANY (%(queue_names)s::text[]) AS sends,
       (
           SELECT max(slot) FROM airflow_pgmq.slots
           WHERE namespace = job.namespace AND name = job.name AND queue_name = ANY (%(queue_names)s::text[])
       ) AS last_sent,
       coalesce(job.overlap_skip AND last.queue_name = ANY (%(queue_names)s::text[]), false) AS waits
FROM airflow_pgmq.periodic_jobs AS job
LEFT JOIN LATERAL (
    SELECT queue_name FROM airflow_pgmq.slots
    WHERE namespace = job.namespace AND name = job.name AND slot <= %(now)s AND msg_id IS NOT NULL AND queue_name <> ''
    ORDER BY slot DESC LIMIT 1
) AS last ON job.overlap_skip
WHERE job.namespace = %(namespace)s;

-- sent_to --
-- Existing queues to which jobs have sent slots since an instant.
SELECT DISTINCT sent.queue_name
FROM unnest(%(names)s::text[]) AS job (name)
CROSS JOIN LATERAL (
    SELECT queue_name FROM airflow_pgmq.slots
    WHERE namespace = %(namespace)s AND name = job.name COLLATE "C" AND slot > %(after)s
    OFFSET 0
) AS sent
WHERE EXISTS (SELECT FROM pgmq.meta WHERE meta.queue_name = sent.queue_name);

-- skip_slot --
-- A slot that is left out on purpose: it counts as sent, to no queue. Its row comes back, or the message that is there.
WITH skipped AS (
    INSERT INTO airflow_pgmq.slots AS own
        (namespace, name, slot, queue_name, incarnation, msg_id, visible_at, first_at, expires_at)
    VALUES (%(namespace)s, %(name)s, %(slot)s, '', 0, 0, %(slot)s, %(now)s,
            greatest(%(slot)s::timestamptz, %(now)s) + %(window)s::interval)
    ON CONFLICT (namespace, name, slot) DO UPDATE
        SET queue_name = '', incarnation = 0, msg_id = 0, first_at = excluded.first_at, expires_at = excluded.expires_at
        WHERE own.msg_id IS NULL OR own.queue_name = ''
    RETURNING queue_name, msg_id
)
SELECT queue_name, msg_id FROM skipped
UNION ALL
SELECT queue_name, msg_id FROM airflow_pgmq.slots
WHERE namespace = %(namespace)s AND name = %(name)s AND slot = %(slot)s AND NOT EXISTS (SELECT FROM skipped);

-- skipped_slots --
-- Slots of a job up to an instant that people left out.
SELECT slot FROM airflow_pgmq.slots
WHERE namespace = %(namespace)s AND name = %(name)s AND queue_name = '' AND slot <= %(until)s;

-- take_back --
-- Take back messages of jobs that no reader could have seen yet; their slots are free, or to be sent again.
-- A row that a reader has locked is left alone, its slot stays taken.
WITH pending AS MATERIALIZED (
    SELECT sent.name, sent.slot, sent.msg_id, sent.place, <<slot_key>> AS key
    FROM unnest(%(names)s::text[]) AS job (name)
    CROSS JOIN LATERAL (
        -- OFFSET and LIMIT make these look-ups: plain joins are planned as scans of both tables.
        SELECT name, slot, msg_id, ctid AS place FROM airflow_pgmq.slots
        WHERE namespace = %(namespace)s AND name = job.name COLLATE "C" AND slot > %(after)s
            AND slot <= coalesce(%(until)s, 'infinity'::timestamptz) AND queue_name = %(queue_name)s
        OFFSET 0
    ) AS sent
), unseen AS MATERIALIZED (
    SELECT pending.name, pending.slot, pending.place, waiting.msg_id
    FROM pending CROSS JOIN LATERAL (
        SELECT msg_id FROM {table}
        WHERE msg_id = pending.msg_id AND read_ct = 0 AND vt > %(now)s AND headers ->> 'dedup_key' = pending.key
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS waiting
), removed AS (
    DELETE FROM {table} WHERE msg_id = ANY (ARRAY(SELECT msg_id FROM unseen)) RETURNING msg_id
), freed AS (
    DELETE FROM airflow_pgmq.slots WHERE NOT %(again)s AND ctid = ANY (ARRAY(SELECT place FROM unseen))
), marked AS (
    UPDATE airflow_pgmq.slots SET msg_id = NULL WHERE %(again)s AND ctid = ANY (ARRAY(SELECT place FROM unseen))
)
SELECT name, count(*) AS taken_back, min(slot) AS first_slot, (SELECT count(*) FROM removed) AS removed
FROM unseen GROUP BY name;

-- carried_by_queue --
-- Which of the keys are in messages of the queue. Without an index, so only used if nothing else knows it.
SELECT headers ->> 'dedup_key' AS key, msg_id, least(greatest(enqueued_at, 'epoch'), %(now)s) AS first_at
FROM {table} WHERE headers ->> 'dedup_key' = ANY (%(keys)s::text[]);

-- carried_by_archive --
-- The same for what was archived since some instant.
SELECT headers ->> 'dedup_key' AS key, msg_id, least(greatest(enqueued_at, 'epoch'), %(now)s) AS first_at
FROM {archive} WHERE archived_at >= %(since)s AND headers ->> 'dedup_key' = ANY (%(keys)s::text[]);

-- adopt_slots --
-- Note as sent the slots whose messages were found in a queue, unknown to this schema.
INSERT INTO airflow_pgmq.slots AS own
    (namespace, name, slot, queue_name, incarnation, msg_id, visible_at, first_at, expires_at)
SELECT %(namespace)s, i.name, i.slot, %(queue_name)s, mark.incarnation, i.msg_id, i.visible_at, i.first_at,
       greatest(i.visible_at, %(now)s) + %(window)s::interval
FROM unnest(%(names)b::text[], %(slots)b::timestamptz[], %(instants)b::timestamptz[], %(msg_ids)b::bigint[],
            %(first_ats)b::timestamptz[]) AS i (name, slot, visible_at, msg_id, first_at)
CROSS JOIN airflow_pgmq.incarnation_of(%(queue_name)s::text, %(relation)s::text) AS mark
ORDER BY i.name, i.slot
ON CONFLICT (namespace, name, slot) DO UPDATE
SET queue_name = excluded.queue_name, incarnation = excluded.incarnation, msg_id = excluded.msg_id,
    visible_at = excluded.visible_at, first_at = excluded.first_at, expires_at = excluded.expires_at
WHERE own.msg_id IS NULL;

-- still_queued --
-- Which of the jobs' last messages are still in the queue, and whether a reader has each.
SELECT waiting.msg_id, waiting.read_ct > 0 AND waiting.vt > %(now)s AS is_at_work FROM {table} AS waiting
JOIN unnest(%(msg_ids)s::bigint[], %(keys)s::text[]) AS last (msg_id, key) USING (msg_id)
WHERE waiting.headers ->> 'dedup_key' = last.key;

-- job_definition --
-- One job's stored definition and state.
SELECT definition, queue_name, paused, watermark, next_slot
FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s AND name = %(name)s;

-- pause_job --
-- Stop a job; slots whose messages were taken back are to be sent again. A pause keeps its first reason.
UPDATE airflow_pgmq.periodic_jobs
SET paused = true, paused_for = CASE WHEN paused THEN paused_for ELSE %(why)s::text END,
    next_slot = least(next_slot, %(first_slot)s::timestamptz),
    watermark = least(watermark, %(first_slot)s::timestamptz - interval '1 microsecond')
WHERE namespace = %(namespace)s AND name = %(name)s;

-- resume_job --
-- Let a job continue; its next tick catches up by its policy.
UPDATE airflow_pgmq.periodic_jobs SET paused = false WHERE namespace = %(namespace)s AND name = %(name)s;

-- slots_to_resend --
-- Slots of a job up to an instant that are to be sent again.
SELECT slot FROM airflow_pgmq.slots
WHERE namespace = %(namespace)s AND name = %(name)s AND msg_id IS NULL AND slot <= %(until)s
ORDER BY slot;

-- catch_up --
-- Decide which slots of a pause are sent, whatever the job's policy says: these are to be sent again, and the job
-- goes on from now.
WITH job AS (
    UPDATE airflow_pgmq.periodic_jobs
    SET watermark = greatest(watermark, %(now)s), next_slot = greatest(next_slot, %(now)s)
    WHERE namespace = %(namespace)s AND name = %(name)s
    RETURNING queue_name
), freed AS (
    DELETE FROM airflow_pgmq.slots
    WHERE namespace = %(namespace)s AND name = %(name)s AND msg_id IS NULL AND slot <= %(now)s
        AND slot <> ALL (%(slots)s::timestamptz[])
)
INSERT INTO airflow_pgmq.slots (namespace, name, slot, queue_name, incarnation, msg_id, visible_at, first_at, expires_at)
SELECT %(namespace)s, %(name)s, wanted.slot, job.queue_name, coalesce(known.incarnation, 0), NULL, wanted.slot,
       %(now)s, %(now)s + interval '7 days'
FROM job CROSS JOIN unnest(%(slots)s::timestamptz[]) AS wanted (slot)
LEFT JOIN airflow_pgmq.queues AS known USING (queue_name)
ON CONFLICT DO NOTHING;

-- list_jobs --
-- All jobs with their state, of one namespace or of all.
SELECT job.namespace, job.name, job.version, job.queue_name, job.definition, job.paused, job.paused_for, job.live,
       job.watermark, job.next_slot, job.last_slot, nullif(last.msg_id, 0) AS last_msg_id, job.last_sent_at, ns.owner,
       ns.ticked_at, ns.left_out
FROM airflow_pgmq.periodic_jobs AS job
JOIN airflow_pgmq.namespaces AS ns USING (namespace)
LEFT JOIN airflow_pgmq.slots AS last
    ON last.namespace = job.namespace AND last.name = job.name AND last.slot = job.last_slot
WHERE job.namespace = coalesce(%(namespace)s, job.namespace)
ORDER BY job.namespace, job.name;

-- note_repeats --
-- Slots that a tick or a backfill enqueued again: duplicates.
UPDATE airflow_pgmq.slots AS known SET repeats = known.repeats + 1
FROM unnest(%(names)s::text[], %(slots)s::timestamptz[]) AS repeat (name, slot)
WHERE known.namespace = %(namespace)s AND known.name = repeat.name COLLATE "C" AND known.slot = repeat.slot;
