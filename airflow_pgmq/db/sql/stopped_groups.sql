-- stop_groups --
-- Stop the groups of dead messages, if nobody else has read them since: they stay the next ones of their groups, and
-- hidden. The header `stopped` has the reason, and `released_read` says that no reader holds them.
UPDATE {table} AS m
SET vt = 'infinity', headers = m.headers || jsonb_build_object(
    'stopped', jsonb_build_object('reason', fence.reason, 'at', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
    'released_read', jsonb_build_array(m.msg_id, m.read_ct)
)
FROM ROWS FROM (<<fences>>, unnest(%(reasons)b::text[])) AS fence (msg_id, read_ct, enqueued_at, reason)
WHERE m.msg_id = fence.msg_id AND <<is_ours>>
RETURNING m.msg_id;

-- stopped --
-- Those of a call's messages that stop their groups. It locks them first, and so waits for a transaction that may be
-- stopping them; what that one has done is asked after it.
WITH locked AS MATERIALIZED (
    SELECT m.msg_id, m.vt, m.read_ct, m.headers FROM {table} AS m
    JOIN <<fences>> AS fence (msg_id, read_ct, enqueued_at) USING (msg_id)
    WHERE <<is_ours>> FOR UPDATE OF m
)
SELECT m.msg_id FROM locked AS m WHERE <<stops_its_group>>;

-- stopped_groups --
-- The messages that stop their groups, of all groups or of one.
SELECT <<group>> AS grp, m.msg_id, <<tries>> AS tries,
       m.headers -> 'stopped' ->> 'reason' AS reason, m.headers -> 'stopped' ->> 'at' AS stopped_at
FROM {table} AS m
WHERE <<is_stopped>>
ORDER BY 1 LIMIT %(limit)s;

-- resume_group --
-- Let a group go on with the message that stopped it, as if that one had not been tried; and tell who waits.
UPDATE {table} AS m
SET vt = clock_timestamp(),
    headers = m.headers - ARRAY['stopped', 'released_read'] || jsonb_build_object('untried', m.read_ct)
WHERE <<is_stopped>>
RETURNING m.msg_id, pg_notify(%(channel)s, '') AS announced;
