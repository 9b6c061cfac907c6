-- installed --
-- What is there: PGMQ, our schema, table and archive of a queue. By name, since a session may have cached
-- that they are missing, although another has installed them meanwhile.
SELECT coalesce(bool_or(nspname = 'pgmq' AND relname = 'meta'), false) AS pgmq,
       coalesce(bool_or(nspname = 'airflow_pgmq' AND relname = 'migrations'), false) AS schema_installed,
       coalesce(bool_or(nspname = 'pgmq' AND relname = %(table)s), false) AS queue,
       coalesce(bool_or(nspname = 'pgmq' AND relname = %(archive)s), false) AS archive
FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname IN ('pgmq', 'airflow_pgmq') AND relname IN ('meta', 'migrations', %(table)s, %(archive)s);

-- schema_version --
-- The newest migration that was applied.
SELECT max(number) AS number FROM airflow_pgmq.migrations;

-- admitted --
-- Whether code with this many migrations may use the schema; an error if it may not.
SELECT max(oldest_code) <= %(code)s OR airflow_pgmq.refuse(%(code)s) AS admitted FROM airflow_pgmq.migrations;

-- migration_done --
-- Note a migration as applied.
INSERT INTO airflow_pgmq.migrations (number) VALUES (%(number)s);

-- install_lock --
-- Only one installer at a time; held until its transaction ends.
SELECT pg_advisory_xact_lock(hashtext('airflow_pgmq.install'));

-- pgmq_extension --
-- Whether the server offers PGMQ as an extension, and which PGMQ this database has.
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pgmq') AS available,
       (SELECT extversion FROM pg_extension WHERE extname = 'pgmq') AS version,
       to_regprocedure('pgmq.send(text,jsonb,jsonb,timestamptz)') IS NOT NULL AS headers;

-- create_extension --
-- Install PGMQ as an extension.
CREATE EXTENSION IF NOT EXISTS pgmq;
