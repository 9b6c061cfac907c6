-- archive_kind --
-- Whether the archive is partitioned, and whether it could be.
SELECT relkind = 'p' AS partitioned, EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_partman') AS has_partman
FROM pg_class WHERE oid = to_regclass(%(relation)s);

-- convert_archive --
-- Put a partitioned archive in the place of one that is not. PGMQ quotes the names of partitions twice where all
-- identifiers are quoted; the transaction may be a caller's, who keeps the setting.
WITH caller AS MATERIALIZED (
    SELECT current_setting('quote_all_identifiers') AS quoting
), unquoted AS MATERIALIZED (
    SELECT quoting, set_config('quote_all_identifiers', 'off', true) FROM caller
), converted AS MATERIALIZED (
    SELECT quoting, pgmq.convert_archive_partitioned(%(queue_name)s::text, %(partition_interval)s::text,
                                                     %(retention_interval)s::text, %(leading_partition)s::integer)
    FROM unquoted
)
SELECT set_config('quote_all_identifiers', quoting, true) FROM converted;
