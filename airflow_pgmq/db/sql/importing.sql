-- pg_cron_jobs --
-- All jobs of pg_cron that the role may see; the column for the name is missing in old versions.
SELECT jobid, schedule, command, database, username, active, to_jsonb(job) ->> 'jobname' AS jobname,
    current_setting('cron.timezone', true) AS timezone
FROM cron.job
ORDER BY jobid;

-- django_schemas --
-- The schemas that have tables of django-celery-beat; first the one that the search path finds, if it does.
SELECT nspname AS schema FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE relname = 'django_celery_beat_periodictask' AND relkind IN ('r', 'p', 'v')
ORDER BY NOT pg_table_is_visible(c.oid), nspname;

-- django_celery_beat_tasks --
-- All tasks of django-celery-beat with their schedules.
SELECT task.name, task.task, task.args, task.kwargs, task.queue, task.exchange, task.routing_key, task.priority,
    task.expires, task.expire_seconds, task.one_off, task.start_time, task.enabled,
    spaced.every, spaced.period, clocked.clocked_time,
    crontab.minute, crontab.hour, crontab.day_of_month, crontab.month_of_year, crontab.day_of_week, crontab.timezone
FROM {periodictask} AS task
LEFT JOIN {intervalschedule} AS spaced ON spaced.id = task.interval_id
LEFT JOIN {clockedschedule} AS clocked ON clocked.id = task.clocked_id
LEFT JOIN {crontabschedule} AS crontab ON crontab.id = task.crontab_id
ORDER BY task.id;
