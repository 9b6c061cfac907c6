-- own_session --
-- Settings for the rest of the session, none if a pooler lends it to us only for a transaction; and whether the
-- role sees which queues are paused.
SELECT ours.value IS NOT NULL AS is_ours, role.sees_pauses
FROM (SELECT <<sees_pauses>> AS sees_pauses) AS role
LEFT JOIN (
    SELECT set_config(ours.name, ours.value, false) AS value
    FROM unnest(%(names)s::text[], %(values)s::text[]) AS ours (name, value)
    WHERE pg_backend_pid() = %(backend_pid)s
) AS ours ON true;

-- sees_pauses --
-- Whether the role sees which queues are paused.
SELECT <<sees_pauses>> AS sees_pauses;
