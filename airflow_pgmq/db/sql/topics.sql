-- bind_topic --
-- Route messages whose key matches the pattern to the queue.
SELECT pgmq.bind_topic(%(pattern)s::text, %(queue_name)s::text);

-- unbind_topic --
-- Undo a binding.
SELECT pgmq.unbind_topic(%(pattern)s::text, %(queue_name)s::text) AS unbound;

-- topics --
-- The bindings of a queue, or of all.
SELECT pattern, queue_name, bound_at, compiled_regex FROM pgmq.list_topic_bindings()
WHERE %(queue_name)s::text IS NULL OR queue_name = %(queue_name)s
ORDER BY pattern, queue_name;

-- routes --
-- The bindings that a routing key matches; a queue may have several of them.
SELECT pattern, queue_name, compiled_regex FROM pgmq.test_routing(%(routing_key)s::text) ORDER BY queue_name, pattern;

-- validate_routing_key --
-- An error if it is none.
SELECT pgmq.validate_routing_key(%(routing_key)s::text);

-- validate_topic_pattern --
-- An error if it is none.
SELECT pgmq.validate_topic_pattern(%(pattern)s::text);
