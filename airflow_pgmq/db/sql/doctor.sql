-- examine_server --
-- What the doctor asks first, only of the catalog: to_regclass and similar functions fail if the role may not use
-- a schema. `schema_installed` is null if the role may not read our schema.
SELECT clock_timestamp() AS now, current_user::text AS role, current_database()::text AS database,
       current_setting('server_version') AS version, pg_is_in_recovery() AS standby,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'pgmq'), false)
           AS may_create_queues,
       EXISTS (SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
               WHERE nspname = 'pgmq' AND relname = 'meta') AS pgmq,
       (SELECT extversion FROM pg_extension WHERE extname = 'pgmq') AS pgmq_version,
       EXISTS (SELECT FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
               WHERE nspname = 'pgmq' AND proname = 'send'
                   -- Not by their names, which quote_all_identifiers changes.
                   AND pronargs = 4 AND (proargtypes[0], proargtypes[1], proargtypes[2], proargtypes[3])
                       = ('text'::regtype, 'jsonb'::regtype, 'jsonb'::regtype, 'timestamptz'::regtype)) AS headers,
       CASE WHEN EXISTS (SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                         WHERE nspname = 'airflow_pgmq' AND relname = 'migrations')
            THEN nullif((SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
                         FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                         WHERE nspname = 'airflow_pgmq' AND relname = 'migrations'), false)
            ELSE false END AS schema_installed;

-- examine_rights --
-- Which of the needed privileges the role lacks; names are patterns for the tables of all queues.
SELECT wanted.work, wanted.privilege, there.kind, there.schema, there.name
FROM unnest(%(works)s::text[], %(kinds)s::text[], %(schemas)s::text[], %(patterns)s::text[], %(privileges)s::text[])
    WITH ORDINALITY AS wanted (work, kind, schema, pattern, privilege, position)
JOIN (
    SELECT oid, 'schema' AS kind, nspname AS schema, nspname AS name FROM pg_namespace
    UNION ALL
    SELECT c.oid, CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, nspname, relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE nspname IN ('pgmq', 'airflow_pgmq') AND relkind IN ('r', 'p', 'S') AND NOT relispartition
) AS there ON there.kind = wanted.kind AND there.schema = wanted.schema AND there.name LIKE wanted.pattern
WHERE NOT CASE there.kind
    WHEN 'schema' THEN has_schema_privilege(there.oid, wanted.privilege)
    WHEN 'sequence' THEN has_sequence_privilege(there.oid, wanted.privilege)
    ELSE has_table_privilege(there.oid, wanted.privilege)
END
ORDER BY wanted.position, there.name;

-- examine_policies --
-- Commands on tables of PGMQ and ours that row level security does not allow the role for all rows; whether some
-- rows pass, and the restrictive policies, which no other policy overrides.
SELECT n.nspname::text AS schema, c.relname::text AS name, command.privilege,
       coalesce(bool_or(policy.permissive), false) AS partly,
       coalesce(array_agg(policy.name) FILTER (WHERE NOT policy.permissive AND NOT policy.open), '{{}}') AS restrictive
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN (VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd')) AS command (privilege, code)
LEFT JOIN LATERAL (
    SELECT polname::text AS name, polpermissive AS permissive, CASE command.code
               WHEN 'a' THEN coalesce(checked, qual) = 'true'
               WHEN 'w' THEN qual = 'true' AND coalesce(checked, 'true') = 'true'
               ELSE qual = 'true' END AS open
    FROM (
        SELECT *, pg_get_expr(polqual, polrelid) AS qual, pg_get_expr(polwithcheck, polrelid) AS checked
        FROM pg_policy WHERE polrelid = c.oid AND polcmd::text IN ('*', command.code)
    ) AS said
    WHERE EXISTS (SELECT FROM unnest(polroles) AS member WHERE member = 0 OR pg_has_role(member, 'USAGE'))
) AS policy ON true
WHERE n.nspname IN ('pgmq', 'airflow_pgmq') AND c.relrowsecurity AND NOT c.relispartition
    AND row_security_active(c.oid)
GROUP BY 1, 2, 3
HAVING NOT coalesce(bool_or(policy.permissive AND policy.open), false)
    OR coalesce(bool_or(NOT policy.permissive AND NOT policy.open), false)
ORDER BY 1, 2, 3;

-- examine_settings --
-- The settings of a new session of the role, and whether role or database set them.
SELECT s.name, s.reset_val AS value, coalesce(origin.of_role, false) AS of_role,
       coalesce(origin.in_database, false) AS in_database
FROM pg_settings AS s
LEFT JOIN LATERAL (
    SELECT setrole <> 0 AS of_role, setdatabase <> 0 AS in_database
    FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS said
    WHERE split_part(said, '=', 1) = s.name
        AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
        AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    ORDER BY (setrole <> 0 AND setdatabase <> 0) DESC, (setrole <> 0) DESC, (setdatabase <> 0) DESC LIMIT 1
) AS origin ON true
WHERE s.name = ANY (%(names)s::text[])
ORDER BY s.name;

-- examine_queues --
-- Tables of queues by name: whether they can have the index of 'queued' and have it, and what announces inserts.
SELECT substr(c.relname, 3) AS queue_name, c.relkind = 'p' AS partitioned,
       EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
               WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique
                   AND x.relname = c.relname || '_dedup_idx') AS guarded,
       EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
               WHERE i.indrelid = c.oid AND i.indisvalid AND x.relname = c.relname || '_groups_idx') AS ordered,
       EXISTS (SELECT FROM pg_trigger
               WHERE tgrelid = c.oid AND tgenabled <> 'D' AND tgname = %(settled_trigger)s) AS settled_trigger,
       EXISTS (SELECT FROM pg_trigger
               WHERE tgrelid = c.oid AND tgenabled <> 'D' AND tgname = %(our_trigger)s) AS our_trigger,
       EXISTS (SELECT FROM pg_trigger
               WHERE tgrelid = c.oid AND tgenabled <> 'D' AND tgname = %(pgmq_trigger)s) AS pgmq_trigger
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgmq' AND starts_with(c.relname, 'q_') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1;

-- unaware_readers --
-- Paused queues that a role may read which may not see that they are paused.
SELECT paused.queue_name, paused.paused_at, paused.paused_by, paused.reason,
       array_agg(reader.rolname::text ORDER BY reader.rolname) AS roles
FROM airflow_pgmq.paused_queues AS paused
JOIN pg_class ON pg_class.oid = paused.relation
JOIN pg_roles AS reader ON reader.rolcanlogin AND NOT reader.rolsuper
    AND has_table_privilege(reader.oid, paused.relation::oid, 'UPDATE')
    AND NOT (has_schema_privilege(reader.oid, 'airflow_pgmq', 'USAGE')
             AND has_table_privilege(reader.oid, 'airflow_pgmq.paused_queues', 'SELECT'))
GROUP BY paused.relation
ORDER BY 1;

-- invalid_indexes --
-- Indexes of queues and of our own tables that a failed build left behind.
SELECT n.nspname AS schema, x.relname AS index_name
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
WHERE n.nspname IN ('pgmq', 'airflow_pgmq') AND NOT i.indisvalid
ORDER BY 1, 2;

-- rebuild_index --
-- Build an invalid index again.
REINDEX INDEX {index};

-- disable_pgmq_notify --
-- Remove PGMQ's own notify trigger from a queue.
SELECT pgmq.disable_notify_insert(%(queue_name)s);

-- unguarded_keys --
-- A row if two of the newest messages have one dedup key that the ledger does not know. A single message
-- does not count: it may be older than the window.
SELECT %(queue_name)s AS queue_name WHERE EXISTS (
    SELECT FROM (
        SELECT headers ->> 'dedup_key' AS dedup_key
        FROM (SELECT enqueued_at, headers FROM {table} ORDER BY msg_id DESC LIMIT 1000) AS newest
        WHERE headers ? 'dedup_key' AND NOT headers ? 'dead_letter' AND enqueued_at > now() - interval '1 hour'
            AND NOT headers ?& ARRAY['namespace', 'job', 'slot']
        GROUP BY 1 HAVING count(*) > 1
    ) AS twice
    WHERE NOT EXISTS (
        SELECT FROM airflow_pgmq.dedup_ledger
        WHERE queue_name = %(queue_name)s AND dedup_key = twice.dedup_key COLLATE "C"
    )
);
