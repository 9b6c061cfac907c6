-- put_calendar --
-- Make a calendar, or replace its days.
INSERT INTO airflow_pgmq.calendars (name, days, reasons, changed_at)
VALUES (%(name)s, %(days)s::date[], %(reasons)s::text[], clock_timestamp())
ON CONFLICT (name) DO UPDATE
SET days = excluded.days, reasons = excluded.reasons, changed_at = excluded.changed_at;

-- delete_calendar --
-- Delete a calendar.
DELETE FROM airflow_pgmq.calendars WHERE name = %(name)s RETURNING name;

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
