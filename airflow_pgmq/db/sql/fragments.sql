-- SQL that several queries share, so that they cannot differ. A block is as in a file of queries, and replaces
-- <<name>> in a query. In all of them, `m` is the row of a message.

-- absent --
-- What `last_read_at` is in tables of PGMQ before 1.10: a query inside that has no such column finds this one.
(SELECT NULL::timestamptz AS last_read_at) AS absent

-- fences --
-- The messages that a call names, as it read them; an id alone has no fence.
unnest(%(msg_ids)b::bigint[], %(read_cts)b::integer[], %(enqueued_ats)b::timestamptz[])

-- is_ours --
-- Whether nobody else has read the message since, and it is not another one with the same id in a queue that was
-- made again. Times outside of Python's range are its first or last one there.
((fence.read_ct IS NULL OR m.read_ct = fence.read_ct)
    AND (fence.enqueued_at IS NULL OR fence.enqueued_at = m.enqueued_at
         OR greatest(least(fence.enqueued_at, '9999-12-31 23:59:59.999999Z'), '0001-01-01 00:00:00Z')
            = greatest(least(m.enqueued_at, '9999-12-31 23:59:59.999999Z'), '0001-01-01 00:00:00Z')))

-- is_future_slot --
-- Whether a message is a slot of a periodic job, that nobody could have seen yet.
m.vt > clock_timestamp() AND m.read_ct = 0 AND coalesce(jsonb_typeof(m.headers), '') = 'object'
    AND m.headers ?& ARRAY['job', 'namespace', 'slot']

-- asked --
-- The condition of a reader or waiter.
(SELECT %(condition)s::jsonb AS condition, %(headers_condition)s::jsonb AS headers_condition) AS asked

-- matches --
-- Whether a message matches. Without a condition all do, also null; with one, null never does.
(asked.condition IS NULL OR m.message @> asked.condition)
    AND (asked.headers_condition IS NULL OR m.headers @> asked.headers_condition)

-- may_read --
-- Whether the queue may be read: it is not paused. It depends on no message, so it is asked once, before the first one
-- is looked for. Where the role may not see which queues are paused, it may: `db/driver/choices.py` chooses.
/* if pauses: */ NOT EXISTS (
    SELECT FROM airflow_pgmq.paused_queues AS paused WHERE paused.relation = %(queue_table)s::regclass
) /* else: */ true /* end */

-- sees_pauses --
-- Whether the role may see which queues are paused; false, too, if our schema is missing or old. By name, because a
-- role that may not use a schema may not look up its tables.
coalesce((
    SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'airflow_pgmq' AND c.relname = 'paused_queues'
), false)

-- has_last_reads --
-- Whether this PGMQ notes when a message was last read, as it does since 1.10.
EXISTS (
    SELECT FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'pgmq' AND c.relname = 'message_record' AND a.attname = 'last_read_at' AND NOT a.attisdropped
)

-- read_again --
-- What a read changes of a message, as PGMQ's own does; but the clock is asked once for all messages of a read.
vt = (SELECT clock_timestamp()) + make_interval(secs => %(visibility_timeout)s), read_ct = chosen.read_ct + 1
    /* if last_reads: */, last_read_at = (SELECT clock_timestamp()) /* else: */ /* end */

-- to_ack --
-- The ids of those of a call's messages that nobody else has read since; their rows are locked.
ARRAY(
    SELECT m.msg_id FROM {table} AS m
    JOIN <<fences>> AS fence (msg_id, read_ct, enqueued_at) USING (msg_id)
    WHERE <<is_ours>> FOR UPDATE OF m
)

-- archived --
-- Move messages that nobody else has read since into the archive.
gone AS (
    DELETE FROM {table} AS m USING <<fences>> AS fence (msg_id, read_ct, enqueued_at)
    WHERE m.msg_id = fence.msg_id AND <<is_ours>>
    RETURNING m.*
), acked AS (
    INSERT INTO {archive} ({columns}) SELECT {columns} FROM gone RETURNING msg_id
)

-- next_batch --
-- Read messages that were not tried before, or one message that was: a message that kills its readers costs no
-- other message a try. The messages that the same statement acks are left alone, though their time may be over.
visible AS MATERIALIZED (
    SELECT msg_id, <<tries>> AS tries FROM {table} AS m, <<asked>>
    WHERE vt <= clock_timestamp() AND <<may_read>> AND <<matches>> AND (m.read_ct = 0 OR NOT %(unread)s)
        AND (m.read_ct = 0 OR msg_id <> ALL (%(msg_ids)b::bigint[]) OR NOT EXISTS (
            SELECT FROM <<fences>> AS fence (msg_id, read_ct, enqueued_at)
            WHERE fence.msg_id = m.msg_id AND <<is_ours>>
        ))
    ORDER BY msg_id LIMIT %(max_messages)s FOR UPDATE OF m SKIP LOCKED
), first AS (
    SELECT msg_id, tries FROM visible ORDER BY msg_id LIMIT 1
), chosen AS (
    UPDATE {table} AS chosen
    SET <<read_again>>
    WHERE chosen.msg_id = ANY (ARRAY(
        SELECT visible.msg_id FROM visible, first
        WHERE visible.msg_id = first.msg_id OR (visible.tries = 0 AND first.tries = 0)
    ))
    RETURNING chosen.msg_id, chosen.read_ct, chosen.enqueued_at, chosen.vt, chosen.message, chosen.headers
)

-- acked_and_next --
-- The answer of a statement that acks and reads: first a row with the ids that were acked.
SELECT NULL AS msg_id, NULL AS read_ct, NULL AS enqueued_at, NULL AS vt, NULL AS message, NULL AS headers,
       ARRAY(SELECT msg_id FROM acked) AS acked
UNION ALL
SELECT msg_id, read_ct, enqueued_at, vt, message, headers, NULL FROM chosen

-- group --
-- The group of a message; an entry of an index has a limited size.
nullif(left(m.headers ->> 'x-pgmq-group', 500), '') COLLATE "C"

-- is_unread --
-- Whether nobody has read a message: 0 for what was read and is not settled; of a group, that comes first.
(m.read_ct = 0)::integer

-- in_group_order --
-- As the index of groups has them.
<<group>>, <<is_unread>>, m.msg_id

-- held_until --
-- Until when a message of the group `found.grp` is with a reader, or waits for its next try; null if none is. With a
-- filter, because a plain maximum could be planned with the index on vt.
(
    SELECT max(m.vt) FILTER (WHERE m.vt > clock_timestamp()) FROM {table} AS m
    WHERE <<group>> = found.grp COLLATE "C" AND <<is_unread>> = 0
)

-- stops_its_group --
-- Whether the message stops its group: it was dead, and nobody has let it go on.
m.vt = 'infinity' AND m.read_ct > 0 AND coalesce(m.headers ? 'stopped', false)

-- is_stopped --
-- The same of any group, or of this one.
<<stops_its_group>> AND <<group>> IS NOT NULL
    AND (%(group)s::text IS NULL OR <<group>> = left(%(group)s::text, 500) COLLATE "C")

-- group_head --
-- Of the next message of a group, what decides whether it can be read.
<<group>> AS grp, m.msg_id, m.vt, m.read_ct, CASE WHEN m.read_ct = 0 THEN 0 ELSE <<tries>> END AS tries,
<<matches>> AS matches

-- group_walk --
-- Walk from group to group in the index, from a place on and round again, until enough of them have a message that can
-- be read: one look-up for each group, however many messages it has. Its next message is the one that was read and is
-- not settled, or else the one with the lowest id. A reader locks the groups that it may take.
start AS MATERIALIZED (
    -- Without a place, that of any message.
    SELECT coalesce(%(after)s::text, (
        SELECT <<group>> FROM {table} AS m
        WHERE m.msg_id >= (
            SELECT min(msg_id) + floor(random() * (max(msg_id) - min(msg_id) + 1))::bigint FROM {table}
        )
        ORDER BY m.msg_id LIMIT 1
    ), '') COLLATE "C" AS grp, EXISTS (
        SELECT FROM pg_index WHERE indexrelid = to_regclass(%(index)s) AND indisvalid
    ) AS indexed
), walk (grp, msg_id, tries, ready_at, is_ready, is_again, ready, step) AS (
    SELECT grp, NULL::bigint, NULL::integer, NULL::timestamptz, false, false, 0, 0 FROM start
    -- By min, which takes the index on vt.
    WHERE indexed AND <<may_read>> AND (SELECT min(vt) FROM {table}) <= clock_timestamp()
    UNION ALL
    SELECT head.grp, head.msg_id, head.tries, head.ready_at, head.is_ready, head.is_again,
           walk.ready + head.is_ready::integer, walk.step + 1
    FROM walk CROSS JOIN start CROSS JOIN LATERAL (
        SELECT grp, msg_id, tries, ready_at, is_again,
               CASE WHEN ready_at <= statement_timestamp() AND matches AND (read_ct = 0 OR NOT %(unread)s)
                    THEN CASE WHEN %(locks)s
                         THEN pg_try_advisory_xact_lock(hashtextextended(%(relation)s || ' ' || grp, 7366)) ELSE true END
                    ELSE false END AS is_ready
        FROM (
            SELECT found.*, CASE WHEN found.read_ct = 0 THEN found.vt ELSE greatest(found.vt, <<held_until>>) END AS ready_at
            FROM (
                (SELECT <<group_head>>, walk.is_again FROM {table} AS m, <<asked>>
                 WHERE <<group>> > walk.grp ORDER BY <<in_group_order>> LIMIT 1)
                UNION ALL
                (SELECT <<group_head>>, true FROM {table} AS m, <<asked>>
                 WHERE NOT walk.is_again AND <<group>> > '' ORDER BY <<in_group_order>> LIMIT 1)
                LIMIT 1
            ) AS found
            OFFSET 0
        ) AS head
        OFFSET 0
    ) AS head
    WHERE walk.ready < %(max_messages)s AND (NOT head.is_again OR head.grp <= start.grp)
)

-- tries --
-- How often a message was tried: its reads, less those that gave it back untried. An impossible number is
-- ignored; other clients may write anything there.
(m.read_ct - CASE WHEN m.read_ct > 0 AND m.headers -> 'untried' BETWEEN '0' AND to_jsonb(m.read_ct)
                     THEN trunc((m.headers ->> 'untried')::numeric)::integer ELSE 0 END)

-- visible --
-- Messages that a read would return now, so many of them.
visible AS MATERIALIZED (
    SELECT m.msg_id, m.read_ct, m.enqueued_at, m.vt FROM {table} AS m CROSS JOIN <<asked>>
    WHERE m.vt <= statement_timestamp() AND <<may_read>> AND <<matches>> ORDER BY m.vt LIMIT %(max_messages)s
)

-- visible_in_groups --
-- The same for a read in order; nothing without its index.
<<group_walk>>, alone AS (
    SELECT m.msg_id FROM {table} AS m, <<asked>>
    WHERE (SELECT indexed FROM start) AND <<group>> IS NULL
        AND m.vt <= statement_timestamp() AND <<may_read>> AND <<matches>>
    LIMIT %(max_messages)s
), visible AS MATERIALIZED (
    SELECT msg_id, read_ct, enqueued_at, vt FROM {table}
    WHERE msg_id = ANY (ARRAY(
        SELECT msg_id FROM walk WHERE is_ready UNION ALL SELECT msg_id FROM alone LIMIT %(max_messages)s
    ))
)

-- sight_of_visible --
-- How many are visible, which of them the next reader gets, and which are held by readers: read, hidden, and not given
-- back. Only the first of the hidden ones are searched, since there may be millions with a delay.
hidden AS NOT MATERIALIZED (
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
FROM held LEFT JOIN (SELECT msg_id, read_ct FROM visible ORDER BY msg_id LIMIT 1) AS head ON true

-- slots_of_visible --
-- The earliest slots of periodic jobs among them.
SELECT DISTINCT headers ->> 'slot' AS slot FROM {table}
WHERE msg_id = ANY (ARRAY(SELECT msg_id FROM visible)) AND headers ->> 'slot' ~ '^\d\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$'
ORDER BY slot LIMIT %(limit)s

-- announcers --
-- Whether the queue's table has such a trigger.
(SELECT FROM pg_trigger WHERE tgrelid = to_regclass(%(quoted_table)s) AND tgenabled <> 'D'
 AND tgname = ANY (%(announcers)s::text[]))

-- waited --
-- For how many seconds the message that has been visible longest has been so. Postgres before 17 cannot subtract from
-- infinity.
coalesce(extract(epoch FROM statement_timestamp() - min(vt) FILTER (WHERE isfinite(vt)))::float8, 0)

-- seconds_until --
-- Seconds until `due`, at most a day.
extract(epoch FROM least(due, statement_timestamp() + interval '24 hours') - statement_timestamp())::float8

-- row_vt --
-- When the row of a query becomes visible, as an expression. A time without a zone is UTC, where each
-- day has 24 hours, independent of the session's zone.
coalesce(regexp_replace(doc ->> 'visible_at', '^[0-9-]+([T ][0-9:.]+)?$', E'\\&Z')::timestamptz,
         (statement_timestamp() AT TIME ZONE 'UTC' + coalesce((doc ->> 'delay')::interval, interval '0'))
             AT TIME ZONE 'UTC')

-- message_vt --
-- When a message of a batch becomes visible: at its instant, or this many seconds from now. What is the same for all
-- messages is known when the statement is planned, and not computed for each.
CASE WHEN %(seconds)b::float8[] IS NULL AND %(instants)b::timestamptz[] IS NULL THEN statement_timestamp()
     ELSE coalesce(i.instant, statement_timestamp() + make_interval(secs => coalesce(i.seconds, 0))) END

-- message_headers --
-- The headers of a message of a batch, without its key. Each concatenation for each message would be a thirtieth of
-- the time of a batch, so here, too, it is planned what is needed.
CASE WHEN %(headers)b::text[] IS NULL THEN %(common_headers)s::jsonb
     ELSE %(common_headers)s::jsonb || coalesce(headers::jsonb, '{{}}') END || <<expiry>>

-- keyed_headers --
-- The same with its key. jsonb_build_object looks up the types of its arguments for each message: twice the time.
CASE WHEN %(headers)b::text[] IS NULL AND %(common_headers)s::jsonb = '{{}}' AND %(pgmq_ttl)s::float8 IS NULL
     THEN jsonb_object(ARRAY['dedup_key', key])
     ELSE <<message_headers>> || jsonb_object(ARRAY['dedup_key', key]) END

-- one_vt --
-- The same for a single message.
coalesce(%(instant)s::timestamptz, statement_timestamp() + make_interval(secs => %(seconds)s::float8))

-- take_over --
-- A key in the ledger is free again after its window, and in another incarnation of the queue.
ON CONFLICT (queue_name, dedup_key) DO UPDATE
        SET msg_id = excluded.msg_id, first_at = excluded.first_at, expires_at = excluded.expires_at,
            incarnation = excluded.incarnation
        WHERE taken.expires_at <= statement_timestamp() OR taken.incarnation <> excluded.incarnation

-- later_vt --
-- The same for messages that exist already and share one delay.
coalesce(%(instant)s::timestamptz, clock_timestamp() + make_interval(secs => %(seconds)s))

-- row_message --
-- The payload from a row of a query: its column `message`, or all columns without another meaning.
CASE WHEN doc ? 'message' THEN doc -> 'message'
     ELSE doc - ARRAY['dedup_key', 'delay', 'visible_at', 'headers'] END

-- mark --
-- The incarnation of the queue that the ledger and the slots refer to. No row if the queue is another one, or if
-- this code is too old for the schema: then nothing is claimed.
mark AS MATERIALIZED (
    SELECT incarnation
    FROM airflow_pgmq.incarnation_of(%(queue_name)s::text, to_regclass(%(relation)s::text), %(code)s::integer)
)

-- slot_key --
-- The dedup key of a slot, as `core/slots.py` makes it.
%(namespace)s || '/' || sent.name || '/' || to_char(sent.slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')

-- stretch --
-- A part of a table's pages that begins anywhere: limited work without an index, and over many calls every row
-- is looked at. A smaller table is read whole.
stretch AS (
    SELECT floor(random() * (greatest(pages - %(pages)s, 0) + 1))::bigint AS first
    FROM (
        SELECT pg_relation_size(%(quoted_table)s::regclass) / current_setting('block_size')::bigint AS pages
    ) AS size
)

-- in_stretch --
-- Whether a row is in that part.
ctid >= (SELECT ('(' || first || ',0)')::tid FROM stretch)
    AND ctid < (SELECT ('(' || first + %(pages)s || ',0)')::tid FROM stretch)

-- shown_times --
-- A message as page and command line show it: other clients may write times that Python does not have.
msg_id, read_ct, least(greatest(enqueued_at::timestamptz, 'epoch'), '9999-01-01Z') AS enqueued_at,
least(greatest(vt::timestamptz, 'epoch'), '9999-01-01Z') AS vt

-- shown_read --
-- When it was last read, if Python has that time.
CASE WHEN last_read BETWEEN 'epoch' AND '9999-01-01Z' THEN last_read END AS last_read_at

-- shown_content --
-- Its headers and, for users who may see it, its payload, unless they are too large.
CASE WHEN NOT headers_large THEN headers END AS headers,
CASE WHEN %(peek)s AND NOT message_large THEN message END AS message,
message_large OR headers_large AS too_large

-- content_size --
-- Whether they are too large, unless the message is asked for by itself. What is too large even compressed is
-- not decompressed. OFFSET prevents a second computation.
(
    SELECT CASE WHEN NOT %(peek)s THEN false WHEN pg_column_size(message) > %(most)s THEN true
                ELSE NOT %(alone)s AND octet_length(message::text) > %(most)s END AS message_large,
           CASE WHEN headers IS NULL THEN false WHEN pg_column_size(headers) > %(most)s THEN true
                ELSE NOT %(alone)s AND octet_length(headers::text) > %(most)s END AS headers_large
    OFFSET 0
) AS size

-- states --
-- How many messages of a queue there are, by state.
%(queue_name)s::text AS queue_name, count(*) AS counted,
count(*) FILTER (WHERE vt <= statement_timestamp()) AS visible,
count(*) FILTER (WHERE vt > statement_timestamp() AND read_ct > 0) AS in_flight

-- oldest --
-- When the oldest message was enqueued. Only past times count: clients may write `infinity`, which has no
-- age.
min(enqueued_at) FILTER (WHERE enqueued_at BETWEEN 'epoch' AND statement_timestamp())

-- first_vt --
-- When the message that has been visible longest became visible.
min(vt) FILTER (WHERE vt BETWEEN 'epoch' AND statement_timestamp())

-- column_type --
-- The type that PGMQ gives a column of a queue or an archive.
CASE attname
    WHEN 'msg_id' THEN 'bigint'::regtype WHEN 'read_ct' THEN 'integer'::regtype
    WHEN 'message' THEN 'jsonb'::regtype WHEN 'headers' THEN 'jsonb'::regtype
    WHEN 'vt' THEN 'timestamptz'::regtype WHEN 'enqueued_at' THEN 'timestamptz'::regtype
    WHEN 'archived_at' THEN 'timestamptz'::regtype END

-- numbered --
-- The rows of a query, each with its place among those of its key: only the first may be sent.
(SELECT input.*, row_number() OVER (PARTITION BY key ORDER BY position) AS among_equals FROM input) AS numbered

-- expiry --
-- The header with the time when a message expires, counted from `vt`, when it becomes visible; null without a ttl.
-- The parameter has a prefix because the user's query has its own parameters.
CASE WHEN %(pgmq_ttl)s::float8 IS NULL THEN '{{}}' ELSE jsonb_build_object('expires_at', to_char(
    (greatest(vt, statement_timestamp()) + make_interval(secs => %(pgmq_ttl)s::float8)) AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'
)) END
