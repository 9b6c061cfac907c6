-- Announces that messages of groups were removed: acked, dead or cancelled, by any client. Then the next ones of their
-- groups can be read, and nothing else tells who waits for them. The trigger is on queues that are read in order.
CREATE FUNCTION airflow_pgmq.notify_settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM settled WHERE headers ? 'x-pgmq-group') THEN
        PERFORM pg_notify('pgmq.' || TG_TABLE_NAME || '.INSERT', 'settled');
    END IF;
    RETURN NULL;
END
$$;
