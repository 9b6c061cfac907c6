-- next_in_groups --
-- The next messages of groups that have one, group by group from a place on and round again; and visible messages
-- without a group, which are locked. A group is locked while its reader's transaction lasts: what it decides now, no
-- other reader decides at the same time. First comes a row that says whether the index is there.
WITH RECURSIVE <<group_walk>>, untried_alone AS (
    SELECT m.msg_id, <<tries>> AS tries FROM {table} AS m, <<asked>>
    WHERE (SELECT indexed FROM start) AND <<group>> IS NULL AND <<is_unread>> = 1
        AND vt <= clock_timestamp() AND <<may_read>> AND <<matches>>
    ORDER BY <<in_group_order>> LIMIT %(max_messages)s FOR UPDATE OF m SKIP LOCKED
), tried_alone AS (
    SELECT m.msg_id, <<tries>> AS tries FROM {table} AS m, <<asked>>
    WHERE (SELECT indexed FROM start) AND <<group>> IS NULL AND <<is_unread>> = 0 AND NOT %(unread)s
        AND vt <= clock_timestamp() AND <<may_read>> AND <<matches>>
    ORDER BY <<in_group_order>> LIMIT %(max_messages)s FOR UPDATE OF m SKIP LOCKED
)
SELECT NULL AS grp, NULL AS msg_id, NULL AS tries, -1 AS step, indexed FROM start
UNION ALL
SELECT grp, msg_id, tries, step, NULL FROM walk WHERE is_ready
UNION ALL
(SELECT NULL, msg_id, tries, 0, NULL FROM (TABLE untried_alone UNION ALL TABLE tried_alone) AS m
 ORDER BY msg_id LIMIT %(max_messages)s)
ORDER BY step, msg_id;

-- read_in_groups --
-- Read messages that were found by `next_in_groups`, if they are still the next ones: since then, an earlier message
-- may have been committed, or another reader may have been here.
WITH heads AS MATERIALIZED (
    SELECT m.msg_id
    FROM {table} AS m CROSS JOIN LATERAL (SELECT <<group>> AS grp) AS found
    WHERE <<may_read>> AND m.msg_id = ANY (%(msg_ids)b::bigint[]) AND m.vt <= clock_timestamp()
        AND (found.grp IS NULL OR m.msg_id = (
            SELECT m.msg_id FROM {table} AS m WHERE <<group>> = found.grp COLLATE "C" ORDER BY <<in_group_order>> LIMIT 1
        ) AND (m.read_ct = 0 OR <<held_until>> IS NULL))
    FOR UPDATE OF m SKIP LOCKED
)
UPDATE {table} AS chosen
SET <<read_again>>
WHERE chosen.msg_id = ANY (ARRAY(SELECT msg_id FROM heads))
RETURNING chosen.msg_id, chosen.read_ct, chosen.enqueued_at, chosen.vt, chosen.message, chosen.headers;

-- count_in_groups --
-- How many messages a read in order could return now, counted up to a limit; and whether the index is there.
WITH RECURSIVE <<visible_in_groups>>
SELECT (SELECT count(*) FROM visible) AS visible, indexed FROM start;

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

-- list_groups --
-- Groups, the first ones by name and those whose messages stay hidden the longest, which are the held back ones: the
-- next message of each, and how many it has, counted up to a limit.
WITH RECURSIVE walk (grp, step) AS (
    SELECT ''::text COLLATE "C", 0
    UNION ALL
    SELECT (SELECT <<group>> FROM {table} AS m WHERE <<group>> > walk.grp ORDER BY <<in_group_order>> LIMIT 1), step + 1
    FROM walk WHERE grp IS NOT NULL AND step <= %(limit)s
), hidden AS (
    SELECT <<group>> AS grp FROM {table} AS m
    WHERE m.vt > statement_timestamp() ORDER BY m.vt DESC LIMIT %(limit)s
), found AS (
    (SELECT grp FROM walk WHERE step > 0 AND grp IS NOT NULL ORDER BY step LIMIT %(limit)s)
    UNION
    SELECT grp FROM hidden WHERE grp IS NOT NULL
)
SELECT found.grp, coalesce(stopped.msg_id, head.msg_id) AS msg_id, coalesce(stopped.tries, head.tries) AS tries,
       head.read_ct, head.until, head.is_released, stopped.reason, stopped.stopped_at, messages.count AS messages,
       (SELECT max(step) FROM walk WHERE grp IS NOT NULL) AS groups, statement_timestamp() AS now
FROM found CROSS JOIN LATERAL (
    SELECT m.msg_id, m.read_ct, <<tries>> AS tries,
           CASE WHEN m.read_ct = 0 THEN m.vt ELSE greatest(m.vt, <<held_until>>) END AS until,
           (m.headers -> 'released_read') IS NOT DISTINCT FROM jsonb_build_array(m.msg_id, m.read_ct) AS is_released
    FROM {table} AS m WHERE <<group>> = found.grp ORDER BY <<in_group_order>> LIMIT 1
) AS head LEFT JOIN LATERAL (
    -- Another reader may have stopped it at a later message.
    SELECT m.msg_id, <<tries>> AS tries, m.headers -> 'stopped' ->> 'reason' AS reason,
           m.headers -> 'stopped' ->> 'at' AS stopped_at
    FROM {table} AS m WHERE <<group>> = found.grp AND <<is_unread>> = 0 AND <<stops_its_group>>
    ORDER BY <<in_group_order>> LIMIT 1
) AS stopped ON true CROSS JOIN LATERAL (
    SELECT count(*) AS count
    FROM (SELECT FROM {table} AS m WHERE <<group>> = found.grp LIMIT %(counted)s) AS counted
) AS messages
ORDER BY stopped.msg_id IS NULL, until <= statement_timestamp(), until DESC, messages.count DESC, found.grp LIMIT %(limit)s;

-- without_order --
-- A row if several of the newest messages of a queue are of one group.
SELECT %(queue_name)s::text AS queue_name WHERE EXISTS (
    SELECT FROM (SELECT headers FROM {table} ORDER BY msg_id DESC LIMIT 1000) AS m
    WHERE <<group>> IS NOT NULL GROUP BY <<group>> HAVING count(*) > 1
);

-- out_of_order --
-- Of a queue that is read in order: how many groups have several messages with readers at once, of those that come
-- back last; and how many are stopped.
SELECT %(queue_name)s::text AS queue_name,
       (SELECT count(*) FROM (
            SELECT FROM (
                SELECT m.msg_id, m.read_ct, m.headers FROM {table} AS m
                WHERE m.vt > statement_timestamp() AND isfinite(m.vt) AND m.read_ct > 0 ORDER BY m.vt DESC LIMIT %(hidden)s
            ) AS m
            WHERE <<group>> IS NOT NULL
                AND (m.headers -> 'released_read') IS DISTINCT FROM jsonb_build_array(m.msg_id, m.read_ct)
            GROUP BY <<group>> HAVING count(*) > 1
        ) AS torn) AS torn,
       (SELECT count(*) FROM {table} AS m WHERE <<is_stopped>>) AS stopped;
