-- own_session --
-- Settings for the rest of the session; no row if a pooler lends it to us only for a transaction.
SELECT set_config(ours.name, ours.value, false) AS value
FROM unnest(%(names)s::text[], %(values)s::text[]) AS ours (name, value)
WHERE pg_backend_pid() = %(backend_pid)s;
