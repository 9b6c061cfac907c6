-- overdue_slots --
-- Slots that are overdue now, of one namespace or of all. Where a job has not come so far, its definition is there,
-- too: its next slot may be an instant at which it was deployed.
SELECT late.namespace, late.name, late.slot, late.queue_name, late.msg_id, late.expected_at, late.state, late.found_at,
       job.definition, statement_timestamp() AS now
FROM airflow_pgmq.overdue_slots(%(namespace)s::text) AS late
LEFT JOIN airflow_pgmq.periodic_jobs AS job
    ON late.state = 'not_sent' AND job.namespace = late.namespace AND job.name = late.name AND job.next_slot = late.slot
ORDER BY late.expected_at, late.namespace, late.name, late.slot;

-- note_overdue --
-- Note slots as found overdue; returns those that no other process has noted.
WITH found AS MATERIALIZED (
    SELECT namespace COLLATE "C" AS namespace, name COLLATE "C" AS name, slot
    FROM unnest(%(namespaces)s::text[], %(names)s::text[], %(slots)b::timestamptz[]) AS late (namespace, name, slot)
), noted AS (
    UPDATE airflow_pgmq.slots AS own SET overdue_at = %(now)s FROM found
    WHERE own.namespace = found.namespace AND own.name = found.name AND own.slot = found.slot
        AND own.overdue_at IS NULL
    RETURNING own.namespace, own.name, own.slot
), not_sent AS (
    UPDATE airflow_pgmq.periodic_jobs AS job SET overdue_slot = found.slot, overdue_at = %(now)s FROM found
    WHERE job.namespace = found.namespace AND job.name = found.name
        AND (job.overdue_slot IS NULL OR job.overdue_slot < found.slot)
        AND NOT EXISTS (
            SELECT FROM airflow_pgmq.slots AS own
            WHERE own.namespace = found.namespace AND own.name = found.name AND own.slot = found.slot
        )
    RETURNING job.namespace, job.name, job.overdue_slot
)
SELECT namespace, name, slot FROM noted
UNION ALL
SELECT namespace, name, overdue_slot FROM not_sent;

-- silent_namespaces --
-- Namespaces that have something to do and were not ticked for a while.
SELECT namespace, ticked_at FROM airflow_pgmq.namespaces
WHERE ticked_at < statement_timestamp() - %(max_age)s::interval
    AND EXISTS (
        SELECT FROM airflow_pgmq.periodic_jobs AS job
        WHERE job.namespace = namespaces.namespace AND NOT job.paused
    )
ORDER BY ticked_at, namespace;
