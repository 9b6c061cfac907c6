-- Our own schema; PGMQ's is not changed.
CREATE SCHEMA IF NOT EXISTS airflow_pgmq;

CREATE TABLE airflow_pgmq.migrations (
    number integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- One row per (queue, dedup key) that was sent within its window, for dedup_scope 'once'.
-- Collation "C" makes the index order the byte order that clients sort by, so batches cannot deadlock,
-- and lets a job's slots be found as a range of keys.
CREATE TABLE airflow_pgmq.dedup_ledger (
    queue_name text COLLATE "C" NOT NULL,
    dedup_key text COLLATE "C" NOT NULL,
    msg_id bigint NOT NULL,
    first_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- The key first, because most rows have the same queue name: 7 % of a send (measured).
    PRIMARY KEY (dedup_key, queue_name)
);

-- A set of periodic jobs with one tick. Its row is the lock of a tick.
CREATE TABLE airflow_pgmq.namespaces (
    namespace text COLLATE "C" PRIMARY KEY,
    owner text NOT NULL,
    version integer NOT NULL,
    fingerprint text NOT NULL DEFAULT '',
    -- Every slot up to here was dealt with by the last complete tick, for jobs that were not behind.
    horizon timestamptz NOT NULL,
    ticked_at timestamptz NOT NULL,
    -- The same, for ticks that were not outdated.
    version_ticked_at timestamptz NOT NULL
);

CREATE TABLE airflow_pgmq.periodic_jobs (
    namespace text COLLATE "C" NOT NULL REFERENCES airflow_pgmq.namespaces ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    fingerprint text NOT NULL,
    definition jsonb NOT NULL,
    queue_name text NOT NULL,
    -- Such a job has no look-ahead.
    overlap_skip boolean NOT NULL,
    -- Slots up to here were dealt with; next_slot is the first one after, null when there is none.
    watermark timestamptz NOT NULL,
    next_slot timestamptz,
    paused boolean NOT NULL DEFAULT false,
    last_slot timestamptz,
    last_key text,
    last_msg_id bigint,
    last_sent_at timestamptz,
    PRIMARY KEY (namespace, name)
);

CREATE INDEX periodic_jobs_due_idx ON airflow_pgmq.periodic_jobs (namespace, next_slot) WHERE NOT paused;

-- Announces an insert on the channel that PGMQ's own clients listen to, once per statement: PGMQ's row
-- trigger updates a throttle row, which makes senders wait for each other and bulk inserts quadratic.
CREATE FUNCTION airflow_pgmq.notify_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted) THEN
        PERFORM pg_notify('pgmq.' || TG_TABLE_NAME || '.INSERT', '');
    END IF;
    RETURN NULL;
END
$$;
