-- A slot is expected to be done, counted from it; null: nobody is told.
ALTER TABLE airflow_pgmq.periodic_jobs
    ADD COLUMN expect_within interval GENERATED ALWAYS AS
        (make_interval(secs => (definition ->> 'expect_within')::double precision)) STORED,
    -- The last slot of which it was told that it was not sent, and when. Slots in the table of slots have it there.
    ADD COLUMN overdue_slot timestamptz,
    ADD COLUMN overdue_at timestamptz;

CREATE INDEX periodic_jobs_expected_idx ON airflow_pgmq.periodic_jobs (namespace, name) WHERE expect_within IS NOT NULL;

-- When it was found that the slot was overdue; it is told once.
ALTER TABLE airflow_pgmq.slots ADD COLUMN overdue_at timestamptz;

-- Slots that are overdue now, of those that were expected in the last seven days. A message that is neither in its
-- queue nor a dead letter was acked, or somebody has removed it. With the rights of who calls it: of a queue that the
-- role may not read, no slot is known to be done.
CREATE FUNCTION airflow_pgmq.overdue_slots(for_namespace text DEFAULT NULL)
RETURNS TABLE (namespace text, name text, slot timestamptz, queue_name text, msg_id bigint, expected_at timestamptz,
               state text, found_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    late constant text := $late$
        SELECT own.namespace::text AS namespace, own.name::text AS name, own.slot, own.queue_name::text AS queue_name,
               own.msg_id, own.slot + job.expect_within AS expected_at,
               own.namespace || '/' || own.name || '/'
                   || to_char(own.slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS key,
               coalesce(own.overdue_at, CASE WHEN job.overdue_slot = own.slot THEN job.overdue_at END) AS found_at
        FROM airflow_pgmq.periodic_jobs AS job
        JOIN airflow_pgmq.slots AS own ON own.namespace = job.namespace AND own.name = job.name
            AND own.slot < statement_timestamp() - job.expect_within
            AND own.slot > statement_timestamp() - job.expect_within - interval '7 days'
        WHERE job.expect_within IS NOT NULL AND ($1 IS NULL OR job.namespace = $1 COLLATE "C")
    $late$;
    sent_to text;
    dead_letters text;
BEGIN
    -- Slots that were sent, queue by queue: message ids are looked up in it, keys among its dead letters.
    FOR sent_to IN EXECUTE format('SELECT DISTINCT queue_name FROM (%s) AS late WHERE msg_id IS NOT NULL', late)
        USING for_namespace
    LOOP
        BEGIN
            CONTINUE WHEN to_regclass(format('pgmq.%I', lower('q_' || sent_to))) IS NULL;
            RETURN QUERY EXECUTE format(
                'SELECT late.namespace, late.name, late.slot, late.queue_name, late.msg_id, late.expected_at,
                        CASE WHEN message.read_ct > 0 AND message.vt > statement_timestamp()
                             THEN ''in_flight'' ELSE ''waiting'' END, late.found_at
                 FROM (%s) AS late JOIN pgmq.%I AS message USING (msg_id)
                 WHERE late.queue_name = $2 AND message.headers ->> ''dedup_key'' = late.key',
                late, lower('q_' || sent_to)
            ) USING for_namespace, sent_to;
        EXCEPTION
            WHEN undefined_table THEN
                -- Dropped meanwhile.
                CONTINUE;
            WHEN insufficient_privilege OR undefined_column THEN
                RETURN QUERY EXECUTE format(
                    'SELECT namespace, name, slot, queue_name, msg_id, expected_at, ''unknown'', found_at
                     FROM (%s) AS late WHERE msg_id IS NOT NULL AND queue_name = $2', late
                ) USING for_namespace, sent_to;
                CONTINUE;
        END;
        dead_letters := lower('q_' || sent_to || '_dlq');
        BEGIN
            CONTINUE WHEN to_regclass(format('pgmq.%I', dead_letters)) IS NULL;
            -- A dead letter has another id than its message had, so it is found by its key.
            RETURN QUERY EXECUTE format(
                'SELECT late.namespace, late.name, late.slot, late.queue_name, late.msg_id, late.expected_at,
                        ''dead'', late.found_at
                 FROM (%s) AS late
                 JOIN (
                     SELECT DISTINCT coalesce(headers ->> ''dedup_key'', headers -> ''dead_letter'' ->> ''dedup_key'')
                     FROM pgmq.%I
                 ) AS dead (key) USING (key)
                 WHERE late.msg_id IS NOT NULL AND late.queue_name = $2
                     AND NOT EXISTS (
                         SELECT FROM pgmq.%I AS message
                         WHERE message.msg_id = late.msg_id AND message.headers ->> ''dedup_key'' = late.key
                     )',
                late, dead_letters, lower('q_' || sent_to)
            ) USING for_namespace, sent_to;
        EXCEPTION WHEN insufficient_privilege OR undefined_table OR undefined_column THEN
            CONTINUE;
        END;
    END LOOP;
    -- Slots to be sent again, and those of jobs that have not come so far. A paused job sends none, on purpose.
    RETURN QUERY EXECUTE format(
        'SELECT late.namespace, late.name, late.slot, late.queue_name, late.msg_id, late.expected_at, ''not_sent'',
                late.found_at
         FROM (%s) AS late
         JOIN airflow_pgmq.periodic_jobs AS job ON job.namespace = late.namespace AND job.name = late.name
         WHERE late.msg_id IS NULL AND NOT job.paused
         UNION ALL
         SELECT job.namespace, job.name, job.next_slot, job.queue_name, NULL, job.next_slot + job.expect_within,
                ''not_sent'', CASE WHEN job.overdue_slot >= job.next_slot THEN job.overdue_at END
         FROM airflow_pgmq.periodic_jobs AS job
         WHERE job.expect_within IS NOT NULL AND NOT job.paused AND ($1 IS NULL OR job.namespace = $1 COLLATE "C")
             AND job.next_slot < statement_timestamp() - job.expect_within
             AND NOT EXISTS (
                 SELECT FROM airflow_pgmq.slots AS own
                 WHERE own.namespace = job.namespace AND own.name = job.name AND own.slot = job.next_slot
             )', late
    ) USING for_namespace;
END
$$;

-- The same for people and for tools that know only tables.
CREATE VIEW airflow_pgmq.overdue AS SELECT * FROM airflow_pgmq.overdue_slots();
