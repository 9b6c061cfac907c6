-- overdue --
-- Slots that are overdue now, the oldest first.
SELECT namespace, name, slot, queue_name, msg_id, expected_at, state, found_at
FROM airflow_pgmq.overdue_slots(%(namespace)s::text)
ORDER BY expected_at, namespace, name, slot;

-- is_expecting --
-- Whether any job, of one namespace or of all, has `expect_within`.
SELECT EXISTS (
    SELECT FROM airflow_pgmq.periodic_jobs
    WHERE expect_within IS NOT NULL AND namespace = coalesce(%(namespace)s, namespace)
) AS expecting;

-- mark_overdue --
-- Note the slots that are overdue, each once, and those that no longer are; returns those that are, or were too late.
WITH found AS MATERIALIZED (
    SELECT * FROM airflow_pgmq.overdue_slots(%(namespace)s::text, true)
), marked AS (
    INSERT INTO airflow_pgmq.alerts
        (namespace, name, slot, queue_name, msg_id, expected_at, state, found_at, over_at, alert_after)
    SELECT namespace, name, slot, queue_name, msg_id, expected_at, state, clock_timestamp(),
           CASE WHEN state IN ('late', 'expired') THEN clock_timestamp() END, clock_timestamp()
    FROM found WHERE found_at IS NULL AND state <> 'unknown' ORDER BY namespace, name, slot
    ON CONFLICT DO NOTHING
), ended AS (
    UPDATE airflow_pgmq.alerts AS mark SET over_at = clock_timestamp()
    WHERE over_at IS NULL AND namespace = coalesce(%(namespace)s, namespace)
        AND NOT EXISTS (
            SELECT FROM found
            WHERE found.namespace = mark.namespace AND found.name = mark.name AND found.slot = mark.slot
                AND found.state NOT IN ('late', 'expired')
        )
), pruned AS (
    DELETE FROM airflow_pgmq.alerts
    WHERE over_at < clock_timestamp() - interval '7 days' AND namespace = coalesce(%(namespace)s, namespace)
)
SELECT namespace, name, slot, queue_name, msg_id, expected_at, state, found_at FROM found
ORDER BY expected_at, namespace, name, slot;

-- note_expected --
-- Slots up to now - expect_within were looked at, as far as they were sent and could be looked at. Under the
-- namespace's lock, so that no slot is sent meanwhile. Of a pause, what is sent later is not expected.
UPDATE airflow_pgmq.periodic_jobs AS job SET expected_until = done.until
FROM (
    SELECT name, least(
        %(now)s - expect_within,
        CASE WHEN NOT paused THEN greatest(next_slot, watermark) - interval '1 microsecond' END,
        unknown.slot - interval '1 microsecond'
    ) AS until
    FROM airflow_pgmq.periodic_jobs
    LEFT JOIN (
        SELECT name, min(slot) AS slot FROM unnest(%(names)s::text[], %(slots)s::timestamptz[]) AS i (name, slot)
        GROUP BY name
    ) AS unknown USING (name)
    WHERE namespace = %(namespace)s AND expect_within IS NOT NULL
) AS done
WHERE job.namespace = %(namespace)s AND job.name = done.name AND done.until > job.expected_until
    -- Most rows need not be written every minute, but exactly before slots of the past are sent.
    AND (%(exactly)s OR job.paused OR done.until > job.expected_until + interval '1 hour' OR EXISTS (
        SELECT FROM airflow_pgmq.slots AS sent
        WHERE sent.namespace = job.namespace AND sent.name = job.name
            AND sent.slot > job.expected_until AND sent.slot <= done.until
    ));

-- claim_alerts --
-- Take alerts that are owed, oldest first. Until they are given, nobody else does for a while; who took them and
-- fails leaves them to the next one, for a day.
UPDATE airflow_pgmq.alerts AS mark SET alert_after = clock_timestamp() + %(lease)s::interval
FROM (
    SELECT namespace, name, slot FROM airflow_pgmq.alerts
    WHERE alert_after <= clock_timestamp() AND found_at > clock_timestamp() - interval '1 day'
        AND namespace = coalesce(%(namespace)s, namespace)
    ORDER BY expected_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS owed
WHERE mark.namespace = owed.namespace AND mark.name = owed.name AND mark.slot = owed.slot
RETURNING mark.namespace, mark.name, mark.slot, mark.queue_name, mark.msg_id, mark.expected_at, mark.state, mark.found_at;

-- alert_given --
-- The alert of a slot was given.
UPDATE airflow_pgmq.alerts SET alert_after = NULL
WHERE namespace = %(namespace)s AND name = %(name)s AND slot = %(slot)s;

-- silent_namespaces --
-- Namespaces that have something to do and were not ticked for a while.
SELECT namespace, ticked_at FROM airflow_pgmq.namespaces
WHERE ticked_at < statement_timestamp() - %(max_age)s::interval
    AND EXISTS (
        SELECT FROM airflow_pgmq.periodic_jobs AS job
        WHERE job.namespace = namespaces.namespace AND NOT job.paused
    )
ORDER BY ticked_at, namespace;
