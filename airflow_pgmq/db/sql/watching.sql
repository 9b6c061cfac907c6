-- look --
-- For each asked condition, how many matching messages of the queue are visible, counted up to a limit; when
-- the next one becomes visible; whether inserts are announced; how long it took. It hides no message. Of a paused
-- queue nothing is visible, and nothing becomes so by itself.
-- Not compared with clock_timestamp(), since only a value that is stable in the statement can use the index on vt.
SELECT asked.position, seen.visible, seen.oldest, seen.waited, upcoming.next_in, upcoming.announced,
       NOT queue.may_be_read AS paused,
       extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 AS took
FROM unnest(%(positions)s::integer[], %(conditions)s::jsonb[], %(headers_conditions)s::jsonb[], %(limits)s::integer[])
    AS asked (position, condition, headers_condition, most)
CROSS JOIN (SELECT <<may_read>> AS may_be_read) AS queue
CROSS JOIN LATERAL (
    -- Postgres before 17 cannot subtract from infinity.
    SELECT count(*) AS visible, min(enqueued_at) FILTER (WHERE isfinite(enqueued_at)) AS oldest,
           coalesce(extract(epoch FROM statement_timestamp() - min(vt) FILTER (WHERE isfinite(vt)))::float8, 0)
               AS waited
    FROM (
        SELECT enqueued_at, vt FROM {table} AS m
        WHERE vt <= statement_timestamp() AND queue.may_be_read AND <<matches>>
        ORDER BY vt LIMIT asked.most
    ) AS matching
) AS seen
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM least(min(vt), statement_timestamp() + interval '24 hours')
                              - statement_timestamp())::float8 AS next_in,
           EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(%(quoted_table)s) AND tgenabled <> 'D'
                   AND tgname = ANY (%(announcers)s::text[])) AS announced
    FROM {table} WHERE vt > statement_timestamp() AND queue.may_be_read
) AS upcoming;

-- sight --
-- What shows whether the matching messages are being worked on: how many are visible, counted up to a limit,
-- which of them the next reader gets, and which are held by readers: read, hidden, and not given back. Only the
-- first of the hidden ones are searched, since there may be millions with a delay. Of a paused queue none is visible.
WITH visible AS MATERIALIZED (
    SELECT m.msg_id, m.read_ct, m.enqueued_at FROM {table} AS m CROSS JOIN <<asked>>
    WHERE m.vt <= statement_timestamp() AND <<may_read>> AND <<matches>> ORDER BY m.vt LIMIT %(limit)s
), hidden AS NOT MATERIALIZED (
    SELECT m.msg_id, m.vt, m.read_ct, m.message, m.headers FROM {table} AS m
    WHERE m.vt > statement_timestamp() ORDER BY m.vt LIMIT %(hidden)s
), held AS (
    SELECT count(*) AS count, max(m.vt) FILTER (WHERE isfinite(m.vt)) AS until FROM hidden AS m CROSS JOIN <<asked>>
    WHERE m.read_ct > 0 AND (m.headers -> 'released_read') IS DISTINCT FROM jsonb_build_array(m.msg_id, m.read_ct)
          AND <<matches>>
)
SELECT (SELECT count(*) FROM visible) AS visible,
       (SELECT min(enqueued_at) FILTER (WHERE isfinite(enqueued_at)) FROM visible) AS oldest,
       head.msg_id, head.read_ct, held.count AS held, held.until
FROM held LEFT JOIN (SELECT msg_id, read_ct FROM visible ORDER BY msg_id LIMIT 1) AS head ON true;

-- visible_slots --
-- Of the messages that match and are visible, as many as are counted: the earliest slots of periodic jobs.
SELECT DISTINCT m.headers ->> 'slot' AS slot
FROM (
    SELECT m.headers FROM {table} AS m CROSS JOIN <<asked>>
    WHERE m.vt <= statement_timestamp() AND <<may_read>> AND <<matches>> ORDER BY m.vt LIMIT %(counted)s
) AS m
WHERE m.headers ->> 'slot' ~ '^\d\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$'
ORDER BY slot LIMIT %(limit)s;

-- listen --
-- LISTEN on a channel.
LISTEN {channel};

-- unlisten --
-- UNLISTEN a channel.
UNLISTEN {channel};

-- announce --
-- An empty notification, as a queue's trigger sends it.
SELECT pg_notify(%(channel)s, '');

-- alive --
-- Health check.
SELECT true AS alive;
