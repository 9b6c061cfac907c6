-- next_in_groups --
-- The next messages of groups that have a visible one, group by group from a place on and round again; and visible
-- messages without a group, which are locked. A group is locked while its reader's transaction lasts: what it
-- decides now, no other reader decides at the same time. The walk takes one look-up in the index for each group.
WITH RECURSIVE start AS MATERIALIZED (
    -- Without a place, that of any message.
    SELECT coalesce(%(after)s::text, (
        SELECT <<group>> FROM {table} AS m
        WHERE m.msg_id >= (
            SELECT min(msg_id) + floor(random() * (max(msg_id) - min(msg_id) + 1))::bigint FROM {table}
        )
        ORDER BY m.msg_id LIMIT 1
    ), '') COLLATE "C" AS grp
), walk (grp, is_again, msg_id, read_ct, is_ready, ready, step) AS (
    SELECT grp, false, NULL::bigint, NULL::integer, false, 0, 0 FROM start
    UNION ALL
    SELECT head.grp, head.is_again, head.msg_id, head.read_ct, head.is_ready, walk.ready + head.is_ready::integer, walk.step + 1
    FROM walk
    LEFT JOIN LATERAL (
        SELECT <<group>> AS grp, m.msg_id, m.vt, m.read_ct FROM {table} AS m
        WHERE <<group>> > walk.grp ORDER BY <<in_group_order>> LIMIT 1
    ) AS ahead ON true
    LEFT JOIN LATERAL (
        SELECT <<group>> AS grp, m.msg_id, m.vt, m.read_ct FROM {table} AS m
        WHERE ahead.grp IS NULL AND NOT walk.is_again AND <<group>> > '' ORDER BY <<in_group_order>> LIMIT 1
    ) AS again ON true
    CROSS JOIN LATERAL (
        SELECT found.grp, found.msg_id, found.read_ct, walk.is_again OR ahead.grp IS NULL AS is_again,
               CASE WHEN found.vt <= statement_timestamp() AND (found.read_ct = 0 OR NOT %(unread)s)
                         AND (found.read_ct = 0 OR NOT <<is_held>>)
                         AND (asked.is_nothing OR EXISTS (
                             SELECT FROM {table} AS m, <<asked>> WHERE m.msg_id = found.msg_id AND <<matches>>
                         ))
                    THEN pg_try_advisory_xact_lock(hashtextextended(%(relation)s || ' ' || found.grp, 7366))
                    ELSE false END AS is_ready
        FROM (
            SELECT coalesce(ahead.grp, again.grp) AS grp, coalesce(ahead.msg_id, again.msg_id) AS msg_id,
                   coalesce(ahead.vt, again.vt) AS vt, coalesce(ahead.read_ct, again.read_ct) AS read_ct
            OFFSET 0
        ) AS found
        CROSS JOIN (
            SELECT %(condition)s::jsonb IS NULL AND %(headers_condition)s::jsonb IS NULL AS is_nothing
        ) AS asked
        WHERE found.grp IS NOT NULL
        OFFSET 0
    ) AS head
    CROSS JOIN start
    WHERE <<may_read>> AND walk.ready < %(max_messages)s AND (NOT head.is_again OR head.grp <= start.grp)
), untried_alone AS (
    SELECT m.msg_id, <<tries>> AS tries FROM {table} AS m, <<asked>>
    WHERE <<group>> IS NULL AND <<is_unread>> = 1 AND vt <= clock_timestamp() AND <<may_read>> AND <<matches>>
    ORDER BY <<in_group_order>> LIMIT %(max_messages)s FOR UPDATE OF m SKIP LOCKED
), tried_alone AS (
    SELECT m.msg_id, <<tries>> AS tries FROM {table} AS m, <<asked>>
    WHERE <<group>> IS NULL AND <<is_unread>> = 0 AND vt <= clock_timestamp() AND <<may_read>> AND <<matches>> AND NOT %(unread)s
    ORDER BY <<in_group_order>> LIMIT %(max_messages)s FOR UPDATE OF m SKIP LOCKED
)
SELECT grp, msg_id, CASE WHEN read_ct = 0 THEN 0 ELSE (
    SELECT <<tries>> FROM {table} AS m WHERE m.msg_id = walk.msg_id
) END AS tries, step
FROM walk WHERE is_ready
UNION ALL
(SELECT NULL, msg_id, tries, 0 FROM (TABLE untried_alone UNION ALL TABLE tried_alone) AS m
 ORDER BY msg_id LIMIT %(max_messages)s)
ORDER BY step, msg_id;

-- read_in_groups --
-- Read messages that were found by `next_in_groups`, if they are still the next ones: since then, an earlier message
-- may have been committed, or another reader may have been here.
WITH heads AS MATERIALIZED (
    SELECT m.msg_id
    FROM unnest(%(groups)s::text[], %(msg_ids)s::bigint[]) AS found (grp, msg_id)
    JOIN {table} AS m ON m.msg_id = found.msg_id
    WHERE <<may_read>> AND m.msg_id = ANY (%(msg_ids)s::bigint[]) AND m.vt <= clock_timestamp() AND (found.grp IS NULL OR m.msg_id = (
        SELECT m.msg_id FROM {table} AS m WHERE <<group>> = found.grp COLLATE "C" ORDER BY <<in_group_order>> LIMIT 1
    ) AND (m.read_ct = 0 OR NOT <<is_held>>))
    FOR UPDATE OF m SKIP LOCKED
)
UPDATE {table} AS chosen
SET vt = clock_timestamp() + make_interval(secs => %(visibility_timeout)s), read_ct = chosen.read_ct + 1
WHERE chosen.msg_id = ANY (ARRAY(SELECT msg_id FROM heads))
RETURNING chosen.msg_id, chosen.read_ct, chosen.enqueued_at, chosen.vt, chosen.message, chosen.headers;

-- groups_index_state --
-- The index that reading in order needs.
SELECT coalesce(i.indisvalid, false) AS valid, i.indexrelid IS NOT NULL AS present
FROM pg_class AS c
LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indexrelid = to_regclass(%(index)s)
WHERE c.oid = to_regclass(%(relation)s);

-- create_groups_index --
-- The index that reading in order needs: the next message of each group comes first, also that of no group.
CREATE INDEX {index_name} ON {table} (
    (nullif(left(headers ->> 'x-pgmq-group', 500), '') COLLATE "C"), ((read_ct = 0)::integer), msg_id
);
