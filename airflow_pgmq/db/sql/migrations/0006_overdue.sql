-- Slots that did not happen in time.
ALTER TABLE airflow_pgmq.periodic_jobs
    -- It follows the definition, so code that does not know it cannot leave it behind.
    ADD COLUMN expect_within interval GENERATED ALWAYS AS (
        CASE WHEN jsonb_typeof(definition -> 'expect_within') = 'number'
             THEN make_interval(secs => (definition ->> 'expect_within')::float8) END
    ) STORED,
    -- Slots up to here were looked at after their time, or are not expected: they are older than the policy.
    ADD COLUMN expected_until timestamptz;

CREATE INDEX periodic_jobs_expected_idx ON airflow_pgmq.periodic_jobs (namespace, name)
    WHERE expect_within IS NOT NULL;

-- A row for each slot that was found overdue: so there is one alert for it, whoever looks.
CREATE TABLE airflow_pgmq.alerts (
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    slot timestamptz NOT NULL,
    queue_name text NOT NULL,
    msg_id bigint,
    expected_at timestamptz NOT NULL,
    -- What it was when it was found.
    state text NOT NULL,
    found_at timestamptz NOT NULL,
    -- Since when it is no longer overdue: acked, cancelled, left out, expired.
    over_at timestamptz,
    -- An alert is owed, and from then on anybody may give it. Null: it was given.
    alert_after timestamptz,
    PRIMARY KEY (namespace, name, slot),
    FOREIGN KEY (namespace, name) REFERENCES airflow_pgmq.periodic_jobs ON DELETE CASCADE
);

-- Slots whose message was not acked in time: waiting, in_flight, dead, not_sent, or unknown where this role cannot
-- look. With the archives also those that left their queue too late: late, expired. It reads with the rights of the
-- role that calls it. A queue costs look-ups by id; of a dead letter queue the newest 10,000 are searched, and only if
-- a message has left its queue in a way that left no trace.
CREATE FUNCTION airflow_pgmq.overdue_slots(only_namespace text DEFAULT NULL, with_archives boolean DEFAULT false)
RETURNS TABLE (namespace text, name text, slot timestamptz, queue_name text, msg_id bigint, expected_at timestamptz,
               state text, found_at timestamptz)
LANGUAGE plpgsql STABLE
-- A queue that somebody has locked is unknown; it must not keep the others from being seen.
SET lock_timeout = '1s' AS $$
#variable_conflict use_column
DECLARE
    at CONSTANT timestamptz := clock_timestamp();
    asked record;
    states text[];
    own text;
    relation text;
BEGIN
    FOR asked IN
        WITH expecting AS MATERIALIZED (
            SELECT job.namespace, job.name, job.queue_name, job.expect_within, job.expected_until, job.paused,
                   CASE WHEN jsonb_typeof(job.definition -> 'ttl') = 'number'
                        THEN make_interval(secs => (job.definition ->> 'ttl')::float8) END AS ttl,
                   -- A job that begins, or begins again, has an instant here that is no slot.
                   CASE WHEN NOT job.paused AND job.next_slot > job.watermark THEN job.next_slot END AS next_slot
            FROM airflow_pgmq.periodic_jobs AS job
            WHERE job.expect_within IS NOT NULL
                AND (only_namespace IS NULL OR job.namespace = only_namespace COLLATE "C")
        ), candidate AS (
            SELECT job.namespace, job.name, mark.slot, coalesce(sent.queue_name, job.queue_name) AS queue_name,
                   sent.msg_id, mark.expected_at, mark.slot + job.ttl AS expires_at, mark.found_at
            FROM expecting AS job
            JOIN airflow_pgmq.alerts AS mark
                ON mark.namespace = job.namespace AND mark.name = job.name AND mark.over_at IS NULL
            LEFT JOIN LATERAL (
                SELECT slot, queue_name, msg_id FROM airflow_pgmq.slots
                WHERE namespace = mark.namespace AND name = mark.name AND slot = mark.slot LIMIT 1
            ) AS sent ON true
            WHERE sent.msg_id IS NOT NULL OR CASE WHEN sent.slot IS NULL THEN job.next_slot <= mark.slot ELSE NOT job.paused END
            UNION ALL
            SELECT job.namespace, job.name, sent.slot, sent.queue_name, sent.msg_id, sent.slot + job.expect_within,
                   sent.slot + job.ttl, NULL
            FROM expecting AS job
            CROSS JOIN LATERAL (
                -- OFFSET makes it a look-up for each job.
                SELECT slot, queue_name, msg_id FROM airflow_pgmq.slots
                WHERE namespace = job.namespace AND name = job.name
                    AND slot > job.expected_until AND slot <= at - job.expect_within
                OFFSET 0
            ) AS sent
            WHERE (sent.msg_id IS NOT NULL OR NOT job.paused)
                AND NOT EXISTS (
                    SELECT FROM airflow_pgmq.alerts AS mark
                    WHERE mark.namespace = job.namespace AND mark.name = job.name AND mark.slot = sent.slot
                )
            UNION ALL
            SELECT job.namespace, job.name, job.next_slot, job.queue_name, NULL, job.next_slot + job.expect_within,
                   job.next_slot + job.ttl, NULL
            FROM expecting AS job
            WHERE job.next_slot > job.expected_until AND job.next_slot <= at - job.expect_within
                AND NOT EXISTS (
                    SELECT FROM airflow_pgmq.slots AS sent
                    WHERE sent.namespace = job.namespace AND sent.name = job.name AND sent.slot = job.next_slot
                )
                AND NOT EXISTS (
                    SELECT FROM airflow_pgmq.alerts AS mark
                    WHERE mark.namespace = job.namespace AND mark.name = job.name AND mark.slot = job.next_slot
                )
        )
        SELECT candidate.queue_name, array_agg(candidate.namespace) AS namespaces, array_agg(candidate.name) AS names,
               array_agg(candidate.slot) AS slots, array_agg(candidate.msg_id) AS msg_ids,
               array_agg(candidate.expected_at) AS expected_ats, array_agg(candidate.expires_at) AS expires_ats,
               array_agg(candidate.found_at) AS found_ats,
               array_agg(candidate.namespace || '/' || candidate.name || '/'
                   || to_char(candidate.slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) AS keys
        FROM candidate GROUP BY candidate.queue_name
    LOOP
        own := lower(asked.queue_name);
        SELECT array_agg(CASE WHEN each.msg_id IS NULL THEN 'not_sent' ELSE 'gone' END ORDER BY each.position)
        INTO states FROM unnest(asked.msg_ids) WITH ORDINALITY AS each (msg_id, position);
        BEGIN
            relation := format('pgmq.%I', 'q_' || own);
            IF 'gone' = ANY (states) AND to_regclass(relation) IS NOT NULL THEN
                EXECUTE format('
                    SELECT array_agg(CASE WHEN waiting.vt IS NULL THEN each.state
                                          WHEN waiting.read_ct > 0 AND waiting.vt > $4 THEN ''in_flight''
                                          ELSE ''waiting'' END ORDER BY each.position)
                    FROM unnest($1, $2, $3) WITH ORDINALITY AS each (state, msg_id, key, position)
                    LEFT JOIN LATERAL (
                        SELECT m.vt, m.read_ct FROM %s AS m
                        WHERE m.msg_id = each.msg_id AND m.headers ->> ''dedup_key'' = each.key LIMIT 1
                    ) AS waiting ON true', relation)
                INTO states USING states, asked.msg_ids, asked.keys, at;
            END IF;
            relation := format('pgmq.%I', 'a_' || own);
            IF with_archives AND 'gone' = ANY (states) AND to_regclass(relation) IS NOT NULL THEN
                EXECUTE format('
                    SELECT array_agg(CASE WHEN each.state <> ''gone'' OR acked.archived_at IS NULL THEN each.state
                                          WHEN acked.archived_at <= each.expected_at THEN ''acked''
                                          WHEN acked.archived_at >= each.expires_at THEN ''expired''
                                          ELSE ''late'' END ORDER BY each.position)
                    FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY
                        AS each (state, msg_id, key, expected_at, expires_at, position)
                    LEFT JOIN LATERAL (
                        SELECT m.archived_at FROM %s AS m
                        WHERE m.msg_id = each.msg_id AND m.headers ->> ''dedup_key'' = each.key LIMIT 1
                    ) AS acked ON each.state = ''gone''', relation)
                INTO states USING states, asked.msg_ids, asked.keys, asked.expected_ats, asked.expires_ats;
            END IF;
            relation := format('pgmq.%I', 'q_' || own || '_dlq');
            IF 'gone' = ANY (states) AND to_regclass(relation) IS NOT NULL THEN
                EXECUTE format('
                    WITH letter AS MATERIALIZED (
                        SELECT coalesce(newest.headers ->> ''dedup_key'',
                                        newest.headers -> ''dead_letter'' ->> ''dedup_key'') AS key
                        FROM (SELECT m.headers FROM %s AS m ORDER BY m.msg_id DESC LIMIT 10000) AS newest
                    )
                    SELECT array_agg(CASE WHEN each.state = ''gone'' AND each.key IN (SELECT key FROM letter)
                                          THEN ''dead'' ELSE each.state END ORDER BY each.position)
                    FROM unnest($1, $2) WITH ORDINALITY AS each (state, key, position)', relation)
                INTO states USING states, asked.keys;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            -- These are not about the queue: the connection, the transaction, the server.
            IF left(SQLSTATE, 2) IN ('08', '25', '40', '53', '57') THEN
                RAISE;
            END IF;
            SELECT array_agg(CASE WHEN each.msg_id IS NULL THEN 'not_sent' ELSE 'unknown' END ORDER BY each.position)
            INTO states FROM unnest(asked.msg_ids) WITH ORDINALITY AS each (msg_id, position);
        END;
        RETURN QUERY
        SELECT each.namespace, each.name, each.slot, asked.queue_name, each.msg_id, each.expected_at, each.state,
               each.found_at
        FROM unnest(asked.namespaces, asked.names, asked.slots, asked.msg_ids, asked.expected_ats, states, asked.found_ats)
            AS each (namespace, name, slot, msg_id, expected_at, state, found_at)
        WHERE each.state NOT IN ('gone', 'acked');
    END LOOP;
END
$$;

-- Slots that are overdue now, for whoever has only SQL: until their message is acked, or their row is pruned.
CREATE VIEW airflow_pgmq.overdue AS
SELECT namespace, name, slot, queue_name, msg_id, expected_at, state, found_at FROM airflow_pgmq.overdue_slots();
