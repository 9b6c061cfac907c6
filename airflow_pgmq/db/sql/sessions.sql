-- own_session --
-- Settings for the rest of the session; no row where a pooler lends it to us for a transaction only.
SELECT set_config(ours.name, ours.value, false) AS value
FROM unnest(%(names)s::text[], %(values)s::text[]) AS ours (name, value)
WHERE pg_backend_pid() = %(backend_pid)s;
