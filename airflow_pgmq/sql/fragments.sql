-- What several queries share, so that they cannot come to differ. A block is as in `queries.sql`, and stands
-- wherever a query writes <<name>>.

-- fences --
-- The messages that a call names, as it read them; a bare id says nothing more.
unnest(%(msg_ids)b::bigint[], %(read_cts)b::integer[], %(enqueued_ats)b::timestamptz[])

-- is_ours --
-- Whether nobody else has read the message since, and it is no other that got its id in a queue that was made
-- again. A time before or after all of Python's is its first or its last one there.
((fence.read_ct IS NULL OR held.read_ct = fence.read_ct)
    AND (fence.enqueued_at IS NULL OR fence.enqueued_at
         = greatest(least(held.enqueued_at, '9999-12-31 23:59:59.999999Z'), '0001-01-01 00:00:00Z')))
