-- look --
-- For each asked condition, how many matching messages of the queue are visible, counted up to a limit; when
-- the next one becomes visible; whether inserts are announced; how long it took. It hides no message. Of a paused
-- queue nothing is visible, and nothing becomes so by itself.
-- Not compared with clock_timestamp(), since only a value that is stable in the statement can use the index on vt.
SELECT asked.position, seen.visible, seen.oldest, seen.waited, upcoming.next_in, upcoming.announced,
       NOT queue.may_be_read AS paused, true AS indexed,
       extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 AS took
FROM unnest(%(positions)s::integer[], %(conditions)s::jsonb[], %(headers_conditions)s::jsonb[], %(limits)s::integer[])
    AS asked (position, condition, headers_condition, most)
CROSS JOIN (SELECT <<may_read>> AS may_be_read) AS queue
CROSS JOIN LATERAL (
    SELECT count(*) AS visible, min(enqueued_at) FILTER (WHERE isfinite(enqueued_at)) AS oldest, <<waited>> AS waited
    FROM (
        SELECT enqueued_at, vt FROM {table} AS m
        WHERE vt <= statement_timestamp() AND queue.may_be_read AND <<matches>>
        ORDER BY vt LIMIT asked.most
    ) AS matching
) AS seen
CROSS JOIN LATERAL (
    SELECT <<seconds_until>> AS next_in, EXISTS <<announcers>> AS announced
    FROM (SELECT min(vt) AS due FROM {table} WHERE vt > statement_timestamp() AND queue.may_be_read) AS hidden
) AS upcoming;

-- look_in_groups --
-- The same for a read in order, and one condition: how many messages it could return, and when another one may be
-- ready. If nothing is visible, no group need be asked.
WITH RECURSIVE <<visible_in_groups>>, hidden AS (
    SELECT vt, <<group>> IS NULL AS is_alone FROM {table} AS m
    WHERE vt > statement_timestamp() AND <<may_read>> ORDER BY vt LIMIT %(hidden)s
), upcoming AS (
    SELECT least(
        (SELECT min(ready_at) FROM walk WHERE ready_at > statement_timestamp()),
        -- Of messages without a group. If all that were looked at have one, the next ones may have none.
        coalesce(min(vt) FILTER (WHERE is_alone OR NOT EXISTS (SELECT FROM walk)),
                 CASE WHEN count(*) = %(hidden)s THEN max(vt) END)
    ) AS due FROM hidden
)
SELECT %(position)s::integer AS position, count(*) AS visible,
       min(enqueued_at) FILTER (WHERE isfinite(enqueued_at)) AS oldest, <<waited>> AS waited,
       (SELECT <<seconds_until>> FROM upcoming) AS next_in,
       -- Of inserts and of acks.
       EXISTS <<announcers>> AND EXISTS (
           SELECT FROM pg_trigger WHERE tgrelid = to_regclass(%(quoted_table)s) AND tgenabled <> 'D'
               AND tgname = %(settled_trigger)s
       ) AS announced,
       NOT <<may_read>> AS paused, (SELECT indexed FROM start) AS indexed,
       extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 AS took
FROM visible;

-- sight --
-- What shows whether the matching messages are being worked on. Of a paused queue none is visible.
WITH <<visible>>, <<sight_of_visible>>;

-- sight_in_groups --
-- The same for messages that are read in order.
WITH RECURSIVE <<visible_in_groups>>, <<sight_of_visible>>;

-- visible_slots --
-- Of the messages that match and are visible, as many as are counted: the earliest slots of periodic jobs.
WITH <<visible>> <<slots_of_visible>>;

-- visible_slots_in_groups --
-- The same for messages that are read in order.
WITH RECURSIVE <<visible_in_groups>> <<slots_of_visible>>;

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
