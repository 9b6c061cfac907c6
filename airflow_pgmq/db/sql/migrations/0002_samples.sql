-- Counts of a queue in a minute. The counters are the server's own for the queue's table: they count what
-- every client in every language inserted and removed, and only grow, except when a crash resets them.
CREATE TABLE airflow_pgmq.queue_samples (
    queue_name text COLLATE "C" NOT NULL,
    sampled_at timestamptz NOT NULL,
    inserted bigint NOT NULL,
    deleted bigint NOT NULL,
    -- Null where the role that took the sample may not look into the queue.
    length bigint,
    visible bigint,
    in_flight bigint,
    oldest_age double precision,
    -- The page shows the last hour of every queue, whose rows are stored together.
    PRIMARY KEY (sampled_at, queue_name)
);

CREATE INDEX queue_samples_history_idx ON airflow_pgmq.queue_samples (queue_name, sampled_at);

-- Slots that a tick or a backfill enqueued again, duplicates: rare, so a row for each costs little.
CREATE TABLE airflow_pgmq.repeated_slots (
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    slot timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 1,
    repeated_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, name, slot)
);

-- A slot before the current definition does not count as missed.
ALTER TABLE airflow_pgmq.periodic_jobs ADD COLUMN deployed_at timestamptz NOT NULL DEFAULT now();

-- If all inserted messages are visible at once, the notification has their number, and when the oldest of
-- them was enqueued. Then waiters for any message need no query.
CREATE OR REPLACE FUNCTION airflow_pgmq.notify_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total bigint;
    later bigint;
    oldest timestamptz;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE vt > clock_timestamp()), min(enqueued_at)
    INTO total, later, oldest FROM inserted;
    IF total > 0 THEN
        PERFORM pg_notify('pgmq.' || TG_TABLE_NAME || '.INSERT',
                          CASE WHEN later = 0 THEN total || ' ' || extract(epoch FROM oldest) ELSE '' END);
    END IF;
    RETURN NULL;
END
$$;
