-- Jobs that a tick pauses once a message of theirs has become a dead letter.
ALTER TABLE airflow_pgmq.periodic_jobs
    -- Dead letters since then pause the job; null: none does.
    ADD COLUMN dead_letters_since timestamptz,
    -- Why a tick has paused it; null: somebody has, or it is not paused.
    ADD COLUMN paused_for text;

CREATE INDEX periodic_jobs_dead_letters_idx ON airflow_pgmq.periodic_jobs (namespace, queue_name)
    WHERE dead_letters_since IS NOT NULL;

-- It counts from the deploy that asked for it, and again from each resume, whichever code resumes.
CREATE FUNCTION airflow_pgmq.count_dead_letters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.definition -> 'pause_on_dead_letter') IS DISTINCT FROM 'true' THEN
        NEW.dead_letters_since := NULL;
    ELSIF NEW.dead_letters_since IS NULL OR (OLD.paused AND NOT NEW.paused) THEN
        NEW.dead_letters_since := clock_timestamp();
    END IF;
    IF NOT NEW.paused THEN
        NEW.paused_for := NULL;
    END IF;
    RETURN NEW;
END
$$;

-- Not for the updates of each tick, nor for jobs that have nothing to do with it.
CREATE TRIGGER count_dead_letters BEFORE INSERT OR UPDATE OF definition, paused ON airflow_pgmq.periodic_jobs
    FOR EACH ROW WHEN (NEW.definition ? 'pause_on_dead_letter' OR NEW.dead_letters_since IS NOT NULL
                       OR NEW.paused_for IS NOT NULL)
    EXECUTE FUNCTION airflow_pgmq.count_dead_letters();

-- Jobs of a namespace that are to be paused: the first of their slots whose messages became dead letters, and how many
-- there are. With the rights of who calls it: of a queue whose dead letters cannot be read, a row without a job.
-- All dead letters of a queue are looked through, but only the newer ones are read.
CREATE FUNCTION airflow_pgmq.dead_slots(for_namespace text)
RETURNS TABLE (name text, queue_name text, dead_letter_queue text, slot text, letters bigint)
LANGUAGE plpgsql STABLE
-- A dead letter queue that somebody has locked must not keep the tick from sending.
SET lock_timeout = '1s' AS $$
#variable_conflict use_column
DECLARE
    sent_to text;
    since timestamptz;
    dead_letters text;
BEGIN
    FOR sent_to, since IN
        SELECT job.queue_name, min(job.dead_letters_since) FROM airflow_pgmq.periodic_jobs AS job
        WHERE job.namespace = for_namespace COLLATE "C" AND job.dead_letters_since IS NOT NULL AND NOT job.paused
        GROUP BY job.queue_name
    LOOP
        dead_letters := lower('q_' || sent_to || '_dlq');
        BEGIN
            CONTINUE WHEN to_regclass(format('pgmq.%I', dead_letters)) IS NULL;
            RETURN QUERY EXECUTE format(
                'SELECT job.name::text, $2, $2 || ''_dlq'', min(dead.slot), count(*)
                 FROM airflow_pgmq.periodic_jobs AS job
                 JOIN (
                     SELECT split_part(letter.key, ''/'', 2) AS name, split_part(letter.key, ''/'', 3) AS slot,
                            letter.enqueued_at
                     FROM (
                         SELECT coalesce(headers ->> ''dedup_key'', headers -> ''dead_letter'' ->> ''dedup_key'')
                                AS key, enqueued_at
                         FROM pgmq.%I WHERE enqueued_at > $3
                     ) AS letter
                     WHERE letter.key ~ ''^[^/]+/[^/]+/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$''
                         AND split_part(letter.key, ''/'', 1) = $1
                 ) AS dead ON dead.name = job.name AND dead.enqueued_at > job.dead_letters_since
                 WHERE job.namespace = $1 COLLATE "C" AND job.queue_name = $2 AND NOT job.paused
                     AND job.dead_letters_since IS NOT NULL
                 GROUP BY job.name', dead_letters
            ) USING for_namespace, sent_to, since;
        EXCEPTION
            WHEN undefined_table THEN
                -- Dropped meanwhile.
                CONTINUE;
            WHEN insufficient_privilege OR undefined_column OR lock_not_available THEN
                RETURN QUERY SELECT NULL::text, sent_to, sent_to || '_dlq', NULL::text, 0::bigint;
        END;
    END LOOP;
END
$$;
