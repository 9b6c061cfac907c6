-- The oldest code that may use this schema, as the number of the newest migration that such code brings. Rows
-- of later migrations get it too, until one of them raises the default.
ALTER TABLE airflow_pgmq.migrations ADD COLUMN oldest_code integer NOT NULL DEFAULT 3;

-- The error for older code. Newer code checks it itself, in each statement that claims a key or a slot.
CREATE FUNCTION airflow_pgmq.refuse(code integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'PQ001',
        MESSAGE = 'This process runs an airflow-provider-pgmq that is too old for the schema airflow_pgmq of database '
            || current_database() || ': it knows migrations up to '
            || coalesce(code::text, 'number 2') || ', the schema needs code that knows '
            || (SELECT max(oldest_code) FROM airflow_pgmq.migrations) || '. Nothing was sent or changed',
        HINT = 'Upgrade airflow-provider-pgmq wherever it uses this database: workers, triggerers, API servers.';
END
$$;

-- Which incarnation of a queue the ledger and the slots refer to. A queue may be dropped and made again, or lost
-- in a restore: then its ids start again, and what was stored of it is wrong.
CREATE TABLE airflow_pgmq.queues (
    queue_name text COLLATE "C" PRIMARY KEY,
    -- How it is recognised: its row in PGMQ's meta, its table, and whether a crash empties it.
    created_at timestamptz NOT NULL,
    relation oid NOT NULL,
    unlogged boolean NOT NULL,
    incarnation bigint NOT NULL,
    -- Since when, if it is not the first; a message that was to become visible later is gone.
    recreated_at timestamptz
);

CREATE SEQUENCE airflow_pgmq.incarnations;

-- The marks that a claim looks up. Whatever empties an unlogged queue empties this table too: a crash, a base
-- backup, a promoted standby; then each queue is recognised again.
CREATE UNLOGGED TABLE airflow_pgmq.queue_marks (
    queue_name text COLLATE "C" PRIMARY KEY,
    created_at timestamptz NOT NULL,
    relation oid NOT NULL,
    incarnation bigint NOT NULL
);

-- The incarnation of a queue, or no row if the mark is of another one, or missing. A function of one query,
-- because Postgres inlines it.
CREATE FUNCTION airflow_pgmq.incarnation_of(queue text, relation_name text) RETURNS TABLE (incarnation bigint)
LANGUAGE sql STABLE AS $$
    SELECT mark.incarnation
    FROM airflow_pgmq.queue_marks AS mark
    LEFT JOIN pgmq.meta ON meta.queue_name = queue
    WHERE mark.queue_name = queue
        AND mark.relation = pg_catalog.to_regclass(relation_name)
        AND mark.created_at = coalesce(meta.created_at, '-infinity')
$$;

INSERT INTO airflow_pgmq.queues (queue_name, created_at, relation, unlogged, incarnation)
SELECT meta.queue_name, meta.created_at, c.oid, c.relpersistence = 'u', 0
FROM pgmq.meta
JOIN pg_catalog.pg_class AS c ON c.relname = lower('q_' || meta.queue_name)
    AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pgmq');

INSERT INTO airflow_pgmq.queue_marks (queue_name, created_at, relation, incarnation)
SELECT queue_name, created_at, relation, incarnation FROM airflow_pgmq.queues;

-- A key is taken in one incarnation of its queue. Code of migration 2 does not ask whether it may use the schema,
-- and does not write this column: then the default raises the error. A trigger would make inserts a quarter slower.
ALTER TABLE airflow_pgmq.dedup_ledger ADD COLUMN incarnation bigint NOT NULL DEFAULT 0;
ALTER TABLE airflow_pgmq.dedup_ledger
    ALTER COLUMN incarnation SET DEFAULT airflow_pgmq.refuse(NULL)::integer::bigint;

-- One row for each slot of a job that was enqueued within the window, to any queue, so that a slot is sent once.
-- It belongs to the job, so a deploy does not change it.
CREATE TABLE airflow_pgmq.slots (
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    slot timestamptz NOT NULL,
    queue_name text COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL,
    -- Null: the queue was lost before the message became visible, and the next tick sends it again.
    msg_id bigint,
    visible_at timestamptz NOT NULL,
    first_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- How often a tick or a backfill enqueued the slot again: duplicates.
    repeats integer NOT NULL DEFAULT 0,
    PRIMARY KEY (namespace, name, slot)
);

CREATE INDEX slots_lost_idx ON airflow_pgmq.slots (namespace, name, slot) WHERE msg_id IS NULL;

-- The slots in the ledger. A slot that was sent to two queues counts for the current queue of its job. A message
-- with jitter is visible later than stored here; this matters only if its queue is lost.
WITH moved AS MATERIALIZED (
    SELECT job.namespace, job.name, job.queue_name AS job_queue, taken.*
    FROM airflow_pgmq.periodic_jobs AS job
    CROSS JOIN LATERAL (
        SELECT queue_name, dedup_key, msg_id, first_at, expires_at,
               substr(dedup_key, length(job.namespace || '/' || job.name || '/') + 1) AS slot
        FROM airflow_pgmq.dedup_ledger
        WHERE dedup_key >= (job.namespace || '/' || job.name || '/') COLLATE "C"
            AND dedup_key < (job.namespace || '/' || job.name || '0') COLLATE "C"
        OFFSET 0
    ) AS taken
    WHERE taken.slot ~ '^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z$'
), kept AS (
    INSERT INTO airflow_pgmq.slots
        (namespace, name, slot, queue_name, incarnation, msg_id, visible_at, first_at, expires_at, repeats)
    SELECT DISTINCT ON (moved.namespace, moved.name, moved.slot)
           moved.namespace, moved.name, moved.slot::timestamptz, moved.queue_name, 0, moved.msg_id,
           moved.slot::timestamptz, moved.first_at, moved.expires_at, coalesce(repeated.times, 0)
    FROM moved
    LEFT JOIN airflow_pgmq.repeated_slots AS repeated
        ON repeated.namespace = moved.namespace AND repeated.name = moved.name
            AND repeated.slot = moved.slot::timestamptz
    ORDER BY moved.namespace, moved.name, moved.slot, moved.queue_name <> moved.job_queue, moved.first_at
)
DELETE FROM airflow_pgmq.dedup_ledger AS taken USING moved
WHERE taken.dedup_key = moved.dedup_key AND taken.queue_name = moved.queue_name;

DROP TABLE airflow_pgmq.repeated_slots;

ALTER TABLE airflow_pgmq.namespaces
    -- The newest migration that the code of the last tick knew.
    ADD COLUMN code integer NOT NULL DEFAULT 2,
    -- False until a tick was completed: for a namespace that is new, or restored from a backup, the queue may have
    -- slots that this schema does not know, and is searched before the first send.
    ADD COLUMN known boolean NOT NULL DEFAULT false,
    -- The clock at the start of the last tick, and whether it was later at the tick before.
    ADD COLUMN locked_at timestamptz,
    ADD COLUMN went_back boolean NOT NULL DEFAULT false,
    -- The transaction that wrote the row. If another one has written it, it was restored.
    ADD COLUMN written_by xid,
    -- The newest incarnation of any queue that this namespace knows.
    ADD COLUMN incarnation bigint NOT NULL DEFAULT 0;

ALTER TABLE airflow_pgmq.namespaces ALTER COLUMN code SET DEFAULT airflow_pgmq.refuse(NULL)::integer;

-- The slot says which message was the last one.
ALTER TABLE airflow_pgmq.periodic_jobs DROP COLUMN last_key, DROP COLUMN last_msg_id;
