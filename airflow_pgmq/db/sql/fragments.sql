-- What several queries share, so that they cannot come to differ. A block is as in a file of queries, and is
-- put in wherever a query writes <<name>>.

-- fences --
-- The messages that a call names, as it read them; a bare id says nothing more.
unnest(%(msg_ids)b::bigint[], %(read_cts)b::integer[], %(enqueued_ats)b::timestamptz[])

-- is_ours --
-- Whether nobody else has read the message since, and it is no other that got its id in a queue that was made
-- again. A time before or after all of Python's is its first or its last one there.
((fence.read_ct IS NULL OR held.read_ct = fence.read_ct)
    AND (fence.enqueued_at IS NULL OR fence.enqueued_at = held.enqueued_at
         OR greatest(least(fence.enqueued_at, '9999-12-31 23:59:59.999999Z'), '0001-01-01 00:00:00Z')
            = greatest(least(held.enqueued_at, '9999-12-31 23:59:59.999999Z'), '0001-01-01 00:00:00Z')))

-- asked --
-- What a reader or waiter asks for.
(SELECT %(condition)s::jsonb AS condition, %(headers_condition)s::jsonb AS headers_condition) AS asked

-- matches --
-- Whether a message is what was asked for. Without a condition anything is, be it null; with one, null never.
(asked.condition IS NULL OR held.message @> asked.condition)
    AND (asked.headers_condition IS NULL OR held.headers @> asked.headers_condition)

-- tries --
-- How often somebody tried to work on a message: its reads, those that gave it back untried aside. A number that
-- cannot be is not believed; other clients may write anything there.
(held.read_ct - CASE WHEN held.read_ct > 0 AND held.headers -> 'untried' BETWEEN '0' AND to_jsonb(held.read_ct)
                     THEN trunc((held.headers ->> 'untried')::numeric)::integer ELSE 0 END)

-- row_vt --
-- When the row of a query becomes visible, as an expression. A time without a zone is UTC, and UTC has no days
-- of other than 24 hours, whatever the session's zone.
coalesce(regexp_replace(doc ->> 'visible_at', '^[0-9-]+([T ][0-9:.]+)?$', E'\\&Z')::timestamptz,
         (statement_timestamp() AT TIME ZONE 'UTC' + coalesce((doc ->> 'delay')::interval, interval '0'))
             AT TIME ZONE 'UTC')

-- expiry --
-- The header that says when a message expires, counted from `vt`, when it becomes visible; none where it does not.
-- The parameter has a prefix because the user's query has parameters of its own.
CASE WHEN %(pgmq_ttl)s::float8 IS NULL THEN '{{}}' ELSE jsonb_build_object('expires_at', to_char(
    (greatest(vt, statement_timestamp()) + make_interval(secs => %(pgmq_ttl)s::float8)) AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'
)) END
