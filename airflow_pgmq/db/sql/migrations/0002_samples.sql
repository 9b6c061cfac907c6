-- What a queue held at a minute. The counters are the server's own for the queue's table: they count what
-- every client in every language inserted and removed, and only ever grow, except when a crash resets them.
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
    -- A page shows the last hour of every queue, whose rows lie together.
    PRIMARY KEY (sampled_at, queue_name)
);

CREATE INDEX queue_samples_history_idx ON airflow_pgmq.queue_samples (queue_name, sampled_at);

-- Slots that a tick or a backfill met although they had been sent: rare, so a row for each costs nothing.
CREATE TABLE airflow_pgmq.repeated_slots (
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    slot timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 1,
    repeated_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, name, slot)
);

-- A slot from before the definition that is in force cannot be said to be missed.
ALTER TABLE airflow_pgmq.periodic_jobs ADD COLUMN deployed_at timestamptz NOT NULL DEFAULT now();

-- Where all that was inserted is visible at once, the announcement says so: how many, and when the oldest of
-- them was enqueued. Who waits for any message then need not ask.
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
