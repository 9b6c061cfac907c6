-- put_calendar --
-- Make a calendar, or replace its days; no row: it is not at the expected version. NULL expects none.
INSERT INTO airflow_pgmq.calendars AS old (name, days, reasons, changed_at)
SELECT %(name)s, %(days)s::date[], %(reasons)s::text[], clock_timestamp()
WHERE coalesce(%(expected)s::bigint, 0) = 0
    OR EXISTS (SELECT FROM airflow_pgmq.calendars WHERE name = %(name)s)
ON CONFLICT (name) DO UPDATE
SET days = excluded.days, reasons = excluded.reasons, changed_at = excluded.changed_at
WHERE coalesce(%(expected)s::bigint = (extract(epoch FROM old.changed_at) * 1000000)::bigint, true)
RETURNING name;

-- delete_calendar --
-- Delete a calendar; no row: it is not there, or not at the expected version. NULL expects none.
DELETE FROM airflow_pgmq.calendars
WHERE name = %(name)s
    AND coalesce(%(expected)s::bigint = (extract(epoch FROM changed_at) * 1000000)::bigint, true)
RETURNING name;

-- outline_calendars --
-- All calendars, and those that only jobs know: how many days and jobs, and the first ones of each.
WITH used AS (
    SELECT each ->> 'calendar' AS name, count(DISTINCT (job.namespace, job.name)) AS jobs,
        (array_agg(DISTINCT jsonb_build_array(job.namespace, job.name)))[1:%(jobs)s] AS first_jobs
    FROM airflow_pgmq.periodic_jobs AS job
    CROSS JOIN LATERAL jsonb_array_elements(
        CASE jsonb_typeof(job.definition -> 'exclude') WHEN 'array' THEN job.definition -> 'exclude' END
    ) AS each
    WHERE each ? 'calendar'
    GROUP BY 1
)
SELECT coalesce(calendar.name, used.name) AS name, calendar.changed_at, cardinality(calendar.days) AS days,
    calendar.days[1] AS first_day, calendar.days[cardinality(calendar.days)] AS last_day,
    coalesce(used.jobs, 0) AS jobs, coalesce(used.first_jobs, '{{}}') AS first_jobs, ahead.next_days,
    statement_timestamp() AS now
FROM airflow_pgmq.calendars AS calendar
FULL JOIN used ON used.name = calendar.name
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('day', day, 'reason', reason) ORDER BY day), '[]') AS next_days
    FROM (
        SELECT day, reason FROM unnest(calendar.days, calendar.reasons) AS off (day, reason)
        WHERE day >= (statement_timestamp() AT TIME ZONE 'UTC')::date
        ORDER BY day LIMIT %(days)s
    ) AS soon
) AS ahead
ORDER BY 1;

-- list_calendars --
-- All calendars, or those of these names, with their days; and how many jobs use each.
SELECT name, days, reasons, changed_at, (
        SELECT count(*) FROM airflow_pgmq.periodic_jobs
        WHERE definition -> 'exclude' @> jsonb_build_array(jsonb_build_object('calendar', calendars.name))
    ) AS jobs
FROM airflow_pgmq.calendars
WHERE %(names)s::text[] IS NULL OR name = ANY (%(names)s::text[])
ORDER BY name;

-- calendar_days --
-- The days of some calendars.
SELECT name, days, reasons FROM airflow_pgmq.calendars WHERE name = ANY (%(names)s::text[]);

-- jobs_with_calendar --
-- Jobs that leave out the days of a calendar.
SELECT namespace, name FROM airflow_pgmq.periodic_jobs
WHERE definition -> 'exclude' @> jsonb_build_array(jsonb_build_object('calendar', %(name)s::text))
ORDER BY namespace, name;

-- look_again --
-- Compute the slots of jobs again from now on.
UPDATE airflow_pgmq.periodic_jobs
SET watermark = least(watermark, %(now)s), next_slot = least(coalesce(next_slot, %(now)s), %(now)s)
WHERE namespace = %(namespace)s AND name = ANY (%(names)s::text[]);
