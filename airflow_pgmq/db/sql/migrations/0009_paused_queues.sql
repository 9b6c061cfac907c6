-- Queues that are paused: our readers ask for them in the statement that reads.
CREATE TABLE airflow_pgmq.paused_queues (
    -- The queue's table: a queue that was dropped and made again is another one, and not paused. A dump has the
    -- table's name, so a restored queue is paused as before.
    relation regclass PRIMARY KEY,
    queue_name text NOT NULL,
    paused_at timestamptz NOT NULL,
    paused_by text NOT NULL,
    reason text NOT NULL
);

-- Postgres knows then that it is empty, and reads it without its index.
ANALYZE airflow_pgmq.paused_queues;
