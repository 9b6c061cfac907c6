-- Each claim looks up the mark of its queue, so the mark also says which code may claim: one table less in every send.
ALTER TABLE airflow_pgmq.queue_marks ADD COLUMN oldest_code integer NOT NULL DEFAULT 5;

-- Whatever changes the number, the marks have it in the same transaction. ALTER TABLE keeps others from writing a mark
-- with the number from before; most migrations do not change it, and do not wait for anybody here.
CREATE FUNCTION airflow_pgmq.tell_marks() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    oldest integer := coalesce((SELECT max(oldest_code) FROM airflow_pgmq.migrations), 0);
    known integer := (
        SELECT pg_get_expr(adbin, adrelid)::integer FROM pg_attrdef AS d
        JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE d.adrelid = 'airflow_pgmq.queue_marks'::regclass AND a.attname = 'oldest_code'
    );
BEGIN
    IF oldest = known THEN
        RETURN NULL;
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        -- Marks that its snapshot does not see would keep the number from before.
        RAISE EXCEPTION 'airflow_pgmq.migrations can be changed only in a READ COMMITTED transaction';
    END IF;
    EXECUTE format('ALTER TABLE airflow_pgmq.queue_marks ALTER COLUMN oldest_code SET DEFAULT %s', oldest);
    UPDATE airflow_pgmq.queue_marks SET oldest_code = oldest;
    RETURN NULL;
END
$$;

CREATE TRIGGER tell_marks AFTER INSERT OR DELETE OR UPDATE OF oldest_code ON airflow_pgmq.migrations
FOR EACH STATEMENT EXECUTE FUNCTION airflow_pgmq.tell_marks();

-- As `incarnation_of` for any code, and no row, too, if this code is too old for the schema.
CREATE FUNCTION airflow_pgmq.incarnation_of(queue text, queue_table oid, code integer)
RETURNS TABLE (incarnation bigint) LANGUAGE sql STABLE AS $$
    SELECT mark.incarnation
    FROM airflow_pgmq.queue_marks AS mark
    LEFT JOIN pgmq.meta ON meta.queue_name = queue
    WHERE mark.queue_name = queue
        AND mark.relation = queue_table
        AND mark.created_at = coalesce(meta.created_at, '-infinity')
        AND mark.oldest_code <= code
$$;
