-- announcer --
-- Which notify trigger fires on the queue's table, ours or PGMQ's, and what else it takes to put ours there: a plain
-- or a partitioned table, the trigger's function, and two privileges. By name, because a role that may not use a
-- schema may not look up its functions.
SELECT EXISTS (
           SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = %(our_trigger)s AND tgenabled <> 'D'
       ) AS our_trigger,
       EXISTS (
           SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = %(pgmq_trigger)s AND tgenabled <> 'D'
       ) AS pgmq_trigger,
       c.relkind IN ('r', 'p') AS is_table,
       announcer.oid IS NOT NULL AS installed,
       coalesce(has_schema_privilege(announcer.pronamespace, 'USAGE'), false) AS may_use,
       has_table_privilege(c.oid, 'TRIGGER') AS may_trigger,
       current_user::text AS role
FROM pg_class AS c
LEFT JOIN (
    SELECT p.oid, p.pronamespace FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'airflow_pgmq' AND p.proname = %(function)s
) AS announcer ON true
WHERE c.oid = %(table)s::regclass;

-- announce_settled --
-- Announce each statement that removes messages of groups.
CREATE OR REPLACE TRIGGER airflow_pgmq_settled AFTER DELETE ON {table} REFERENCING OLD TABLE AS settled
    FOR EACH STATEMENT EXECUTE FUNCTION airflow_pgmq.notify_settled();
