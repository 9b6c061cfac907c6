-- open_namespace --
-- Register a namespace that nobody ticks yet, for its first live job. Only a tick may write the row later: otherwise
-- the database looks restored.
INSERT INTO airflow_pgmq.namespaces (namespace, owner, version, horizon, ticked_at, version_ticked_at, code)
SELECT %(namespace)s, '', 0, clock.now, clock.now, clock.now, %(code)s
FROM (SELECT clock_timestamp() AS now) AS clock
ON CONFLICT (namespace) DO NOTHING;

-- put_jobs_state --
-- What is known of jobs by these names: the current row, if any, and the newest version that a live one had.
SELECT asked.name, job.name IS NOT NULL AS is_there, coalesce(job.live, false) AS live, job.definition,
       coalesce(newest.version, 0) AS newest
FROM unnest(%(names)s::text[]) AS asked (name)
LEFT JOIN airflow_pgmq.periodic_jobs AS job ON job.namespace = %(namespace)s AND job.name = asked.name COLLATE "C"
LEFT JOIN LATERAL (
    SELECT version FROM airflow_pgmq.job_versions
    WHERE namespace = %(namespace)s AND name = asked.name COLLATE "C" ORDER BY version DESC LIMIT 1
) AS newest ON true;

-- note_versions --
-- Note new versions of live jobs, and forget the oldest ones.
WITH noted AS (
    INSERT INTO airflow_pgmq.job_versions (namespace, name, version, definition, changed_at, changed_by)
    SELECT %(namespace)s, new.name, new.version, new.definition::jsonb, %(now)s, %(changed_by)s
    FROM unnest(%(names)b::text[], %(versions)b::integer[], %(definitions)b::text[])
        AS new (name, version, definition)
    RETURNING name, version
)
DELETE FROM airflow_pgmq.job_versions AS old USING noted
WHERE old.namespace = %(namespace)s AND old.name = noted.name AND old.version <= noted.version - %(kept)s;

-- job_versions --
-- The versions of a live job, the newest first.
SELECT version, definition, changed_at, changed_by FROM airflow_pgmq.job_versions
WHERE namespace = %(namespace)s AND name = %(name)s ORDER BY version DESC;

-- live_definitions --
-- The definitions of a namespace's live jobs.
SELECT name, definition FROM airflow_pgmq.periodic_jobs WHERE namespace = %(namespace)s AND live ORDER BY name;

-- live_jobs_sending --
-- Live jobs that send to one of these queues.
SELECT name, queue_name FROM airflow_pgmq.periodic_jobs
WHERE namespace = %(namespace)s AND live AND queue_name = ANY (%(queue_names)s::text[]);
