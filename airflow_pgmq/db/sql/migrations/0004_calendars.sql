-- Days off that jobs leave out, by calendar; a job's definition names it.
CREATE TABLE airflow_pgmq.calendars (
    name text COLLATE "C" PRIMARY KEY,
    days date[] NOT NULL,
    -- Why each of these days is off.
    reasons text[] NOT NULL,
    changed_at timestamptz NOT NULL,
    CHECK (cardinality(days) = cardinality(reasons))
);
