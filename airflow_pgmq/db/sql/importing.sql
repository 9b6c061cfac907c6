-- pg_cron_jobs --
-- All jobs of pg_cron that the role may see; the column for the name is missing in old versions.
SELECT jobid, schedule, command, database, username, active, to_jsonb(job) ->> 'jobname' AS jobname
FROM cron.job
ORDER BY jobid;
