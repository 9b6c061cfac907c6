-- own_session --
-- Settings for the rest of the session, none if a pooler lends it to us only for a transaction; and what its
-- statements may name.
SELECT ours.value IS NOT NULL AS is_ours, usable.sees_pauses, usable.has_last_reads
FROM (SELECT <<sees_pauses>> AS sees_pauses, <<has_last_reads>> AS has_last_reads) AS usable
LEFT JOIN (
    SELECT set_config(ours.name, ours.value, false) AS value
    FROM unnest(%(names)s::text[], %(values)s::text[]) AS ours (name, value)
    WHERE pg_backend_pid() = %(backend_pid)s
) AS ours ON true;

-- usable --
-- What statements may name: they have another text where it is not there.
SELECT <<sees_pauses>> AS sees_pauses, <<has_last_reads>> AS has_last_reads;
