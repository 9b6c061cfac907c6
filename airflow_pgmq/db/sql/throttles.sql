-- enable_notify_insert --
-- PGMQ's own trigger, which announces at most one insert in an interval.
SELECT pgmq.enable_notify_insert(%(queue_name)s::text, %(throttle_interval_ms)s::integer);

-- update_notify_insert --
-- Another interval for it.
SELECT pgmq.update_notify_insert(%(queue_name)s::text, %(throttle_interval_ms)s::integer);

-- disable_notify_insert --
-- Remove it.
SELECT pgmq.disable_notify_insert(%(queue_name)s::text);

-- throttles --
-- The queues that have it. PGMQ writes the epoch for one that has announced nothing yet.
SELECT queue_name, throttle_interval_ms, nullif(last_notified_at, 'epoch') AS last_notified_at
FROM pgmq.list_notify_insert_throttles() ORDER BY queue_name;
